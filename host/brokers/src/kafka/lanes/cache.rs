//! What was true of a lane, on this host's own disk: taking the lane over then reads the rest of the log alone.
//!
//! It is never believed for itself. Whoever writes it holds the lane, and commits a word of its own ([`Start`]) to
//! both partitions right after the offsets that it stands for: as long as this word is found behind them, what
//! lies before them is what it was. Whatever does not fit is left aside, and everything is read.
//!
//! A file: a line that says what it is and its format, the length of a header, the header as JSON, keys and values
//! as they lie in the topics, and the SHA-256 of all of that.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::disk;
use super::ours::Ours;
use super::recover::{Check, Ends};
use super::truth::{Truth, now};
use crate::kafka::KafkaOptions;

/// Largest file: a lane that holds more is read anew each time. It is in memory as a whole while it is read.
pub(super) const MOST: usize = 64 * 1024 * 1024;

/// What it is, and its format.
const MAGIC: &[u8] = b"fnaad lane 1\n";

/// Octets of the checksum.
const SUM: usize = 32;

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
    /// Milliseconds since 1970 UTC.
    written: u64,
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

/// Writes what is true of a lane as of a start. `false` where it is more than a file takes.
pub(super) fn write(
    path: &Path,
    identity: &str,
    ours: &Ours,
    lane: u32,
    (truth, start, kept): (&Truth, Start, u64),
) -> io::Result<bool> {
    let (Some(positions), Some(state)) = (ours.positions.id, ours.state.id) else {
        return Ok(false);
    };
    let (identity, lanes, written) = (identity.to_owned(), ours.lanes, now());
    let header = Header { identity, lanes, lane, positions, state, start, written, kept };
    let header = serde_json::to_vec(&header)?;
    let size = truth.entries().map(|(_, key, value)| 9 + key.len() + value.len()).sum::<usize>();
    if MAGIC.len() + 4 + header.len() + size + SUM > MOST {
        return Ok(false);
    }
    disk::replace(path, |file| {
        let mut file = Summed { file, sum: Sha256::new() };
        file.write_all(MAGIC)?;
        file.write_all(&length(header.len())?)?;
        file.write_all(&header)?;
        for (is_state, key, value) in truth.entries() {
            file.write_all(&[if is_state { STATE } else { POSITIONS }])?;
            file.write_all(&length(key.len())?)?;
            file.write_all(&length(value.len())?)?;
            file.write_all(&key)?;
            file.write_all(&value)?;
        }
        let sum = file.sum.finalize();
        file.file.write_all(&sum)
    })?;
    Ok(true)
}

/// What a file holds that fits: what was true, and where the rest begins. Or why it is of no use.
///
/// `kept` is how long the topics keep deletions, in milliseconds. A key that this file knows may have been
/// deleted since, and a deletion that lies in the log for that long goes with the next compaction: who then
/// reads from this file's offsets on never hears of it. So a file is too old at half of it, and the other half
/// is for clocks that are wrong. For the same reason one from the future is of no use.
pub(super) fn read(
    path: &Path,
    identity: &str,
    ours: &Ours,
    lane: u32,
    kept: u64,
) -> Result<Option<(Truth, Start)>, String> {
    let most = u64::try_from(MOST).unwrap_or(u64::MAX);
    let Some(bytes) = disk::read(path, most).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let (header, entries) = open(&bytes).ok_or("it is damaged, or of another format")?;
    let header: Header = serde_json::from_slice(header).map_err(|_| "its header is damaged")?;
    let is_ours = header.identity == identity
        && (header.lanes, header.lane) == (ours.lanes, lane)
        && Some(header.positions) == ours.positions.id
        && Some(header.state) == ours.state.id;
    if !is_ours {
        return Err("it is of another lane, or of other topics".to_owned());
    }
    let age = now().checked_sub(header.written).ok_or("it is from the future")?;
    if age >= kept.min(header.kept) / 2 {
        return Err(format!("it is {age} ms old: deletions since then may be gone"));
    }
    let truth = truth_of(entries, &mut Check::of_cache(ours, lane));
    Ok(Some((truth.ok_or("what it holds is not of this lane")?, header.start)))
}

/// Header and entries of a file that is whole.
fn open(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bytes, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    if Sha256::digest(bytes)[..] != *sum {
        return None;
    }
    let bytes = bytes.strip_prefix(MAGIC)?;
    let (header, rest) = take_length(bytes)?;
    rest.split_at_checked(header)
}

fn truth_of(mut entries: &[u8], check: &mut Check<'_>) -> Option<Truth> {
    let mut truth = Truth::default();
    while let Some((kind, rest)) = entries.split_first() {
        let (key, rest) = take_length(rest)?;
        let (value, rest) = take_length(rest)?;
        let (key, rest) = rest.split_at_checked(key)?;
        let (value, rest) = rest.split_at_checked(value)?;
        // Copied: a value that stays would hold the whole file.
        let (key, value) = (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
        match *kind {
            POSITIONS => check.position(&mut truth, &key, value).ok()?,
            STATE => check.state(&mut truth, &key, value).ok()?,
            _ => return None,
        }
        entries = rest;
    }
    Some(truth)
}

fn length(len: usize) -> io::Result<[u8; 4]> {
    u32::try_from(len).map(u32::to_be_bytes).map_err(io::Error::other)
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_be_bytes(*len)).ok()?, rest))
}

/// Writes, and sums what was written.
struct Summed<'a, W: Write> {
    file: &'a mut BufWriter<W>,
    sum: Sha256,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{ShardId, TopicRef};
    use crate::kafka::lanes::format::Seen;
    use crate::kafka::lanes::truth::ShardTruth;
    use host_events::{Incarnation, Position};

    const KEPT: u64 = 24 * 60 * 60 * 1000;
    const START: Start = Start { ends: Ends { positions: 7, state: 9 }, word: Uuid::from_u128(5) };

    fn ours(lanes: u32, state: u128) -> Ours {
        let topic = |id| {
            let topic = TopicRef::new("t", Incarnation(Uuid::nil()));
            TopicRef { id: Some(Uuid::from_u128(id)), ..topic }
        };
        Ours { positions: topic(1), state: topic(state), lanes }
    }

    fn truth() -> Truth {
        let mut truth = Truth::default();
        let positions = Position([((Incarnation(Uuid::from_u128(9)), 1), 5)].into());
        let state = [("k".into(), "v".into()), ("".into(), "".into())].into();
        for shard in 0..50 {
            let id = ShardId { processor: Uuid::from_u128(7), shard };
            let (positions, state) = (positions.clone(), Clone::clone(&state));
            truth.shards.insert(id, ShardTruth { positions, state, digest: Some("aa".into()) });
        }
        truth.tokens.insert([3; 16], Seen { count: 3, at: now() });
        truth
    }

    fn written(dir: &Path) -> PathBuf {
        let path = dir.join("lanes.x.0.cache");
        assert!(write(&path, "x", &ours(1, 2), 0, (&truth(), START, KEPT)).unwrap());
        path
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let (read, start) = super::read(&path, "x", &ours(1, 2), 0, KEPT).unwrap().unwrap();
        assert_eq!(start, START);
        assert!(read.has_same_shards(&truth()));
        assert_eq!(read.tokens.find(&[3; 16]).unwrap().count, 3);
        assert!(
            super::read(&dir.path().join("none"), "x", &ours(1, 2), 0, KEPT).unwrap().is_none()
        );
    }

    #[test]
    fn what_does_not_fit_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let refused = |identity: &str, ours: Ours, lane, kept| {
            super::read(&path, identity, &ours, lane, kept).err().unwrap()
        };
        for (identity, ours, lane) in
            [("y", ours(1, 2), 0), ("x", ours(2, 2), 0), ("x", ours(1, 3), 0), ("x", ours(1, 2), 1)]
        {
            let why = refused(identity, ours, lane, KEPT);
            assert_eq!(why, "it is of another lane, or of other topics");
        }
        assert!(refused("x", ours(1, 2), 0, 0).contains("deletions since then may be gone"));
    }

    #[test]
    fn a_file_that_is_not_whole_or_of_a_newer_format_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let whole = std::fs::read(&path).unwrap();
        let is_refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            super::read(&path, "x", &ours(1, 2), 0, KEPT).is_err()
        };
        for at in (0..whole.len()).step_by(97) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(is_refused(&flipped), "octet {at}");
            assert!(is_refused(&whole[..at]), "cut at {at}");
        }
        let mut newer = whole[..whole.len() - SUM].to_vec();
        newer[MAGIC.len() - 2] = b'2';
        newer.extend(Sha256::digest(&newer));
        assert!(is_refused(&newer));
        assert!(!is_refused(&whole));
    }

    #[test]
    fn a_lane_that_is_too_large_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut truth) = (dir.path().join("a"), truth());
        let large = Bytes::from(vec![0; MOST]);
        truth.shards.values_mut().next().unwrap().state.insert("large".into(), large);
        assert!(!write(&path, "x", &ours(1, 2), 0, (&truth, START, KEPT)).unwrap());
        assert!(!path.exists());
    }
}
