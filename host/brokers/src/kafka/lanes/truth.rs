//! What is true of a lane: positions, state and digest of its shards, and the tokens it has seen.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use host_events::Position;

use super::format::{self, Key, Malformed};
use super::moment::Moment;
use super::tokens::Tokens;
use crate::broker::{Commit, ShardId};

/// Everything of a lane.
#[derive(Clone, Default)]
pub(super) struct Truth {
    pub(super) shards: HashMap<ShardId, ShardTruth>,
    pub(super) tokens: Tokens,
    /// When the whole log was last read for it: what was deleted by others since then may still be in it.
    pub(super) read_whole: Option<Moment>,
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShardTruth {
    pub(super) positions: Position,
    pub(super) state: BTreeMap<Bytes, Bytes>,
    pub(super) digest: Option<String>,
}

impl Truth {
    /// Nothing yet; the whole log is read for it from now on.
    pub(super) fn of_whole_log() -> Self {
        Self { read_whole: Moment::now(), ..Self::default() }
    }

    /// Takes in a record of the positions topic.
    pub(super) fn position(
        &mut self,
        shard: ShardId,
        value: Option<&[u8]>,
    ) -> Result<(), Malformed> {
        let (positions, digest) =
            value.map(format::read_positions).transpose()?.unwrap_or_default();
        let truth = self.shards.entry(shard).or_default();
        (truth.positions, truth.digest) = (positions, digest);
        self.tidy(shard);
        Ok(())
    }

    /// Takes in a record of the state topic.
    pub(super) fn state(&mut self, key: Key, value: Option<Bytes>) -> Result<(), Malformed> {
        match (key, value) {
            (Key::State(shard, key), Some(value)) => {
                self.shards.entry(shard).or_default().state.insert(key, value);
            }
            (Key::State(shard, key), None) => {
                self.shards.entry(shard).or_default().state.remove(&key);
                self.tidy(shard);
            }
            (Key::Token(id), Some(value)) => self.tokens.insert(id, format::read_seen(&value)?),
            (Key::Token(id), None) => self.tokens.remove(&id),
            (Key::OldToken(id), Some(value)) => {
                self.tokens.insert_old(id, format::read_seen(&value)?);
            }
            (Key::OldToken(id), None) => self.tokens.remove_old(&id),
        }
        Ok(())
    }

    /// What a commit made true.
    pub(super) fn committed(&mut self, shard: ShardId, commit: Commit) {
        let truth = self.shards.entry(shard).or_default();
        truth.positions.0.extend(commit.positions.0);
        truth.digest = Some(commit.digest.to_string());
        for (key, value) in commit.state {
            match value {
                Some(value) => drop(truth.state.insert(key, value)),
                None => drop(truth.state.remove(&key)),
            }
        }
    }

    /// Whether the same is true of all shards.
    pub(super) fn has_same_shards(&self, other: &Self) -> bool {
        let nothing = ShardTruth::default();
        let mut shards = self.shards.keys().chain(other.shards.keys());
        shards.all(|shard| {
            let here = self.shards.get(shard).unwrap_or(&nothing);
            here == other.shards.get(shard).unwrap_or(&nothing)
        })
    }

    /// All of it as keys and values of the topics, those of the state topic with `true`.
    pub(super) fn entries(&self) -> impl Iterator<Item = (bool, Bytes, Bytes)> {
        let positions = self.shards.iter().map(|(shard, truth)| {
            let value = format::positions(&truth.positions, truth.digest.as_deref());
            (false, format::shard_key(*shard), value)
        });
        let state = self.shards.iter().flat_map(|(shard, truth)| {
            let entry = |(key, value): (&Bytes, &Bytes)| {
                (true, format::state_key(*shard, key), value.clone())
            };
            truth.state.iter().map(entry)
        });
        let tokens =
            self.tokens.all().map(|(id, seen)| (true, self.tokens.key(&id), format::seen(seen)));
        positions.chain(state).chain(tokens)
    }

    /// Nobody needs to remember that there is nothing.
    fn tidy(&mut self, shard: ShardId) {
        if self.shards.get(&shard).is_some_and(|truth| *truth == ShardTruth::default()) {
            self.shards.remove(&shard);
        }
    }
}

impl ShardTruth {
    /// Positions and digest as they are after a commit.
    pub(super) fn after(&self, commit: &Commit) -> Bytes {
        let mut positions = self.positions.clone();
        positions.0.extend(commit.positions.0.iter());
        format::positions(&positions, Some(&commit.digest))
    }

    /// Says which position a commit would move back, where it does.
    pub(super) fn moves_back(&self, positions: &Position) -> Option<String> {
        positions.0.iter().find_map(|((flow, partition), next)| {
            let now = self.positions.get(*flow, *partition).filter(|now| now > next)?;
            Some(format!("position of partition {partition} moves back: {now} to {next}"))
        })
    }
}

/// Milliseconds since 1970 UTC.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
