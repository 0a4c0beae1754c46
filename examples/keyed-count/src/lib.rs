//! Counts events by key: for each key of a batch one event that says how many there have been.
//!
//! The counts are the shard's state, so they are exact over crashes, new versions and shards that move. Events
//! without a key, or with one that is too long, become dead letters: what cannot be counted is not lost.

use std::collections::BTreeMap;

use flow_sdk::{Action, Batch, Error, Event, Info, Processor, Reconfigure, Setup, state};

/// Counts.
#[derive(Debug)]
pub struct KeyedCount {
    by: String,
    source: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "partition_key")]
    by: String,
}

impl Processor for KeyedCount {
    fn describe() -> Info {
        Info::new("keyed-count", env!("CARGO_PKG_VERSION"))
            .summary("counts events by key, exactly")
            .config_schema(include_str!("schema.json"))
            .many_inputs()
            .unnamed_dropped()
            .keyed()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let Config { by } = setup.config()?;
        if by.is_empty() {
            return Err(Error::config("by", "names no attribute"));
        }
        Ok(Self { by, source: format!("/{}", setup.processor) })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        let (mut counts, mut actions) = (BTreeMap::<String, u64>::new(), Vec::new());
        for (index, key) in (0..).zip(batch.texts(&self.by)) {
            match key {
                Some(key) if (1..=LONGEST_KEY).contains(&key.len()) => {
                    *counts.entry(key).or_default() += 1;
                }
                Some(_) => actions.push(Action::dead_letter(index, "the key is empty or too long")),
                None => actions.push(Action::dead_letter(index, format!("has no {}", self.by))),
            }
        }
        for (key, more) in counts {
            let count = counted(&key).saturating_add(more);
            state::set(key.as_bytes(), &count.to_be_bytes())?;
            actions.push(Action::emit(0, self.event(&key, count)?));
        }
        Ok(actions)
    }
}

impl Reconfigure for KeyedCount {
    /// Counting by another attribute would add to counts of something else.
    fn reconfigure(&mut self, setup: &Setup) -> Result<(), Error> {
        let Config { by } = setup.config()?;
        if by == self.by {
            return Ok(());
        }
        Err(Error::config(
            "by",
            "what was counted stays: make another processor, or UPDATE … POSITION … STATE reset",
        ))
    }
}

impl KeyedCount {
    fn event(&self, key: &str, count: u64) -> Result<Event, Error> {
        // One key's counts only grow, so this is said once.
        let event = Event::new(&format!("{key}/{count}"), &self.source, "count")
            .with("partitionkey", key)
            .with_json(&serde_json::json!({ "key": key, "count": count }));
        event.map_err(|error| Error::fatal(error.to_string()))
    }
}

/// How many there were.
fn counted(key: &str) -> u64 {
    let bytes = state::get(key.as_bytes()).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

fn partition_key() -> String {
    "partitionkey".to_owned()
}

/// Bytes of a key: it is a key of the state.
const LONGEST_KEY: usize = 1024;

flow_sdk::export!(KeyedCount: Reconfigure);

#[cfg(test)]
mod tests {
    use super::*;
    use flow_sdk::testing::{Batches, Harness};

    fn batch(keys: &[&str]) -> Batch {
        let event = |key: &&str| Event::new("1", "/test", "t").with("partitionkey", *key);
        keys.iter().map(event).fold(Batches::new(), Batches::event).build()
    }

    fn counts(actions: &[Action]) -> Vec<(String, u64)> {
        let count = |action: &Action| match action {
            Action::Emit { event, .. } => {
                let data: serde_json::Value = event.json().unwrap();
                (data["key"].as_str().unwrap().to_owned(), data["count"].as_u64().unwrap())
            }
            other => panic!("{other:?}"),
        };
        actions.iter().map(count).collect()
    }

    #[test]
    fn each_key_is_counted_over_batches_and_restarts() -> Result<(), Error> {
        let mut plugin = Harness::<KeyedCount>::new("{}")?;
        let first = plugin.process(&batch(&["a", "b", "a"]))?;
        assert_eq!(counts(&first), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        plugin.restart()?;
        assert_eq!(counts(&plugin.process(&batch(&["a"]))?), [("a".to_owned(), 3)]);
        Ok(())
    }

    #[test]
    fn what_has_no_key_is_no_count_and_not_lost() -> Result<(), Error> {
        let mut plugin = Harness::<KeyedCount>::new(r#"{"by":"subject"}"#)?;
        let long = "k".repeat(LONGEST_KEY + 1);
        let events = Batches::new()
            .event(Event::new("1", "/test", "t"))
            .event(Event::new("2", "/test", "t").with_subject(&long))
            .foreign("no event");
        let actions = plugin.process(&events.build())?;
        assert!(actions.iter().all(|action| matches!(action, Action::DeadLetter { .. })));
        assert_eq!((actions.len(), plugin.state_entries()), (3, 0));
        Ok(())
    }

    #[test]
    fn what_it_counts_by_cannot_be_changed_while_it_runs() -> Result<(), Error> {
        let mut plugin = Harness::<KeyedCount>::new("{}")?;
        plugin.reconfigure(r#"{"by":"partitionkey"}"#)?;
        let refused = plugin.reconfigure(r#"{"by":"subject"}"#).unwrap_err().to_string();
        assert!(refused.starts_with("by: what was counted stays"), "{refused}");
        Ok(())
    }
}
