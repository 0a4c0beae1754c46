//! Counts, and sums, by key in windows of event time that follow each other without a gap: one event for each
//! key and window, when the window closes.
//!
//! Time is that of the events (`time`, or else the broker's timestamp): a window closes when an event shows that
//! its end has passed, plus the grace. Where no event comes any more, the timer closes what has passed by the clock.
//! An event for a window that is closed becomes a dead letter: a count that was told is never told again. So does one
//! whose time is further ahead of the broker's than clocks differ (`ahead`): believed, it alone would close every window,
//! and all that comes after it would be late.

mod config;
mod windows;

use std::time::Duration;

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup, Timer};

use crate::config::{Config, moment};
use crate::windows::{Tally, Windows};

/// Windows of a shard.
#[derive(Debug)]
pub struct TumblingWindow {
    config: Config,
    windows: Windows,
    /// When a tick saw first that no event comes. What is remembered here only delays: a fresh instance waits
    /// anew, so that after a crash nothing closes before the events that were written meanwhile.
    quiet_since: Option<i64>,
}

impl Processor for TumblingWindow {
    fn describe() -> Info {
        Info::new("tumbling-window", env!("CARGO_PKG_VERSION"))
            .summary("counts and sums by key in windows of event time")
            .config_schema(include_str!("schema.json"))
            .many_inputs()
            .unnamed_dropped()
            .keyed()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let config = Config::read(setup)?;
        let windows = Windows::new(&setup.processor);
        Ok(Self { config, windows, quiet_since: None })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        self.quiet_since = None;
        let mut actions = Vec::new();
        let (keys, times) = (batch.texts(&self.config.by), batch.texts("time"));
        let mut newest = self.windows.newest();
        let mut tally = Tally::default();
        for ((index, key), time) in (0..).zip(keys).zip(times) {
            let Some(key) = key.filter(|key| windows::is_possible(key)) else {
                actions.push(Action::dead_letter(index, "has no key, or one that is too long"));
                continue;
            };
            let kept = batch.timestamp(index);
            let time = time.and_then(|time| moment(&time)).unwrap_or(kept);
            if self.config.is_early(time, kept) {
                actions.push(Action::dead_letter(index, "early: its time is yet to come"));
                continue;
            }
            let end = self.config.end_of(time);
            if end <= self.config.passed(newest) {
                actions.push(Action::dead_letter(index, "late: its window is closed"));
                continue;
            }
            newest = newest.max(time);
            tally.add(end, key, self.config.value(batch, index));
        }
        self.windows.add(tally)?;
        self.windows.keep_newest(newest)?;
        actions.extend(self.windows.close(&self.config, self.config.passed(newest))?);
        Ok(actions)
    }
}

impl Timer for TumblingWindow {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn tick(&mut self, now: i64) -> Result<Vec<Action>, Error> {
        let since = *self.quiet_since.get_or_insert(now);
        let mut newest = self.windows.newest();
        if now.saturating_sub(since) >= self.config.idle
            && self.windows.any_before(self.config.passed(now))
        {
            // What has passed by the clock is closed, and events for it are late from now on.
            newest = newest.max(
                self.windows.last_end(self.config.passed(now)).saturating_add(self.config.grace),
            );
            self.windows.keep_newest(newest)?;
        }
        // What did not fit into an answer before goes on here.
        self.windows.close(&self.config, self.config.passed(newest))
    }
}

flow_sdk::export!(TumblingWindow: Timer);

#[cfg(test)]
mod tests;
