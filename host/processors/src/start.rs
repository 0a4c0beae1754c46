//! Where a shard begins, and whether it still can.
//!
//! Committed positions are the truth. A position that the log no longer holds, lies beyond its end,
//! or belongs to another life of the flow stops the shard (`gap`): nothing ever resets by itself.

use host_brokers::{BrokerError, PartitionInfo};
use host_events::Position;
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
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Positions of this shard: the committed ones, and first ones for inputs that have none.
pub(crate) struct Starting {
    pub(crate) positions: Position,
    /// Those that are new and have to be committed before anything is read, or a crash would
    /// resolve `latest` a second time and skip what came between.
    pub(crate) fresh: Position,
}

/// Finds where each input begins: where it was committed, else where the start lies now. `latest` moves
/// on: where it was found before, and its commit did not succeed, it stays.
pub(crate) async fn positions(
    spec: &Spec,
    shard: u32,
    committed: &Position,
    found: &Position,
) -> Result<Starting, StartError> {
    let mut starting = Starting { positions: Position::default(), fresh: Position::default() };
    for input in &spec.inputs {
        if shard >= input.partitions {
            continue;
        }
        check_incarnation(input, spec.expected.get(&input.name))?;
        let log = partition_info(input, shard).await?;
        let flow = input.topic.incarnation;
        let next = match committed.get(flow, shard) {
            Some(position) => check(input, shard, position, log)?,
            None => {
                // What lies in a partition that came later was written after the creation.
                let came_later = spec.partitions.get(&input.name).is_some_and(|had| shard >= *had);
                let start = if came_later { &Start::Earliest } else { &spec.start };
                let first = match found.get(flow, shard) {
                    Some(position) if *start == Start::Latest => {
                        check(input, shard, position, log)?
                    }
                    _ => first(input, shard, start, log).await?,
                };
                starting.fresh.set(flow, shard, first);
                first
            }
        };
        starting.positions.set(flow, shard, next);
    }
    Ok(starting)
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

async fn partition_info(input: &Endpoint, shard: u32) -> Result<PartitionInfo, BrokerError> {
    let info = input.broker.describe(&input.topic).await?;
    info.partitions
        .get(shard as usize)
        .copied()
        .ok_or_else(|| BrokerError::NotFound(format!("{} partition {shard}", input.topic.topic)))
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
