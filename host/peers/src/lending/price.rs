//! What it costs to ask for a password: each one has a cluster make a user and rights, and its nodes learn of them.

use std::collections::HashMap;
use std::time::Duration;

use fnap::reply::{Code, Failure};
use fnap::subject::Subject;
use host_registry::MAX_LENT_OF_ONE;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Passwords that somebody may have at once: one for each topic that he may have, as after a start of his host.
const FREE: f64 = MAX_LENT_OF_ONE as f64;

/// Time in which one more is free.
const EACH: Duration = Duration::from_secs(2);

/// What everybody has left.
#[derive(Default)]
pub(super) struct Prices(Mutex<HashMap<Subject, Left>>);

#[derive(Clone, Copy)]
struct Left {
    passwords: f64,
    at: Instant,
}

impl Prices {
    /// Takes one.
    ///
    /// # Errors
    /// When somebody has none left: says when he has.
    pub(super) async fn take(&self, who: &Subject) -> Result<(), Failure> {
        let (mut all, now) = (self.0.lock().await, Instant::now());
        // Who has all that is free is forgotten.
        all.retain(|_, left| left.after(now) < FREE);
        let passwords = all.get(who).map_or(FREE, |left| left.after(now));
        if passwords < 1.0 {
            let words = format!("retry-after={} passwords for topics", EACH.as_secs());
            return Err(Failure::new(Code::RateLimit, words));
        }
        all.insert(who.clone(), Left { passwords: passwords - 1.0, at: now });
        Ok(())
    }
}

impl Left {
    fn after(self, now: Instant) -> f64 {
        let earned = (now - self.at).as_secs_f64() / EACH.as_secs_f64();
        (self.passwords + earned).min(FREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_again_and_again_waits_and_others_do_not() {
        let (prices, one, other) =
            (Prices::default(), "domain:a.test".parse().unwrap(), "domain:b.test".parse().unwrap());
        for _ in 0..MAX_LENT_OF_ONE {
            prices.take(&one).await.unwrap();
        }
        let refused = prices.take(&one).await.unwrap_err();
        assert!(refused.to_string().contains("429 RATE_LIMIT retry-after=2"), "{refused}");
        prices.take(&other).await.unwrap();
        tokio::time::advance(EACH).await;
        prices.take(&one).await.unwrap();
        assert!(prices.take(&one).await.is_err());
        tokio::time::advance(EACH * 1_000).await;
        prices.take(&other).await.unwrap();
        assert_eq!(prices.0.lock().await.len(), 1, "who has all is not remembered");
    }
}
