//! Files of lanes: what is written, what is read of it, and what is left aside.

use std::path::Path;

use bytes::Bytes;
use host_events::{Incarnation, Position};
use host_store::{SUM, sum_of};

use super::*;
use crate::broker::{ShardId, TopicRef};
use crate::kafka::lanes::format::Seen;
use crate::kafka::lanes::truth::{ShardTruth, now};

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
    truth.tokens.insert([3; 16], Seen { count: 3, at: now() });
    truth
}

fn written(dir: &Path) -> PathBuf {
    let path = dir.join("lanes.x.0.cache");
    write(&path, "x", &ours(1, 2), 0, (&truth(), START, THEN, KEPT)).unwrap();
    path
}

/// What a file says at a moment, where topics keep deletions for so long.
fn look(path: &Path, kept: u64, now: Moment) -> Result<Option<Known>, String> {
    let known = read(path, "x", &ours(1, 2), 0, &now)?;
    known.iter().try_for_each(|known| known.is_sound(kept, &now))?;
    Ok(known)
}

/// Why a file is left aside at a moment, where it is.
fn refused(path: &Path, kept: u64, now: Moment) -> Option<String> {
    look(path, kept, now).err()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let Known { truth: read, start, .. } = look(&path, KEPT, THEN).unwrap().unwrap();
    assert_eq!((start, read.read_whole), (START, Some(THEN)));
    assert!(read.has_same_shards(&truth()));
    assert_eq!(read.tokens.find(&[3; 16]).unwrap().count, 3);
    let none = dir.path().join("none");
    assert!(look(&none, KEPT, THEN).unwrap().is_none());
}

#[test]
fn what_does_not_fit_is_left_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    for (identity, ours, lane) in
        [("y", ours(1, 2), 0), ("x", ours(2, 2), 0), ("x", ours(1, 3), 0), ("x", ours(1, 2), 1)]
    {
        let why = read(&path, identity, &ours, lane, &THEN).err().unwrap();
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
        let Known { truth: read, .. } = look(&path, KEPT, now).unwrap().unwrap();
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
        other.extend(sum_of(&other));
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
