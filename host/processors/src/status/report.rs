//! What is told of a shard. Counts are since the host started.

use std::time::Duration;

use host_events::Position;
use host_plugins::Used;

use crate::shadow::ShadowReport;

/// What a shard is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Taking its shard over, or making an instance.
    Starting,
    /// Processing, or waiting for events.
    Running,
    /// Held.
    Paused,
    /// Ended, position kept.
    Stopped,
    /// It cannot go on; the reason, and it is tried again with back-off.
    Failed(String),
}

impl Phase {
    /// One word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}

/// A look at one shard.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Its number.
    pub shard: u32,
    /// What it does.
    pub phase: Phase,
    /// Committed positions.
    pub positions: Position,
    /// Digest of the plugin that runs, empty before the first one.
    pub digest: String,
    /// Version of the plugin that runs.
    pub version: String,
    /// Events taken in and committed.
    pub events_in: u64,
    /// Events committed to outputs.
    pub events_out: u64,
    /// Bytes of keys, values and headers of those that were taken in.
    pub bytes_in: u64,
    /// Bytes of those that were committed to outputs, dead letters included.
    pub bytes_out: u64,
    /// Events that became dead letters.
    pub dead_letters: u64,
    /// Commits.
    pub commits: u64,
    /// Time that commits took, those that failed included.
    pub commit_time: Duration,
    /// How often it began again after a failure.
    pub failures: u64,
    /// Instances that were made anew because the one before had grown.
    pub recycled: u64,
    /// What its instances used up.
    pub used: Used,
    /// Entries of its state, and their bytes as they count to the limit; none while it does not run.
    pub state: Option<(usize, u64)>,
    /// Share of its instance's calls that ended in the slow lane, 0 to 1.
    pub slow_share: f64,
    /// What the version that runs has done here.
    pub tried: Tried,
    /// How long events waited at the latest changes of the plugin's version.
    pub pauses: Vec<Duration>,
    /// What a version that runs beside it would have done, where there is one.
    pub shadow: Option<ShadowReport>,
}

/// What a version has done in a shard since it took over, or since the host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Batches that are committed.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Those that it rejected and the version before would not have.
    pub rejects: u64,
}

/// What one commit made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) events_in: u64,
    pub(crate) events_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) dead_letters: u64,
}
