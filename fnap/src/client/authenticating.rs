//! Who one is, and TLS: the parts of the session in which what comes is not a reply to a command.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::pending::Pending;
use super::sasl::{Exchange, SaslError};
use super::session::{ClientSession, Stage};
use super::{ClientError, Event};
use crate::reply::Code;
use crate::sasl::encode;

impl ClientSession {
    /// `AUTHENTICATE`, and what follows until the host says yes or no. What is sent behind it waits for that.
    ///
    /// # Errors
    /// When too many commands wait.
    pub fn authenticate(&mut self, exchange: Exchange) -> Result<(), ClientError> {
        let line = format!("AUTHENTICATE {}\r\n", exchange.mechanism().name());
        self.queue(Bytes::from(line), Pending::Authenticate(exchange), true)
    }

    /// The TLS handshake behind a good answer to STARTTLS is done. Nothing that the host has said before
    /// counts any more: ask for its capabilities again.
    ///
    /// # Errors
    /// When something came in clear after that answer; the session is over then.
    pub fn tls_established(&mut self) -> Result<(), ClientError> {
        let handshake = std::mem::replace(&mut self.handshake, false);
        if !handshake || !self.decoder.input().is_empty() {
            self.stage = Stage::Broken;
            return Err(ClientError::Injected);
        }
        self.decoder.clear();
        self.outbox.unblock();
        Ok(())
    }

    /// Whoever sits in between may have put it there, to be taken for the host's own words under TLS
    /// (CERT VU#555316).
    pub(super) fn injected(&mut self) -> Option<Event> {
        let clear = self.decoder.input().is_empty();
        (!clear).then_some(Event::Broken(ClientError::Injected))
    }

    /// The host asks to begin: `220 OK` in the draft, `330` elsewhere.
    pub(super) fn begin(&mut self, exchange: Exchange, code: Code, text: &str) -> Option<Event> {
        self.respond(exchange, if code == Code::Ok { "" } else { text })
    }

    pub(super) fn respond(&mut self, mut exchange: Exchange, challenge: &str) -> Option<Event> {
        let mechanism = exchange.mechanism().name();
        let challenge = decode(challenge).ok_or(SaslError::Challenge(mechanism));
        match challenge.and_then(|challenge| exchange.respond(&challenge)) {
            Ok(response) => {
                let line = encode(&response);
                self.outbox.urgent().extend_from_slice(line.as_bytes());
                self.outbox.urgent().extend_from_slice(b"\r\n");
                self.pending.push_front(Pending::Respond(exchange));
                None
            }
            Err(error) => Some(Event::Broken(error.into())),
        }
    }

    pub(super) fn authenticated(&mut self, text: &str) -> Event {
        self.stage = Stage::Authenticated;
        Event::Authenticated(text.to_owned())
    }
}

/// A challenge: base64, or nothing.
fn decode(challenge: &str) -> Option<Vec<u8>> {
    match challenge.trim() {
        "" | "=" => Some(Vec::new()),
        text => STANDARD.decode(text).ok(),
    }
}
