//! Since when, and why, no events of a subscription come: what was said when it was tried last. In memory only, since it
//! is tried again after each start.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fnap::name::Name;
use host_brokers::BrokerError;
use host_events::clock::now;
use tokio::time::Instant;

/// What begins well and ends within this has not been mended: it goes on standing still since it first did.
const MENDED: Duration = Duration::from_secs(60);

/// Why no events come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// Since when, in milliseconds since 1970 UTC.
    pub since: i64,
    /// For people.
    pub why: String,
}

#[derive(Default)]
pub(super) struct Standstills(Mutex<HashMap<String, Known>>);

struct Known {
    standstill: Standstill,
    /// When it began well again.
    over: Option<Instant>,
}

impl Standstills {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, topic: &Name) -> Option<Standstill> {
        let known = self.known();
        let known = known.get(topic.as_str()).filter(|known| known.over.is_none())?;
        Some(known.standstill.clone())
    }

    pub(super) fn begins(&self, topic: &str, error: &BrokerError) {
        let (mut known, why) = (self.known(), error.to_string());
        let before = known
            .remove(topic)
            .filter(|known| known.over.is_none_or(|over| over.elapsed() < MENDED));
        let since = before.map_or_else(now, |known| known.standstill.since);
        let standstill = Standstill { since, why };
        known.insert(topic.to_owned(), Known { standstill, over: None });
    }

    pub(super) fn ends(&self, topic: &str) {
        if let Some(known) = self.known().get_mut(topic) {
            known.over.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Forgets all but these topics, and what is mended.
    pub(super) fn keep(&self, topics: &HashSet<&str>) {
        self.known().retain(|topic, known| {
            let mended = known.over.is_some_and(|over| over.elapsed() >= MENDED);
            topics.contains(topic.as_str()) && !mended
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_stops_again_soon_has_stood_still_all_the_time() {
        let (stands, name) = (Standstills::default(), "a.b.test".parse::<Name>().unwrap());
        let error = |words: &str| BrokerError::Unavailable(words.to_owned());
        stands.begins("a.b.test", &error("one"));
        stands.known().get_mut("a.b.test").unwrap().standstill.since = 7;
        stands.ends("a.b.test");
        assert_eq!(stands.of(&name), None);
        stands.begins("a.b.test", &error("two"));
        let seen = stands.of(&name).unwrap();
        assert!(seen.since == 7 && seen.why.contains("two"), "{seen:?}");
        stands.ends("a.b.test");
        tokio::time::advance(MENDED).await;
        stands.begins("a.b.test", &error("three"));
        assert!(stands.of(&name).unwrap().since > 7);
        stands.keep(&HashSet::new());
        assert_eq!(stands.of(&name), None);
    }
}
