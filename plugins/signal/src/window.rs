//! Counting matches within a number of events, in the processor's state.
//!
//! The shard's events are numbered from 1. For each rule, and each value it counts by, the state
//! holds the numbers of the matches that still count: fewer than the rule waits for, none older
//! than the stretch it looks back on. So the state is as large as that stretch at most, and a
//! restart continues with what was committed.

use flow_sdk::Error;
use flow_sdk::state::{self, Entry};
use sha2::{Digest as _, Sha256};

/// The matches of one rule.
#[derive(Debug)]
pub(crate) struct Window {
    prefix: Vec<u8>,
    at_least: usize,
    within: u64,
    /// Matches counted since old values were last looked for.
    counted: u32,
    /// Where the search for old values goes on.
    cursor: Option<Vec<u8>>,
}

impl Window {
    pub(crate) fn new(rule: &str, at_least: u32, within: u32) -> Self {
        let prefix = format!("count/{rule}/").into_bytes();
        Self {
            prefix,
            at_least: at_least as usize,
            within: within.into(),
            counted: 0,
            cursor: None,
        }
    }

    /// Counts a match at the event of this number. True when it is the last one that was waited
    /// for; counting then begins anew.
    pub(crate) fn count(&mut self, number: u64, by: Option<&str>) -> Result<bool, Error> {
        self.counted = self.counted.saturating_add(1);
        let key = self.key(by);
        let mut matches = read_numbers(&state::get(&key).unwrap_or_default());
        matches.retain(|earlier| earlier.saturating_add(self.within) > number);
        matches.push(number);
        if matches.len() >= self.at_least {
            state::delete(&key)?;
            return Ok(true);
        }
        state::set(&key, &write_numbers(&matches))?;
        Ok(false)
    }

    /// Forgets values whose matches are all too old to count. Looks at more entries than were
    /// counted since the last time, so that it keeps up with what is added.
    pub(crate) fn forget(&mut self, number: u64) -> Result<(), Error> {
        if self.counted == 0 {
            return Ok(());
        }
        let limit = self.counted.saturating_mul(2).saturating_add(FORGET_MIN);
        self.counted = 0;
        let entries = state::scan(&self.prefix, self.cursor.as_deref(), limit);
        for Entry { key, value } in &entries {
            let last = read_numbers(value).last().copied().unwrap_or(0);
            if last.saturating_add(self.within) <= number {
                state::delete(key)?;
            }
        }
        // None at the end: the next search begins at the front again.
        self.cursor = entries.into_iter().last().map(|entry| entry.key);
        Ok(())
    }

    /// Values are hashed: they come from events and may be of any length.
    fn key(&self, by: Option<&str>) -> Vec<u8> {
        let mut key = self.prefix.clone();
        if let Some(value) = by {
            key.extend(Sha256::digest(value).iter().take(HASH_LEN));
        }
        key
    }
}

/// The number of the shard's last event.
pub(crate) fn last_number() -> u64 {
    state::get(NUMBER).and_then(|bytes| read_numbers(&bytes).first().copied()).unwrap_or(0)
}

/// Keeps the number of the shard's last event.
pub(crate) fn keep_last_number(number: u64) -> Result<(), Error> {
    Ok(state::set(NUMBER, &write_numbers(&[number]))?)
}

fn read_numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()
}

fn write_numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The key of the last event's number.
const NUMBER: &[u8] = b"number";

/// Bytes kept of a value's hash: enough that two values never share one.
const HASH_LEN: usize = 16;

/// Entries looked at for old values at least, so that few matches still make progress.
const FORGET_MIN: u32 = 16;
