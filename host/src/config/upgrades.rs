//! What the operator wrote about new versions of plugins.

use std::time::Duration;

use host_processors::FirstDoes;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use super::meaning::Reader;
use super::raw::At;

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpgrades {
    first_events: At<u64>,
    first_seconds: At<u64>,
}

/// A day of a busy flow.
const MOST_EVENTS: u64 = 10_000_000_000;

/// A month: whoever wants more pins.
const LONGEST: u64 = 30 * 86_400;

impl Reader<'_> {
    pub(super) fn upgrades(&mut self, raw: RawUpgrades) -> FirstDoes {
        let usual = FirstDoes::default();
        let events = self.number(raw.first_events, 0..=MOST_EVENTS);
        let seconds = self.number(raw.first_seconds, 0..=LONGEST);
        FirstDoes {
            events: events.unwrap_or(usual.events),
            time: seconds.map_or(usual.time, Duration::from_secs),
        }
    }
}
