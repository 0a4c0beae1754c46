//! Rules about events that go through: nothing is lost, nothing stops the plugin, limits hold, order is kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use host_events::{Batch, Record};
use host_plugins::{Action, Plugin};
use host_processors::{Dry, DryError, Outcome};

use super::events::{Trial, batch, large as large_event, odd as odd_events};
use super::report::{Report, Rule};
use crate::plugin::desk::Order;

/// Sizes of batches: the smallest, one that nothing else divides by, a full one.
const SIZES: [usize; 3] = [1, 7, 512];

/// What was wrong, by the rule that it breaks.
#[derive(Default)]
struct Broken(BTreeMap<&'static str, String>);

impl Broken {
    fn add(&mut self, kind: &'static str, words: String) {
        self.0.entry(kind).or_insert(words);
    }

    fn take(&mut self, kind: &str) -> Option<String> {
        self.0.remove(kind)
    }
}

/// Ordinary events in batches of several sizes, each from an empty state.
pub(super) async fn through(plugin: &Plugin, order: &Order, trial: &Trial, report: &mut Report) {
    let (mut broken, mut disorder) = (Broken::default(), None);
    for size in SIZES {
        let outcomes =
            passed(plugin, order, trial.batches(size), &format!("batches of {size}"), &mut broken)
                .await;
        disorder = disorder.or_else(|| out_of_order(&outcomes));
    }
    report.held(Rule::Accounts, broken.take("contract"));
    report.held(Rule::GoesOn, broken.take(STOPS));
    report.held(Rule::NeverTraps, broken.take("trap"));
    report.held(Rule::Limits, broken.take("limit"));
    report.held(Rule::Order, disorder);
}

/// Each odd record alone, then all at once.
pub(super) async fn odd(plugin: &Plugin, order: &Order, report: &mut Report) {
    let mut reasons = Vec::new();
    for (what, record) in odd_events() {
        reasons.extend(decided(plugin, order, vec![record], what).await);
    }
    let all = odd_events().into_iter().map(|(_, record)| record).collect();
    reasons.extend(decided(plugin, order, all, "all of them in one batch").await);
    report.held(Rule::OddEvents, (!reasons.is_empty()).then(|| reasons.join("\n")));
}

/// Events that are as large as brokers take by default, and larger than a batch.
pub(super) async fn large(plugin: &Plugin, order: &Order, report: &mut Report) {
    let mut reasons = Vec::new();
    let batch_bytes = usize::try_from(order.limits.batch_bytes).unwrap_or(usize::MAX);
    for (bytes, what) in
        [(MEBIBYTE, "an event of 1 MiB"), (batch_bytes.min(MOST_LARGE), "one larger than a batch")]
    {
        if let Some(record) = large_event(bytes) {
            reasons.extend(decided(plugin, order, vec![record], what).await);
        }
    }
    report.held(Rule::LargeEvent, (!reasons.is_empty()).then(|| reasons.join("\n")));
}

const MEBIBYTE: usize = 1024 * 1024;

/// Octets of the largest event that is made up, however large a batch may be.
const MOST_LARGE: usize = 64 * MEBIBYTE;

/// Why records are not decided; a rejection is a decision.
async fn decided(
    plugin: &Plugin,
    order: &Order,
    records: Vec<Record>,
    what: &str,
) -> Option<String> {
    let mut broken = Broken::default();
    passed(plugin, order, vec![(0, batch(records, 0))], what, &mut broken).await;
    broken.0.into_values().next()
}

/// What becomes of batches from an empty state, and what is wrong about it.
async fn passed(
    plugin: &Plugin,
    order: &Order,
    batches: Vec<(u32, Batch)>,
    what: &str,
    broken: &mut Broken,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut dry = match Dry::start(plugin.clone(), order.setup("conform", 0)).await {
        Ok(dry) => dry,
        Err(error) => {
            broken.add(STOPS, format!("{what}: {error}"));
            return outcomes;
        }
    };
    for (input, batch) in batches {
        match dry.feed(input, batch, &mut outcomes).await {
            Ok(()) => {}
            // Why its events fail is told below.
            Err(DryError::Held { .. }) => break,
            Err(error) => {
                broken.add(STOPS, format!("{what}: {error}"));
                break;
            }
        }
    }
    for outcome in &outcomes {
        if let Outcome::GivenUp { kind, stored, reason, .. } = outcome
            && *kind != "reject"
        {
            broken.add(kind, format!("{what}: event {}: {}", stored.offset, first_lines(reason)));
        }
    }
    outcomes
}

/// The plugin does not go on.
const STOPS: &str = "stops";

/// A trap's frames are for `plugin run`.
fn first_lines(reason: &str) -> String {
    let lines = reason.lines().take_while(|line| !line.contains("wasm backtrace")).take(4);
    lines.collect::<Vec<_>>().join("\n")
}

/// Two events of one key that leave an output in another order than they came.
fn out_of_order(outcomes: &[Outcome]) -> Option<String> {
    let mut last: BTreeMap<(u32, u32, Option<Bytes>), u64> = BTreeMap::new();
    for outcome in outcomes {
        let Outcome::Decided { input, batch, actions } = outcome else { continue };
        for (output, index) in actions.iter().flat_map(|action| sent(action, batch.records.len())) {
            let Some(stored) = batch.records.get(index) else { continue };
            let key = (output, *input, stored.record.key.clone());
            let before = last.insert(key, stored.offset);
            if let Some(before) = before.filter(|before| *before > stored.offset) {
                return Some(format!(
                    "event {} leaves output {output} behind event {before}",
                    stored.offset
                ));
            }
        }
    }
    None
}

/// Outputs and indexes of events that an action passes on.
fn sent(action: &Action, len: usize) -> Vec<(u32, usize)> {
    match *action {
        Action::Forward { index, output } | Action::Rewrite { index, output, .. } => {
            vec![(output, index as usize)]
        }
        Action::ForwardAll { output } => (0..len).map(|index| (output, index)).collect(),
        Action::Emit { .. } | Action::Drop { .. } | Action::DeadLetter { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(order: &[u32]) -> Outcome {
        let record = |key: &'static str| Record { key: Some(key.into()), ..Record::default() };
        let batch = batch(["a", "b", "a"].map(record).to_vec(), 0);
        let actions =
            order.iter().map(|index| Action::Forward { index: *index, output: 0 }).collect();
        Outcome::Decided { input: 0, batch, actions }
    }

    #[test]
    fn only_events_of_one_key_have_an_order() {
        assert_eq!(out_of_order(&[outcome(&[0, 1, 2])]), None);
        assert_eq!(out_of_order(&[outcome(&[1, 0, 2])]), None);
        assert_eq!(
            out_of_order(&[outcome(&[2, 1, 0])]).unwrap(),
            "event 0 leaves output 0 behind event 2"
        );
    }
}
