//! The side that has flows: what a connection becomes once STREAM was accepted.
//!
//! One task a connection, however many streams there are on it. It waits for what the peer says, for what changes here,
//! and for records; a place that has nothing to send costs nothing. What goes out is bounded by the streams'
//! credits and by one queue for each connection; who is slow stops himself alone.

mod attach;
mod connection;
mod give;
mod growth;
mod guests;
mod logs;
mod pace;
mod record;
mod rest;
#[cfg(test)]
mod tests;
mod views;
mod words;

use host_iam::{Ended, Grants, Principal, Seat, Standing};
use host_observe::Traffic;
use host_processors::{Brokers, Processors};
use host_registry::Registry;
use tokio::sync::watch;

use fnap::reply::{Code, Failure};

pub use connection::serve;
pub use logs::Logs;

/// The parts of the participant that streams are served from.
#[derive(Clone, Copy)]
pub struct House<'a> {
    /// What should be.
    pub registry: &'a Registry,
    /// Where flows lie.
    pub brokers: &'a Brokers,
    /// What evaluates filters and policies.
    pub processors: &'a Processors,
    /// Who may what.
    pub grants: &'a Grants,
    /// What is read for all.
    pub logs: &'a Logs,
    /// What is counted of all.
    pub traffic: &'a Traffic,
}

impl std::fmt::Debug for House<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("House").finish_non_exhaustive()
    }
}

/// Who follows.
#[derive(Debug)]
pub struct Visitor<'a> {
    /// He.
    pub principal: &'a Principal,
    /// What he may use.
    pub seat: Option<&'a Seat>,
    /// Whether he may stay.
    pub standing: Option<Standing>,
    /// Says that the host ends.
    pub stop: watch::Receiver<bool>,
}

impl Visitor<'_> {
    /// Waits for what ends the whole connection from outside. May be dropped and called again.
    async fn ends(stop: &mut watch::Receiver<bool>, standing: &mut Option<Standing>) -> Failure {
        tokio::select! {
            // Who says so is gone only when the host is.
            _ = stop.wait_for(|stop| *stop) => {
                Failure::new(Code::Unavailable, "the host is shutting down")
            }
            why = ended(standing) => Failure::new(Code::AuthRequired, why.to_string()),
        }
    }
}

async fn ended(standing: &mut Option<Standing>) -> Ended {
    match standing {
        Some(standing) => standing.ended().await,
        None => std::future::pending().await,
    }
}
