//! How many events a call gets at most.
//!
//! Larger batches cost less an event: what a plugin puts together it puts together once for more of them. So a
//! batch grows while whole ones come and each takes a small part of what a call may use, up to the limit
//! `batch_events`; whoever is slow stays at what is usual. Decides nothing about octets: readers do (`batch_bytes`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_plugins::{Cost, Limits, USUAL_BATCH};

/// A batch becomes larger where twice as much is still within what a call may run beside others, and within half of what it
/// may emit: one event may lead to more events than another.
const TIME_PART: u32 = 2;
const OUTPUT_PART: u32 = 4;

/// Calls that have to go well before batches become larger again: trying costs a call that fails.
const GOOD_CALLS: u32 = 64;

/// The same before more than usual is tried again where that was too much once: so it costs one call in a thousand.
const MANY_GOOD_CALLS: u32 = 1_024;

/// How many events a call gets at most.
#[derive(Debug)]
pub(crate) struct Size {
    /// As of now; readers look at it.
    most: Arc<AtomicUsize>,
    /// What it begins with, and what it bears whatever was too much.
    usual: usize,
    /// What it comes back to after calls that failed.
    whole: usize,
    /// What it may grow to.
    full: usize,
    /// What its limit grants.
    granted: usize,
    good: u32,
}

impl Size {
    /// The usual one, or as few as the limit grants.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::beginning_with(USUAL_BATCH as usize, limits)
    }

    /// All that the limit grants, from the beginning: whoever feeds it says how much.
    pub(crate) fn fixed(limits: &Limits) -> Self {
        Self::beginning_with(usize::MAX, limits)
    }

    fn beginning_with(usual: usize, limits: &Limits) -> Self {
        let granted = (limits.batch_events as usize).max(1);
        let usual = usual.min(granted);
        let most = Arc::new(AtomicUsize::new(usual));
        Self { most, usual, whole: usual, full: granted, granted, good: 0 }
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// The same for who reads ahead.
    pub(crate) fn shared(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.most)
    }

    fn set(&self, most: usize) {
        self.most.store(most.max(1), Ordering::Relaxed);
    }

    /// One at a time from now on.
    pub(crate) fn one(&mut self) {
        (self.usual, self.whole, self.full, self.granted) = (1, 1, 1, 1);
        self.set(1);
    }

    /// Whether it will never be more than one.
    pub(crate) fn is_one(&self) -> bool {
        self.granted == 1
    }

    /// Another version: what the one before could do says nothing of it.
    pub(crate) fn begin_again(&mut self) {
        (self.whole, self.full, self.good) = (self.usual, self.granted, 0);
        self.set(self.usual);
    }

    /// A call went well: after enough of them batches are nearer to what they were before calls failed.
    pub(crate) fn went_well(&mut self) {
        if self.most() < self.whole && self.is_enough(GOOD_CALLS) {
            self.set((self.most() * 2).min(self.whole));
        }
    }

    /// The same of a call with so many events of which is known what it cost: batches grow, too, or shrink.
    pub(crate) fn took(&mut self, events: usize, cost: Cost, limits: &Limits) {
        if self.most() < self.whole {
            self.went_well();
        } else if cost.time > soft(limits) {
            self.fall_back_to((self.whole / 2).max(self.usual));
        } else if self.full < self.granted {
            if self.is_enough(MANY_GOOD_CALLS) {
                self.full = self.granted;
            }
        } else if events >= self.whole && leaves_room(cost, limits) {
            self.whole = (self.whole * 2).min(self.full);
            self.set(self.whole);
        }
    }

    /// Whether with this one so many calls in a row went well; then it begins to count again.
    fn is_enough(&mut self, calls: u32) -> bool {
        self.good += 1;
        let is_enough = self.good >= calls;
        if is_enough {
            self.good = 0;
        }
        is_enough
    }

    /// So many events were too much although each alone was not.
    pub(crate) fn was_too_much(&mut self, events: usize) {
        if events > self.usual {
            // It bears what is usual, and is not tried with more for long.
            self.full = self.usual;
        }
        self.failed();
        self.set((events / 2).min(self.whole));
        self.good = 0;
    }

    /// A batch had to be taken apart, which costs less where it is small.
    pub(crate) fn failed(&mut self) {
        self.fall_back_to(self.usual);
    }

    fn fall_back_to(&mut self, whole: usize) {
        self.whole = self.whole.min(whole);
        self.set(self.most().min(self.whole));
    }
}

/// How long a call may take beside others.
fn soft(limits: &Limits) -> Duration {
    Duration::from_millis(limits.soft_ms)
}

fn leaves_room(cost: Cost, limits: &Limits) -> bool {
    cost.time * TIME_PART <= soft(limits)
        && u64::from(cost.events) * u64::from(OUTPUT_PART) <= u64::from(limits.emit_events)
        && cost.bytes.saturating_mul(OUTPUT_PART.into()) <= limits.emit_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: usize = USUAL_BATCH as usize;
    const QUICK: Duration = Duration::from_micros(50);

    fn limits(batch_events: u32) -> Limits {
        Limits { batch_events, ..Limits::default() }
    }

    /// A whole batch that took so long.
    fn whole(size: &mut Size, time: Duration, limits: &Limits) -> usize {
        size.took(size.most(), Cost { time, ..Cost::default() }, limits);
        size.most()
    }

    #[test]
    fn batches_grow_while_whole_ones_come_and_take_little() {
        let limits = limits(3_000);
        let mut size = Size::new(&limits);
        assert_eq!(size.most(), USUAL);
        size.took(USUAL - 1, Cost::default(), &limits);
        assert_eq!(size.most(), USUAL);
        let grown = [(); 4].map(|()| whole(&mut size, QUICK, &limits));
        assert_eq!(grown, [1_024, 2_048, 3_000, 3_000]);
        size.begin_again();
        assert_eq!((size.most(), whole(&mut size, QUICK, &limits)), (USUAL, 1_024));
    }

    #[test]
    fn who_needs_long_or_makes_much_of_a_batch_gets_no_larger_one() {
        let limits = limits(8_192);
        let mut size = Size::new(&limits);
        assert_eq!(whole(&mut size, Duration::from_micros(2_501), &limits), USUAL);
        let much = Cost { events: 2_049, ..Cost::default() };
        let large = Cost { bytes: limits.emit_bytes / 4 + 1, ..Cost::default() };
        for cost in [much, large] {
            size.took(USUAL, cost, &limits);
            assert_eq!(size.most(), USUAL);
        }
        assert_eq!(whole(&mut size, Duration::from_micros(2_500), &limits), 1_024);
    }

    #[test]
    fn who_becomes_slow_gets_smaller_ones_down_to_what_is_usual() {
        let limits = limits(8_192);
        let mut size = Size::new(&limits);
        for _ in 0..2 {
            whole(&mut size, QUICK, &limits);
        }
        let slow = Duration::from_millis(6);
        assert_eq!([(); 3].map(|()| whole(&mut size, slow, &limits)), [1_024, USUAL, USUAL]);
    }

    #[test]
    fn more_than_usual_is_tried_seldom_once_it_was_too_much() {
        let limits = limits(8_192);
        let mut size = Size::new(&limits);
        for _ in 0..3 {
            whole(&mut size, QUICK, &limits);
        }
        size.was_too_much(4_096);
        assert_eq!([(); 3].map(|()| whole(&mut size, QUICK, &limits)), [USUAL; 3]);
        for _ in 3..MANY_GOOD_CALLS {
            whole(&mut size, QUICK, &limits);
        }
        assert_eq!((size.most(), whole(&mut size, QUICK, &limits)), (USUAL, 1_024));
        size.was_too_much(1_024);
        size.begin_again();
        assert_eq!(whole(&mut size, QUICK, &limits), 1_024);
    }

    #[test]
    fn a_batch_that_is_taken_apart_makes_those_after_it_usual_again_for_a_while() {
        let limits = limits(8_192);
        let mut size = Size::new(&limits);
        for _ in 0..3 {
            whole(&mut size, QUICK, &limits);
        }
        size.failed();
        assert_eq!((size.most(), whole(&mut size, QUICK, &limits)), (USUAL, 1_024));
    }

    #[test]
    fn batches_grow_again_after_enough_calls_that_went_well() {
        let limits = limits(512);
        let mut size = Size::new(&limits);
        size.was_too_much(512);
        assert_eq!(size.most(), 256);
        size.was_too_much(1);
        assert_eq!(size.most(), 1);
        (0..GOOD_CALLS).for_each(|_| size.took(1, Cost::default(), &limits));
        assert_eq!(size.most(), 2);
    }

    #[test]
    fn what_is_all_from_the_beginning_comes_back_to_all() {
        let mut size = Size::fixed(&limits(2_000));
        assert_eq!(size.most(), 2_000);
        size.was_too_much(2_000);
        assert_eq!(size.most(), 1_000);
        (0..GOOD_CALLS).for_each(|_| size.went_well());
        assert_eq!(size.most(), 2_000);
    }

    #[test]
    fn one_at_a_time_stays_so() {
        let limits = limits(8_192);
        let mut size = Size::new(&limits);
        size.one();
        size.begin_again();
        assert_eq!((size.is_one(), whole(&mut size, QUICK, &limits)), (true, 1));
    }
}
