//! What was sent to one subscription since the host started. Kept in memory, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts of one subscription.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    attached: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    /// Nanoseconds.
    view: AtomicU64,
}

/// A look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How often somebody attached.
    pub attached: u64,
    /// Events that were sent.
    pub events: u64,
    /// Octets of them as they were sent.
    pub bytes: u64,
    /// Processor time of the filters and policies that its events went through. Those who have the same share it, and
    /// each has all of it here.
    pub view: Duration,
}

impl Counts {
    pub(crate) fn attached(&self) {
        self.attached.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, events: u64, bytes: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn viewed(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.view.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn look(&self) -> Sent {
        Sent {
            attached: self.attached.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            view: Duration::from_nanos(self.view.load(Ordering::Relaxed)),
        }
    }
}
