//! The user agent's side of a connection, as a state machine.
//!
//! Commands go in and become bytes to send; bytes that come in become [`Event`]s. Does no I/O and measures
//! no time. Copes with hosts of the proof of concept: blanks at the ends of lines, bare line feeds,
//! other hosts' names in the greeting.

mod authenticating;
mod pending;
pub mod sasl;
mod session;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::line::LineError;
use crate::reply::Failure;

pub use sasl::{Exchange, SaslError};
pub use session::ClientSession;

/// Most commands that may wait for their answers.
pub const MAX_OUTSTANDING: usize = 1024;

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
    /// The oldest command failed. Where none waits, the host says why it ends the connection.
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
    /// The host does not keep to the mechanism, or is not who it should be.
    #[error(transparent)]
    Sasl(#[from] SaslError),
    /// Something came in clear between the answer to STARTTLS and the handshake.
    #[error("the host said something between its answer to starttls and the handshake")]
    Injected,
    /// AUTHENTICATE without a response of its own: [`ClientSession::authenticate`] does the exchange.
    #[error("authenticate needs the exchange that follows it")]
    NeedsExchange,
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
