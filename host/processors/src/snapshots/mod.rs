//! Snapshots: the state of all shards of a processor with the positions it stands for, kept to begin a comparison there.
//!
//! Taken between two commits of each shard, from what is committed, whatever broker has it. They lie in files of the host
//! that took them, in a folder for each processor. Nothing runs from them but comparisons.

mod file;
mod take;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use host_events::{Incarnation, Position};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

pub(crate) use file::{ReadError, ShardSnapshot};

use crate::supervisor::Processors;

/// Snapshots of a processor that are kept; the oldest goes. Hourly ones are those of a working day.
pub const SNAPSHOTS: usize = 8;

/// Octets of keys and values in all snapshots of a processor: eight of eight shards at the usual limit of 16 MiB. The
/// oldest go; one that is larger by itself is not taken.
pub const SNAPSHOT_BYTES: u64 = 1 << 30;

/// What is written in a folder when it is complete.
const MANIFEST: &str = "snapshot.json";

/// Ends the name of a folder that is not complete yet, or is going.
const PART: &str = ".part";

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Where snapshots lie.
#[derive(Default)]
pub(crate) struct Snapshots {
    dir: Option<PathBuf>,
    /// One at a time changes the folder of a processor; another one's waits for nobody.
    turns: Mutex<BTreeMap<Uuid, Turn>>,
}

/// A snapshot that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    format: u32,
    /// Counts up from 1 for each processor.
    pub number: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// The version that had made the state of its first shard.
    pub version: String,
    /// Of each shard.
    pub shards: Vec<SnapshotShard>,
}

/// A shard of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotShard {
    positions: Written,
    /// Entries of the state.
    pub entries: u64,
    /// Octets of them.
    pub bytes: u64,
}

impl Snapshot {
    /// Octets of all shards.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// Entries of all shards.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.shards.iter().map(|shard| shard.entries).sum()
    }

    /// The positions that it stands for.
    #[must_use]
    pub fn positions(&self) -> Position {
        read(self.shards.iter().flat_map(|shard| &shard.positions))
    }
}

/// Positions as they are written: the life of a flow, a partition, the next offset.
type Written = Vec<(Uuid, u32, u64)>;

fn written(positions: &Position) -> Written {
    let positions = positions.0.iter();
    positions.map(|((life, partition), next)| (life.0, *partition, *next)).collect()
}

fn read<'a>(written: impl IntoIterator<Item = &'a (Uuid, u32, u64)>) -> Position {
    let mut positions = Position::default();
    for (life, partition, next) in written {
        positions.set(Incarnation(*life), *partition, *next);
    }
    positions
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Its shards do not all run.
    #[error("processor {0} is not running: a snapshot is taken of one that runs")]
    NotRunning(String),
    /// A shard has not come to the end of a batch, for whatever reason.
    #[error(
        "a shard of processor {0} has not come to the end of its batch, or waits for its broker: ask again later"
    )]
    Busy(String),
    /// It is larger than all that is kept.
    #[error("the state has {0} octets, and snapshots at most {SNAPSHOT_BYTES}")]
    TooLarge(u64),
    /// This host keeps none.
    #[error("this host keeps no snapshots")]
    Nowhere,
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Snapshots {
    pub(crate) fn at(dir: Option<PathBuf>) -> Self {
        Self { dir, turns: Mutex::default() }
    }

    async fn turn(&self, processor: Uuid) -> OwnedMutexGuard<()> {
        let turn = self.with_turns(|turns| Arc::clone(turns.entry(processor).or_default()));
        turn.lock_owned().await
    }

    fn with_turns<T>(&self, look: impl FnOnce(&mut BTreeMap<Uuid, Turn>) -> T) -> T {
        look(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, processor: Uuid) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(processor.to_string()))
    }
}

impl Processors {
    /// The snapshots of a processor, the oldest first. One that cannot be read is none.
    pub async fn snapshots(&self, processor: Uuid) -> Vec<Snapshot> {
        let Some(dir) = self.0.snapshots.of(processor) else { return Vec::new() };
        tokio::task::spawn_blocking(move || kept(&dir)).await.unwrap_or_default()
    }

    /// Forgets one; says whether there was one.
    ///
    /// # Errors
    /// When the disk does not let it go.
    pub async fn forget_snapshot(
        &self,
        processor: Uuid,
        number: u64,
    ) -> Result<bool, SnapshotError> {
        let Some(dir) = self.0.snapshots.of(processor) else { return Ok(false) };
        let _turn = self.0.snapshots.turn(processor).await;
        let gone = tokio::task::spawn_blocking(move || {
            let known = kept(&dir).iter().any(|snapshot| snapshot.number == number);
            if known { forget(&dir, number).map(|()| true) } else { Ok(false) }
        });
        Ok(gone.await.map_err(io::Error::other)??)
    }

    /// Forgets all of a processor that is no more.
    pub(crate) async fn forget_snapshots(&self, processor: Uuid) {
        let Some(dir) = self.0.snapshots.of(processor) else { return };
        let _turn = self.0.snapshots.turn(processor).await;
        let gone = tokio::task::spawn_blocking(move || fs::remove_dir_all(dir)).await;
        self.0.snapshots.with_turns(|turns| turns.remove(&processor));
        match gone {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%processor, cause = %error, "snapshots are not forgotten");
            }
            _ => {}
        }
    }

    /// The state of a shard in a snapshot.
    pub(crate) async fn snapshot_of_shard(
        &self,
        processor: Uuid,
        number: u64,
        shard: u32,
    ) -> Result<ShardSnapshot, ReadError> {
        let dir = self.0.snapshots.of(processor).unwrap_or_default();
        let path = dir.join(number.to_string()).join(name(shard));
        let read = tokio::task::spawn_blocking(move || file::read(&path)).await;
        read.map_err(io::Error::other)?
    }
}

/// The file of a shard.
fn name(shard: u32) -> String {
    format!("{shard}.state")
}

/// What is complete in a folder, the oldest first.
fn kept(dir: &Path) -> Vec<Snapshot> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number: u64 = path.file_name()?.to_str()?.parse().ok()?;
        let snapshot: Snapshot =
            serde_json::from_slice(&fs::read(path.join(MANIFEST)).ok()?).ok()?;
        (snapshot.number == number && snapshot.format == file::FORMAT).then_some(snapshot)
    };
    let mut found: Vec<_> = entries.filter_map(read).collect();
    found.sort_by_key(|snapshot| snapshot.number);
    found
}

/// Takes one away. It is none any more before anything of it is gone.
fn forget(dir: &Path, number: u64) -> io::Result<()> {
    let going = dir.join(format!("{number}{PART}"));
    fs::rename(dir.join(number.to_string()), &going)?;
    fs::remove_dir_all(going)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn only_those_of_one_processor_wait_for_each_other() {
        let snapshots = Snapshots::at(None);
        let _first = snapshots.turn(Uuid::from_u128(1)).await;
        let _other = snapshots.turn(Uuid::from_u128(2)).await;
        assert!(snapshots.turn(Uuid::from_u128(1)).now_or_never().is_none());
    }
}
