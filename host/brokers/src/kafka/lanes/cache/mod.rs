//! What was true of a lane, on this host's own disk: taking the lane over then reads the rest of the log alone.
//!
//! It is never believed for itself. Whoever writes it holds the lane, and commits a word of its own ([`Start`]) to
//! both partitions right after the offsets that it stands for: as long as this word is found behind them, what
//! lies before them is what it was. Whatever does not fit is left aside, and everything is read.
//!
//! What the log no longer says is not in the rest: a deletion that was compacted away. So a file counts for a time
//! only, and so does what it was made from; by two clocks (`moment.rs`), and only until the machine is started again:
//! after that, lanes are read whole.
//!
//! A file: a line that says what it is and its format, the length of a header, the header as JSON, keys and values
//! as they lie in the topics, and the SHA-256 of all of that.

mod read;
mod write;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::moment::Moment;
use super::ours::Ours;
use super::recover::Ends;
use super::truth::Truth;
use crate::kafka::KafkaOptions;

pub(super) use read::read;
pub(super) use write::write;

/// Largest file: a lane that holds more is read anew each time. What is true of a lane lies in memory, so this is
/// no more on the disk than there is there.
pub(super) const MOST: u64 = 2 << 30;

/// What it is, and its format.
const MAGIC: &[u8] = b"fnaad lane 2\n";

const POSITIONS: u8 = b'p';
const STATE: u8 = b's';

/// Where the rest begins, and by what it is known that the log is still the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) ends: Ends,
    /// Committed to both partitions behind these offsets.
    pub(super) word: Uuid,
}

/// Everything that has to fit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    identity: String,
    lanes: u32,
    lane: u32,
    positions: Uuid,
    state: Uuid,
    start: Start,
    written: Moment,
    /// When all that led to this was last read from the log as a whole. A file that is made from a file's truth
    /// carries it over: else what was deleted by others would live for as long as a host is restarted in order.
    read_whole: Moment,
    /// How long the topics kept deletions then, in milliseconds.
    kept: u64,
}

/// Where a lane's file lies; `None` for a host that has no place for it, and topics without ids.
pub(super) fn path(options: &KafkaOptions, ours: &Ours, lane: u32) -> Option<PathBuf> {
    let has_place = !options.cache_dir.as_os_str().is_empty();
    let has_ids = ours.positions.id.is_some() && ours.state.id.is_some();
    let name = format!("lanes.{}.{lane}.cache", options.identity);
    (has_place && has_ids).then(|| options.cache_dir.join(name))
}

/// What a file holds.
pub(super) struct Known {
    pub(super) truth: Truth,
    pub(super) start: Start,
    written: Moment,
    read_whole: Moment,
    kept: u64,
}

impl Known {
    /// Refuses what is too old to be believed where topics keep deletions for so long, in milliseconds.
    ///
    /// A key that it knows may have been deleted since, and a deletion that lies in the log for that long goes with
    /// the next compaction: who then reads from its offsets on never hears of it. So it is too old at half of it,
    /// and the other half is for what takes long. For the same reason what has no age is of no use.
    pub(super) fn is_sound(&self, kept: u64, now: &Moment) -> Result<(), String> {
        let kept = kept.min(self.kept);
        is_young(self.written.age(now)?, kept)?;
        is_young(self.read_whole.age(now)?, kept)
    }
}

/// Refuses what is as old as half the time for which deletions are kept, in milliseconds.
pub(super) fn is_young(age: u64, kept: u64) -> Result<(), String> {
    let is_young = age < kept / 2;
    is_young
        .then_some(())
        .ok_or_else(|| format!("after {age} ms deletions may be gone from the log"))
}
