//! The tokens that a lane has seen, each for a day, and no more of them than there is room for.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::format::{self, Seen, TokenId};
use super::truth::now;

/// How long a token is remembered: a client that lost an answer repeats within minutes; a day leaves
/// room for one that was switched off over night.
pub(super) const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Tokens of a lane at once, some 64 bytes each. Beyond it the oldest are forgotten early: with eight lanes and many
/// writers that is when more than forty appends with a token come in every second of a day, with one writer more
/// than five.
const MOST_TOKENS: usize = 500_000;

/// Tokens that are deleted with one transaction, at most: those that are old go in small portions with transactions
/// that come anyway. One that adds more may delete twice as many as it adds, or there would be ever more of them.
const MOST_EXPIRED: usize = 100;

/// Tokens and how their appends ended.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    seen: HashMap<TokenId, Seen>,
    /// In the order of their coming. May name some that are gone or came again.
    order: VecDeque<(TokenId, u64)>,
    /// Those that lie where an earlier host wrote them: fewer and fewer, and none after a day.
    old: HashSet<TokenId>,
}

impl Tokens {
    /// How the append of a token ended, where it is remembered.
    pub(super) fn find(&self, id: &TokenId) -> Option<Seen> {
        self.seen.get(id).copied().filter(|seen| !is_old(seen.at, now()))
    }

    /// Those that are remembered, in the order of their coming.
    pub(super) fn all(&self) -> impl Iterator<Item = (TokenId, Seen)> {
        self.order.iter().filter_map(|(id, at)| {
            let seen = self.seen.get(id).filter(|seen| seen.at == *at)?;
            Some((*id, *seen))
        })
    }

    pub(super) fn insert(&mut self, id: TokenId, seen: Seen) {
        self.old.remove(&id);
        self.seen.insert(id, seen);
        self.order.push_back((id, seen.at));
    }

    pub(super) fn insert_old(&mut self, id: TokenId, seen: Seen) {
        self.insert(id, seen);
        self.old.insert(id);
    }

    pub(super) fn remove(&mut self, id: &TokenId) {
        if !self.old.contains(id) {
            self.seen.remove(id);
        }
    }

    pub(super) fn remove_old(&mut self, id: &TokenId) {
        if self.old.remove(id) {
            self.seen.remove(id);
        }
    }

    /// Those that lie where an earlier host wrote them, as far as they are not too old.
    pub(super) fn former(&self) -> impl Iterator<Item = (TokenId, Seen)> {
        self.old.iter().filter_map(|id| Some((*id, self.find(id)?)))
    }

    /// Where a token that is remembered lies.
    pub(super) fn key(&self, id: &TokenId) -> Bytes {
        match self.old.contains(id) {
            true => format::old_token_key(id),
            false => format::token_key(id),
        }
    }

    /// Forgets some that are too old, or too many once so many are added: the keys that are to be deleted with these.
    pub(super) fn make_room(&mut self, adding: usize) -> Vec<Bytes> {
        let (mut gone, now) = (Vec::new(), now());
        let most = MOST_EXPIRED.max(2 * adding);
        while gone.len() < most
            && let Some((id, at)) = self.order.front().copied()
            && (is_old(at, now) || self.order.len() + adding > MOST_TOKENS)
        {
            self.order.pop_front();
            if self.seen.get(&id).is_some_and(|seen| seen.at == at) {
                gone.push(self.key(&id));
                self.seen.remove(&id);
                self.old.remove(&id);
            }
        }
        gone
    }
}

pub(super) fn is_old(at: u64, now: u64) -> bool {
    at.saturating_add(KEPT_MS) <= now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::lanes::truth::Truth;

    #[test]
    fn old_tokens_are_forgotten_and_told_once() {
        let (mut tokens, now) = (Tokens::default(), now());
        for (id, at) in [([1; 16], 5), ([2; 16], now - KEPT_MS), ([1; 16], now), ([3; 16], now)] {
            tokens.insert(id, Seen { count: 1, at });
        }
        assert_eq!(tokens.find(&[2; 16]), None);
        assert!(tokens.find(&[1; 16]).is_some());
        assert_eq!(tokens.make_room(1), [format::token_key(&[2; 16])]);
        assert!(tokens.make_room(1).is_empty());
        assert!(tokens.find(&[1; 16]).is_some() && tokens.find(&[3; 16]).is_some());
    }

    #[test]
    fn large_transactions_leave_no_more_tokens_than_there_is_room_for() {
        const TOGETHER: usize = 1024;
        let (mut tokens, now, mut came) = (Tokens::default(), now(), 0_u128);
        let (mut add, mut deleted) = (
            |tokens: &mut Tokens, count| {
                for _ in 0..count {
                    came += 1;
                    tokens.insert(came.to_be_bytes(), Seen { count: 1, at: now });
                }
            },
            Vec::new(),
        );
        add(&mut tokens, MOST_TOKENS - TOGETHER / 2);
        for _ in 0..40 {
            let gone = tokens.make_room(TOGETHER);
            assert!(gone.len() <= 2 * TOGETHER, "the work of one transaction is bounded");
            deleted.extend(gone);
            add(&mut tokens, TOGETHER);
            assert!(tokens.seen.len() <= MOST_TOKENS && tokens.order.len() <= MOST_TOKENS);
        }
        assert_eq!(tokens.seen.len(), MOST_TOKENS);
        assert_eq!(deleted.len(), 40 * TOGETHER - TOGETHER / 2);
        assert_eq!(deleted[0], format::token_key(&1_u128.to_be_bytes()), "the oldest goes first");
        // What was too much before becomes less.
        add(&mut tokens, 10 * TOGETHER);
        for _ in 0..10 {
            tokens.make_room(TOGETHER);
            add(&mut tokens, TOGETHER);
        }
        assert_eq!(tokens.seen.len(), MOST_TOKENS);
    }

    #[test]
    fn tokens_of_an_earlier_host_are_known_and_deleted_where_they_lie() {
        let (mut truth, at) = (Truth::default(), now() - KEPT_MS + 60_000);
        let (value, again) = (format::seen(Seen { count: 2, at }), now());
        let mut take = |key: Bytes, value: Option<Bytes>| {
            truth.state(format::read_key(&key).unwrap(), value).unwrap();
        };
        let [one, two, three] = [[1; 16], [2; 16], [3; 16]];
        for id in [one, two, three] {
            take(format::old_token_key(&id), Some(value.clone()));
        }
        // One came again, and what lay there before is deleted later; one was deleted.
        let newer = format::seen(Seen { count: 3, at: again });
        take(format::token_key(&two), Some(newer));
        take(format::old_token_key(&two), None);
        take(format::old_token_key(&three), None);
        assert_eq!(truth.tokens.find(&one).unwrap().count, 2);
        assert_eq!(truth.tokens.find(&two).unwrap().count, 3);
        assert_eq!(truth.tokens.find(&three), None);
        let keys: Vec<_> = truth.entries().map(|(_, key, _)| key).collect();
        assert_eq!(keys, [format::old_token_key(&one), format::token_key(&two)]);
        truth.tokens.order[0].1 = 0;
        truth.tokens.seen.get_mut(&one).unwrap().at = 0;
        assert_eq!(truth.tokens.make_room(1), [format::old_token_key(&one)]);
        assert!(truth.tokens.old.is_empty());
    }
}
