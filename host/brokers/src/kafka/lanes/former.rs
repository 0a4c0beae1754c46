//! Tokens that an earlier host remembered, each in the lane that its own hash led to, and not in that of its writer.
//!
//! What lies in a lane is told when the lane is taken over, once for as long as this host runs. Nothing is added after that,
//! and after a day nothing is left. A lane that cannot be had makes nobody wait whose own lane is well: nothing is known of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::format::{Seen, TokenId};
use super::lane::Request;
use super::ours::Ours;
use super::tokens::{Tokens, is_old};
use super::truth::now;
use super::{Lanes, ask};
use crate::broker::BrokerError;

/// How long a lane that could not be had is not asked again: one append waits for it then, and the others do not.
const SPARED: Duration = Duration::from_secs(60);

/// What lies in the lanes that this host has taken over since it runs.
#[derive(Default)]
pub(super) struct Former(Mutex<Known>);

#[derive(Default)]
struct Known {
    lanes: HashMap<u32, Lane>,
    /// Lanes that could not be had, and when one was last asked.
    missing: HashMap<u32, Instant>,
}

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
        let mut known = self.lock();
        known.missing.remove(&lane);
        known.lanes.insert(lane, Lane { tokens, latest });
    }

    /// A lane could not be had. Whether that is news.
    fn is_missing(&self, lane: u32) -> bool {
        self.lock().missing.insert(lane, Instant::now()).is_none()
    }

    /// How the append of a token ended, where it is remembered in this lane; nothing where the lane is to be asked.
    pub(super) fn find(&self, lane: u32, token: &TokenId) -> Option<Option<u64>> {
        let (Known { lanes, missing }, now) = (&mut *self.lock(), now());
        let Some(there) = lanes.get_mut(&lane) else {
            let asked = missing.get_mut(&lane)?;
            if asked.elapsed() < SPARED {
                return Some(None);
            }
            // Whoever comes meanwhile does not wait, too.
            *asked = Instant::now();
            return None;
        };
        if is_old(there.latest, now) {
            // Nobody needs them any more.
            *there = Lane::default();
        }
        let found = there.tokens.get(token).filter(|seen| !is_old(seen.at, now));
        Some(found.map(|seen| seen.count))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
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
        let lane = self.lane(ours, number);
        let seen = ask(&lane, |answer| Request::Recall { token, answer }).await;
        seen.or_else(|error| self.without(number, error))
    }

    /// Goes on without a lane that could not be had; not where the whole cluster is away, since that appends nothing anyway.
    fn without(&self, lane: u32, error: BrokerError) -> Result<Option<u64>, BrokerError> {
        if self.cluster.fault_of_being_away().is_some() {
            return Err(error);
        }
        if self.former.is_missing(lane) {
            let broker = &self.cluster.options().name;
            tracing::warn!(broker, lane, cause = %error, "tokens that an earlier version kept in the lane are not known");
        }
        Ok(None)
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
        former.lock().lanes.get_mut(&0).unwrap().latest = now() - KEPT_MS;
        assert_eq!(former.find(0, &young), Some(None));
        assert!(former.lock().lanes[&0].tokens.is_empty(), "nobody needs them any more");
    }

    #[test]
    fn a_lane_that_cannot_be_had_is_told_of_once_and_asked_now_and_then_by_one() {
        let (former, token) = (Former::default(), [1; 16]);
        assert!(former.is_missing(0) && !former.is_missing(0));
        assert_eq!(former.find(0, &token), Some(None));
        assert_eq!(former.find(1, &token), None, "it is another lane");
        *former.lock().missing.get_mut(&0).unwrap() = Instant::now().checked_sub(SPARED).unwrap();
        assert_eq!(former.find(0, &token), None, "it is asked again");
        assert_eq!(former.find(0, &token), Some(None), "by one");
        let mut tokens = Tokens::default();
        tokens.insert_old(token, Seen { count: 4, at: now() });
        former.told(0, &tokens);
        assert_eq!(former.find(0, &token), Some(Some(4)));
        assert!(former.is_missing(0), "that is over");
    }
}
