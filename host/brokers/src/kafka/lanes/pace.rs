//! How long to wait between two transactions of a producer.
//!
//! A cluster answers that a transaction is committed before it has told so to all its partitions. A next one
//! that comes before that is sent away, and librdkafka asks again after 20 ms. Who waits a few milliseconds
//! first is faster; how many is learnt.

use std::time::{Duration, Instant};

/// A first report that comes later than this was sent away once, or the cluster is slow.
const SENT_AWAY: Duration = Duration::from_millis(20);

/// Waiting longer than this costs as much as being sent away.
const LONGEST: Duration = Duration::from_millis(15);

/// Only transactions of so few records say something: with more of them the cluster may just have much to do.
const FEW: usize = 100;

/// What is waited at first.
const FIRST: Duration = Duration::from_millis(3);

/// What is added when it was too short, and taken away when it was not: of five hundred transactions one is sent
/// away to find out whether less would do. Those behind it wait with it, so more of them would show.
const MORE: Duration = Duration::from_millis(1);
const LESS: Duration = Duration::from_micros(2);

/// When the next transaction begins.
pub(super) struct Pace {
    ended: Option<Instant>,
    wait: Duration,
    /// Whether the transaction under way came so soon that it says something of the wait.
    soon: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ended: None, wait: FIRST, soon: false }
    }
}

impl Pace {
    /// A transaction has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// When the next one is to begin, if not at once.
    pub(super) fn begins_at(&mut self, now: Instant) -> Option<Instant> {
        self.soon = self.ended.is_some_and(|ended| now < ended + LONGEST);
        self.ended.map(|ended| ended + self.wait).filter(|at| *at > now)
    }

    /// How long the first report of the transaction took, and of how many records it was.
    pub(super) fn learn(&mut self, took: Duration, records: usize) {
        if self.soon && records <= FEW {
            let wait =
                if took > SENT_AWAY { self.wait + MORE } else { self.wait.saturating_sub(LESS) };
            self.wait = wait.min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_when_it_was_too_short_and_shrinks_when_it_was_not() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.begins_at(now), None);
        pace.ended(now);
        let first = pace.begins_at(now).unwrap();
        pace.learn(Duration::from_millis(30), FEW + 1);
        assert_eq!(pace.begins_at(now).unwrap(), first);
        pace.learn(Duration::from_millis(30), 1);
        assert_eq!(pace.begins_at(now).unwrap(), first + MORE);
        for _ in 0..1000 {
            pace.learn(Duration::from_millis(30), 1);
        }
        assert_eq!(pace.begins_at(now).unwrap(), first - FIRST + LONGEST);
        for _ in 0..10_000 {
            pace.learn(Duration::from_millis(3), 1);
        }
        assert_eq!(pace.begins_at(now), None);
        pace.learn(Duration::from_millis(30), 1);
        assert_eq!(pace.wait, MORE, "who waits no longer learns that he has to");
    }
}
