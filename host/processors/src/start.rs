//! Where a shard begins, and whether it still can.
//!
//! Committed positions are the truth. A position that the log no longer holds, lies beyond its end,
//! or belongs to another life of the flow stops the shard (`gap`): nothing ever resets by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_brokers::{BrokerError, PartitionInfo};
use host_events::{Incarnation, Position};
use host_registry::Start;

use crate::spec::{Endpoint, Spec};

/// Why a shard cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(
        "gap: flow {flow} partition {partition}: position {position} is not in the log, earliest={earliest} latest={latest}"
    )]
    Gap { flow: String, partition: u32, position: u64, earliest: u64, latest: u64 },
    #[error(
        "gap: flow {flow} is another one than when the processor was created (incarnation {now}, was {then})"
    )]
    Incarnation { flow: String, now: String, then: String },
    #[error(
        "gap: flow {flow}: {words} (UPDATE FLOW {flow} topic=NAME takes over one that is there now)"
    )]
    Gone { flow: String, words: String },
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl StartError {
    /// The cut that it tells of, if it tells of one.
    pub(crate) fn cut(&self) -> Option<(&str, u32, Cut)> {
        match *self {
            Self::Gap { ref flow, partition, position, earliest, latest } if position > latest => {
                Some((flow, partition, Cut { position, earliest, latest }))
            }
            _ => None,
        }
    }
}

/// A log that ended before a position. It is remembered: once the log has grown past the position again
/// nothing shows any more that what lies between was never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    position: u64,
    earliest: u64,
    latest: u64,
}

/// Cuts that were seen, until the position is moved.
#[derive(Default)]
pub(crate) struct Cuts(BTreeMap<(Incarnation, u32), Cut>);

impl Cuts {
    /// Remembers a cut.
    pub(crate) fn remember(&mut self, flow: Incarnation, partition: u32, cut: Cut) {
        self.0.insert((flow, partition), cut);
    }

    /// Forgets those whose position was moved.
    pub(crate) fn retain(&mut self, committed: &Position) {
        self.0.retain(|(flow, partition), cut| {
            committed.get(*flow, *partition) == Some(cut.position)
        });
    }

    fn check(&self, input: &Endpoint, partition: u32) -> Result<(), StartError> {
        let Some(cut) = self.0.get(&(input.topic.incarnation, partition)) else { return Ok(()) };
        let Cut { position, earliest, latest } = *cut;
        Err(StartError::Gap { flow: input.name.to_string(), partition, position, earliest, latest })
    }
}

/// Positions of this shard: the committed ones, and first ones for inputs that have none.
#[derive(Default)]
pub(crate) struct Starting {
    pub(crate) positions: Position,
    /// Those that are new and have to be committed before anything is read, or a crash would
    /// resolve `latest` a second time and skip what came between.
    pub(crate) fresh: Position,
    /// What was passed over because the processor records gaps.
    pub(crate) gaps: Vec<Gap>,
}

/// A piece of an input that the processor never saw.
pub(crate) struct Gap {
    pub(crate) flow: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) cause: StartError,
    /// Where it goes on.
    pub(crate) next: u64,
}

impl Gap {
    /// The figures, for the event that stands for it.
    pub(crate) fn data(&self) -> serde_json::Value {
        let Self { flow, partition, next, cause } = self;
        let mut data = serde_json::json!({
            "flow": **flow, "partition": partition, "next": next, "words": cause.to_string(),
        });
        let figures = match cause {
            StartError::Gap { position, earliest, latest, .. } => serde_json::json!({
                "position": position, "earliest": earliest, "latest": latest,
                "missed": earliest.saturating_sub(*position),
            }),
            StartError::Incarnation { now, then, .. } => {
                serde_json::json!({ "incarnation": now, "was": then })
            }
            StartError::Gone { .. } | StartError::Broker(_) => serde_json::Value::Null,
        };
        if let (Some(data), serde_json::Value::Object(figures)) = (data.as_object_mut(), figures) {
            data.extend(figures);
        }
        data
    }
}

/// Finds where each input begins: where it was committed, else where the start lies now. `latest` moves
/// on: where it was found before, and its commit did not succeed, it stays.
pub(crate) async fn positions(
    spec: &Spec,
    shard: u32,
    committed: &Position,
    found: &Position,
    cuts: &Cuts,
) -> Result<Starting, StartError> {
    let mut starting = Starting::default();
    for input in spec.inputs.iter().filter(|input| shard < input.partitions) {
        let flow = input.topic.incarnation;
        let log = partition_info(input, shard).await?;
        let known = Known { committed: committed.get(flow, shard), found: found.get(flow, shard) };
        let found = match cuts.check(input, shard) {
            Ok(()) => find(spec, input, shard, known, log).await,
            Err(cut) => Err(cut),
        };
        let next = match found {
            Ok(Found::Committed(next)) => next,
            Ok(Found::First(first)) => {
                starting.fresh.set(flow, shard, first);
                first
            }
            // What is not there cannot be gone on with, whatever the processor does about gaps.
            Err(gone @ (StartError::Broker(_) | StartError::Gone { .. })) => return Err(gone),
            Err(gap) if !spec.records_gaps => return Err(gap),
            Err(cause) => {
                let next = after_gap(&cause, log);
                starting.fresh.set(flow, shard, next);
                let flow = Arc::clone(&input.name);
                starting.gaps.push(Gap { flow, partition: shard, cause, next });
                next
            }
        };
        starting.positions.set(flow, shard, next);
    }
    Ok(starting)
}

/// What is known of a position.
struct Known {
    committed: Option<u64>,
    /// Found before, and perhaps not committed.
    found: Option<u64>,
}

enum Found {
    Committed(u64),
    First(u64),
}

async fn find(
    spec: &Spec,
    input: &Endpoint,
    shard: u32,
    known: Known,
    log: PartitionInfo,
) -> Result<Found, StartError> {
    // A position in this life of the flow: somebody knows that it is another one.
    if let Some(position) = known.committed {
        return check(input, shard, position, log).map(Found::Committed);
    }
    check_incarnation(input, spec.expected.get(&input.name))?;
    // What lies in a partition that came later was written after the creation.
    let came_later = spec.partitions.get(&input.name).is_some_and(|had| shard >= *had);
    let start = if came_later { &Start::Earliest } else { &spec.start };
    match known.found {
        Some(position) if *start == Start::Latest => check(input, shard, position, log),
        _ => first(input, shard, start, log).await,
    }
    .map(Found::First)
}

/// The nearest that is there: nothing is read twice and nothing more is missed.
fn after_gap(cause: &StartError, log: PartitionInfo) -> u64 {
    match cause {
        // What was written after the cut was never read.
        StartError::Gap { position, latest, .. } if position > latest => {
            (*latest).max(log.earliest).min(log.latest)
        }
        _ => log.earliest,
    }
}

fn check_incarnation(
    input: &Endpoint,
    expected: Option<&host_events::Incarnation>,
) -> Result<(), StartError> {
    match expected {
        Some(then) if *then != input.topic.incarnation => Err(StartError::Incarnation {
            flow: input.name.to_string(),
            now: input.topic.incarnation.to_string(),
            then: then.to_string(),
        }),
        _ => Ok(()),
    }
}

async fn partition_info(input: &Endpoint, shard: u32) -> Result<PartitionInfo, StartError> {
    let gone = |words: String| StartError::Gone { flow: input.name.to_string(), words };
    match input.broker.describe(&input.topic).await {
        Ok(info) => info.partitions.get(shard as usize).copied().ok_or_else(|| {
            gone(format!("topic {} has no partition {shard} any more", input.topic.topic))
        }),
        Err(error @ BrokerError::NotFound(_)) => Err(gone(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn check(
    input: &Endpoint,
    partition: u32,
    position: u64,
    log: PartitionInfo,
) -> Result<u64, StartError> {
    if (log.earliest..=log.latest).contains(&position) {
        return Ok(position);
    }
    let flow = input.name.to_string();
    let PartitionInfo { earliest, latest } = log;
    Err(StartError::Gap { flow, partition, position, earliest, latest })
}

/// Where a start lies in one partition now.
pub(crate) async fn resolve(
    input: &Endpoint,
    partition: u32,
    start: &Start,
) -> Result<u64, StartError> {
    let log = partition_info(input, partition).await?;
    first(input, partition, start, log).await
}

async fn first(
    input: &Endpoint,
    partition: u32,
    start: &Start,
    log: PartitionInfo,
) -> Result<u64, StartError> {
    Ok(match start {
        Start::Latest => log.latest,
        Start::Time(time) => input.broker.offset_at(&input.topic, partition, *time).await?,
        Start::Offset { partition: named, offset } if *named == partition => {
            check(input, partition, *offset, log)?
        }
        Start::Earliest | Start::Offset { .. } => log.earliest,
    })
}
