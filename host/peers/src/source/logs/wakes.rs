//! Those who wait for records of a log, and what they are told.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::{Failed, locked};

/// Whom to tell, and about what.
#[derive(Clone, Debug)]
pub(in crate::source) struct Waiter {
    pub(in crate::source) wakes: Arc<Wakes>,
    /// Stream and partition.
    pub(in crate::source) place: (u32, u32),
}

/// What a connection is told: no more than it waits for.
#[derive(Debug, Default)]
pub(in crate::source) struct Wakes {
    told: Mutex<Vec<Woken>>,
    pub(in crate::source) bell: Notify,
}

impl Wakes {
    pub(super) fn tell(&self, woken: Woken) {
        locked(&self.told).push(woken);
        self.bell.notify_one();
    }

    /// What was told since.
    pub(in crate::source) fn take(&self) -> Vec<Woken> {
        std::mem::take(&mut *locked(&self.told))
    }
}

/// There is a batch, or there will be none.
#[derive(Debug)]
pub(in crate::source) struct Woken {
    pub(in crate::source) place: (u32, u32),
    pub(in crate::source) failed: Option<Failed>,
}
