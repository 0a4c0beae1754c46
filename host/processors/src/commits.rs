//! Commits: what was decided is gathered, and goes out with its positions and state in one piece.
//!
//! One is in flight at a time. What it did not make durable the shard begins again without (`shard.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use host_brokers::{Commit, CommitOutcome, Fence};
use host_events::{Batch, Position, Stored, TRACE};
use host_plugins::Action;
use tokio::task::{JoinError, JoinHandle};

use crate::dead::{Given, Scene};
use crate::delivery;
use crate::outputs::{Outputs, Ready, Route};
use crate::shard::{Failure, settle};
use crate::status::Moved;
use crate::traced::Traced;
use crate::worker::{Moves, Worker};

/// Batches that may wait for a commit: enough to fill it while the one before is written.
const MOST_WAITING_BATCHES: usize = 8;
/// The same where each has one event.
const MOST_WAITING_SINGLES: usize = 512;
/// Bytes that may wait for a commit. With the commit in flight a busy shard holds twice this.
const MOST_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// Decided, not yet committed.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) outputs: Outputs,
    pub(crate) positions: Position,
    /// What several of the batches write is written once, as the last of them leaves it.
    state: BTreeMap<Bytes, Option<Bytes>>,
    pub(crate) batches: usize,
    events_in: u64,
    bytes_in: u64,
    /// A commit that is due even without events: the plugin changed.
    pub(crate) due: bool,
    /// It is one event that is given up.
    pub(crate) given: Option<Given>,
    /// Those of its events that are traced.
    pub(crate) traced: Vec<Traced>,
}

/// A commit on its way, and what is to be noted when it is made.
pub(crate) struct InFlight {
    pub(crate) task: JoinHandle<(Box<dyn Fence>, CommitOutcome)>,
    pub(crate) positions: Position,
    pub(crate) batches: usize,
    pub(crate) moved: Moved,
    /// Bytes of its largest record.
    pub(crate) largest: usize,
    pub(crate) given: Option<Given>,
    traced: Vec<Traced>,
    /// Of the version that decided it, which need not be the one that runs when it is committed.
    digest: Arc<str>,
}

/// How a commit's task ended.
pub(crate) type Settled = Result<(Box<dyn Fence>, CommitOutcome), JoinError>;

impl Worker<'_> {
    /// Whether more may wait for a commit.
    pub(crate) fn has_room(&self) -> bool {
        let most = match self.shard.size.is_one() {
            true => MOST_WAITING_SINGLES,
            false => MOST_WAITING_BATCHES,
        };
        self.waiting.batches < most && self.waiting.outputs.bytes() < MOST_WAITING_BYTES
    }

    /// Takes what the plugin decided, and what it wrote for the open batch, into the next commit.
    pub(crate) fn gather(
        &mut self,
        flow: &str,
        batch: &Batch,
        actions: Vec<Action>,
        moves: Moves<'_>,
    ) -> Result<(), Failure> {
        let shard = &*self.shard;
        let scene = Scene::of(&shard.spec, &self.plugin, flow, batch.partition);
        let (endpoints, dead) = (&shard.spec.outputs[..], self.dead.as_ref());
        let beside = shard.spec.lends.map(|_| TRACE);
        let route = Route { endpoints, shard: shard.shard, dead, scene, beside };
        self.waiting.outputs.apply(&route, batch, actions)?;
        self.waiting.state.extend(self.state.lock().take_changes());
        self.moved(&batch.records, moves);
        let share = self.living.there().map_or(0.0, |instance| instance.slow_share());
        self.shard.status.slow_share(share);
        Ok(())
    }

    /// Takes what a new version wrote for the open batch into the commit in which it takes over.
    pub(crate) fn migrated(&mut self) {
        self.waiting.state.extend(self.state.lock().take_changes());
        self.moved(&[], &[]);
    }

    /// Accounts for a batch that is open in the state.
    pub(crate) fn moved(&mut self, events: &[Stored], moves: Moves<'_>) {
        for (flow, partition, next) in moves {
            self.waiting.positions.set(*flow, *partition, *next);
        }
        self.waiting.batches += 1;
        self.waiting.events_in += events.len() as u64;
        let bytes: usize = events.iter().map(|stored| stored.record.size()).sum();
        self.waiting.bytes_in += bytes as u64;
    }

    pub(crate) fn commit_if_idle(&mut self) {
        if self.in_flight.is_some() || !self.waiting.has_something() {
            return;
        }
        let Some(mut fence) = self.fence.take() else { return };
        let waiting = std::mem::take(&mut self.waiting);
        let moved = waiting.moves();
        let largest = waiting.outputs.largest();
        let digest = Arc::clone(self.plugin.digest());
        let commit = Commit {
            positions: waiting.positions.clone(),
            state: waiting.state.into_iter().collect(),
            digest: Arc::clone(&digest),
            rewinds: false,
        };
        let outputs = waiting.outputs.into_ready();
        let status = Arc::clone(&self.shard.status);
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let outcome = commit_all(fence.as_mut(), outputs, commit).await;
            status.commit_took(began.elapsed());
            (fence, outcome)
        });
        self.in_flight = Some(InFlight {
            task,
            positions: waiting.positions,
            batches: waiting.batches,
            moved,
            largest,
            given: waiting.given,
            traced: waiting.traced,
            digest,
        });
    }

    pub(crate) fn settled(&mut self, settled: Settled) -> Result<(), Failure> {
        let Some(in_flight) = self.in_flight.take() else { return Ok(()) };
        let (fence, outcome) = settled.map_err(|error| {
            host_brokers::BrokerError::Unavailable(format!("the commit's task ended: {error}"))
        })?;
        let outcome = self.blame(&in_flight, outcome)?;
        settle(outcome)?;
        self.fence = Some(fence);
        for _ in 0..in_flight.batches {
            self.state.lock().committed();
        }
        let InFlight { positions, batches, moved, given, traced, digest, .. } = in_flight;
        for traced in &traced {
            traced.done(&self.shard.traces, &self.shard.spec);
        }
        if given.is_none() {
            self.tick_went_through(&positions);
        }
        self.went_through(&positions, moved.events_in > 0 && given.is_none());
        self.shard.committed(&positions, moved);
        if moved.events_in > 0 && digest == *self.plugin.digest() {
            self.shard.status.did(batches as u64, moved.events_in);
        }
        Ok(())
    }

    /// Waits until all that was decided is durable.
    pub(crate) async fn drain(&mut self) -> Result<(), Failure> {
        loop {
            if let Some(in_flight) = &mut self.in_flight {
                let settled = (&mut in_flight.task).await;
                self.settled(settled)?;
            }
            if !self.waiting.has_something() {
                return Ok(());
            }
            self.commit_if_idle();
        }
    }
}

impl Waiting {
    /// Adds what was decided after it.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.outputs.absorb(later.outputs);
        self.positions.0.extend(later.positions.0);
        self.state.extend(later.state);
        self.batches += later.batches;
        self.events_in += later.events_in;
        self.bytes_in += later.bytes_in;
        self.due |= later.due;
        self.traced.extend(later.traced);
    }

    pub(crate) fn has_something(&self) -> bool {
        self.due || self.batches > 0
    }

    /// What its commit will make durable.
    fn moves(&self) -> Moved {
        let (events_out, dead_letters) = self.outputs.counts();
        Moved {
            events_in: self.events_in,
            events_out,
            bytes_in: self.bytes_in,
            bytes_out: self.outputs.bytes() as u64,
            dead_letters,
        }
    }
}

pub(crate) async fn commit_all(
    fence: &mut dyn Fence,
    outputs: Ready,
    commit: Commit,
) -> CommitOutcome {
    // Safe before the positions are: what is lost between the two comes again.
    if let Err(error) = delivery::append(outputs.aside).await {
        return CommitOutcome::Aborted(error);
    }
    let mut transaction = fence.begin();
    if let Err(error) = transaction.send(outputs.inside).await {
        return CommitOutcome::Aborted(error);
    }
    transaction.commit(commit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_batches_write_is_written_once_as_the_last_leaves_it() {
        let change = |key: &'static str, value: Option<&'static str>| {
            (Bytes::from(key), value.map(Bytes::from))
        };
        let waiting = |changes: [_; 2]| Waiting { state: changes.into(), ..Waiting::default() };
        let mut first = waiting([change("a", Some("1")), change("b", Some("1"))]);
        first.absorb(waiting([change("a", Some("2")), change("b", None)]));
        let written: Vec<_> = first.state.into_iter().collect();
        assert_eq!(written, [change("a", Some("2")), change("b", None)]);
    }
}
