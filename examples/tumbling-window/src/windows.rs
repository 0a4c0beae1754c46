//! Open windows in the state: under `w`, the end (so that they lie in the order in which they close) and the
//! key, the count and the sum. `newest` is the newest time that events have shown.

use std::collections::BTreeMap;

use flow_sdk::state::{self, Entry};
use flow_sdk::{Action, Error, Event};
use serde_json::json;

use crate::config::{Config, written};

/// What a batch adds, by end and key.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<(i64, String), (u64, f64)>);

impl Tally {
    /// Adds an event.
    pub(crate) fn add(&mut self, end: i64, key: String, value: f64) {
        let (count, sum) = self.0.entry((end, key)).or_default();
        *count += 1;
        *sum += value;
    }
}

/// The windows of a shard.
#[derive(Debug)]
pub(crate) struct Windows {
    source: String,
}

impl Windows {
    pub(crate) fn new(processor: &str) -> Self {
        Self { source: format!("/{processor}") }
    }

    /// The newest time that events have shown, or the clock where none came.
    pub(crate) fn newest(&self) -> i64 {
        let bytes = state::get(NEWEST).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(i64::MIN, i64::from_be_bytes)
    }

    pub(crate) fn keep_newest(&self, newest: i64) -> Result<(), Error> {
        if newest > self.newest() {
            state::set(NEWEST, &newest.to_be_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn add(&self, tally: Tally) -> Result<(), Error> {
        for ((end, key), (count, sum)) in tally.0 {
            let name = name(end, &key);
            let (had, summed) = state::get(&name).map_or((0, 0.0), |value| numbers(&value));
            let value = [(had + count).to_be_bytes(), (summed + sum).to_be_bytes()].concat();
            state::set(&name, &value)?;
        }
        Ok(())
    }

    /// Whether a window is open that ends by then.
    pub(crate) fn any_before(&self, passed: i64) -> bool {
        state::scan(PREFIX, None, 1).first().is_some_and(|first| end_of(first) <= passed)
    }

    /// The last end of a window that is not beyond `passed`.
    pub(crate) fn last_end(&self, passed: i64) -> i64 {
        let (mut last, mut after) = (i64::MIN, None::<Vec<u8>>);
        loop {
            let open = state::scan(PREFIX, after.as_deref(), AT_ONCE);
            let Some(end) = open.iter().map(end_of).take_while(|end| *end <= passed).last() else {
                return last;
            };
            last = end;
            after = open.into_iter().last().map(|entry| entry.key);
        }
    }

    /// Closes windows that end by then: as many as fit into one answer, the others follow with the next.
    pub(crate) fn close(&self, config: &Config, passed: i64) -> Result<Vec<Action>, Error> {
        let open = state::scan(PREFIX, None, AT_ONCE);
        let mut actions = Vec::new();
        for entry in open.iter().take_while(|entry| end_of(entry) <= passed) {
            actions.push(self.closed(config, entry)?);
            state::delete(&entry.key)?;
        }
        Ok(actions)
    }

    fn closed(&self, config: &Config, entry: &Entry) -> Result<Action, Error> {
        let end = end_of(entry);
        let key = entry.key.get(PREFIX.len() + 8..).unwrap_or_default();
        let key = String::from_utf8_lossy(key);
        let (count, sum) = numbers(&entry.value);
        let (from, to) = (written(end.saturating_sub(config.length)), written(end));
        let mut data = json!({ "key": key, "from": from, "to": to, "count": count });
        if let (Some(data), Some(_)) = (data.as_object_mut(), &config.sum) {
            data.insert("sum".to_owned(), json!(sum));
        }
        // A window closes once: its end and key name the event.
        let mut event = Event::new(&format!("{key}/{end}"), &self.source, "window")
            .with("partitionkey", &*key)
            .with_json(&data)
            .map_err(|error| Error::fatal(error.to_string()))?;
        if let Some(to) = &to {
            event = event.with_time(to);
        }
        Ok(Action::emit(0, event))
    }
}

/// Whether a key can be a part of a key of the state.
pub(crate) fn is_possible(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len())
}

fn name(end: i64, key: &str) -> Vec<u8> {
    [PREFIX, &ordered(end).to_be_bytes(), key.as_bytes()].concat()
}

fn end_of(entry: &Entry) -> i64 {
    let end = entry.key.get(PREFIX.len()..).and_then(|rest| rest.first_chunk());
    end.map_or(i64::MIN, |end| unordered(u64::from_be_bytes(*end)))
}

/// Times before 1970 lie before those after it.
fn ordered(time: i64) -> u64 {
    time.cast_unsigned() ^ (1 << 63)
}

fn unordered(time: u64) -> i64 {
    (time ^ (1 << 63)).cast_signed()
}

fn numbers(value: &[u8]) -> (u64, f64) {
    let count = value.first_chunk().map_or(0, |count| u64::from_be_bytes(*count));
    (count, value.last_chunk().map_or(0.0, |sum| f64::from_be_bytes(*sum)))
}

const NEWEST: &[u8] = b"newest";
const PREFIX: &[u8] = b"w";

/// Bytes of a key: a key of the state has 1,024, with prefix and end.
const LONGEST_KEY: usize = 1024 - 9;

/// Windows that are closed in one answer: well below what a plugin may emit for one batch.
const AT_ONCE: u32 = 1_000;
