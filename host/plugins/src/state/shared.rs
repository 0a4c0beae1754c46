//! A shard's state in the hands of several: the task that commits, the instance, and who only looks at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::ShardState;

/// A shard's state, shared between the task that commits and the instance that reads and writes.
#[derive(Clone, Debug, Default)]
pub struct SharedState(Arc<Mutex<ShardState>>);

impl SharedState {
    /// Shares a state.
    #[must_use]
    pub fn new(state: ShardState) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// The way to it for who only looks at it.
    #[must_use]
    pub fn look(&self) -> StateLook {
        StateLook(Arc::downgrade(&self.0))
    }

    /// Locks it. Nothing is done under the lock that could leave it half changed.
    pub fn lock(&self) -> MutexGuard<'_, ShardState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to a state for who only looks at it: it lives as long as somebody else has it.
#[derive(Clone, Debug, Default)]
pub struct StateLook(Weak<Mutex<ShardState>>);

impl StateLook {
    /// The state, where it still is one.
    #[must_use]
    pub fn get(&self) -> Option<SharedState> {
        self.0.upgrade().map(SharedState)
    }
}
