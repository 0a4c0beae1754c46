//! The host's side of a connection, as a state machine.
//!
//! Bytes go in ([`ServerSession::receive`]), actions come out ([`ServerSession::next_action`]), and what
//! became of them goes back in. It does no I/O, measures no time and knows no flow: it decides what a
//! peer may say when, and in which order the answers go out.
//!
//! ```text
//! loop {
//!     while let Some(action) = session.next_action() { /* do it; answer at once or later */ }
//!     if session.wants_input() { /* read the socket into session.input() */ }
//! }
//! ```
//!
//! At most one command is being performed at any time, but for WRITEs: a pipelined one may begin beside
//! those before it ([`ServerOptions::writes_at_once`]), and they are answered in their order. Whatever the peer sends meanwhile waits in the
//! input, and when that is full `wants_input` is false: then the peer has to wait.

mod accepting;
mod action;
mod help;
mod posted;
mod ready;
mod receiving;
mod session;
#[cfg(test)]
mod tests;
mod toll;

pub use action::{Action, Phase, ServerOptions, Tls, WriteBatch};
pub use help::SYNTAX;
pub use session::ServerSession;
pub use toll::Toll;

/// Most attempts of one connection that nobody came in by; then it is closed. A person mistypes once or twice.
/// Those that were cancelled or could not be checked cost the host as much, and count, too.
pub const MAX_AUTH_FAILURES: u8 = 3;

/// Most events of one WRITE. A client with more sends several.
pub const MAX_WRITE_LINES: usize = 512;

/// Most bytes of one WRITE's events together, or one event of the largest size if that is more.
pub const MAX_WRITE_BYTES: usize = 1 << 20;

/// Replies in bytes that may wait behind WRITEs that are being performed: a few of each. Refused WRITEs
/// have an answer each and are none that is performed, so their number alone would be no limit.
pub const MAX_HELD_REPLIES: usize = 16 * 1024;

/// The capability that says: the events of a WRITE may follow it without waiting for the `330`, which
/// comes in any case.
pub const PIPELINING: &str = "PIPELINING";

/// The text after `330` that asks for a WRITE's events.
pub const SEND_EVENTS: &str = "Send events, end with a line of one dot";
