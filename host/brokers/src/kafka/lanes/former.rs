//! Tokens that an earlier host remembered, each in the lane that its own hash led to, and not in that of its writer.
//!
//! What lies in a lane is told when the lane is taken over. Nothing is added after that, and after a day nothing is left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::format::{Seen, TokenId};
use super::lane::Request;
use super::ours::Ours;
use super::tokens::{Tokens, is_old};
use super::truth::now;
use super::{Lanes, ask};
use crate::broker::BrokerError;

/// What lies in the lanes that this host has taken over since it runs.
#[derive(Default)]
pub(super) struct Former(Mutex<HashMap<u32, Lane>>);

#[derive(Default)]
struct Lane {
    tokens: HashMap<TokenId, Seen>,
    /// When the last of them came.
    latest: u64,
}

impl Former {
    /// A lane was taken over.
    pub(super) fn told(&self, lane: u32, tokens: &Tokens) {
        let tokens: HashMap<_, _> = tokens.former().collect();
        let latest = tokens.values().map(|seen| seen.at).max().unwrap_or_default();
        self.lock().insert(lane, Lane { tokens, latest });
    }

    /// How the append of a token ended, where it is remembered in this lane; nothing of a lane that was not taken over.
    pub(super) fn find(&self, lane: u32, token: &TokenId) -> Option<Option<u64>> {
        let (lanes, now) = (&mut *self.lock(), now());
        let there = lanes.get_mut(&lane)?;
        if is_old(there.latest, now) {
            // Nobody needs them any more.
            *there = Lane::default();
        }
        let found = there.tokens.get(token).filter(|seen| !is_old(seen.at, now));
        Some(found.map(|seen| seen.count))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// How an append ended that an earlier host made: its token lies in the lane of its own hash, which is taken over for
    /// that once. What lies in the lane of another host that one knows.
    pub(super) async fn formerly(
        &self,
        ours: &Arc<Ours>,
        writers: u32,
        token: TokenId,
    ) -> Result<Option<u64>, BrokerError> {
        let number = ours.lane_of_bytes(&token);
        if number == writers {
            return Ok(None);
        }
        if let Some(known) = self.former.find(number, &token) {
            return Ok(known);
        }
        if !self.shares.has(writers) {
            // The group gives lanes together: who has this one has the other, or another host has.
            let lane = self.lane(ours, writers);
            let seen = ask(&lane, |answer| Request::Recall { token, answer }).await?;
            if seen.is_some() {
                return Ok(seen);
            }
        }
        if !self.shares.has(number) {
            return Ok(None);
        }
        ask(&self.lane(ours, number), |answer| Request::Recall { token, answer }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::lanes::tokens::KEPT_MS;

    #[test]
    fn what_lies_in_a_lane_is_known_once_the_lane_was_taken_over_and_for_a_day() {
        let (former, mut tokens) = (Former::default(), Tokens::default());
        let [young, old, ours] = [[1; 16], [2; 16], [3; 16]];
        let seen = |at| Seen { count: 4, at };
        tokens.insert_old(young, seen(now()));
        tokens.insert_old(old, seen(now() - KEPT_MS));
        tokens.insert(ours, seen(now()));
        assert_eq!(former.find(0, &young), None, "nobody has looked");
        former.told(0, &tokens);
        assert_eq!(former.find(0, &young), Some(Some(4)));
        assert_eq!(former.find(0, &old), Some(None));
        assert_eq!(former.find(0, &ours), Some(None), "it lies where its writer's do");
        assert_eq!(former.find(1, &young), None);
        former.lock().get_mut(&0).unwrap().latest = now() - KEPT_MS;
        assert_eq!(former.find(0, &young), Some(None));
        assert!(former.lock()[&0].tokens.is_empty(), "nobody needs them any more");
    }
}
