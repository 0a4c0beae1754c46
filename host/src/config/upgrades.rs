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
    shadow_events: At<u64>,
    shadow_seconds: At<u64>,
}

/// What is asked for of the first with a new version, and of a shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upgrades {
    /// Of the first of a type.
    pub first: FirstDoes,
    /// Of a shadow that follows by itself.
    pub shadow: FirstDoes,
}

/// A day of a busy flow.
const MOST_EVENTS: u64 = 10_000_000_000;

/// A month: whoever wants more pins.
const LONGEST: u64 = 30 * 86_400;

impl Reader<'_> {
    pub(super) fn upgrades(&mut self, raw: RawUpgrades) -> Upgrades {
        let RawUpgrades { first_events, first_seconds, shadow_events, shadow_seconds } = raw;
        Upgrades {
            first: self.does(first_events, first_seconds, 0),
            // What has done nothing alike must not take over.
            shadow: self.does(shadow_events, shadow_seconds, 1),
        }
    }

    fn does(&mut self, events: At<u64>, seconds: At<u64>, least: u64) -> FirstDoes {
        let usual = FirstDoes::default();
        let events = self.number(events, least..=MOST_EVENTS);
        let seconds = self.number(seconds, 0..=LONGEST);
        FirstDoes {
            events: events.unwrap_or(usual.events),
            time: seconds.map_or(usual.time, Duration::from_secs),
        }
    }
}
