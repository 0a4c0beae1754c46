//! Before authentication: what anybody may say, and how somebody becomes a principal.
//!
//! Nothing of a line received here is said back or remembered, but for the name of a mechanism: it may be
//! a password in the wrong place.

use bytes::Bytes;

use super::action::{Action, Tls};
use super::ready::{is_blank, parse};
use super::session::{ServerSession, State};
use crate::command::{Command, InitialResponse};
use crate::line::LineError;
use crate::reply::{Code, Failure, Reply};
use crate::sasl::{Mechanism, Response};

/// The commands that need no authentication.
const FOR_ANYBODY: &[&str] = &["CAPABILITIES", "HELP", "NOOP", "STARTTLS", "AUTHENTICATE", "QUIT"];

impl<P: Clone> ServerSession<P> {
    pub(super) fn accept(&mut self, failures: u8, line: Result<Bytes, LineError>) {
        self.state = State::Accepting { failures };
        let line = match line.map_err(Failure::from) {
            Ok(line) => line,
            Err(failure) => return self.fault(failure),
        };
        self.toll.commands += 1;
        let command = if for_anybody(&line) { parse(&line) } else { Err(needs_authentication()) };
        match command {
            Ok(Command::Authenticate { mechanism, initial }) => {
                self.authenticate(failures, mechanism.as_str(), initial.as_ref());
            }
            Ok(Command::StartTls) => self.start_tls(failures),
            Ok(command) => self.answer(&command),
            Err(failure) => self.fault(failure),
        }
    }

    pub(super) fn respond(&mut self, failures: u8, line: Result<Bytes, LineError>) {
        let line = line.ok();
        let response = line.as_deref().and_then(|line| std::str::from_utf8(line).ok());
        let response = response.map_or("", |text| text.trim_matches([' ', '\t']));
        if response == CANCEL {
            let cancelled = Reply::error(Code::AuthRequired, "authentication cancelled");
            return self.attempt_ended(failures, &cancelled);
        }
        self.state = State::Verifying { failures, begun: false };
        self.push(Response::decode(response).map_or(Action::Misread, Action::Respond));
    }

    pub(super) fn capabilities(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.options.tls == Tls::Offered {
            lines.push("STARTTLS".to_owned());
        }
        let told = |one: &&Mechanism| !self.options.unannounced.contains(one);
        let offered = self.options.mechanisms.iter().filter(told);
        let offered = offered.filter(|one| self.usable(**one).is_ok());
        lines.extend(offered.map(|one| format!("AUTH={}", one.name())));
        lines.push(super::PIPELINING.to_owned());
        lines.extend(self.options.capabilities.iter().cloned());
        lines
    }

    fn authenticate(&mut self, failures: u8, mechanism: &str, initial: Option<&InitialResponse>) {
        let offered = |one: &Mechanism| self.options.mechanisms.contains(one);
        let Some(mechanism) = Mechanism::from_name(mechanism).filter(offered) else {
            let words = format!("mechanism {}", mechanism.to_ascii_uppercase());
            return self.send(&Reply::error(Code::NotFound, words));
        };
        if let Err(failure) = self.usable(mechanism) {
            return self.send(&failure.into());
        }
        let response = initial.map(|text| Response::decode(text.expose())).transpose();
        self.state = State::Verifying { failures, begun: initial.is_none() };
        self.push(match response {
            Ok(response) => Action::Authenticate { mechanism, response },
            Err(_) => Action::Misread,
        });
    }

    /// Whether a mechanism of the host can be used on this connection.
    fn usable(&self, mechanism: Mechanism) -> Result<(), Failure> {
        let certificate = match self.options.tls {
            Tls::Established { certificate } => certificate,
            _ if self.options.clear_text => false,
            Tls::Offered => return Err(Failure::new(Code::TlsRequired, "STARTTLS comes first")),
            Tls::Unavailable => {
                let words = "nobody authenticates over an open connection";
                return Err(Failure::new(Code::TlsRequired, words));
            }
        };
        if mechanism == Mechanism::External && !certificate {
            let words = "mechanism EXTERNAL without a client certificate";
            return Err(Failure::new(Code::NotFound, words));
        }
        Ok(())
    }

    fn start_tls(&mut self, failures: u8) {
        match self.options.tls {
            Tls::Offered if self.has_more() => {
                // Whoever sits in between may have put it there, to be taken for the client's own
                // (CERT VU#555316).
                self.send(&Reply::error(Code::BadFormat, "nothing may follow STARTTLS"));
                self.close();
            }
            Tls::Offered => self.start_handshake(failures),
            Tls::Unavailable => self.send(&Reply::error(Code::NotImplemented, "tls")),
            Tls::Established { .. } => {
                self.send(&Reply::error(Code::Conflict, "tls is established already"));
            }
        }
    }
}

/// What a client sends in place of a response to give the attempt up.
const CANCEL: &str = "*";

fn for_anybody(line: &Bytes) -> bool {
    // The blanks of the parser and no others: what this takes for a verb, the parser has to take for the same.
    let mut words = line.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
    let first = words.next().and_then(|word| std::str::from_utf8(word).ok());
    first.is_some_and(|verb| FOR_ANYBODY.iter().any(|known| known.eq_ignore_ascii_case(verb)))
}

fn needs_authentication() -> Failure {
    Failure::new(Code::AuthRequired, "authenticate first")
}
