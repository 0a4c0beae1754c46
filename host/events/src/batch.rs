//! Where events stand: positions, and contiguous pieces of a partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::record::Record;

/// One life of a flow. A flow that is deleted and made again is another incarnation, and positions
/// of the old one say nothing about the new one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub Uuid);

impl std::fmt::Display for Incarnation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

/// For each partition of each flow, the next offset to read. Offsets may have gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub BTreeMap<(Incarnation, u32), u64>);

impl Position {
    /// The next offset of a partition, where one is known.
    #[must_use]
    pub fn get(&self, flow: Incarnation, partition: u32) -> Option<u64> {
        self.0.get(&(flow, partition)).copied()
    }

    /// Moves one partition.
    pub fn set(&mut self, flow: Incarnation, partition: u32, next: u64) {
        self.0.insert((flow, partition), next);
    }
}

/// A record and the offset it lies at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Offset in its partition.
    pub offset: u64,
    /// The record.
    pub record: Record,
}

/// One contiguous piece of one partition of one input flow. Cloning shares the records.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The flow's life that was read.
    pub flow: Incarnation,
    /// The partition.
    pub partition: u32,
    /// The records, in the order of their offsets. May be empty where a gap was passed over.
    pub records: Arc<[Stored]>,
    /// The offset after the last one that this batch accounts for.
    pub next: u64,
}
