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

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::disk;
use super::moment::Moment;
use super::ours::Ours;
use super::recover::{Check, Ends};
use super::summed::{SUM, Summed, length, read_length, read_octet, read_octets};
use super::truth::Truth;
use crate::kafka::KafkaOptions;

/// Largest file: a lane that holds more is read anew each time. What is true of a lane lies in memory, so this is
/// no more on the disk than there is there.
const MOST: u64 = 2 << 30;

/// What is read from the disk at once.
const AT_ONCE: usize = 256 << 10;

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
    if (MAGIC.len() + 4 + header.len() + size + SUM) as u64 > MOST {
        return no(format!("it is larger than {MOST} bytes"));
    }
    // Its sum tells one that the machine's end has torn, and after that none counts.
    disk::replace_at_ease(path, |file| {
        let mut file = Summed::new(file);
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
        let (file, sum) = file.end();
        file.write_all(&sum)
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
    let Some(file) = disk::open(path, MOST).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let mut body = Body::of(&file).map_err(damaged)?;
    let header = body.header().map_err(damaged)?;
    let is_ours = header.identity == identity
        && (header.lanes, header.lane) == (ours.lanes, lane)
        && Some(header.positions) == ours.positions.id
        && Some(header.state) == ours.state.id;
    if !is_ours {
        return Err("it is of another lane, or of other topics".to_owned());
    }
    is_young(header.written.age(&now)?, kept.min(header.kept))?;
    is_young(header.read_whole.age(&now)?, kept.min(header.kept))?;
    let truth = body.truth(&mut Check::of_cache(ours, lane)).map_err(damaged)?;
    // Nothing of it is believed before.
    body.end_whole().map_err(damaged)?;
    Ok(Some((Truth { read_whole: Some(header.read_whole), ..truth }, header.start)))
}

fn damaged(cause: io::Error) -> String {
    format!("it is damaged, or of another format: {cause}")
}

/// Refuses what is as old as half the time for which deletions are kept, in milliseconds.
pub(super) fn is_young(age: u64, kept: u64) -> Result<(), String> {
    let is_young = age < kept / 2;
    is_young
        .then_some(())
        .ok_or_else(|| format!("after {age} ms deletions may be gone from the log"))
}

/// What lies in a file, before its sum.
struct Body<'a> {
    file: &'a File,
    octets: BufReader<Summed<io::Take<&'a File>>>,
    len: u64,
}

impl<'a> Body<'a> {
    fn of(file: &'a File) -> io::Result<Self> {
        let len = file.metadata()?.len().saturating_sub(SUM as u64);
        let octets = BufReader::with_capacity(AT_ONCE, Summed::new(file.take(len)));
        Ok(Self { file, octets, len })
    }

    fn header(&mut self) -> io::Result<Header> {
        let magic = read_octets(&mut self.octets, MAGIC.len())?;
        if magic != MAGIC {
            return Err(io::Error::other("it begins otherwise"));
        }
        let header = read_length(&mut self.octets, self.len)?;
        Ok(serde_json::from_slice(&read_octets(&mut self.octets, header)?)?)
    }

    fn truth(&mut self, check: &mut Check<'_>) -> io::Result<Truth> {
        let mut truth = Truth::default();
        while let Some(kind) = read_octet(&mut self.octets)? {
            let key = read_length(&mut self.octets, self.len)?;
            let value = read_length(&mut self.octets, self.len)?;
            let key = read_octets(&mut self.octets, key)?;
            let value = Some(read_octets(&mut self.octets, value)?);
            let taken = match kind {
                POSITIONS => check.position(&mut truth, &key, value),
                STATE => check.state(&mut truth, &key, value),
                _ => return Err(io::Error::other("an entry of another kind")),
            };
            taken.map_err(io::Error::other)?;
        }
        Ok(truth)
    }

    /// Refuses a file whose sum is not that of what was read.
    fn end_whole(self) -> io::Result<()> {
        let (_, sum) = self.octets.into_inner().end();
        let mut written = [0; SUM];
        let mut file = self.file;
        file.read_exact(&mut written)?;
        match sum == written {
            true => Ok(()),
            false => Err(io::Error::other("its sum is another one")),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sha2::{Digest as _, Sha256};

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
        let large = Bytes::from(vec![0; usize::try_from(MOST).unwrap()]);
        truth.shards.values_mut().next().unwrap().state.insert("large".into(), large);
        let written = write(&path, "x", &ours(1, 2), 0, (&truth, START, THEN, KEPT));
        assert!(written.unwrap_err().to_string().contains("larger than"));
        assert!(!path.exists());
    }
}
