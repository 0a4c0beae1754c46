//! How fast a follower may make the source work: what he says beside taking records has a price, and so have the looks
//! that the source itself takes at all his streams.

use std::time::Duration;

use tokio::time::Instant;

/// What he says at once, and steadily: two words for each of as many streams as a connection may have; then more than a
/// follower says who takes 100 MB a second in frames of a few kilobytes. It costs a core some hundredths of its time.
pub(super) const WORDS: Price = Price { free: 8_192.0, a_second: 20_000.0 };

/// The same of Attaches, each of which asks a broker where its log ends: all streams of a connection, twice; then as many
/// as a host sends that has a thousand subscriptions here and looks at each every second.
pub(super) const ATTACHES: Price = Price { free: 8_192.0, a_second: 1_000.0 };

/// Positions that are said for the price of one word.
pub(super) const POSITIONS: usize = 64;

/// The least time that a pause lasts: to wake up for each word would be the greater part of the work.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest, so that what happens here is not held up by what he has said.
const LONGEST: Duration = Duration::from_millis(100);

/// Least time between two looks at all streams: a crowd of changes is looked at some times a second.
const LOOKS: Duration = Duration::from_millis(200);

/// So many times what a look takes lies between two: a twentieth of a core for whoever has thousands of streams.
const REST: u32 = 20;

/// What is free, and what a second is worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    free: f64,
    a_second: f64,
}

/// What one follower has used.
#[derive(Debug)]
pub(super) struct Pace {
    price: Price,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(price: Price) -> Self {
        Self { price, left: price.free, at: Instant::now() }
    }

    /// Takes the price of so many; gives until when he is not listened to, where he has used all up.
    pub(super) fn take(&mut self, count: usize) -> Option<Instant> {
        let now = Instant::now();
        let earned = (now - self.at).as_secs_f64() * self.price.a_second;
        self.left = (self.left + earned).min(self.price.free) - count as f64;
        self.at = now;
        let over = -self.left / self.price.a_second;
        (over > 0.0).then(|| now + Duration::from_secs_f64(over).clamp(PAUSE, LONGEST))
    }
}

/// When all streams are looked at again.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The next one, where something has changed.
    pub(super) due: Option<Instant>,
    /// None before.
    not_before: Option<Instant>,
}

impl Looks {
    /// Something has changed.
    pub(super) fn changed(&mut self) {
        let now = Instant::now();
        let at = self.not_before.map_or(now, |before| before.max(now));
        self.due.get_or_insert(at);
    }

    /// All has been looked at, which began then.
    pub(super) fn looked(&mut self, began: Instant) {
        let took = began.elapsed();
        self.due = None;
        self.not_before = Some(Instant::now() + LOOKS.max(took * REST));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_more_than_anybody_needs_is_heard_at_a_steady_pace() {
        let mut pace = Pace::new(WORDS);
        assert!((0..8_192).all(|_| pace.take(1).is_none()), "all streams, twice");
        let began = Instant::now();
        for _ in 0..100_000 {
            if let Some(until) = pace.take(1) {
                sleep_until(until).await;
            }
        }
        let rate = 100_000.0 / began.elapsed().as_secs_f64();
        assert!((15_000.0..=21_000.0).contains(&rate), "{rate}");
        advance(Duration::from_secs(1)).await;
        assert!(pace.take(8_000).is_none(), "what is not used comes back");
        // However much it was, he is listened to again soon.
        let until = pace.take(1 << 30).unwrap();
        assert!(until - Instant::now() <= LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_changes_is_looked_at_some_times_a_second() {
        let (mut looks, mut count) = (Looks::default(), 0);
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            looks.changed();
            if looks.due.is_some_and(|due| due <= Instant::now()) {
                looks.looked(Instant::now());
                count += 1;
            }
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(count, 10, "of 2,000 changes");
        // After a time of rest the first one counts at once, and who takes long rests long.
        looks.looked(Instant::now());
        advance(Duration::from_secs(1)).await;
        looks.changed();
        let began = looks.due.unwrap();
        assert_eq!(began, Instant::now());
        advance(Duration::from_millis(50)).await;
        looks.looked(began);
        looks.changed();
        assert_eq!(looks.due.unwrap() - Instant::now(), Duration::from_secs(1));
    }
}
