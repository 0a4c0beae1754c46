//! The bytes of a shard, and the way back behind each batch that is not committed yet.
//!
//! Reads and writes go to what is now, whatever waits for a commit; a batch remembers what it has changed first. Does no
//! I/O: the caller commits what [`ShardState::take_changes`] gives, together with outputs and positions.

mod shared;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

pub use shared::{SharedState, StateLook};

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
    /// What is to be read now.
    now: BTreeMap<Bytes, Bytes>,
    size: u64,
    /// What batches that are not committed yet have changed, the oldest first.
    open: VecDeque<Before>,
    /// Writes that came when nothing may be written.
    untimely: u64,
}

/// What the keys were that a batch has changed, before it did; none of one that was not there.
#[derive(Debug, Default)]
struct Before {
    values: HashMap<Bytes, Option<Bytes>>,
    size: u64,
}

impl ShardState {
    /// A state with what was committed before.
    #[must_use]
    pub fn with_base(entries: impl IntoIterator<Item = (Bytes, Bytes)>) -> Self {
        Self::of(entries.into_iter().collect())
    }

    /// The same of what is in order already: with a million entries making that anew takes a while.
    #[must_use]
    pub fn of(now: BTreeMap<Bytes, Bytes>) -> Self {
        let size = now.iter().map(|(key, value)| entry_size(key, value)).sum();
        Self { now, size, ..Self::default() }
    }

    /// Opens the next batch.
    pub fn begin(&mut self) {
        self.open.push_back(Before { size: self.size, ..Before::default() });
    }

    /// What the newest batch changes, for the commit, in the order of the keys.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        let Some(newest) = self.open.back() else { return Vec::new() };
        let changed = |key: &Bytes| (key.clone(), self.now.get(key).cloned());
        let mut changes: Vec<_> = newest.values.keys().map(changed).collect();
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        changes
    }

    /// The oldest batch is committed: nobody goes back behind it.
    pub fn committed(&mut self) {
        self.open.pop_front();
    }

    /// The newest batch came to nothing: what it changed is as before, what those before it changed stays.
    pub fn abandon(&mut self) {
        let Some(before) = self.open.pop_back() else { return };
        for (key, value) in before.values {
            match value {
                Some(value) => self.now.insert(key, value),
                None => self.now.remove(&key),
            };
        }
        self.size = before.size;
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

    /// Batches that are open.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.open.len()
    }

    /// Bytes in use, with everything that is not committed yet.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Entries, with everything that is not committed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.now.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    /// The committed entries, in the order of their keys.
    pub fn base(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        let mut before = BTreeMap::new();
        // The oldest batch that changed a key knows what is committed.
        for (key, value) in self.open.iter().rev().flat_map(|batch| &batch.values) {
            before.insert(key, value.as_ref());
        }
        let (mut before, mut now) = (before.into_iter().peekable(), self.now.iter().peekable());
        std::iter::from_fn(move || {
            while let (Some((key, _)), Some((other, _))) = (before.peek(), now.peek()) {
                match (*key).cmp(*other) {
                    Ordering::Greater => return now.next(),
                    Ordering::Equal => drop(now.next()),
                    Ordering::Less => {}
                }
                if let Some((key, Some(value))) = before.next() {
                    return Some((key, value));
                }
            }
            let mut rest = before.by_ref().filter_map(|(key, value)| Some((key, value?)));
            rest.next().or_else(|| now.next())
        })
    }

    /// What is to be read now, as a state of its own without open batches. It shares the bytes.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { now: self.now.clone(), size: self.size, ..Self::default() }
    }

    /// Reads one key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.now.get(key).cloned()
    }

    /// Writes one key for the newest batch.
    ///
    /// # Errors
    /// When no batch is open, the key is empty or too long, or a limit is passed.
    pub fn set(&mut self, key: Bytes, value: Bytes, limits: StateLimits) -> Result<(), WriteError> {
        self.check(&key)?;
        if value.len() as u64 > limits.value {
            return Err(WriteError::TooLong("the value", "state_value_bytes", limits.value));
        }
        let old = self.now.get_mut(&key);
        let freed = old.as_ref().map_or(0, |old| entry_size(&key, old));
        let (needed, size) = (entry_size(&key, &value), self.size.saturating_sub(freed));
        if needed > freed && size.saturating_add(needed) > limits.total {
            return Err(WriteError::Full(limits.total));
        }
        self.size = size.saturating_add(needed);
        let old = match old {
            Some(old) => Some(std::mem::replace(old, value)),
            None => self.now.insert(key.clone(), value),
        };
        self.remember(key, old);
        Ok(())
    }

    /// Takes one key away for the newest batch.
    ///
    /// # Errors
    /// When no batch is open, or the key is empty or too long.
    pub fn delete(&mut self, key: Bytes) -> Result<(), WriteError> {
        self.check(&key)?;
        let Some(old) = self.now.remove(&key) else { return Ok(()) };
        self.size = self.size.saturating_sub(entry_size(&key, &old));
        // To remember what was not there before either would let a guest fill memory.
        if let Some(newest) = self.open.back_mut()
            && newest.values.get(&key) == Some(&None)
        {
            newest.values.remove(&key);
            return Ok(());
        }
        self.remember(key, Some(old));
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
        let all = self.now.range::<[u8], _>((from, Bound::Unbounded));
        for (key, value) in all.take_while(|(key, _)| key.starts_with(prefix)) {
            if found.len() >= limit as usize || bytes >= SCAN_BYTES {
                break;
            }
            bytes += key.len() + value.len();
            found.push((key.clone(), value.clone()));
        }
        found
    }

    /// What a key was before the newest batch changed it first.
    fn remember(&mut self, key: Bytes, old: Option<Bytes>) {
        if let Some(newest) = self.open.back_mut() {
            newest.values.entry(key).or_insert(old);
        }
    }

    fn check(&self, key: &[u8]) -> Result<(), WriteError> {
        match key.len() {
            0 => Err(WriteError::Denied("the key is empty")),
            len if len > MAX_KEY => {
                Err(WriteError::TooLong("the key", "state_key_bytes", MAX_KEY as u64))
            }
            _ if self.open.is_empty() => Err(WriteError::Denied("no batch is being processed")),
            _ => Ok(()),
        }
    }
}

fn entry_size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY
}

/// Longest key, in bytes: it is also a record's key on a broker, with the processor and shard before it.
pub const MAX_KEY: usize = 1024;

/// What an entry costs beside its bytes: two handles and a place in a tree. Without it, entries of no
/// bytes would be free.
const ENTRY: u64 = 96;

/// Bytes after which a scan ends: the guest asks again with the last key.
pub const SCAN_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
