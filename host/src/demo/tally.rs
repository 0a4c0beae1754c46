//! The demo's count: what should be in each flow of both participants, and what is read back from it.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::acts::{ALERTS, ALERTS_THERE, QUAKES, QUAKES_THERE, on};
use super::agent::Agent;
use super::events::{FELT, Quake, STRONG, member};
use super::screen::{Row, Screen};
use super::site::Two;

/// How often the flows are counted while the processors finish.
const LOOK: Duration = Duration::from_millis(250);

/// Longest wait for the processors to finish after the last event was written.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a flow should hold.
struct Expected<'a> {
    agent: &'a Agent,
    flow: String,
    ids: BTreeSet<&'a str>,
}

pub(super) struct Tally(Vec<Row>);

impl Tally {
    /// Counts until everything that is expected is there and everybody has come to the end, or patience ends: `all`
    /// were written, of which `crossed` before the subscription was revoked.
    pub(super) async fn wait_and_count(
        two: &Two,
        all: &[Quake],
        crossed: &[Quake],
        screen: &Screen,
    ) -> Result<Self> {
        let expected = expected(two, all, crossed);
        let began = Instant::now();
        let total: usize = expected.iter().map(|flow| flow.ids.len()).sum();
        let bar = screen.bar(total as u64, "events arrived");
        loop {
            let tally = Self::count(&expected).await?;
            let missing: usize = tally.0.iter().map(|row| row.lost).sum();
            bar.set_position((total - missing) as u64);
            // A repeat could still be on its way: the last count is made when everybody has come to
            // the end of his inputs.
            if missing == 0
                && caught_up(&two.unix.agent).await?
                && caught_up(&two.emiliano.agent).await?
            {
                bar.finish_and_clear();
                return Self::count(&expected).await;
            }
            if began.elapsed() > PATIENCE {
                bar.finish_and_clear();
                return Ok(tally);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn count(expected: &[Expected<'_>]) -> Result<Self> {
        let mut rows = Vec::new();
        for Expected { agent, flow, ids } in expected {
            let text = agent.ask(&["read", flow, "--from", "earliest"]).await?;
            let seen = text.lines().map(id_of).collect::<Result<Vec<_>>>()?;
            let distinct: HashSet<&str> = seen.iter().map(String::as_str).collect();
            rows.push(Row {
                at: agent.domain(),
                flow: flow.clone(),
                events_in: ids.len(),
                events_out: seen.len(),
                lost: ids.iter().filter(|id| !distinct.contains(**id)).count(),
                repeated: seen.len() - distinct.len(),
            });
        }
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
    let (mut flows, mut positions) = (BTreeSet::new(), Vec::new());
    for processor in agent.ask(&["get", "processors"]).await?.lines() {
        let processor = describe(agent, "processor", processor).await?;
        let inputs = member(&processor, "from").as_array().into_iter().flatten();
        flows.extend(inputs.filter_map(Value::as_str).map(str::to_owned));
        let fields = processor.as_object().into_iter().flatten();
        for (_, shard) in fields.filter(|(key, _)| key.starts_with("shard.")) {
            let all = member(shard, "positions").as_str().unwrap_or_default();
            positions.extend(all.split(',').map(str::to_owned));
        }
    }
    let mut ends = BTreeSet::new();
    for flow in &flows {
        let flow = &describe(agent, "flow", flow).await?;
        let life = member(flow, "incarnation").as_str().unwrap_or_default().to_owned();
        for log in member(flow, "log").as_array().into_iter().flatten() {
            ends.insert(format!("{life}:{}:{}", member(log, "partition"), member(log, "latest")));
        }
    }
    Ok(positions.iter().all(|position| ends.contains(position)))
}

async fn describe(agent: &Agent, what: &str, name: &str) -> Result<Value> {
    let found = agent.list(&["describe", what, name]).await?.into_iter().next();
    found.with_context(|| format!("no description of {what} {name}"))
}

/// Which quakes each flow should hold.
fn expected<'a>(two: &'a Two, all: &'a [Quake], crossed: &'a [Quake]) -> Vec<Expected<'a>> {
    let ids = |quakes: &'a [Quake], condition: &dyn Fn(&Quake) -> bool| -> BTreeSet<&'a str> {
        quakes.iter().filter(|quake| condition(quake)).map(|quake| quake.id.as_str()).collect()
    };
    let (unix, emiliano) = (&two.unix.agent, &two.emiliano.agent);
    let expect = |agent, flow: &str, ids| Expected { agent, flow: flow.to_owned(), ids };
    let strong = || ids(crossed, &|quake| quake.magnitude >= STRONG);
    vec![
        expect(unix, QUAKES, ids(all, &|_| true)),
        expect(unix, &on("mirror"), ids(all, &|_| true)),
        expect(unix, &on("felt"), ids(all, &|quake| quake.magnitude >= FELT)),
        expect(unix, &on("unfelt"), ids(all, &|quake| quake.magnitude < FELT)),
        expect(unix, &on("archive"), ids(all, &|_| true)),
        expect(emiliano, QUAKES_THERE, ids(crossed, &|quake| quake.magnitude >= FELT)),
        expect(emiliano, ALERTS, strong()),
        expect(unix, ALERTS_THERE, strong()),
    ]
}

/// The quake an event is about: an alert names its cause.
fn id_of(line: &str) -> Result<String> {
    let event: Value = serde_json::from_str(line).context("an event that was read back")?;
    let id = event.get("causeid").or_else(|| event.get("id")).and_then(Value::as_str);
    id.map(ToOwned::to_owned).context("an event without id")
}
