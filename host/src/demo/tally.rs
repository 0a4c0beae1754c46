//! The demo's count: what should be in each flow, and what is read back from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::agent::Agent;
use super::events::{Quakes, member};
use super::on;
use super::screen::{Row, Screen};

/// The demo's flows and their partitions.
pub(super) const FLOWS: [(&str, u32); 6] =
    [("quakes", 4), ("mirror", 4), ("felt", 4), ("unfelt", 4), ("archive", 4), ("alerts", 1)];

/// Magnitude from which people feel a quake.
const FELT: f64 = 2.5;
/// Magnitude that is worth an alert.
const STRONG: f64 = 5.0;

/// The signal processor's configuration.
pub(super) const ALERTS: &str = r#"{"rules":[{"name":"strong","when":"data.properties.mag >= 5.0","emit":{"type":"alert.quake","to":"alerts.flows.unix.ar"}}]}"#;

/// The distributor's configuration.
pub(super) fn rules() -> String {
    let (felt, unfelt) = (on("felt"), on("unfelt"));
    format!(
        r#"{{"rules":[{{"when":"data.properties.mag >= {FELT:?}","to":["{felt}"]}}],"otherwise":["{unfelt}"]}}"#
    )
}

/// How often the flows are counted while the processors finish.
const LOOK: Duration = Duration::from_millis(250);

pub(super) struct Tally(Vec<Row>);

impl Tally {
    /// Counts until everything that is expected is there, or patience ends.
    pub(super) async fn wait_and_count(
        agent: &Agent,
        quakes: &Quakes,
        screen: &Screen,
        patience: Duration,
    ) -> Result<Self> {
        let expected = expected(quakes);
        let began = Instant::now();
        let total: usize = expected.iter().map(|(_, ids)| ids.len()).sum();
        let bar = screen.bar(total as u64, "events read back");
        loop {
            let tally = Self::count(agent, quakes.len(), &expected).await?;
            let missing: usize = tally.0.iter().map(|row| row.lost).sum();
            bar.set_position((total - missing) as u64);
            // A repeat could still be on its way: the last count is made when everybody has come to
            // the end of his inputs.
            if missing == 0 && caught_up(agent).await? {
                bar.finish_and_clear();
                return Self::count(agent, quakes.len(), &expected).await;
            }
            if began.elapsed() > patience {
                bar.finish_and_clear();
                return Ok(tally);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn count(
        agent: &Agent,
        written: usize,
        expected: &[(&'static str, BTreeSet<String>)],
    ) -> Result<Self> {
        let mut rows = Vec::new();
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for (flow, ids) in expected {
            let text = agent.ask(&["read", &on(flow), "--from", "earliest"]).await?;
            let seen = text.lines().map(id_of).collect::<Result<Vec<_>>>()?;
            let distinct: BTreeSet<&String> = seen.iter().collect();
            let lost = ids.iter().filter(|id| !distinct.contains(id)).count();
            found.insert(flow, seen.len());
            rows.push(Row {
                flow: on(flow),
                events_in: ids.len(),
                events_out: seen.len(),
                lost,
                repeated: seen.len() - distinct.len(),
            });
        }
        debug_assert_eq!(written, expected.first().map_or(0, |(_, ids)| ids.len()));
        Ok(Self(rows))
    }

    pub(super) fn is_clean(&self) -> bool {
        let clean =
            |row: &Row| row.lost == 0 && row.repeated == 0 && row.events_in == row.events_out;
        self.0.iter().all(clean)
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.0
    }
}

/// Whether every processor has committed everything that its inputs hold.
async fn caught_up(agent: &Agent) -> Result<bool> {
    let mut ends = BTreeSet::new();
    for (flow, _) in FLOWS {
        let flow = &describe(agent, "flow", &on(flow)).await?;
        let life = member(flow, "incarnation").as_str().unwrap_or_default().to_owned();
        for log in member(flow, "log").as_array().into_iter().flatten() {
            ends.insert(format!("{life}:{}:{}", member(log, "partition"), member(log, "latest")));
        }
    }
    for processor in agent.ask(&["get", "processors"]).await?.lines() {
        let processor = describe(agent, "processor", processor).await?;
        let fields = processor.as_object().into_iter().flatten();
        for (_, shard) in fields.filter(|(key, _)| key.starts_with("shard.")) {
            let positions = member(shard, "positions").as_str().unwrap_or_default();
            if !positions.split(',').all(|position| ends.contains(position)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn describe(agent: &Agent, what: &str, name: &str) -> Result<Value> {
    let text = agent.ask(&["--format", "json", "describe", what, name]).await?;
    serde_json::from_str(text.trim()).with_context(|| format!("description of {what} {name}"))
}

/// Which quakes each flow should hold.
fn expected(quakes: &Quakes) -> Vec<(&'static str, BTreeSet<String>)> {
    let all = || quakes.ids(|_| true);
    vec![
        ("quakes", all()),
        ("mirror", all()),
        ("felt", quakes.ids(|quake| quake.magnitude >= FELT)),
        ("unfelt", quakes.ids(|quake| quake.magnitude < FELT)),
        ("archive", all()),
        ("alerts", quakes.ids(|quake| quake.magnitude >= STRONG)),
    ]
}

/// The quake an event is about: an alert names its cause.
fn id_of(line: &str) -> Result<String> {
    let event: Value = serde_json::from_str(line).context("an event that was read back")?;
    let id = event.get("causeid").or_else(|| event.get("id")).and_then(Value::as_str);
    id.map(ToOwned::to_owned).context("an event without id")
}
