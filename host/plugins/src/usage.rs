//! What instances use up: counted where it is used, looked at by anybody.
//!
//! One [`Usage`] serves as many instances as somebody wants to add up, those that died included. It refuses
//! nothing: that is for [`crate::limits`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::CallError;

/// Counts of the instances that were made with it.
#[derive(Debug, Default)]
pub struct Usage {
    /// Nanoseconds.
    cpu: AtomicU64,
    calls: AtomicU64,
    traps: AtomicU64,
    limits: AtomicU64,
    retries: AtomicU64,
    instances: AtomicU64,
    memory: AtomicU64,
    most_memory: AtomicU64,
}

/// A look at a [`Usage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Time of a processor in which guests ran, or the host for them.
    pub cpu: Duration,
    /// Calls into guests, those to start them included.
    pub calls: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// Calls that passed a limit.
    pub limits: u64,
    /// Batches that a guest wanted again, later.
    pub retries: u64,
    /// Instances that were made.
    pub instances: u64,
    /// Bytes of the linear memories there are now, after the latest call of each instance.
    pub memory: u64,
    /// The most that there were.
    pub most_memory: u64,
}

impl Usage {
    /// What was used so far.
    #[must_use]
    pub fn look(&self) -> Used {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Used {
            cpu: Duration::from_nanos(of(&self.cpu)),
            calls: of(&self.calls),
            traps: of(&self.traps),
            limits: of(&self.limits),
            retries: of(&self.retries),
            instances: of(&self.instances),
            memory: of(&self.memory),
            most_memory: of(&self.most_memory),
        }
    }

    pub(crate) fn ran(&self, nanos: u64) {
        self.cpu.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn made(&self) {
        self.instances.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes down why a call gave no result.
    pub(crate) fn failed(&self, error: &CallError) {
        let count = match error {
            CallError::Trap(_) => &self.traps,
            CallError::Limit { .. } => &self.limits,
            CallError::Retry(_) => &self.retries,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// One instance has so much memory now, and had so much before.
    pub(crate) fn memory(&self, before: usize, now: usize) {
        if before == now {
            return;
        }
        let (before, now) = (before as u64, now as u64);
        let all = self.memory.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        let all = all.wrapping_add(now).wrapping_sub(before);
        self.most_memory.fetch_max(all, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_up_and_down_and_the_most_stays() {
        let usage = Usage::default();
        usage.memory(0, 10);
        usage.memory(0, 30);
        usage.memory(10, 0);
        let used = usage.look();
        assert_eq!((used.memory, used.most_memory), (30, 40));
        usage.memory(30, 0);
        assert_eq!(usage.look().memory, 0);
    }

    #[test]
    fn what_is_nobodys_use_is_not_counted() {
        let usage = Usage::default();
        for error in [
            CallError::Trap("t".into()),
            CallError::Retry("r".into()),
            CallError::Limit { which: "memory", limit: 1, words: String::new() },
            CallError::Busy("b".into()),
            CallError::Contract("c".into()),
            CallError::Dead,
        ] {
            usage.failed(&error);
        }
        let one = Used { traps: 1, limits: 1, retries: 1, ..Used::default() };
        assert_eq!(usage.look(), one);
    }
}
