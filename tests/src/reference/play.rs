//! A dialogue with a host: what the client says is sent, and what the host says is what stands there.

use std::cell::RefCell;
use std::collections::VecDeque;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fnap::client::sasl::{Exchange, NONCE};
use rustix::process::Signal;

use super::expect::{self, placeholder};
use super::{Aside, Example, Step};
use crate::{Fnaad, Trust, Wire};

/// The password of everybody in the examples.
pub(super) const PASSWORD: &str = "example";

/// The name of the user who proves himself with SCRAM-SHA-256, and his nonce.
const SCRAM: (&str, [u8; NONCE]) = ("ana", *b"the nonce of an example.");

/// How a dialogue begins.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// With the greeting.
    Greeting,
    /// Behind the authentication of a user.
    As(String),
}

/// Where a dialogue takes place.
pub struct Stage<'a> {
    /// The host.
    pub host: &'a Fnaad,
    /// Where the client connects to.
    pub address: String,
    /// For a handshake, and whether one comes before everything.
    pub trust: Option<(Trust, bool)>,
    /// How it begins.
    pub entrance: Entrance,
}

/// What the client still knows of what was said.
struct Dialogue<'a> {
    example: &'a Example,
    wire: Wire,
    /// Lines of the host that were taken already.
    heard: VecDeque<String>,
    scram: RefCell<Option<Exchange>>,
    /// The last line of the host.
    last: String,
}

impl Example {
    /// Plays it.
    ///
    /// # Panics
    /// With the line that is another one, and what came in its place.
    pub fn play(&self, stage: &Stage<'_>) {
        let mut wire = match &stage.trust {
            Some((trust, true)) => Wire::connect_tls(&stage.address, trust).unwrap(),
            _ => Wire::connect(&stage.address),
        };
        let mut heard = VecDeque::new();
        match &stage.entrance {
            Entrance::Greeting => heard.push_back(wire.greeting.clone()),
            Entrance::As(user) => wire.authenticate(user, PASSWORD),
        }
        let scram = RefCell::default();
        let mut dialogue = Dialogue { example: self, wire, heard, scram, last: String::new() };
        // What the client says without hearing anything between goes out together.
        for together in self.steps.chunk_by(|one, next| one.is_said() && next.is_said()) {
            match together {
                [Step::Client(_), ..] => dialogue.say(together),
                _ => together.iter().for_each(|step| dialogue.step(step, stage)),
            }
        }
        assert!(dialogue.heard.is_empty(), "{}: more was said", self.place);
        dialogue.nothing_more();
    }
}

impl Dialogue<'_> {
    fn say(&mut self, together: &[Step]) {
        let lines = together.iter().map(|step| match step {
            Step::Client(said) => format!("{}\r\n", self.filled(said)),
            _ => String::new(),
        });
        let lines: String = lines.collect();
        self.wire.send(lines.as_bytes());
    }

    fn step(&mut self, step: &Step, stage: &Stage<'_>) {
        match step {
            Step::Client(_) => self.say(std::slice::from_ref(step)),
            Step::Host(expected) => {
                let found = self.heard.pop_front().unwrap_or_else(|| self.wire.line());
                let (place, same) = (&self.example.place, expect::is(expected, &found));
                let rest = if same { String::new() } else { self.wire.overheard() };
                assert!(same, "{place}:\nexpected S: {expected}\nfound    S: {found}{rest}");
                self.last = found;
            }
            Step::Aside(aside) => self.aside(aside, stage),
        }
    }

    fn aside(&mut self, aside: &Aside, stage: &Stage<'_>) {
        match aside {
            Aside::Handshake => {
                let (trust, _) =
                    stage.trust.as_ref().expect("a mark that gives the host a certificate");
                self.wire.shake_hands(trust).unwrap();
            }
            Aside::Closed => assert!(self.wire.is_closed(), "{}: not closed", self.example.place),
            Aside::Finished => {
                self.wire.speaker().shutdown(std::net::Shutdown::Write).unwrap();
            }
            Aside::Further(front) => {
                let line = std::iter::repeat_with(|| self.wire.line())
                    .find(|line| !line.starts_with(front));
                self.heard.extend(line);
            }
            Aside::Ended => stage.host.signal(Signal::TERM),
            Aside::Elsewhere(user, command) => {
                let answer = stage.host.login_as(user, PASSWORD).ask(command);
                assert!(answer[0].starts_with("220 "), "{}: {answer:?}", self.example.place);
            }
        }
    }

    /// Whether the host is where the example leaves it: it has said nothing more.
    fn nothing_more(mut self) {
        let ends = |step: &Step| matches!(step, Step::Aside(Aside::Closed));
        let waits = self.last.starts_with("330 ") || self.last == "220 DATA";
        if self.example.steps.last().is_some_and(ends) || waits {
            return;
        }
        self.wire.send(b"NOOP\r\n");
        let found = self.wire.line();
        let known = found.starts_with("220 OK") || found.starts_with("429 ");
        assert!(known || found.is_empty(), "{}: more was said: {found}", self.example.place);
    }

    /// A client's line, with what its placeholders stand for.
    fn filled(&self, said: &str) -> String {
        let Some((front, name, behind)) = placeholder(said) else { return said.to_owned() };
        let counted = name.split_once(' ').map(|(number, what)| (number.parse::<usize>(), what));
        let value = match (name, counted) {
            (_, Some((Ok(number), "octets"))) => "x".repeat(number),
            (_, Some((Ok(number), "events"))) => crate::events(0..number).join("\r\n"),
            ("scram-first", _) => {
                let (user, nonce) = SCRAM;
                let begun = Exchange::scram_sha_256("", user, PASSWORD, nonce).unwrap();
                self.scram.borrow_mut().insert(begun).respond(b"").map(encoded).unwrap()
            }
            ("scram-final", _) => {
                let challenge = self.last.strip_prefix("330 ").expect("a challenge");
                let challenge = BASE64_STANDARD.decode(challenge).unwrap();
                let mut scram = self.scram.borrow_mut();
                scram.as_mut().expect("scram-first").respond(&challenge).map(encoded).unwrap()
            }
            _ => panic!("{}: no placeholder <{name}> of a client", self.example.place),
        };
        format!("{front}{value}{}", self.filled(behind))
    }
}

fn encoded(octets: impl AsRef<[u8]>) -> String {
    match octets.as_ref() {
        [] => "=".to_owned(),
        octets => BASE64_STANDARD.encode(octets),
    }
}
