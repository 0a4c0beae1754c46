//! The state machine itself.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::action::{Action, Phase, ServerOptions};
use crate::reply::{Failure, Reply};

/// One connection's session. `P` is whatever the host knows about who is at the other end.
#[derive(Debug)]
pub struct ServerSession<P> {
    options: ServerOptions,
    actions: VecDeque<Action<P>>,
    input: BytesMut,
}

impl<P: Clone> ServerSession<P> {
    /// A session that greets first.
    #[must_use]
    pub fn new(options: ServerOptions) -> Self {
        Self {
            options,
            actions: VecDeque::new(),
            input: BytesMut::new(),
        }
    }

    /// Where to read the socket into, with some room; call [`Self::next_action`] afterwards.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Takes bytes of the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether the connection should go on reading. False while too much waits, and after the end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.input.len() < self.options.max_waiting
    }

    /// What to do next; none when the session waits for the peer or for an answer.
    pub fn next_action(&mut self) -> Option<Action<P>> {
        self.actions.pop_front()
    }

    /// Where the session stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::Waiting
    }

    /// The credentials to be verified are right.
    pub fn authenticated(&mut self, principal: P) {
        drop(principal);
    }

    /// The credentials to be verified are wrong, for whatever reason.
    pub fn refused(&mut self) {}

    /// The credentials could not be checked; does not count as a failure.
    pub fn not_checked(&mut self, failure: Failure) {
        drop(failure);
    }

    /// The answer to the command being performed.
    pub fn reply(&mut self, reply: Reply) {
        drop(reply);
    }

    /// The READ being performed goes well so far: sends `220 DATA`. Do what [`Self::next_action`] says
    /// before writing data lines ([`crate::reply::write_data_line`]).
    pub fn read_started(&mut self) {}

    /// The READ has sent its last data line: sends `220 OK`, or the error that ended it.
    pub fn read_ended(&mut self, outcome: Result<(), Failure>) {
        drop(outcome);
    }

    /// The STREAM being performed is accepted: sends `220 OK`, then asks for the change.
    pub fn stream_accepted(&mut self) {}

    /// The TLS handshake is done.
    pub fn tls_established(&mut self) {}

    /// Ends the session with an error as soon as no command is being performed: idle too long (408),
    /// shutting down (503). A READ that follows is stopped.
    pub fn end(&mut self, failure: Failure) {
        drop(failure);
    }
}
