//! The participant's door: accepts connections, in clear text and under TLS, speaks FNAP, and performs
//! what sessions ask for.
//!
//! The protocol itself is decided in `fnap`; a connection moves bytes and performs actions; `perform`
//! turns commands into changes of the registry, looks at processors, and reads and writes of events.

mod by;
mod carried;
mod connection;
mod home;
mod input;
mod line;
mod listener;
mod look;
mod may;
mod outward;
mod pace;
mod perform;
mod places;
mod read;
mod services;
mod tls;
mod write;

pub use perform::subscriptions::watch_subscriptions;

pub use carried::Carried;
pub use listener::{Listener, ListenerOptions, Speaks};
pub use outward::{AgentFacts, NameserverFacts, Outward};
pub use places::Places;
pub use services::{Logs, ReadRoom, Services};
pub use tls::{Tls, TlsError, TlsFiles};

/// Counts of what goes through the door, by the protocol's verbs.
#[must_use]
pub fn traffic() -> host_observe::Traffic {
    host_observe::Traffic::new(fnap::server::SYNTAX)
}
