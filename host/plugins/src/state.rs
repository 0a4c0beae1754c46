//! The bytes of a shard, and an overlay for each batch that is not committed yet.
//!
//! Reads look through the overlays, newest first; writes go to the newest. Does no I/O: the caller
//! commits what [`ShardState::take_changes`] gives, together with outputs and positions.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

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

/// A change of one key: a value, or `None` where the key is taken away.
pub type Change = (Bytes, Option<Bytes>);

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The granted size is used up; the limit in bytes.
    Full(u64),
    /// The key or the value is too long; what is, and the limit's name and value.
    TooLong(&'static str, &'static str, u64),
    /// The key cannot be stored, or nothing can be written now.
    Denied(&'static str),
}

/// Limits of the state, from [`crate::Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateLimits {
    /// Bytes of everything.
    pub total: u64,
    /// Bytes of one value.
    pub value: u64,
}

/// A shard's state.
#[derive(Debug, Default)]
pub struct ShardState {
    base: BTreeMap<Bytes, Bytes>,
    base_size: u64,
    overlays: VecDeque<Overlay>,
    /// Writes that came when nothing may be written.
    untimely: u64,
}

#[derive(Debug, Default)]
struct Overlay {
    changes: BTreeMap<Bytes, Option<Bytes>>,
    delta: i64,
}

impl ShardState {
    /// A state with what was committed before.
    #[must_use]
    pub fn with_base(entries: impl IntoIterator<Item = (Bytes, Bytes)>) -> Self {
        let base: BTreeMap<_, _> = entries.into_iter().collect();
        let base_size = base.iter().map(|(key, value)| entry_size(key, value)).sum();
        Self { base, base_size, ..Self::default() }
    }

    /// Opens an overlay for the next batch.
    pub fn begin(&mut self) {
        self.overlays.push_back(Overlay::default());
    }

    /// What the newest overlay changes, for the commit, in the order of the keys.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        let Some(newest) = self.overlays.back() else { return Vec::new() };
        newest.changes.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The oldest batch is committed: its overlay becomes part of the base.
    pub fn committed(&mut self) {
        let Some(oldest) = self.overlays.pop_front() else { return };
        for (key, value) in oldest.changes {
            match value {
                Some(value) => self.base.insert(key, value),
                None => self.base.remove(&key),
            };
        }
        self.base_size = self.base_size.saturating_add_signed(oldest.delta);
    }

    /// The newest batch came to nothing: its overlay is forgotten, those before it stay.
    pub fn abandon(&mut self) {
        self.overlays.pop_back();
    }

    /// A commit failed: its overlay and all later ones are forgotten.
    pub fn rollback(&mut self) {
        self.overlays.clear();
    }

    /// Somebody wanted to write when nothing may be written.
    pub(crate) fn wrote_untimely(&mut self) {
        self.untimely = self.untimely.saturating_add(1);
    }

    /// Writes that were refused because no batch was processed then.
    #[must_use]
    pub fn untimely_writes(&self) -> u64 {
        self.untimely
    }

    /// Overlays that are open.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.overlays.len()
    }

    /// Bytes in use, with everything that is not committed yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        let delta = self.overlays.iter().map(|overlay| overlay.delta).sum();
        self.base_size.saturating_add_signed(delta)
    }

    /// Committed entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.base.len()
    }

    /// Whether nothing is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_empty()
    }

    /// The committed entries, in the order of their keys.
    pub fn base(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.base.iter()
    }

    /// What is to be read now, as a state of its own without open overlays. It shares the bytes.
    #[must_use]
    pub fn copy(&self) -> Self {
        let all = self.merged(Bound::Unbounded);
        Self::with_base(all.filter_map(|(key, value)| Some((key.clone(), value?.clone()))))
    }

    /// Reads one key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.visible(key, self.overlays.len()).cloned()
    }

    /// Writes one key into the newest overlay.
    ///
    /// # Errors
    /// When there is no overlay, the key is empty or too long, or a limit is passed.
    pub fn set(&mut self, key: Bytes, value: Bytes, limits: StateLimits) -> Result<(), WriteError> {
        self.check(&key)?;
        if value.len() as u64 > limits.value {
            return Err(WriteError::TooLong("the value", "state_value_bytes", limits.value));
        }
        let grows = signed(entry_size(&key, &value)) - self.size_of(&key);
        if grows > 0 && self.size().saturating_add_signed(grows) > limits.total {
            return Err(WriteError::Full(limits.total));
        }
        self.put(key, Some(value), grows);
        Ok(())
    }

    /// Takes one key away in the newest overlay.
    ///
    /// # Errors
    /// When there is no overlay, or the key is empty or too long.
    pub fn delete(&mut self, key: Bytes) -> Result<(), WriteError> {
        self.check(&key)?;
        let shrinks = self.size_of(&key);
        if shrinks == 0 {
            return Ok(());
        }
        let below = self.overlays.len().saturating_sub(1);
        if self.visible(&key, below).is_some() {
            self.put(key, None, -shrinks);
        } else if let Some(newest) = self.overlays.back_mut() {
            // A tombstone for what lies nowhere below would let a guest fill memory with them.
            newest.changes.remove(&key);
            newest.delta -= shrinks;
        }
        Ok(())
    }

    /// Entries whose key begins with `prefix` and sorts after `after`: at most `limit` and about
    /// [`SCAN_BYTES`], but one where there is one.
    #[must_use]
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Vec<(Bytes, Bytes)> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut merged = self.merged(from).take_while(|(key, _)| key.starts_with(prefix));
        while found.len() < limit as usize && bytes < SCAN_BYTES {
            let Some((key, value)) = merged.next() else { break };
            let Some(value) = value else { continue };
            bytes += key.len() + value.len();
            found.push((key.clone(), value.clone()));
        }
        found
    }

    /// All layers as one, in the order of their keys, with what is taken away as `None`. One step costs
    /// a look at each layer: a guest may have taken away a hundred thousand keys before it scans.
    fn merged<'a>(
        &'a self,
        from: Bound<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a Bytes, Option<&'a Bytes>)> {
        type Layer<'a> = Box<dyn Iterator<Item = (&'a Bytes, Option<&'a Bytes>)> + 'a>;
        let range = (from, Bound::Unbounded);
        let base = self.base.range::<[u8], _>(range).map(|(key, value)| (key, Some(value)));
        let overlaid = self.overlays.iter().rev().map(move |overlay| {
            let changes = overlay.changes.range::<[u8], _>(range);
            Box::new(changes.map(|(key, value)| (key, value.as_ref()))) as Layer<'a>
        });
        let layers = overlaid.chain([Box::new(base) as Layer<'a>]).map(Iterator::peekable);
        let mut layers: Vec<_> = layers.collect();
        std::iter::from_fn(move || {
            let key = layers.iter_mut().filter_map(|layer| Some(layer.peek()?.0)).min()?;
            let same = layers.iter_mut().map(|layer| layer.next_if(|(other, _)| *other == key));
            // The newest layer is the first; all of them have to go on.
            same.fold(None, |newest, this| newest.or(this))
        })
    }

    /// The value as the first `layers` overlays and the base show it.
    fn visible(&self, key: &[u8], layers: usize) -> Option<&Bytes> {
        let overlaid =
            self.overlays.iter().take(layers).rev().find_map(|overlay| overlay.changes.get(key));
        overlaid.map_or_else(|| self.base.get(key), Option::as_ref)
    }

    fn size_of(&self, key: &[u8]) -> i64 {
        let value = self.visible(key, self.overlays.len());
        value.map_or(0, |value| signed(entry_size(key, value)))
    }

    fn check(&self, key: &[u8]) -> Result<(), WriteError> {
        match key.len() {
            0 => Err(WriteError::Denied("the key is empty")),
            len if len > MAX_KEY => {
                Err(WriteError::TooLong("the key", "state_key_bytes", MAX_KEY as u64))
            }
            _ if self.overlays.is_empty() => Err(WriteError::Denied("no batch is being processed")),
            _ => Ok(()),
        }
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>, delta: i64) {
        if let Some(newest) = self.overlays.back_mut() {
            newest.changes.insert(key, value);
            newest.delta += delta;
        }
    }
}

fn entry_size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Longest key, in bytes: it is also a record's key on a broker, with the processor and shard before it.
pub const MAX_KEY: usize = 1024;

/// What an entry costs beside its bytes: two handles and a place in a tree. Without it, entries of no
/// bytes would be free.
const ENTRY: u64 = 96;

/// Bytes after which a scan ends: the guest asks again with the last key.
pub const SCAN_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: StateLimits = StateLimits { total: 10_000, value: 1_000 };

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn state(entries: &[(&'static str, &'static str)]) -> ShardState {
        ShardState::with_base(entries.iter().map(|(key, value)| (bytes(key), bytes(value))))
    }

    fn keys(state: &ShardState, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let found = state.scan(prefix.as_bytes(), after.map(str::as_bytes), limit);
        found.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    #[test]
    fn reads_look_through_the_overlays_newest_first() {
        let mut state = state(&[("a", "0"), ("b", "0")]);
        state.begin();
        state.set(bytes("a"), bytes("1"), ROOM).unwrap();
        state.begin();
        state.delete(bytes("b")).unwrap();
        assert_eq!(state.get(b"a"), Some(bytes("1")));
        assert_eq!(state.get(b"b"), None);
        state.set(bytes("b"), bytes("2"), ROOM).unwrap();
        assert_eq!(state.get(b"b"), Some(bytes("2")));
    }

    #[test]
    fn a_commit_merges_the_oldest_overlay_and_a_rollback_forgets_the_rest() {
        let mut state = state(&[("a", "0")]);
        state.begin();
        state.set(bytes("b"), bytes("1"), ROOM).unwrap();
        assert_eq!(state.take_changes(), [(bytes("b"), Some(bytes("1")))]);
        state.begin();
        state.delete(bytes("a")).unwrap();
        assert_eq!(state.take_changes(), [(bytes("a"), None)]);
        state.committed();
        state.rollback();
        assert_eq!(keys(&state, "", None, 10), ["a", "b"]);
        assert_eq!(state.pending(), 0);
    }

    #[test]
    fn the_size_follows_every_change_and_returns_after_a_rollback() {
        let mut state = state(&[("a", "0123456789")]);
        let before = state.size();
        state.begin();
        state.set(bytes("a"), bytes("0"), ROOM).unwrap();
        assert_eq!(state.size(), before - 9);
        state.begin();
        state.set(bytes("b"), bytes("0"), ROOM).unwrap();
        state.delete(bytes("a")).unwrap();
        assert_eq!(state.size(), before - 9);
        state.committed();
        state.committed();
        assert_eq!(state.size(), ShardState::with_base([(bytes("b"), bytes("0"))]).size());
        state.begin();
        state.set(bytes("c"), bytes("0"), ROOM).unwrap();
        state.rollback();
        assert_eq!(state.size(), before - 9);
    }

    #[test]
    fn a_full_state_refuses_more_and_takes_less() {
        let mut state = ShardState::default();
        state.begin();
        let tight = StateLimits { total: 250, value: 1_000 };
        state.set(bytes("a"), bytes("0123456789"), tight).unwrap();
        state.set(bytes("b"), bytes("0123456789"), tight).unwrap();
        assert_eq!(state.set(bytes("c"), bytes(""), tight), Err(WriteError::Full(250)));
        state.set(bytes("a"), bytes("0"), tight).unwrap();
        state.delete(bytes("b")).unwrap();
        state.set(bytes("c"), bytes(""), tight).unwrap();
    }

    #[test]
    fn keys_and_values_that_cannot_be_stored_are_denied() {
        let mut state = ShardState::default();
        assert!(matches!(state.set(bytes("a"), bytes("1"), ROOM), Err(WriteError::Denied(_))));
        state.begin();
        assert!(matches!(state.set(bytes(""), bytes("1"), ROOM), Err(WriteError::Denied(_))));
        let long = Bytes::from(vec![b'k'; MAX_KEY + 1]);
        assert!(matches!(state.delete(long), Err(WriteError::TooLong("the key", ..))));
        let large = Bytes::from(vec![b'v'; 1_001]);
        let long = WriteError::TooLong("the value", "state_value_bytes", ROOM.value);
        assert_eq!(state.set(bytes("a"), large, ROOM), Err(long));
    }

    #[test]
    fn deleting_what_is_not_there_leaves_no_trace() {
        let mut state = ShardState::default();
        state.begin();
        state.delete(bytes("a")).unwrap();
        state.set(bytes("b"), bytes("1"), ROOM).unwrap();
        state.delete(bytes("b")).unwrap();
        assert_eq!(state.take_changes(), []);
        assert_eq!(state.size(), 0);
    }

    #[test]
    fn a_scan_goes_on_after_a_key_and_ends_with_its_prefix() {
        let mut state = state(&[("a", ""), ("p1", ""), ("p2", ""), ("p4", ""), ("q", "")]);
        state.begin();
        state.set(bytes("p3"), bytes(""), ROOM).unwrap();
        state.delete(bytes("p2")).unwrap();
        assert_eq!(keys(&state, "p", None, 10), ["p1", "p3", "p4"]);
        assert_eq!(keys(&state, "p", Some("p1"), 1), ["p3"]);
        assert_eq!(keys(&state, "p", Some("a"), 10), ["p1", "p3", "p4"]);
        assert_eq!(keys(&state, "p", Some("q"), 10), Vec::<String>::new());
    }

    #[test]
    fn a_scan_gives_one_entry_however_large() {
        let big = Bytes::from(vec![0; SCAN_BYTES + 1]);
        let state = ShardState::with_base([(bytes("a"), big), (bytes("b"), bytes(""))]);
        assert_eq!(keys(&state, "", None, 10), ["a"]);
    }
}
