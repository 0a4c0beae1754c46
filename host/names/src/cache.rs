//! Answers that were got a short while ago, so many and no more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A bounded memory in which everything has its time.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    most: usize,
    entries: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, entries: Mutex::new(HashMap::new()) }
    }

    /// What is remembered, unless its time is over.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = entries.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    /// Remembers something; where there is no room, what would be forgotten first makes some.
    pub(crate) fn put(&self, key: K, value: V, until: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.most && !entries.contains_key(&key) {
            let now = Instant::now();
            entries.retain(|_, (until, _)| *until > now);
            let first = entries.iter().min_by_key(|(_, (until, _))| *until);
            let first = first.map(|(key, _)| key.clone()).filter(|_| entries.len() >= self.most);
            if let Some(first) = first {
                entries.remove(&first);
            }
        }
        entries.insert(key, (until, value));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_forgotten_in_time() {
        let cache = Cache::new(8);
        cache.put("a", 1, after(10));
        assert_eq!(cache.get(&"a"), Some(1));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(cache.get(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_memory_forgets_what_would_go_first() {
        let cache = Cache::new(3);
        for (key, seconds) in [("a", 30), ("b", 10), ("c", 20), ("d", 40)] {
            cache.put(key, seconds, after(seconds));
        }
        assert_eq!(cache.get(&"b"), None);
        assert!(["a", "c", "d"].iter().all(|key| cache.get(key).is_some()));
        cache.put("d", 5, after(5));
        assert_eq!(cache.get(&"d"), Some(5), "what is there already needs no room");
        assert_eq!(cache.entries.lock().unwrap().len(), 3);
    }
}
