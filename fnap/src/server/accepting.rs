//! Before authentication: what anybody may say, and how somebody becomes a principal.
//!
//! Nothing of a line received here is said back or remembered, but for the name of a mechanism: it may be
//! a password in the wrong place.

use bytes::Bytes;

use super::action::{Action, Tls};
use super::ready::parse;
use super::session::{ServerSession, State};
use crate::command::{Command, InitialResponse};
use crate::line::LineError;
use crate::reply::{Code, Failure, Reply};
use crate::sasl::{Mechanism, PlainCredentials};

/// A SASL exchange that waits for the client's response.
#[derive(Debug)]
pub(super) enum Exchange {
    /// PLAIN has one response and no challenge.
    Plain,
}

/// The commands that need no authentication.
const FOR_ANYBODY: &[&str] = &["CAPABILITIES", "HELP", "NOOP", "STARTTLS", "AUTHENTICATE", "QUIT"];

impl<P: Clone> ServerSession<P> {
    pub(super) fn accept(&mut self, failures: u8, line: Result<Bytes, LineError>) {
        self.state = State::Accepting { failures };
        let line = match line.map_err(Failure::from) {
            Ok(line) => line,
            Err(failure) => return self.send(&failure.into()),
        };
        let command = if for_anybody(&line) { parse(&line) } else { Err(needs_authentication()) };
        match command {
            Ok(Command::Authenticate { mechanism, initial }) => {
                self.authenticate(failures, mechanism.as_str(), initial.as_ref());
            }
            Ok(Command::StartTls) => self.start_tls(failures),
            Ok(command) => self.answer(&command),
            Err(failure) => self.send(&failure.into()),
        }
    }

    pub(super) fn respond(
        &mut self,
        failures: u8,
        exchange: Exchange,
        line: Result<Bytes, LineError>,
    ) {
        let Exchange::Plain = exchange;
        let line = line.ok();
        let response = line.as_deref().and_then(|line| std::str::from_utf8(line).ok());
        match response.map(str::trim_ascii) {
            Some("*") => {
                self.state = State::Accepting { failures };
                self.send(&Reply::error(Code::AuthRequired, "authentication cancelled"));
            }
            Some(response) => self.verify(failures, response),
            None => self.authentication_failed(failures),
        }
    }

    pub(super) fn capabilities(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.options.tls == Tls::Offered {
            lines.push("STARTTLS".to_owned());
        }
        if self.plain_allowed() {
            lines.push("AUTH=PLAIN".to_owned());
        }
        lines.push(super::PIPELINING.to_owned());
        lines.extend(self.options.capabilities.iter().cloned());
        lines
    }

    fn authenticate(&mut self, failures: u8, mechanism: &str, initial: Option<&InitialResponse>) {
        let Some(Mechanism::Plain) = Mechanism::from_name(mechanism) else {
            let words = format!("mechanism {}", mechanism.to_ascii_uppercase());
            return self.send(&Reply::error(Code::NotFound, words));
        };
        if !self.plain_allowed() {
            let words = "passwords are not taken over an open connection";
            return self.send(&Reply::error(Code::TlsRequired, words));
        }
        match initial {
            Some(response) => self.verify(failures, response.expose()),
            None => {
                self.state = State::Responding { failures, exchange: Exchange::Plain };
                self.send(&Reply::ok());
            }
        }
    }

    fn verify(&mut self, failures: u8, response: &str) {
        match PlainCredentials::decode(response) {
            Ok(credentials) => {
                self.state = State::Verifying { failures };
                self.push(Action::Verify(credentials));
            }
            Err(_) => self.authentication_failed(failures),
        }
    }

    fn start_tls(&mut self, failures: u8) {
        match self.options.tls {
            Tls::Offered => self.start_handshake(failures),
            Tls::Unavailable => self.send(&Reply::error(Code::NotImplemented, "tls")),
            Tls::Established => {
                self.send(&Reply::error(Code::Conflict, "tls is established already"));
            }
        }
    }

    fn plain_allowed(&self) -> bool {
        self.options.plain_in_clear || self.options.tls == Tls::Established
    }
}

fn for_anybody(line: &Bytes) -> bool {
    let first =
        std::str::from_utf8(line).ok().and_then(|line| line.split_ascii_whitespace().next());
    first.is_some_and(|verb| FOR_ANYBODY.iter().any(|known| known.eq_ignore_ascii_case(verb)))
}

fn needs_authentication() -> Failure {
    Failure::new(Code::AuthRequired, "authenticate first")
}
