//! Which lanes this host may take, as far as it knows.
//!
//! Knowing may be old: a host that was stopped wakes up with what it knew. Whoever has a lane is told by the
//! cluster alone, so after a sleep, and after somebody else turned out to have a lane, nothing is taken until
//! the group had the time to say what is so.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::broker::BrokerError;

/// After this without a sign of life the group gives a host's lanes to others. Kafka allows six seconds; ten
/// keep a machine that is busy with something else from losing its lanes for nothing.
pub(super) const SESSION: Duration = Duration::from_secs(10);

/// How often the group's task looks at the clock.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Ticks that are this far apart are a sleep.
const SLEPT: Duration = Duration::from_secs(4);

/// How long who needs a lane waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the group said last.
#[derive(Default)]
pub(super) struct Shares {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Default)]
struct Known {
    lanes: HashSet<u32>,
    ticked: Option<Instant>,
    /// Until then nothing is believed.
    doubt: Option<Instant>,
    /// The same of single lanes.
    doubts: HashMap<u32, Instant>,
    /// Why this host is out of the group.
    out: Option<BrokerError>,
    /// What happened to the topics.
    lost: Option<BrokerError>,
}

impl Shares {
    /// The group gave these lanes.
    pub(super) fn given(&self, lanes: &[u32]) {
        let mut known = self.lock();
        known.lanes.extend(lanes);
        // Who is given lanes is in the group.
        known.out = None;
        known.doubts.retain(|lane, _| !lanes.contains(lane));
        drop(known);
        self.changed.notify_waiters();
    }

    /// The group takes these lanes away.
    pub(super) fn taken(&self, lanes: &[u32]) {
        self.lock().lanes.retain(|lane| !lanes.contains(lane));
    }

    /// The host is awake.
    pub(super) fn tick(&self) {
        let (mut known, now) = (self.lock(), Instant::now());
        if known.ticked.is_some_and(|before| now.duration_since(before) > SLEPT) {
            known.doubt = Some(now + SESSION);
        }
        known.ticked = Some(now);
        drop(known);
        self.changed.notify_waiters();
    }

    /// Somebody else turned out to have a lane.
    pub(super) fn doubt(&self, lane: u32) {
        self.lock().doubts.insert(lane, Instant::now() + SESSION);
    }

    /// This host is out of the group, until it is in it again.
    pub(super) fn out(&self, error: Option<BrokerError>) {
        let mut known = self.lock();
        known.lanes.clear();
        known.out = error;
        drop(known);
        self.changed.notify_waiters();
    }

    /// The topics of the lanes are not the ones that they were, or are again.
    pub(super) fn lost(&self, error: Option<BrokerError>) {
        self.lock().lost = error;
        self.changed.notify_waiters();
    }

    /// Whether a lane may be taken now.
    pub(super) fn has(&self, lane: u32) -> bool {
        matches!(self.lock().may_take(lane, Instant::now()), Ok(true))
    }

    /// Waits a little until a lane may be taken.
    pub(super) async fn wait_for(&self, lane: u32) -> Result<(), Missing> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.lock().may_take(lane, Instant::now()) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(Missing::Out(error)),
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(Missing::NotGiven);
            }
        }
    }

    /// Waits until a lane may be taken that may not be taken now; for ever where it may.
    pub(super) async fn given_anew(&self, lane: u32) {
        if self.has(lane) {
            return std::future::pending().await;
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.has(lane) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a lane cannot be taken.
pub(super) enum Missing {
    NotGiven,
    /// The group gave it to another host: which, in words.
    HeldBy(String),
    Out(BrokerError),
}

impl Known {
    fn may_take(&self, lane: u32, now: Instant) -> Result<bool, BrokerError> {
        if let Some(error) = self.lost.as_ref().or(self.out.as_ref()) {
            return Err(error.clone());
        }
        let is_awake = self.ticked.is_some_and(|at| now.duration_since(at) < SLEPT);
        let doubt = self.doubt.max(self.doubts.get(&lane).copied());
        Ok(is_awake && self.lanes.contains(&lane) && doubt.is_none_or(|until| until <= now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(shares: &Shares, lane: u32, after: Duration) -> bool {
        shares.lock().may_take(lane, Instant::now() + after).unwrap()
    }

    #[test]
    fn a_lane_is_taken_only_by_who_was_given_it_and_is_awake() {
        let shares = Shares::default();
        shares.given(&[1, 2]);
        assert!(!known(&shares, 1, Duration::ZERO), "nobody has looked at the clock");
        shares.tick();
        assert!(known(&shares, 1, Duration::ZERO) && !known(&shares, 3, Duration::ZERO));
        assert!(!known(&shares, 1, SLEPT), "it may be asleep");
        shares.taken(&[1]);
        assert!(!known(&shares, 1, Duration::ZERO) && known(&shares, 2, Duration::ZERO));
    }

    #[tokio::test]
    async fn who_has_not_got_a_lane_is_told_when_it_is_given() {
        let shares = Shares::default();
        shares.tick();
        let told = shares.given_anew(1);
        tokio::pin!(told);
        assert!(futures::poll!(&mut told).is_pending());
        shares.given(&[2]);
        assert!(futures::poll!(&mut told).is_pending());
        shares.given(&[1]);
        assert!(futures::poll!(&mut told).is_ready());
        // Who has got it waits for something else.
        assert!(futures::poll!(std::pin::pin!(shares.given_anew(1))).is_pending());
    }

    #[test]
    fn who_slept_or_was_fenced_waits_for_the_groups_word() {
        let shares = Shares::default();
        shares.given(&[1, 2]);
        shares.lock().ticked = Instant::now().checked_sub(SLEPT * 2);
        shares.tick();
        assert!(!known(&shares, 1, Duration::ZERO));
        shares.lock().doubt = None;
        shares.doubt(1);
        assert!(!known(&shares, 1, Duration::ZERO) && known(&shares, 2, Duration::ZERO));
        shares.given(&[1]);
        assert!(known(&shares, 1, Duration::ZERO), "given anew");
    }
}
