//! The configuration, and what it makes of times and data. All times are milliseconds since 1970 UTC.

use flow_sdk::{Batch, Error, Setup};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What is counted, how, and how long is waited.
#[derive(Debug)]
pub(crate) struct Config {
    /// Length of a window.
    pub(crate) length: i64,
    /// The attribute with the key.
    pub(crate) by: String,
    /// Where in the data the number is that is summed up.
    pub(crate) sum: Option<String>,
    /// How late an event may be.
    pub(crate) grace: i64,
    /// How long no event comes before the clock closes windows.
    pub(crate) idle: i64,
    /// How far an event's time may be ahead of when the broker got it.
    ahead: i64,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    seconds: i64,
    #[serde(default = "partition_key")]
    by: String,
    sum: Option<String>,
    #[serde(default)]
    grace: i64,
    #[serde(default = "ten")]
    idle: i64,
    #[serde(default = "ten_minutes")]
    ahead: i64,
}

impl Config {
    pub(crate) fn read(setup: &Setup) -> Result<Self, Error> {
        let Written { seconds, by, sum, grace, idle, ahead } = setup.config()?;
        for (path, value, least, most) in [
            ("seconds", seconds, 1, DAY),
            ("grace", grace, 0, DAY),
            ("idle", idle, 1, HOUR),
            ("ahead", ahead, 0, DAY),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::config(path, format!("must be {least} to {most}: {value}")));
            }
        }
        if by.is_empty() {
            return Err(Error::config("by", "names no attribute"));
        }
        if sum.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
            return Err(Error::config("sum", "is a JSON pointer, which begins with /"));
        }
        let [length, grace, idle, ahead] =
            [seconds, grace, idle, ahead].map(|seconds| seconds * SECOND);
        Ok(Self { length, by, sum, grace, idle, ahead })
    }

    /// Where the window ends that a moment lies in.
    pub(crate) fn end_of(&self, time: i64) -> i64 {
        time.div_euclid(self.length).saturating_add(1).saturating_mul(self.length)
    }

    /// Windows that end by then are closed, once events have come so far.
    pub(crate) fn passed(&self, newest: i64) -> i64 {
        newest.saturating_sub(self.grace)
    }

    /// Whether an event says that it was so long after the broker got it that its clock is wrong. Where the broker keeps no
    /// time, nobody can say.
    pub(crate) fn is_early(&self, time: i64, kept: i64) -> bool {
        kept >= 0 && time > kept.saturating_add(self.ahead)
    }

    /// The number of an event that is summed up; what is none counts as 0.
    pub(crate) fn value(&self, batch: &Batch, index: u32) -> f64 {
        let Some(pointer) = &self.sum else { return 0.0 };
        let data = batch.json::<serde_json::Value>(index).ok();
        data.and_then(|data| data.pointer(pointer)?.as_f64()).unwrap_or(0.0)
    }
}

/// The moment of a timestamp as it is written in an event.
pub(crate) fn moment(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// A moment as it is written in an event; none beyond the year 9999.
pub(crate) fn written(moment: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(moment) * 1_000_000).ok()?;
    time.format(&Rfc3339).ok()
}

fn partition_key() -> String {
    "partitionkey".to_owned()
}

fn ten() -> i64 {
    10
}

fn ten_minutes() -> i64 {
    600
}

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
