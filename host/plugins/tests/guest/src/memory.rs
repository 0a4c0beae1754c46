//! What the guest remembers beside its state, how it takes another configuration, and the state of another version.

use flow_sdk::{Action, Batch, Error, Migrate, Reconfigure, Setup, Value, state};

use crate::{Config, Guest, lies};

impl Guest {
    /// Says of each event the how manyth it is that this instance has seen, and the configuration's number.
    pub(crate) fn remember(&mut self, batch: &Batch) -> Vec<Action> {
        let told = |index| {
            self.seen += 1;
            let (seen, times) = (self.seen.to_string(), self.config.times.to_string());
            Action::rewrite(index, 0).set("seen", seen).set("times", times).into()
        };
        (0..batch.len()).map(told).collect()
    }
}

/// What a mark is called in the state.
const MARK: &[u8] = b"mark";

/// Whether it is the event that leaves a mark.
pub(crate) fn is_marked(batch: &Batch, index: u32) -> bool {
    matches!(batch.attribute(index, "id"), Some(Value::Text(id)) if id == "marked")
}

/// Forwards events, and leaves a mark in the state where one of them says so.
pub(crate) fn mark(batch: &Batch) -> Result<Vec<Action>, Error> {
    if (0..batch.len()).any(|index| is_marked(batch, index)) {
        state::set(MARK, b"")?;
    }
    Ok(vec![Action::forward_all(0)])
}

/// Rejects the first event of some.
pub(crate) fn reject(batch: &Batch, of: impl Fn(u32) -> bool) -> Result<Vec<Action>, Error> {
    match (0..batch.len()).find(|index| of(*index)) {
        Some(index) => Err(Error::reject(index, "not this one")),
        None => Ok(vec![Action::forward_all(0)]),
    }
}

impl Reconfigure for Guest {
    fn reconfigure(&mut self, setup: &Setup) -> Result<(), Error> {
        if self.config.act == "lax-reconfigure" {
            return Ok(());
        }
        let config: Config = setup.config()?;
        match config.act.as_str() {
            "unwelcome" => return Err(Error::config("act", "is unwelcome")),
            "unwelcome-at-1" if self.shard == 1 => {
                return Err(Error::config("act", "is unwelcome at shard 1"));
            }
            "trap-in-reconfigure" => crate::trap("deliberate"),
            "loop-in-reconfigure" => crate::spin(),
            _ => {}
        }
        self.config = config;
        Ok(())
    }
}

impl Migrate for Guest {
    /// Counts ticks from a million more on, where it is a version that does.
    fn migrate(from: &str, config: &str) -> Result<(), Error> {
        if lies::cannot_migrate() {
            return Err(Error::fatal(format!("cannot read the state of {from} with {config}")));
        }
        if lies::reads_no_mark() && state::get(MARK).is_some() {
            return Err(Error::fatal(format!("cannot read a mark of {from}")));
        }
        if lies::migrates() {
            let ticks = state::get(b"ticks").and_then(|bytes| bytes.try_into().ok());
            let ticks = ticks.map_or(0, u64::from_be_bytes) + 1_000_000;
            state::set(b"ticks", &ticks.to_be_bytes())?;
            state::set(b"from", from.as_bytes())?;
        }
        Ok(())
    }
}
