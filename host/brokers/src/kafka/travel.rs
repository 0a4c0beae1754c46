//! Records on their way to a cluster: of each partition one batch at a time, all partitions at once.
//!
//! librdkafka has one batch of a partition under way when it is idempotent, and while more of that partition
//! waits behind it, its thread asks the clock without a pause until the answer comes. So nothing is handed
//! over that would wait there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::chains::{Link, Piece};
use super::lanes::send;
use super::native::handle::Handle;
use super::parcel::Parcel;
use crate::broker::Output;

/// Some loads, and what was handed over of them.
pub(super) struct Travel<'a> {
    handle: &'a Handle,
    loads: &'a [Arc<Vec<Output>>],
    sent: Mutex<Vec<Sent>>,
    late: AtomicBool,
}

/// The number of the load, and what becomes of a piece of it.
pub(super) type Sent = (usize, Arc<Parcel>);

impl<'a> Travel<'a> {
    pub(super) fn new(handle: &'a Handle, loads: &'a [Arc<Vec<Output>>]) -> Self {
        Self { handle, loads, sent: Mutex::default(), late: AtomicBool::default() }
    }

    pub(super) fn loads(&self) -> &'a [Arc<Vec<Output>>] {
        self.loads
    }

    /// Sends everything and waits for its reports. A chain ends with the first link that is refused, and with
    /// the first that is due only after this time.
    pub(super) async fn go(&self, chains: &[Vec<Link>], within: Duration) {
        let begun = Instant::now();
        let is_late = || begun.elapsed() > within;
        join_all(chains.iter().map(|chain| self.follow(chain, is_late))).await;
    }

    /// Whether something was not sent because it was due too late.
    pub(super) fn was_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// What was handed over until now.
    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands everything over, and waits for the reports of all but the last links: what is handed over after this has
    /// returned lies behind it. A chain ends with the first link that is refused.
    pub(super) async fn hand_over(&self, chains: &[Vec<Link>]) {
        let chain = async |chain: &Vec<Link>| {
            let Some((last, before)) = chain.split_last() else { return };
            if self.follow(before, || false).await {
                self.link(last).await;
            }
        };
        join_all(chains.iter().map(chain)).await;
    }

    /// Whether all of it was taken.
    async fn follow(&self, chain: &[Link], is_late: impl Fn() -> bool) -> bool {
        for (number, link) in chain.iter().enumerate() {
            if number > 0 && is_late() {
                self.late.store(true, Ordering::Relaxed);
                return false;
            }
            let parcels = self.link(link).await;
            for parcel in &parcels {
                parcel.done().await;
            }
            if parcels.iter().any(|parcel| parcel.refused().is_some()) {
                return false;
            }
        }
        true
    }

    async fn link(&self, link: &Link) -> Vec<Arc<Parcel>> {
        let mut parcels = Vec::with_capacity(link.len());
        for piece in link {
            parcels.extend(self.send(piece).await);
        }
        parcels
    }

    async fn send(&self, piece: &Piece) -> Option<Arc<Parcel>> {
        let load = self.loads.get(piece.load)?;
        let parcel = send(self.handle, load, piece).await;
        let sent = (piece.load, Arc::clone(&parcel));
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        Some(parcel)
    }
}
