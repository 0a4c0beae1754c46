//! Reports: what a subscriber, and the owner of a flow, have to know of a subscription, as CloudEvents in a flow of their
//! namespace.
//!
//! The registry writes each of them down with the change that it tells of; `carry` takes them to the flow, once each; `watch`
//! sees what no row says: that events do not come as they should. Whoever administers a namespace reads its reports.

mod carry;
mod flow;
mod watch;

pub(crate) use carry::carry;
pub(crate) use watch::watch;
