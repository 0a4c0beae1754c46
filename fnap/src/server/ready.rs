//! What a line means, by the state it comes in, and what is done about a command.

use bytes::Bytes;

use super::SEND_EVENTS;
use super::action::Action;
use super::help;
use super::receiving::{Incoming, Taken};
use super::session::{Running, ServerSession, State};
use crate::command::Command;
use crate::line::{LineError, MAX_COMMAND};
use crate::reply::{Code, Failure, Reply};

impl<P: Clone> ServerSession<P> {
    pub(super) fn take(&mut self, line: Result<Bytes, LineError>) {
        match std::mem::replace(&mut self.state, State::Ended { streaming: false }) {
            State::Accepting { failures } => self.accept(failures, line),
            State::Responding { failures } => self.respond(failures, line),
            State::Receiving(principal, incoming) => self.collect(principal, incoming, line),
            State::Ready(principal) => self.command(principal, line),
            other => self.state = other,
        }
    }

    fn command(&mut self, principal: P, line: Result<Bytes, LineError>) {
        self.state = State::Ready(principal.clone());
        let line = match line.map_err(Failure::from) {
            Ok(line) => line,
            Err(failure) => return self.fault(failure),
        };
        self.toll.commands += usize::from(!is_write(&line));
        if is_done(&line) {
            // It met the end of the READ that it was to end: it has no answer of its own.
            return;
        }
        match parse(&line) {
            Ok(command) => self.perform(principal, command),
            Err(failure) => self.fault(failure),
        }
    }

    /// Answers what is not the protocol.
    pub(super) fn fault(&mut self, failure: Failure) {
        self.toll.faults += 1;
        self.send(&failure.into());
    }

    fn perform(&mut self, principal: P, command: Command) {
        let running = match &command {
            Command::Capabilities | Command::Help { .. } | Command::Noop | Command::Quit => {
                return self.answer(&command);
            }
            Command::StartTls | Command::Authenticate { .. } => {
                return self.send(&Reply::error(Code::Conflict, "already authenticated"));
            }
            Command::Write { flow, token } => {
                self.send(&Reply::More(SEND_EVENTS.to_owned()));
                let incoming =
                    Incoming::new(flow.clone(), token.clone(), self.options.max_data_line);
                self.state = State::Receiving(principal, incoming);
                return;
            }
            Command::Read(read) => {
                Running::Read { follow: read.follow, started: false, stopping: false, looked: 0 }
            }
            Command::Stream => Running::Stream,
            _ => Running::Command,
        };
        self.state = State::Executing(principal.clone(), running);
        self.push(Action::Execute { principal, command });
    }

    /// What the session can answer by itself, at any time.
    pub(super) fn answer(&mut self, command: &Command) {
        match command {
            Command::Capabilities => self.send(&Reply::Data(self.capabilities())),
            Command::Help { topic } => self.send_bytes(help::reply(topic.as_deref())),
            Command::Quit => {
                self.send(&Reply::Ok("Bye".to_owned()));
                self.close();
            }
            _ => self.send(&Reply::ok()),
        }
    }

    fn collect(&mut self, principal: P, mut incoming: Incoming, line: Result<Bytes, LineError>) {
        // With the line's end; of one that is no text it is not known how long it was.
        let octets = line.as_ref().map_or(MAX_COMMAND, |line| line.len() + 2);
        if incoming.take(line) == Taken::More {
            if incoming.is_refused() {
                self.toll.thrown_away += octets;
            }
            self.state = State::Receiving(principal, incoming);
            return;
        }
        match incoming.finish() {
            Ok(batch) => {
                self.state = State::Ready(principal.clone());
                self.posted();
                self.push(Action::ExecuteWrite { principal, batch });
            }
            Err(failure) => {
                self.state = State::Ready(principal);
                self.fault(failure);
            }
        }
    }
}

pub(super) fn parse(line: &Bytes) -> Result<Command, Failure> {
    let line = std::str::from_utf8(line).map_err(|_| Failure::from(LineError::NotUtf8))?;
    line.parse().map_err(Failure::from)
}

/// Whether a line asks for a WRITE, which need not wait for the WRITEs before it.
pub(super) fn is_write(line: &[u8]) -> bool {
    let mut words = line.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
    words.next().is_some_and(|verb| verb.eq_ignore_ascii_case(b"WRITE"))
}

/// What separates words; a CR is a character like others.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether a line is what ends a READ that follows.
pub(super) fn is_done(line: &[u8]) -> bool {
    let mut words = line.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
    words.next().is_some_and(|verb| verb.eq_ignore_ascii_case(b"DONE")) && words.next().is_none()
}

impl From<LineError> for Failure {
    fn from(error: LineError) -> Self {
        let code = match error {
            LineError::TooLong { .. } => Code::TooLarge,
            LineError::NotUtf8 | LineError::Nul => Code::BadFormat,
        };
        Self::new(code, error.to_string())
    }
}
