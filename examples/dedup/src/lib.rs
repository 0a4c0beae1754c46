//! Passes each event on once: one whose `source` and `id` are those of an earlier event is dropped, as CloudEvents say
//! that it is the same event.
//!
//! Looks within a shard only: whoever sends an event again has to give it the same `partitionkey`. Remembers the last
//! so many events, in the state, so that a crash or a new version forgets none of them.

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup, log, state};

/// The processor type.
#[derive(Debug)]
pub struct Dedup {
    remember: u64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default = "remember")]
    remember: u64,
}

fn remember() -> u64 {
    10_000
}

const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": { "remember": { "type": "integer", "minimum": 1, "maximum": 50000, "default": 10000 } }
}"#;

impl Processor for Dedup {
    fn describe() -> Info {
        Info::new("dedup", env!("CARGO_PKG_VERSION"))
            .summary("passes each event on once, by its source and id")
            .config_schema(SCHEMA)
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let Config { remember } = setup.config()?;
        if !(1..=MOST).contains(&remember) {
            return Err(Error::config("remember", format!("must be 1 to {MOST}")));
        }
        Ok(Self { remember })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        let mut memory = Memory::open(self.remember);
        let names = batch.texts("source").into_iter().zip(batch.texts("id"));
        let mut actions = Vec::new();
        for (index, name) in (0..).zip(names) {
            let known = match name {
                (Some(source), Some(id)) => memory.knows(&format!("{source}\0{id}"))?,
                // What is no event has no name by which it could be known again.
                _ => false,
            };
            actions.push(if known { Action::drop(index) } else { Action::forward(index, 0) });
        }
        memory.close()?;
        Ok(actions)
    }
}

/// What was seen: `n` is the number of the next event, `i` and an event's name its number, `s` and a number
/// the name.
struct Memory {
    remember: u64,
    next: u64,
    oldest: u64,
}

impl Memory {
    fn open(remember: u64) -> Self {
        Self { remember, next: number(b"n"), oldest: number(b"o") }
    }

    /// Whether it was seen; it is from now on.
    fn knows(&mut self, name: &str) -> Result<bool, Error> {
        if name.len() > LONGEST {
            log::warn(
                "source and id are too long to be remembered",
                &[("bytes", &name.len().to_string())],
            );
            return Ok(false);
        }
        let key = [b"i", name.as_bytes()].concat();
        if state::get(&key).is_some() {
            return Ok(true);
        }
        state::set(&key, &self.next.to_be_bytes())?;
        state::set(&at(self.next), name.as_bytes())?;
        self.next += 1;
        // More than one where less is to be remembered than before.
        while self.next - self.oldest > self.remember {
            self.forget()?;
        }
        Ok(false)
    }

    fn forget(&mut self) -> Result<(), Error> {
        let place = at(self.oldest);
        if let Some(name) = state::get(&place) {
            state::delete(&[b"i", &name[..]].concat())?;
            state::delete(&place)?;
        }
        self.oldest += 1;
        Ok(())
    }

    fn close(self) -> Result<(), Error> {
        state::set(b"n", &self.next.to_be_bytes())?;
        state::set(b"o", &self.oldest.to_be_bytes())?;
        Ok(())
    }
}

fn at(number: u64) -> Vec<u8> {
    [&b"s"[..], &number.to_be_bytes()].concat()
}

fn number(key: &[u8]) -> u64 {
    state::get(key).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Two entries an event, each with its name: with names of 50 bytes that is 15 of the 16 MiB that a shard has by default.
const MOST: u64 = 50_000;

/// A key of the state has at most 1,024 bytes.
const LONGEST: usize = 1_000;

flow_sdk::export!(Dedup);

#[cfg(test)]
mod tests {
    use super::*;
    use flow_sdk::Event;
    use flow_sdk::testing::{Batches, Harness};

    fn batch(ids: &[&str]) -> Batch {
        let event = |batches: Batches, id: &&str| batches.event(Event::new(id, "/s", "t"));
        ids.iter().fold(Batches::new(), event).build()
    }

    fn passed(dedup: &mut Harness<Dedup>, ids: &[&str]) -> Vec<bool> {
        let actions = dedup.process(&batch(ids)).unwrap();
        actions.iter().map(|action| matches!(action, Action::Forward { .. })).collect()
    }

    #[test]
    fn an_event_that_comes_again_is_dropped_also_by_a_new_instance() {
        let mut dedup = Harness::<Dedup>::new("{}").unwrap();
        assert_eq!(passed(&mut dedup, &["1", "2", "1"]), [true, true, false]);
        dedup.restart().unwrap();
        assert_eq!(passed(&mut dedup, &["3", "2"]), [true, false]);
    }

    #[test]
    fn one_id_of_two_sources_is_two_events_and_what_is_no_event_goes_on() {
        let mut dedup = Harness::<Dedup>::new("{}").unwrap();
        let two =
            Batches::new().event(Event::new("1", "/a", "t")).event(Event::new("1", "/b", "t"));
        let batch = two.foreign("x").foreign("x").build();
        let all: Vec<_> = (0..4).map(|index| Action::forward(index, 0)).collect();
        assert_eq!(dedup.process(&batch).unwrap(), all);
    }

    #[test]
    fn no_more_is_remembered_than_was_asked_for() {
        let mut dedup = Harness::<Dedup>::new(r#"{"remember":2}"#).unwrap();
        assert_eq!(
            passed(&mut dedup, &["1", "2", "3", "1", "3", "2"]),
            [true, true, true, true, false, true]
        );
        assert_eq!(dedup.state_entries(), 2 * 2 + 2);
    }

    #[test]
    fn a_name_that_is_too_long_for_a_key_goes_on() {
        let mut dedup = Harness::<Dedup>::new("{}").unwrap();
        let long = "x".repeat(LONGEST);
        assert_eq!(passed(&mut dedup, &[&long, &long]), [true, true]);
    }

    #[test]
    fn nothing_to_remember_is_refused() {
        let refusal = Harness::<Dedup>::new(r#"{"remember":0}"#).map(drop).unwrap_err();
        assert_eq!(refusal.to_string(), "remember: must be 1 to 50000");
    }
}
