//! The user agent's side of a connection, as a state machine.
//!
//! Commands go in and become bytes to send; bytes that come in become [`Event`]s. Does no I/O and measures
//! no time. Copes with hosts of the proof of concept: blanks at the ends of lines, bare line feeds,
//! other hosts' names in the greeting.

use bytes::{Bytes, BytesMut};

use crate::command::Command;
use crate::line::LineError;
use crate::reply::Failure;
use crate::sasl::PlainCredentials;

/// What came from the host. Replies come in the order of the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The greeting's text after `220`, such as `fnaa.unix.ar FNAA`.
    Greeting(String),
    /// The oldest command went well; the text after `220`, such as `OK time.flows.unix.ar`.
    Ok(String),
    /// `220 DATA`: data lines follow, then [`Event::End`] or [`Event::Failed`].
    DataStart,
    /// One data line without its end.
    Data(Bytes),
    /// The data of the oldest command is complete.
    End,
    /// The host asks for the events of the oldest command, a WRITE: call [`ClientSession::send_events`].
    SendEvents(String),
    /// Authentication succeeded.
    Authenticated(String),
    /// The oldest command failed. Also the greeting, when nothing was asked yet: the host refuses to talk.
    Failed(Failure),
    /// The host does not keep to the protocol: close the connection.
    Broken(ClientError),
}

/// What cannot be sent, or should not have been received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The command makes a line that hosts refuse.
    #[error("command of {len} bytes, at most {limit} allowed")]
    TooLong {
        /// Bytes of the command.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More commands wait for their answers than [`MAX_OUTSTANDING`].
    #[error("too many commands without an answer")]
    TooMany,
    /// A line that cannot be read.
    #[error("unreadable line from the host: {0}")]
    Line(#[from] LineError),
    /// A line that is no reply where one should be.
    #[error("no reply line from the host: {line:?}")]
    NoReply {
        /// Its beginning.
        line: String,
    },
    /// A reply that nothing asked for.
    #[error("unexpected reply from the host: {line:?}")]
    Unexpected {
        /// Its beginning.
        line: String,
    },
}

/// Where a client stands: the states of the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPhase {
    /// No connection.
    Idle,
    /// Waits for the connection and the greeting.
    ConPend,
    /// Greeted.
    Connected,
    /// Authenticated, nothing outstanding.
    Authenticated,
    /// At least one command waits for its answer.
    CmdPend,
}

/// Most commands that may wait for their answers.
pub const MAX_OUTSTANDING: usize = 1024;

/// One connection's session.
#[derive(Debug, Default)]
pub struct ClientSession {
    output: BytesMut,
}

impl ClientSession {
    /// A session that takes data lines of at most `max_data_line` bytes.
    #[must_use]
    pub fn new(max_data_line: usize) -> Self {
        let _ = max_data_line;
        Self::default()
    }

    /// The connection is being made: the greeting comes next.
    pub fn connecting(&mut self) {}

    /// Where the session stands.
    #[must_use]
    pub fn phase(&self) -> ClientPhase {
        ClientPhase::Idle
    }

    /// Asks for something; may be called again before the answer. WRITE asks for its events with
    /// [`Event::SendEvents`].
    ///
    /// # Errors
    /// When the line would be too long, or too many commands wait.
    pub fn send(&mut self, command: &Command) -> Result<(), ClientError> {
        let _ = command;
        Ok(())
    }

    /// `AUTHENTICATE PLAIN`, and the token when the host asks for it.
    ///
    /// # Errors
    /// When too many commands wait.
    pub fn authenticate(&mut self, credentials: PlainCredentials) -> Result<(), ClientError> {
        drop(credentials);
        Ok(())
    }

    /// The events of the WRITE that asked for them, and the dot that ends them. At most
    /// [`crate::server::MAX_WRITE_LINES`]; line ends inside become blanks.
    pub fn send_events<L: AsRef<[u8]>>(&mut self, lines: impl IntoIterator<Item = L>) {
        drop(lines);
    }

    /// `DONE`: ends the READ that follows. Has no answer of its own.
    pub fn done(&mut self) {}

    /// Takes what is to be sent; empty when there is nothing.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Where to read the socket into, with some room; call [`Self::next_event`] afterwards until it has
    /// nothing more.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Takes bytes of the host.
    pub fn receive(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// What came next, if it is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        None
    }
}
