//! What has been asked and not been answered, and what may not be sent yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::sasl::Exchange;

/// A command that waits for its answer.
#[derive(Debug)]
pub(super) enum Pending {
    /// One reply, or data.
    Command,
    /// AUTHENTICATE was sent; the host is to ask for the first response.
    Authenticate(Exchange),
    /// A response was sent; the host asks for more, or says how it ended.
    Respond(Exchange),
    /// The outcome of an authentication.
    Outcome,
    /// WRITE was sent; the host is to ask for the events.
    Write,
    /// WRITE was sent with its events at once: the host's asking says nothing new.
    WriteAtOnce,
    /// The events of a WRITE are asked for and not sent yet.
    Events,
    /// STARTTLS: behind a good answer comes the handshake.
    StartTls,
    /// STREAM: nothing that comes behind a good answer is a line.
    Stream,
}

/// Bytes to send, in order. After some commands nothing more may go out until they are through: what
/// follows would be taken for events, for a password or for a part of the handshake.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: BytesMut,
    held: VecDeque<(Bytes, bool)>,
    blocked: bool,
}

impl Outbox {
    /// Sends, now or when it may; `blocks` holds back what comes later.
    pub(super) fn send(&mut self, bytes: Bytes, blocks: bool) {
        self.held.push_back((bytes, blocks));
        self.pump();
    }

    /// Where to write what the blocking command itself has to say.
    pub(super) fn urgent(&mut self) -> &mut BytesMut {
        &mut self.ready
    }

    /// The blocking command is through.
    pub(super) fn unblock(&mut self) {
        self.blocked = false;
        self.pump();
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.ready.split().freeze()
    }

    fn pump(&mut self) {
        while !self.blocked
            && let Some((bytes, blocks)) = self.held.pop_front()
        {
            self.ready.extend_from_slice(&bytes);
            self.blocked = blocks;
        }
    }
}
