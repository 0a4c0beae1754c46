//! Names out: what a host publishes of itself in DNS, and how it gets there.
//!
//! Which records there are is computed ([`agent_sets`], [`namespace_sets`], [`flow_sets`]): the same for whoever
//! publishes, prints or compares them. A [`Publisher`] makes a zone agree. Decides nothing about what should be
//! published, and remembers nothing of what was.

mod check;
mod connection;
mod embedded;
mod owner;
mod publisher;
mod questions;
mod records;
mod set;
#[cfg(test)]
mod testing;
mod text;
mod updater;
mod wire;
mod zone;

pub use check::{Difference, Found, Own, compare, own_names};
pub use embedded::{
    Embedded, EmbeddedError, EmbeddedOptions, IDLE, LONGEST, MAX_CONNECTIONS, MAX_OF_ONE,
    MAX_UDP_ANSWER,
};
pub use owner::{Owner, OwnerError};
pub use publisher::{Change, Doubt, Outcome, PublishError, Publisher};
pub use records::{
    Agent, Flow, MAX_LISTED, MAX_SUBSCRIPTION_TTL, QUEUE_SERVICE, Queue, agent_sets, flow_sets,
    namespace_sets, sign_of,
};
pub use set::{Data, Kind, Service, Set};
pub use updater::{Key, KeyError, UPDATE_TIMEOUT, Updater};
pub use zone::{Zone, zone_of};
