//! Instances that wait for the next batch of their view, and room for those that work.
//!
//! There may be thousands of views, and each batch of one needs an instance for a moment. What is kept is bounded, in
//! number and in bytes; the one that has waited longest goes first. A view without one makes one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use host_plugins::Instance;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Instances that are kept: as many as there are processors on a busy host. Making one takes about a millisecond.
pub(super) const MOST_KEPT: usize = 128;

/// Bytes of their memories: a guest's memory never shrinks, and most have less than 4 MiB.
const MOST_BYTES: usize = 256 << 20;

/// Views that are at work at once, of owners alone, and as many with conditions of strangers.
const QUICK: usize = 16;

/// The same of those whose calls end in the slow lane: others do not wait behind them.
const SLOW: usize = 4;

/// One component of a view: the view's number, and its place there.
pub(super) type Key = (u64, usize);

/// Where views have their instances from.
pub(crate) struct Parlour {
    kept: Mutex<Kept>,
    owners: Places,
    strangers: Places,
    views: AtomicU64,
}

/// Room for views that work.
struct Places {
    quick: Semaphore,
    slow: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self { quick: Semaphore::new(QUICK), slow: Semaphore::new(SLOW) }
    }
}

#[derive(Default)]
struct Kept {
    by_age: BTreeMap<u64, (Key, Instance)>,
    ages: HashMap<Key, u64>,
    bytes: usize,
    clock: u64,
}

impl Default for Parlour {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            owners: Places::default(),
            strangers: Places::default(),
            views: AtomicU64::new(0),
        }
    }
}

impl Parlour {
    /// A number for a view.
    pub(super) fn number(&self) -> u64 {
        self.views.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for room to work; no stranger's condition takes that of owners' policies.
    pub(super) async fn enter(&self, strange: bool, slow: bool) -> Option<SemaphorePermit<'_>> {
        let places = if strange { &self.strangers } else { &self.owners };
        let room = if slow { &places.slow } else { &places.quick };
        // They are never closed.
        room.acquire().await.ok()
    }

    /// The instance that waits for this, if there is one.
    pub(super) fn take(&self, key: Key) -> Option<Instance> {
        self.kept().take(key)
    }

    /// Keeps one for the next batch.
    pub(super) fn give(&self, key: Key, instance: Instance) {
        let gone = self.kept().give(key, instance);
        // Memory is given back outside of the lock.
        drop(gone);
    }

    /// A view is gone.
    pub(super) fn forget(&self, view: u64, lenses: usize) {
        let gone: Vec<_> = {
            let mut kept = self.kept();
            (0..lenses).filter_map(|place| kept.take((view, place))).collect()
        };
        drop(gone);
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.kept().by_age.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self, key: Key) -> Option<Instance> {
        let age = self.ages.remove(&key)?;
        let (_, instance) = self.by_age.remove(&age)?;
        self.bytes = self.bytes.saturating_sub(instance.memory());
        Some(instance)
    }

    fn give(&mut self, key: Key, instance: Instance) -> Vec<Instance> {
        let mut gone: Vec<_> = self.take(key).into_iter().collect();
        self.clock += 1;
        self.bytes += instance.memory();
        self.ages.insert(key, self.clock);
        self.by_age.insert(self.clock, (key, instance));
        while (self.by_age.len() > MOST_KEPT || self.bytes > MOST_BYTES)
            && let Some((_, (key, instance))) = self.by_age.pop_first()
        {
            self.ages.remove(&key);
            self.bytes = self.bytes.saturating_sub(instance.memory());
            gone.push(instance);
        }
        gone
    }
}
