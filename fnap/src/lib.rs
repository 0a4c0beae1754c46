//! FNAP, the Flow Namespace Accessing Protocol: what hosts and user agents say to each other.
//!
//! Does no I/O and knows no clock: bytes go in, decisions come out. [`server::ServerSession`] and
//! [`client::ClientSession`] are the two state machines; sockets, time-outs and everything a command
//! means belong to the crates that drive them.

pub mod client;
pub mod command;
pub mod line;
pub mod log;
pub mod name;
pub mod pattern;
pub mod reply;
pub mod rights;
pub mod sasl;
pub mod server;
pub mod stream;
pub mod subject;
mod text;
pub mod transcript;
pub mod value;

pub use client::{ClientSession, Event};
pub use command::{Command, Format, NewProcessor, Read, Start};
pub use name::{FlowName, Name, NamespaceName, ProcessorName};
pub use reply::{Code, Failure, Reply};
pub use rights::{Object, Right, Rights};
pub use sasl::PlainCredentials;
pub use server::{Action, ServerOptions, ServerSession};
pub use subject::Subject;
pub use value::{Json, Settings, Word};
