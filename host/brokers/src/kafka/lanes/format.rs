//! How positions, state and tokens lie in the two topics.
//!
//! | topic | key | value |
//! |---|---|---|
//! | positions | `processor/shard`, as text | JSON: `v` (1), `digest`, `positions`: lists of flow, partition, next |
//! | state | 1, `s`, processor (16 bytes), shard (4 bytes, the highest first), key | the value as it is |
//! | both | `lane`; 1, `l` | what a lane begins with: `mark.rs` |
//! | both | `cache`; 1, `c` | 16 bytes: `cache/mod.rs` |
//! | state | 2, `t`, the first 16 bytes of the SHA-256 of what a token is | 1, count (8 bytes), milliseconds since 1970 (8) |
//! | state | 1, `t`, the same | the same, of before: read and deleted, no longer written |
//!
//! A token of 2 lies in the lane of whoever gave it, one of 1 in the lane of its own hash: who looked for it there would
//! take one of 2 for damage, so it has another number.
//!
//! No value: it was deleted. Whatever is not so is refused, a newer version by its number.

use bytes::{BufMut, Bytes, BytesMut};
use host_events::{Incarnation, Position};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::broker::{ShardId, Token};

/// The version of everything but tokens. Older ones there are none.
pub(super) const VERSION: u8 = 1;

/// The version of the keys of tokens, and the newest that is known.
const TOKEN_VERSION: u8 = 2;
const STATE: u8 = b's';
const TOKEN: u8 = b't';

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Malformed {
    #[error("it has format {0}, this host knows up to {1}")]
    Newer(u64, u8),
    #[error("{0}")]
    Broken(&'static str),
    #[error("it belongs to lane {0}")]
    Elsewhere(u32),
    #[error("{0}")]
    Other(String),
}

/// What recognises a token in a lane.
pub(super) type TokenId = [u8; 16];

/// A key of the state topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    State(ShardId, Bytes),
    Token(TokenId),
    /// One that an earlier host wrote.
    OldToken(TokenId),
}

/// How an append with a token ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) count: u64,
    /// Milliseconds since 1970 UTC.
    pub(super) at: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    v: u64,
    digest: Option<String>,
    positions: Vec<(Uuid, u32, u64)>,
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

pub(super) fn shard_key(shard: ShardId) -> Bytes {
    format!("{}/{}", shard.processor, shard.shard).into()
}

pub(super) fn read_shard_key(key: &[u8]) -> Result<ShardId, Malformed> {
    let broken = || Malformed::Broken("its key names no shard");
    let text = std::str::from_utf8(key).map_err(|_| broken())?;
    let (processor, shard) = text.split_once('/').ok_or_else(broken)?;
    let (processor, shard) = (processor.parse(), shard.parse());
    let (Ok(processor), Ok(shard)) = (processor, shard) else { return Err(broken()) };
    Ok(ShardId { processor, shard })
}

pub(super) fn positions(positions: &Position, digest: Option<&str>) -> Bytes {
    let list = positions.0.iter().map(|((flow, partition), next)| (flow.0, *partition, *next));
    let digest = digest.map(str::to_owned);
    let stored = Stored { v: VERSION.into(), digest, positions: list.collect() };
    // Numbers, texts and lists can be written.
    serde_json::to_vec(&stored).unwrap_or_default().into()
}

pub(super) fn read_positions(value: &[u8]) -> Result<(Position, Option<String>), Malformed> {
    let broken = |_| Malformed::Broken("its value is no list of positions");
    let version: Version = serde_json::from_slice(value).map_err(broken)?;
    known(version.v)?;
    let stored: Stored = serde_json::from_slice(value).map_err(broken)?;
    let list = stored.positions.into_iter();
    let positions = list.map(|(flow, partition, next)| ((Incarnation(flow), partition), next));
    Ok((Position(positions.collect()), stored.digest))
}

pub(super) fn state_key(shard: ShardId, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(22 + key.len());
    bytes.put_slice(&[VERSION, STATE]);
    bytes.put_slice(shard.processor.as_bytes());
    bytes.put_u32(shard.shard);
    bytes.put_slice(key);
    bytes.freeze()
}

pub(super) fn token_key(token: &TokenId) -> Bytes {
    [&[TOKEN_VERSION, TOKEN], &token[..]].concat().into()
}

/// Where an earlier host wrote it.
pub(super) fn old_token_key(token: &TokenId) -> Bytes {
    [&[VERSION, TOKEN], &token[..]].concat().into()
}

pub(super) fn read_key(key: &Bytes) -> Result<Key, Malformed> {
    let broken = Malformed::Broken("its key is none of ours");
    match &key[..] {
        [VERSION, STATE, rest @ ..] => {
            let Some((processor, rest)) = rest.split_first_chunk::<16>() else {
                return Err(broken);
            };
            let Some((shard, rest)) = rest.split_first_chunk::<4>() else { return Err(broken) };
            let processor = Uuid::from_bytes(*processor);
            let shard = ShardId { processor, shard: u32::from_be_bytes(*shard) };
            Ok(Key::State(shard, key.slice_ref(rest)))
        }
        [TOKEN_VERSION, TOKEN, id @ ..] => id.try_into().map(Key::Token).map_err(|_| broken),
        [VERSION, TOKEN, id @ ..] => id.try_into().map(Key::OldToken).map_err(|_| broken),
        [version, TOKEN, ..] if *version > TOKEN_VERSION => newer(*version, TOKEN_VERSION),
        [version, ..] if *version > VERSION => newer(*version, VERSION),
        _ => Err(broken),
    }
}

fn newer<T>(version: u8, known: u8) -> Result<T, Malformed> {
    Err(Malformed::Newer(version.into(), known))
}

pub(super) fn seen(seen: Seen) -> Bytes {
    let mut bytes = BytesMut::with_capacity(17);
    bytes.put_u8(VERSION);
    bytes.put_u64(seen.count);
    bytes.put_u64(seen.at);
    bytes.freeze()
}

pub(super) fn read_seen(value: &[u8]) -> Result<Seen, Malformed> {
    let broken = Malformed::Broken("its value says nothing of a token");
    match value {
        [VERSION, rest @ ..] => {
            let Some((count, at)) = rest.split_first_chunk::<8>() else { return Err(broken) };
            let Ok(at) = at.try_into() else { return Err(broken) };
            Ok(Seen { count: u64::from_be_bytes(*count), at: u64::from_be_bytes(at) })
        }
        [version, ..] if *version > VERSION => newer(*version, VERSION),
        _ => Err(broken),
    }
}

/// A token is its principal's, and is said of one life of a flow. Hashed, so that what a client says lies
/// nowhere, and a lane keeps many.
pub(super) fn token_id(token: &Token, flow: Incarnation) -> TokenId {
    let mut hash = writer(&token.principal, flow);
    hash.update(&token.token);
    id(hash)
}

/// Whoever writes with tokens to a flow: all of his go through one lane.
pub(super) fn writer_id(principal: &str, flow: Incarnation) -> TokenId {
    id(writer(principal, flow))
}

fn writer(principal: &str, flow: Incarnation) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(flow.0.as_bytes());
    // The length keeps apart what would read the same in a row.
    hash.update((principal.len() as u64).to_be_bytes());
    hash.update(principal);
    hash
}

fn id(hash: Sha256) -> TokenId {
    let mut id = TokenId::default();
    id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    id
}

/// Whether JSON is of a version that is known here.
pub(super) fn known_version(value: &[u8]) -> Result<(), Malformed> {
    let version: Result<Version, _> = serde_json::from_slice(value);
    known(version.map_err(|_| Malformed::Broken("its value says no version"))?.v)
}

fn known(version: u64) -> Result<(), Malformed> {
    if version > VERSION.into() { Err(Malformed::Newer(version, VERSION)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARD: ShardId = ShardId { processor: Uuid::from_u128(7), shard: 258 };

    #[test]
    fn what_is_written_is_read_again() {
        let flow = Incarnation(Uuid::from_u128(9));
        let at = Position([((flow, 0), 5), ((flow, 3), u64::MAX)].into());
        let written = positions(&at, Some("aa"));
        assert_eq!(read_positions(&written), Ok((at, Some("aa".to_owned()))));
        assert_eq!(read_shard_key(&shard_key(SHARD)), Ok(SHARD));
        for key in ["", "k", "\u{0}long"] {
            let read = read_key(&state_key(SHARD, key.as_bytes()));
            assert_eq!(read, Ok(Key::State(SHARD, key.into())));
        }
        assert_eq!(read_key(&token_key(&[3; 16])), Ok(Key::Token([3; 16])));
        assert_eq!(read_key(&old_token_key(&[3; 16])), Ok(Key::OldToken([3; 16])));
        let told = Seen { count: 3, at: 1_780_000_000_000 };
        assert_eq!(read_seen(&seen(told)), Ok(told));
    }

    #[test]
    fn the_format_is_the_one_that_lies_on_brokers() {
        let at = Position([((Incarnation(Uuid::from_u128(9)), 1), 5)].into());
        let expected =
            r#"{"v":1,"digest":null,"positions":[["00000000-0000-0000-0000-000000000009",1,5]]}"#;
        assert_eq!(positions(&at, None), expected);
        assert_eq!(shard_key(SHARD), "00000000-0000-0000-0000-000000000007/258");
        assert_eq!(&state_key(SHARD, b"k")[..2], b"\x01s");
        assert_eq!(state_key(SHARD, b"k")[17..], *b"\x07\x00\x00\x01\x02k");
        assert_eq!(token_key(b"sixteen octets: "), &b"\x02tsixteen octets: "[..]);
        assert_eq!(old_token_key(b"sixteen octets: "), &b"\x01tsixteen octets: "[..]);
        let told = seen(Seen { count: 3, at: 258 });
        assert_eq!(told, &b"\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\x01\x02"[..]);
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let newer = read_positions(br#"{"v":7,"what":"ever"}"#).unwrap_err();
        assert_eq!(newer.to_string(), "it has format 7, this host knows up to 1");
        assert_eq!(read_key(&Bytes::from_static(b"\x02s")), Err(Malformed::Newer(2, 1)));
        assert_eq!(read_key(&Bytes::from_static(b"\x03t")), Err(Malformed::Newer(3, 2)));
        assert_eq!(read_seen(b"\x09"), Err(Malformed::Newer(9, 1)));
    }

    #[test]
    fn a_token_is_its_principals_and_its_flows() {
        let id = |principal: &str, token: &str, flow| {
            let token = Token { principal: principal.into(), token: token.into() };
            token_id(&token, Incarnation(Uuid::from_u128(flow)))
        };
        let writer = writer_id("ana", Incarnation(Uuid::from_u128(1)));
        let all =
            [writer, id("ana", "t", 1), id("an", "at", 1), id("bob", "t", 1), id("ana", "t", 2)];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(key: Vec<u8>, value: Vec<u8>) {
            let _answers = (read_shard_key(&key), read_positions(&value), read_seen(&value));
            let _answer = read_key(&key.into());
        }
    }
}
