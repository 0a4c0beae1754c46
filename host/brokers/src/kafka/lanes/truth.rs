//! What is true of a lane: positions, state and digest of its shards, and the tokens it has seen.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use host_events::Position;

use super::format::{self, Key, Malformed, Seen, TokenId};
use super::moment::Moment;
use crate::broker::{Commit, ShardId};

/// How long a token is remembered: a client that lost an answer repeats within minutes; a day leaves
/// room for one that was switched off over night.
const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Tokens of a lane at once, some 64 bytes each. Beyond it the oldest are forgotten early: with eight lanes and many
/// writers that is when more than forty appends with a token come in every second of a day, with one writer more
/// than five.
const MOST_TOKENS: usize = 500_000;

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
            self.tokens.all().map(|(id, seen)| (true, format::token_key(&id), format::seen(seen)));
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

/// Tokens and how their appends ended.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    seen: HashMap<TokenId, Seen>,
    /// In the order of their coming. May name some that are gone or came again.
    order: VecDeque<(TokenId, u64)>,
}

impl Tokens {
    /// How the append of a token ended, where it is remembered.
    pub(super) fn find(&self, id: &TokenId) -> Option<Seen> {
        self.seen.get(id).copied().filter(|seen| !is_old(seen.at, now()))
    }

    /// Those that are remembered, in the order of their coming.
    fn all(&self) -> impl Iterator<Item = (TokenId, Seen)> {
        self.order.iter().filter_map(|(id, at)| {
            let seen = self.seen.get(id).filter(|seen| seen.at == *at)?;
            Some((*id, *seen))
        })
    }

    pub(super) fn insert(&mut self, id: TokenId, seen: Seen) {
        self.seen.insert(id, seen);
        self.order.push_back((id, seen.at));
    }

    pub(super) fn remove(&mut self, id: &TokenId) {
        self.seen.remove(id);
    }

    /// Some that are too old or too many, and are to be deleted where they lie.
    pub(super) fn expire(&mut self, most: usize) -> Vec<TokenId> {
        let (mut gone, now) = (Vec::new(), now());
        while gone.len() < most
            && let Some((id, at)) = self.order.front().copied()
            && (is_old(at, now) || self.order.len() > MOST_TOKENS)
        {
            self.order.pop_front();
            if self.seen.get(&id).is_some_and(|seen| seen.at == at) {
                self.seen.remove(&id);
                gone.push(id);
            }
        }
        gone
    }
}

fn is_old(at: u64, now: u64) -> bool {
    at.saturating_add(KEPT_MS) <= now
}

/// Milliseconds since 1970 UTC.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_tokens_are_forgotten_and_told_once() {
        let (mut tokens, now) = (Tokens::default(), now());
        for (id, at) in [([1; 16], 5), ([2; 16], now - KEPT_MS), ([1; 16], now), ([3; 16], now)] {
            tokens.insert(id, Seen { count: 1, at });
        }
        assert_eq!(tokens.find(&[2; 16]), None);
        assert!(tokens.find(&[1; 16]).is_some());
        assert_eq!(tokens.expire(10), [[2; 16]]);
        assert!(tokens.expire(10).is_empty());
        assert!(tokens.find(&[1; 16]).is_some() && tokens.find(&[3; 16]).is_some());
    }
}
