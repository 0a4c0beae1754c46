//! Other participants: what is asked of them, and what they ask of us.
//!
//! [`agent`] finds their hosts and speaks with them. Between two hosts, events travel as [streams](fnap::stream): [`wire`] puts
//! their state machines on sockets, [`source`] serves others; [`lending`] lets them read a topic of their own instead. A subscription to a flow elsewhere is an ordinary processor
//! that reads from [`PeerBroker`]. Opens no listening socket and keeps no events.

pub mod agent;
mod agents;
mod borrowed;
mod broker;
pub mod dev;
mod follow;
pub mod home;
pub mod lending;
pub mod reach;
pub mod source;
mod subscriptions;
pub mod trace;
mod tries;
pub mod wire;

pub use borrowed::BorrowRules;
pub use broker::{Gone, PeerBroker, Standstill};
pub use subscriptions::{CARRIER, Subscriptions, Trouble};
