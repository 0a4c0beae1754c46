//! Which past events are compared, and on which state the versions begin.

use host_events::{Batch, Position};
use host_registry::Start;

use crate::inputs::Next;
use crate::shadow::past::PastError;
use crate::spec::Spec;
use crate::start::{self, StartError};
use crate::supervisor::Processors;

/// Which events.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first; of a snapshot those behind its positions.
    pub from: Begin,
    /// The one after the last.
    pub to: Start,
}

/// Where a comparison begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// There, with an empty state.
    Start(Start),
    /// With the state and the positions of a snapshot.
    Snapshot(u64),
}

/// A piece of one partition of one input.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) input: u32,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Where all shards begin.
pub(super) enum Origin {
    Start(Start),
    Snapshot { number: u64, positions: Position },
}

impl Processors {
    pub(super) async fn origin(&self, spec: &Spec, from: Begin) -> Result<Origin, PastError> {
        let number = match from {
            Begin::Start(start) => {
                spec.check_place(&start).map_err(|error| PastError::Span(error.to_string()))?;
                return Ok(Origin::Start(start));
            }
            Begin::Snapshot(number) => number,
        };
        let kept = self.snapshots(spec.id).await;
        let found = kept.iter().find(|snapshot| snapshot.number == number);
        let none = || PastError::NoSnapshot { number, name: spec.name.to_string() };
        Ok(Origin::Snapshot { number, positions: found.ok_or_else(none)?.positions() })
    }
}

pub(super) async fn ends(
    spec: &Spec,
    shard: u32,
    origin: &Origin,
    to: &Start,
) -> Result<Vec<End>, StartError> {
    let mut ends = Vec::new();
    for (endpoint, input) in spec.inputs.iter().zip(0..) {
        if shard >= endpoint.partitions {
            continue;
        }
        let from = match origin {
            Origin::Start(start) => *start,
            Origin::Snapshot { positions, .. } => {
                match positions.get(endpoint.topic.incarnation, shard) {
                    Some(offset) => Start::Offset { partition: shard, offset },
                    // A partition that came later was read from its beginning, as was an input in another life.
                    None => Start::Earliest,
                }
            }
        };
        let from = start::resolve(endpoint, shard, &from).await?;
        let to = start::resolve(endpoint, shard, to).await?;
        ends.push(End { input, from, to: to.max(from) });
    }
    Ok(ends)
}

/// A batch without what lies behind an offset, and where the input stands then.
pub(super) fn up_to(next: Next, to: u64) -> (Next, u64) {
    if next.batch.next <= to {
        let position = next.batch.next;
        return (next, position);
    }
    let Batch { flow, partition, records, .. } = next.batch;
    let records = records.iter().take_while(|stored| stored.offset < to).cloned().collect();
    (Next { input: next.input, batch: Batch { flow, partition, records, next: to } }, to)
}
