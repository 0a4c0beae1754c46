//! The demo's data: 1,707 earthquakes of one week (U.S. Geological Survey, public domain), as
//! CloudEvents.

use std::io::PipeWriter;
use std::time::Duration;

use anyhow::{Context, Result};
use fnap::command::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::agent::write_all;

const FEATURES: &str = include_str!("../../../demo/usgs-earthquakes-week.jsonl");

/// Events written at once while the demo spreads them over time.
const PIECE: usize = 20;

/// Magnitude from which people feel a quake.
pub(super) const FELT: f64 = 2.5;
/// Magnitude that is worth an alert.
pub(super) const STRONG: f64 = 5.0;

/// How many are written after the subscription was revoked.
const LATE: usize = 107;

pub(super) struct Quakes(Vec<Quake>);

pub(super) struct Quake {
    pub(super) id: String,
    pub(super) magnitude: f64,
    line: String,
}

impl Quakes {
    pub(super) fn load() -> Result<Self> {
        let numbered = FEATURES.lines().zip(1..);
        let read = numbered.map(|(line, number)| {
            quake(line).with_context(|| format!("earthquake {number} of the demo data"))
        });
        read.collect::<Result<_>>().map(Self)
    }

    pub(super) fn all(&self) -> &[Quake] {
        &self.0
    }

    /// Those that are written before and after the revocation.
    pub(super) fn parts(&self) -> (&[Quake], &[Quake]) {
        self.0.split_at(self.0.len().saturating_sub(LATE))
    }
}

/// Writes events into a pipe, spread over a time, and tells how many.
pub(super) async fn feed(
    quakes: &[Quake],
    mut pipe: PipeWriter,
    over: Duration,
    progress: watch::Sender<usize>,
) -> Result<()> {
    let pieces = quakes.len().div_ceil(PIECE).max(1);
    let mut clock = tokio::time::interval(over / u32::try_from(pieces)?);
    let mut written = 0;
    for piece in quakes.chunks(PIECE) {
        clock.tick().await;
        let text: String = piece.iter().map(|quake| quake.line.as_str()).collect();
        // The pipe may be full while the host is down: that must not hold up everything else.
        let wrote = tokio::task::spawn_blocking(move || {
            write_all(&mut pipe, text.as_bytes()).map(|()| pipe)
        });
        pipe = wrote.await??;
        written += piece.len();
        progress.send_replace(written);
    }
    Ok(())
}

fn quake(line: &str) -> Result<Quake> {
    let feature: Value = serde_json::from_str(line)?;
    let id = member(&feature, "id").as_str().context("no id")?.to_owned();
    let properties = member(&feature, "properties");
    let millis = member(properties, "time").as_i64().context("no time")?;
    let time = Timestamp::from_unix_millis(millis).context("no such time")?;
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "https://earthquake.usgs.gov/",
        "type": "gov.usgs.earthquake",
        "time": time.to_string(),
        "partitionkey": member(properties, "net").as_str().unwrap_or("unknown"),
        "datacontenttype": "application/geo+json",
        "data": feature,
    });
    let magnitude = member(properties, "mag").as_f64().unwrap_or(f64::MIN);
    Ok(Quake { id, magnitude, line: format!("{event}\n") })
}

/// A member of a JSON object; null where there is none.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}
