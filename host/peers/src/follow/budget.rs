//! How much may wait here of all streams that are followed, together.
//!
//! Each stream's credit is taken from one store and given back with it. Where little is left, new streams get small
//! shares, never none: they go slowly, and nobody waits for somebody else to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets of all streams: more than sixty at full speed over a fast path, and a part of what a small machine has.
pub(super) const ALL: u64 = 256 << 20;

/// The least share: some frames, so that a stream does not stand still between two words about its credit.
pub(super) const LEAST: u64 = 64 << 10;

/// One stream gets this part of what is left.
const PART: u64 = 4;

/// What is left.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<AtomicU64>);

/// What one stream has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    from: Budget,
    pub(super) octets: u64,
    taken: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(ALL)))
    }
}

impl Budget {
    /// As much as a stream wants, or as it can have.
    pub(super) fn take(&self, wanted: u64) -> Share {
        let part = |left: u64| wanted.min(left / PART);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - part(left)));
        let taken = taken.map(part).unwrap_or_default();
        Share { from: self.clone(), octets: taken.max(wanted.min(LEAST)), taken }
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.from.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CREDIT, GLANCE};
    use super::*;

    #[test]
    fn however_many_streams_there_are_they_have_no_more_than_all_and_a_little_each() {
        let budget = Budget::default();
        let shares: Vec<Share> = (0..1_000).map(|_| budget.take(CREDIT)).collect();
        assert_eq!((shares[0].octets, shares[999].octets), (CREDIT, LEAST));
        assert!(shares.iter().filter(|share| share.octets == CREDIT).count() >= 50);
        let all: u64 = shares.iter().map(|share| share.octets).sum();
        assert!(all <= ALL + 1_000 * LEAST, "{all}");
        assert_eq!(budget.take(GLANCE).octets, GLANCE);
        drop(shares);
        assert_eq!(budget.left(), ALL);
        assert_eq!(budget.take(CREDIT).octets, CREDIT);
    }
}
