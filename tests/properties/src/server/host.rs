//! A host that performs nothing: it answers what a session asks for, at once or when it is told to, and
//! looks at everything that the session does.

use std::collections::VecDeque;

use fnap::command::Command;
use fnap::line::MAX_COMMAND;
use fnap::reply::{Code, Failure, Reply, ReplyDecoder, ReplyItem};
use fnap::sasl::Mechanism;
use fnap::server::{Action, MAX_HELD_REPLIES, MAX_WRITE_LINES, ServerOptions, ServerSession, Tls};

use crate::command::same_again;

/// When answers are given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As soon as something is asked for.
    AtOnce,
    /// After each piece so many as its byte says.
    Steered,
    /// Only once the peer has sent all.
    Never,
}

/// A host and what it saw.
pub(super) struct Host {
    session: ServerSession<u8>,
    options: ServerOptions,
    pace: Pace,
    encrypted: bool,
    authenticated: bool,
    waiting: VecDeque<Waiting>,
    replies: ReplyDecoder,
    /// Whether data lines are being sent.
    in_data: bool,
    /// A long reply that was looked at.
    known: Vec<u8>,
    answers: usize,
    over: bool,
    /// Whether there was a handshake, or a stream.
    pub(super) upgraded: bool,
    /// Everything that was sent.
    pub(super) out: Vec<u8>,
    /// Everything that was performed.
    pub(super) performed: Vec<String>,
}

/// What the session waits for.
enum Waiting {
    /// A response, empty where there was none and none where it was misread.
    Check(Option<Vec<u8>>),
    Reply,
    Read {
        follow: bool,
        started: bool,
        stop: bool,
    },
    Stream,
}

impl Host {
    pub(super) fn new(options: ServerOptions, pace: Pace) -> Self {
        Self {
            session: ServerSession::new(options.clone()),
            options,
            pace,
            encrypted: false,
            authenticated: false,
            waiting: VecDeque::new(),
            replies: ReplyDecoder::new(1 << 20),
            in_data: false,
            known: Vec::new(),
            answers: 0,
            over: false,
            upgraded: false,
            out: Vec::new(),
            performed: Vec::new(),
        }
    }

    /// The whole dialogue: the peer sends these and then nothing more.
    pub(super) fn converse(mut self, pieces: &[(&[u8], u8)]) -> Self {
        self.settle();
        for (piece, control) in pieces {
            if self.pace != Pace::Never {
                while !self.session.wants_input() && self.answer() {}
            }
            if !self.session.wants_input() {
                break;
            }
            self.session.receive(piece);
            self.settle();
            if self.pace == Pace::Steered {
                for _ in 0..control >> 6 {
                    self.answer();
                }
            }
        }
        while self.answer() {}
        self.session.input_ended();
        self.settle();
        while self.answer() {}
        assert!(self.over, "a peer that has left is still served");
        self
    }

    fn settle(&mut self) {
        while let Some(action) = self.session.next_action() {
            assert!(!self.over, "something is done after the end: {action:?}");
            self.act(action);
            while self.pace == Pace::AtOnce && self.answer_oldest() {}
        }
        let waiting = self.options.max_waiting.max(MAX_COMMAND).max(self.options.max_data_line);
        assert!(self.session.held() <= waiting + MAX_HELD_REPLIES + MARGIN);
    }

    fn act(&mut self, action: Action<u8>) {
        match action {
            Action::Send(bytes) => self.sent(&bytes),
            Action::Authenticate { mechanism, response } => {
                assert!(self.options.mechanisms.contains(&mechanism));
                assert!(mechanism != Mechanism::External || self.encrypted);
                self.check(Some(response.map_or_else(Vec::new, |one| one.expose().to_vec())));
            }
            Action::Respond(response) => self.check(Some(response.expose().to_vec())),
            Action::Misread => self.check(None),
            Action::Execute { principal, command } => {
                self.may(principal);
                if self.pace != Pace::Steered {
                    same_again(&command);
                }
                let waiting = match &command {
                    Command::Read(read) => {
                        Waiting::Read { follow: read.follow, started: false, stop: false }
                    }
                    Command::Stream => Waiting::Stream,
                    _ => Waiting::Reply,
                };
                self.performed.push(command.to_string());
                self.wait(waiting, 1);
            }
            Action::ExecuteWrite { principal, batch } => {
                self.may(principal);
                assert!(batch.lines.len() <= MAX_WRITE_LINES);
                assert!(batch.lines.iter().all(|line| line.len() <= self.options.max_data_line));
                self.performed.push(format!("{batch:?}"));
                self.wait(Waiting::Reply, self.options.writes_at_once);
            }
            Action::StopFollowing => match self.waiting.front_mut() {
                Some(Waiting::Read { follow: true, started: true, stop }) => *stop = true,
                _ => panic!("nothing follows"),
            },
            Action::StartTls => self.start_tls(),
            Action::StartStream { principal } => {
                self.may(principal);
                (self.over, self.upgraded) = (true, true);
            }
            Action::Close => self.over = true,
        }
    }

    /// What was sent in the clear is not heard: neither what is behind STARTTLS nor what comes meanwhile.
    fn start_tls(&mut self) {
        assert!(self.options.tls == Tls::Offered && !self.encrypted && !self.authenticated);
        (self.encrypted, self.upgraded) = (true, true);
        self.session.receive(b"AUTHENTICATE PLAIN AHRlc3QAdGVzdA==\r\nGET FLOWS\r\nNOO");
        assert_eq!(self.session.next_action(), None);
        self.session.tls_established(true);
        assert_eq!(self.session.next_action(), None);
        assert_eq!(self.session.held(), 0);
    }

    fn check(&mut self, response: Option<Vec<u8>>) {
        assert!(self.encrypted || self.options.clear_text, "a password in the clear");
        assert!(!self.authenticated, "a second time");
        self.wait(Waiting::Check(response), 1);
    }

    fn may(&self, principal: u8) {
        assert!(self.authenticated && principal == PRINCIPAL);
    }

    fn wait(&mut self, waiting: Waiting, at_once: usize) {
        self.waiting.push_back(waiting);
        assert!(self.waiting.len() <= at_once, "{} are performed at once", self.waiting.len());
    }

    /// Every line that goes out is a reply or stands between `220 DATA` and the end of it.
    fn sent(&mut self, bytes: &[u8]) {
        assert!(bytes.ends_with(b"\r\n"));
        self.out.extend_from_slice(bytes);
        // HELP by the hundred is one look.
        if bytes == self.known && !self.in_data {
            return;
        }
        self.replies.push(bytes);
        while let Some(item) = self.replies.next_item() {
            match item.expect("a line") {
                ReplyItem::NoReply(line) => panic!("no reply: {line:?}"),
                ReplyItem::Line(code, _) => {
                    assert!(Code::ALL.contains(&code));
                    self.in_data = false;
                }
                ReplyItem::DataStart => self.in_data = true,
                ReplyItem::Data(_) => {}
                ReplyItem::DataEnd => self.in_data = false,
            }
        }
        if bytes.len() > LONG && !self.in_data {
            self.known = bytes.to_vec();
        }
    }

    /// Answers what waits longest; false where nothing can be answered.
    fn answer(&mut self) -> bool {
        let answered = self.answer_oldest();
        self.settle();
        answered
    }

    fn answer_oldest(&mut self) -> bool {
        match self.waiting.pop_front() {
            None => return false,
            Some(Waiting::Check(response)) => self.judge(response.as_deref()),
            Some(Waiting::Reply) => {
                let reply = self.reply();
                self.session.reply(reply);
            }
            Some(Waiting::Stream) => self.session.stream_accepted(),
            Some(Waiting::Read { started: false, follow, stop }) => {
                self.answers += 1;
                if self.answers.is_multiple_of(3) {
                    self.session.reply(Reply::error(Code::NotFound, "flow f"));
                } else {
                    self.session.read_started();
                    self.waiting.push_front(Waiting::Read { started: true, follow, stop });
                }
            }
            Some(waiting @ Waiting::Read { follow: true, stop: false, .. }) => {
                self.waiting.push_front(waiting);
                return false;
            }
            Some(Waiting::Read { .. }) => self.session.read_ended(Ok(())),
        }
        true
    }

    fn judge(&mut self, response: Option<&[u8]>) {
        match response {
            Some([] | [b'c', ..]) => self.session.challenge(response.unwrap_or_default()),
            Some([0, b't', ..]) => {
                self.authenticated = true;
                self.session.authenticated(PRINCIPAL);
            }
            Some([0, b'b', ..]) => {
                self.session.not_checked(Failure::new(Code::RateLimit, "retry-after=1"));
            }
            _ => self.session.refused(),
        }
    }

    /// Answers are told apart by their numbers, so that one out of order shows.
    fn reply(&mut self) -> Reply {
        self.answers += 1;
        let number = self.answers;
        match number % 4 {
            0 => Reply::ok_with(number),
            1 => Reply::data([number.to_string(), "220 OK".to_owned(), "a\r\nb".to_owned()]),
            2 => Reply::error(Code::Conflict, format!("{number}\r\n220 OK")),
            _ => Reply::Ok("DATA".to_owned()),
        }
    }
}

/// Whom the host knows.
const PRINCIPAL: u8 = 7;

/// Octets of a reply that is worth being remembered.
const LONG: usize = 1024;

/// A piece, and the longest reply that the session makes itself.
const MARGIN: usize = 8 * 1024;
