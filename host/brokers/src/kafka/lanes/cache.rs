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

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::disk;
use super::moment::Moment;
use super::ours::Ours;
use super::recover::{Check, Ends};
use super::truth::Truth;
use crate::kafka::KafkaOptions;

/// Largest file: a lane that holds more is read anew each time. It is in memory as a whole while it is read.
const MOST: usize = 64 * 1024 * 1024;

/// What it is, and its format.
const MAGIC: &[u8] = b"fnaad lane 2\n";

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

/// Writes what is true of a lane as of a start, and of a moment that is no later. What is more than a file takes,
/// and what nobody knows the age of, is not written.
pub(super) fn write(
    path: &Path,
    identity: &str,
    ours: &Ours,
    lane: u32,
    (truth, start, written, kept): (&Truth, Start, Moment, u64),
) -> io::Result<()> {
    let no = |why: String| Err(io::Error::other(why));
    let (Some(positions), Some(state)) = (ours.positions.id, ours.state.id) else {
        return no("the topics have no ids".to_owned());
    };
    let Some(read_whole) = truth.read_whole else {
        return no("nobody knows when it was read".to_owned());
    };
    let (identity, lanes) = (identity.to_owned(), ours.lanes);
    let header =
        Header { identity, lanes, lane, positions, state, start, written, read_whole, kept };
    let header = serde_json::to_vec(&header)?;
    let size = truth.entries().map(|(_, key, value)| 9 + key.len() + value.len()).sum::<usize>();
    if MAGIC.len() + 4 + header.len() + size + SUM > MOST {
        return no(format!("it is larger than {MOST} bytes"));
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
    })
}

/// What a file holds that fits: what was true, and where the rest begins. Or why it is of no use.
///
/// `kept` is how long the topics keep deletions, in milliseconds. A key that this file knows may have been
/// deleted since, and a deletion that lies in the log for that long goes with the next compaction: who then
/// reads from this file's offsets on never hears of it. So a file is too old at half of it, and the other half
/// is for what takes long. For the same reason one is of no use whose age nobody knows.
pub(super) fn read(
    path: &Path,
    identity: &str,
    ours: &Ours,
    lane: u32,
    (kept, now): (u64, Moment),
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
    is_young(header.written.age(&now)?, kept.min(header.kept))?;
    is_young(header.read_whole.age(&now)?, kept.min(header.kept))?;
    let truth = truth_of(entries, &mut Check::of_cache(ours, lane));
    let truth = truth.ok_or("what it holds is not of this lane")?;
    Ok(Some((Truth { read_whole: Some(header.read_whole), ..truth }, header.start)))
}

/// Refuses what is as old as half the time for which deletions are kept, in milliseconds.
pub(super) fn is_young(age: u64, kept: u64) -> Result<(), String> {
    let is_young = age < kept / 2;
    is_young
        .then_some(())
        .ok_or_else(|| format!("after {age} ms deletions may be gone from the log"))
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
    const THEN: Moment = Moment { boot: Uuid::from_u128(6), up: KEPT, wall: 50 * KEPT };
    const START: Start = Start { ends: Ends { positions: 7, state: 9 }, word: Uuid::from_u128(5) };

    fn ours(lanes: u32, state: u128) -> Ours {
        let topic = |id| {
            let topic = TopicRef::new("t", Incarnation(Uuid::nil()));
            TopicRef { id: Some(Uuid::from_u128(id)), ..topic }
        };
        Ours { positions: topic(1), state: topic(state), lanes }
    }

    fn truth() -> Truth {
        let mut truth = Truth { read_whole: Some(THEN), ..Truth::default() };
        let positions = Position([((Incarnation(Uuid::from_u128(9)), 1), 5)].into());
        let state = [("k".into(), "v".into()), ("".into(), "".into())].into();
        for shard in 0..50 {
            let id = ShardId { processor: Uuid::from_u128(7), shard };
            let (positions, state) = (positions.clone(), Clone::clone(&state));
            truth.shards.insert(id, ShardTruth { positions, state, digest: Some("aa".into()) });
        }
        truth.tokens.insert([3; 16], Seen { count: 3, at: super::super::truth::now() });
        truth
    }

    fn written(dir: &Path) -> PathBuf {
        let path = dir.join("lanes.x.0.cache");
        write(&path, "x", &ours(1, 2), 0, (&truth(), START, THEN, KEPT)).unwrap();
        path
    }

    /// Why a file is left aside at a moment, where it is.
    fn refused(path: &Path, kept: u64, now: Moment) -> Option<String> {
        super::read(path, "x", &ours(1, 2), 0, (kept, now)).err()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let (read, start) = super::read(&path, "x", &ours(1, 2), 0, (KEPT, THEN)).unwrap().unwrap();
        assert_eq!((start, read.read_whole), (START, Some(THEN)));
        assert!(read.has_same_shards(&truth()));
        assert_eq!(read.tokens.find(&[3; 16]).unwrap().count, 3);
        let none = dir.path().join("none");
        assert!(super::read(&none, "x", &ours(1, 2), 0, (KEPT, THEN)).unwrap().is_none());
    }

    #[test]
    fn what_does_not_fit_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        for (identity, ours, lane) in
            [("y", ours(1, 2), 0), ("x", ours(2, 2), 0), ("x", ours(1, 3), 0), ("x", ours(1, 2), 1)]
        {
            let why = super::read(&path, identity, &ours, lane, (KEPT, THEN)).err().unwrap();
            assert_eq!(why, "it is of another lane, or of other topics");
        }
    }

    #[test]
    fn a_file_is_left_aside_when_it_is_old_by_either_clock_or_the_machine_was_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let (Moment { up, wall, .. }, half) = (THEN, KEPT / 2);
        let young = Moment { up: up + half - 1, wall: wall + half - 1, ..THEN };
        assert_eq!(refused(&path, KEPT, young), None);
        let why = |kept, now| refused(&path, kept, now).unwrap();
        for old in [Moment { up: up + half, ..THEN }, Moment { wall: wall + half, ..THEN }] {
            assert!(why(KEPT, old).contains("deletions may be gone"));
        }
        assert!(why(KEPT - 2, young).contains("deletions may be gone"));
        let again = Moment { boot: Uuid::from_u128(7), ..young };
        assert!(why(KEPT, again).contains("started again"));
        for future in [Moment { up: up - 1, ..young }, Moment { wall: wall - 1, ..young }] {
            assert!(why(KEPT, future).contains("future"));
        }
    }

    #[test]
    fn what_is_written_anew_from_a_file_is_as_old_as_when_the_log_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let (path, this) = (written(dir.path()), ours(1, 2));
        let later = |by| Moment { up: THEN.up + by, wall: THEN.wall + by, ..THEN };
        for by in [KEPT / 4, KEPT / 2 - 1] {
            let now = later(by);
            let (read, _) = super::read(&path, "x", &this, 0, (KEPT, now)).unwrap().unwrap();
            write(&path, "x", &this, 0, (&read, START, now, KEPT)).unwrap();
        }
        assert!(refused(&path, KEPT, later(KEPT / 2)).unwrap().contains("deletions may be gone"));
        // Where nobody knows when it was read, it is not written.
        let unknown = Truth { read_whole: None, ..truth() };
        write(&path, "x", &this, 0, (&unknown, START, later(KEPT), KEPT)).unwrap_err();
    }

    #[test]
    fn a_file_that_is_not_whole_or_of_another_format_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let whole = std::fs::read(&path).unwrap();
        let is_refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            refused(&path, KEPT, THEN).is_some()
        };
        for at in (0..whole.len()).step_by(97) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(is_refused(&flipped), "octet {at}");
            assert!(is_refused(&whole[..at]), "cut at {at}");
        }
        for format in *b"13" {
            let mut other = whole[..whole.len() - SUM].to_vec();
            other[MAGIC.len() - 2] = format;
            other.extend(Sha256::digest(&other));
            assert!(is_refused(&other));
        }
        assert!(!is_refused(&whole));
    }

    #[test]
    fn a_lane_that_is_too_large_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut truth) = (dir.path().join("a"), truth());
        let large = Bytes::from(vec![0; MOST]);
        truth.shards.values_mut().next().unwrap().state.insert("large".into(), large);
        let written = write(&path, "x", &ours(1, 2), 0, (&truth, START, THEN, KEPT));
        assert!(written.unwrap_err().to_string().contains("larger than"));
        assert!(!path.exists());
    }
}
