//! The running of one shard: batches through the plugin, commits, and a clean end.
//!
//! While a commit is in flight the next batches are read and processed; what they decide is gathered
//! and goes into the next commit as soon as the one before has ended. So commits are frequent when
//! there is little to do and grow with the load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use host_brokers::{Commit, CommitOutcome, Fence};
use host_events::{Batch, Incarnation, Position, Stored, TRACE};
use host_plugins::{Action, CallError, Instance, Plugin, SharedState};
use tokio::task::JoinHandle;

use crate::control::Mode;
use crate::dead::{Given, Scene};
use crate::delivery;
use crate::inputs::{Inputs, Next};
use crate::living::{Living, until};
use crate::outputs::{Outputs, Ready, Route};
use crate::pieces;
use crate::reconfigure::Ask;
use crate::shadow::{Companion, Did, Outcome};
use crate::shard::{Failure, Held, Shard, settle};
use crate::spec::{Endpoint, Policy};
use crate::status::Moved;
use crate::ticks::Ticks;
use crate::traced::Traced;

/// Batches that may wait for a commit: enough to fill it while the one before is written.
const MOST_WAITING_BATCHES: usize = 8;
/// The same where each has one event.
const MOST_WAITING_SINGLES: usize = 512;
/// Bytes that may wait for a commit. With the commit in flight a busy shard holds twice this.
const MOST_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How a run ended when nothing went wrong.
pub(crate) enum End {
    /// Somebody asked for another mode, or for another version in the middle of something.
    ModeChanged,
    /// The processor was deleted and `destroy` was called.
    Destroyed,
}

pub(crate) struct Worker<'a> {
    pub(crate) shard: &'a mut Shard,
    pub(crate) plugin: Plugin,
    pub(crate) living: Living,
    pub(crate) state: SharedState,
    inputs: Inputs,
    /// Absent while a commit is in flight.
    fence: Option<Box<dyn Fence>>,
    in_flight: Option<InFlight>,
    pub(crate) waiting: Waiting,
    /// The dead-letter flow, once it was needed.
    pub(crate) dead: Option<Endpoint>,
    /// Committed when the shard was taken over.
    pub(crate) began_at: Position,
    /// Another version that sees the same.
    pub(crate) companion: Option<Companion>,
    pub(crate) ticks: Ticks,
}

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

pub(crate) struct InFlight {
    task: JoinHandle<(Box<dyn Fence>, CommitOutcome)>,
    pub(crate) positions: Position,
    pub(crate) batches: usize,
    pub(crate) moved: Moved,
    /// Bytes of its largest record.
    pub(crate) largest: usize,
    pub(crate) given: Option<Given>,
    traced: Vec<Traced>,
}

enum Wake {
    Settled(Result<(Box<dyn Fence>, CommitOutcome), tokio::task::JoinError>),
    Mode,
    Plugin,
    Shadow,
    Ask(Ask),
    Tick,
    Batch(Next),
    /// Nothing came for a while.
    Idle,
}

/// Where a position moves once a batch is decided.
pub(crate) type Moves<'a> = &'a [(Incarnation, u32, u64)];

impl<'a> Worker<'a> {
    pub(crate) fn new(
        shard: &'a mut Shard,
        plugin: Plugin,
        instance: Instance,
        held: Held,
        inputs: Inputs,
    ) -> Self {
        let ticks = Ticks::after(&held.positions, Incarnation(shard.spec.id));
        Self {
            shard,
            plugin,
            living: Living::new(instance),
            state: held.state,
            inputs,
            fence: Some(held.fence),
            in_flight: None,
            waiting: Waiting::default(),
            dead: None,
            began_at: held.positions,
            companion: None,
            ticks,
        }
    }

    pub(crate) async fn run(mut self) -> Result<End, Failure> {
        if let Some(end) = self.replay().await? {
            return Ok(end);
        }
        self.follow_shadow();
        loop {
            match self.wake().await? {
                Wake::Settled(settled) => self.settled(settled)?,
                Wake::Mode => {
                    let mode = *self.shard.mode.borrow_and_update();
                    if let Some(end) = self.obey(mode).await? {
                        return Ok(end);
                    }
                }
                Wake::Plugin => self.swap().await?,
                Wake::Shadow => self.follow_shadow(),
                Wake::Idle => self.rest(),
                Wake::Ask(ask) => self.reconfigure(ask).await?,
                Wake::Tick => self.tick().await?,
                Wake::Batch(next) => {
                    if let Some(end) = self.process(next).await? {
                        return Ok(end);
                    }
                }
            }
            self.commit_if_idle();
        }
    }

    async fn obey(&mut self, mode: Mode) -> Result<Option<End>, Failure> {
        match mode {
            Mode::Run => Ok(None),
            Mode::Pause | Mode::Stop => {
                self.finish().await?;
                Ok(Some(End::ModeChanged))
            }
            Mode::Destroy => {
                self.finish().await?;
                self.prepare().await?;
                if let Some(instance) = self.living.there() {
                    instance.destroy().await?;
                }
                Ok(Some(End::Destroyed))
            }
        }
    }

    async fn wake(&mut self) -> Result<Wake, Failure> {
        let room = self.has_room();
        let busy = self.in_flight.is_some() || self.waiting.has_something();
        let idle = if busy { None } else { self.living.until(&self.shard.limits) };
        // What a subscriber gets is made of events: a policy never ticks, and a tick's event would have no trace.
        let ticks = self.shard.spec.lends.is_none();
        let interval = self.living.interval().filter(|_| ticks);
        let tick = interval.map(|interval| self.ticks.due(interval));
        let in_flight = async {
            match &mut self.in_flight {
                Some(in_flight) => (&mut in_flight.task).await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            biased;
            settled = in_flight => Wake::Settled(settled),
            changed = self.shard.mode.changed() => {
                // The supervisor is gone: the host is ending.
                changed.map_err(|_| Failure::Fenced)?;
                Wake::Mode
            }
            Ok(()) = self.shard.plugin.changed() => Wake::Plugin,
            Ok(()) = self.shard.shadow.changed() => Wake::Shadow,
            Some(ask) = self.shard.asks.recv() => Wake::Ask(ask),
            () = until(tick), if room => Wake::Tick,
            next = self.inputs.next(), if room => Wake::Batch(next?),
            () = until(idle) => Wake::Idle,
        })
    }

    /// Whether more may wait for a commit.
    pub(crate) fn has_room(&self) -> bool {
        let most = match self.shard.size.is_one() {
            true => MOST_WAITING_SINGLES,
            false => MOST_WAITING_BATCHES,
        };
        self.waiting.batches < most && self.waiting.outputs.bytes() < MOST_WAITING_BYTES
    }

    /// Whether somebody wants something else of this shard than what it is in the middle of.
    pub(crate) fn is_called_away(&self) -> bool {
        // A sender that is gone: the host is ending.
        self.shard.mode.has_changed().unwrap_or(true)
            || self.shard.plugin.has_changed().unwrap_or(true)
    }

    async fn process(&mut self, next: Next) -> Result<Option<End>, Failure> {
        if self.is_suspected(&next) {
            return self.process_carefully(next).await;
        }
        if next.batch.records.len() <= self.shard.size.most() {
            match self.attempt(next.clone()).await {
                Err(Failure::OneByOne) => self.one_by_one().await?,
                attempted => return attempted,
            }
        }
        let mut rest = pieces::chop(&next, self.shard.size.most());
        rest.reverse();
        while let Some(piece) = rest.pop() {
            if self.is_called_away() {
                self.drain().await?;
                return Ok(Some(End::ModeChanged));
            }
            if !self.has_room() {
                self.drain().await?;
            }
            match self.attempt(piece.clone()).await {
                Err(Failure::OneByOne) => {
                    self.one_by_one().await?;
                    rest.extend(pieces::chop(&piece, 1).into_iter().rev());
                }
                Ok(None) => {}
                ended => return ended,
            }
            self.commit_if_idle();
        }
        Ok(None)
    }

    /// Each event is asked about alone from now on, in an instance that has seen none of those that were asked about
    /// together.
    async fn one_by_one(&mut self) -> Result<(), Failure> {
        self.shard.size.one();
        self.drain().await?;
        self.renew().await
    }

    pub(crate) async fn attempt(&mut self, next: Next) -> Result<Option<End>, Failure> {
        self.prepare().await?;
        match self.decide(&next, &next.moves()).await {
            Ok(()) => {
                self.shard.size.went_well();
                Ok(None)
            }
            Err(Failure::Plugin(cause)) if pieces::kind(&cause).is_some() => {
                self.isolate(next, cause).await
            }
            Err(Failure::Plugin(cause)) => {
                self.judge_answer(&next, &cause).await?;
                Err(cause.into())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks the plugin about a batch and gathers what it decides. When the plugin fails, nothing of
    /// the batch is gathered. [`Self::prepare`] comes before it.
    pub(crate) async fn decide(&mut self, next: &Next, moves: Moves<'_>) -> Result<(), Failure> {
        let Next { input, batch } = next;
        let flow = self.shard.spec.input_name(*input);
        let began = self.shard.traces.is_on().then(SystemTime::now);
        self.state.lock().begin();
        let (mut actions, mut shown) = (Vec::new(), None);
        if !batch.records.is_empty() {
            let answer = match self.living.there() {
                Some(instance) => instance.process(*input, &flow, batch.clone()).await,
                None => Err(CallError::Dead),
            };
            actions = match answer {
                Ok(actions) => actions,
                Err(cause) => {
                    self.state.lock().abandon();
                    return Err(cause.into());
                }
            };
            actions = match self.fit(actions, batch.records.len()) {
                Ok(actions) => actions,
                Err(failure) => {
                    self.state.lock().abandon();
                    return Err(failure);
                }
            };
            if actions.iter().any(|action| matches!(action, Action::DeadLetter { .. })) {
                self.need_dead_flow().await?;
            }
            shown = self.companion.is_some().then(|| actions.clone());
            self.shard.row = 0;
        }
        if let Some(actions) = shown {
            let did = Did::Answered(actions, self.state.lock().take_changes());
            self.show(|| Outcome { next: next.clone(), flow: Arc::clone(&flow), did });
        }
        self.gather(&flow, batch, actions, moves)?;
        if let Some(began) = began {
            let traced = Traced::of(&self.shard.traces, (&flow, batch), began, "committed");
            self.waiting.traced.extend(traced);
        }
        Ok(())
    }

    /// Takes what the plugin decided, and what it wrote into the open overlay, into the next commit.
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
        self.living.worked();
        let share = self.living.there().map_or(0.0, |instance| instance.slow_share());
        self.shard.status.slow_share(share);
        Ok(())
    }

    /// What of a plugin's decisions is carried out where it fills the topic of a subscriber: a new event has the trace of the
    /// one that it was made of, so each is asked about alone; and a stranger's component has no dead letters.
    fn fit(&mut self, actions: Vec<Action>, events: usize) -> Result<Vec<Action>, Failure> {
        let spec = &self.shard.spec;
        let is_new = |action: &Action| matches!(action, Action::Emit { .. });
        if spec.lends.is_some() && events > 1 && actions.iter().any(is_new) {
            return Err(Failure::OneByOne);
        }
        if spec.policy != Policy::LeaveOut {
            return Ok(actions);
        }
        let (letters, actions): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|action| matches!(action, Action::DeadLetter { .. }));
        self.shard.left_out(letters.len() as u64, "dead letter");
        Ok(actions)
    }

    /// Takes what a new version wrote into the open overlay into the commit in which it takes over.
    pub(crate) fn migrated(&mut self) {
        self.waiting.state.extend(self.state.lock().take_changes());
        self.moved(&[], &[]);
    }

    /// Accounts for a batch whose overlay of the state is open.
    pub(crate) fn moved(&mut self, events: &[Stored], moves: Moves<'_>) {
        for (flow, partition, next) in moves {
            self.waiting.positions.set(*flow, *partition, *next);
        }
        self.waiting.batches += 1;
        self.waiting.events_in += events.len() as u64;
        let bytes: usize = events.iter().map(|stored| stored.record.size()).sum();
        self.waiting.bytes_in += bytes as u64;
    }

    pub(crate) async fn need_dead_flow(&mut self) -> Result<(), Failure> {
        if self.dead.is_none() {
            self.dead = Some(self.shard.dead.get().await?);
        }
        Ok(())
    }

    pub(crate) fn commit_if_idle(&mut self) {
        if self.in_flight.is_some() || !self.waiting.has_something() {
            return;
        }
        let Some(mut fence) = self.fence.take() else { return };
        let waiting = std::mem::take(&mut self.waiting);
        let (events_out, dead_letters) = waiting.outputs.counts();
        let moved = Moved {
            events_in: waiting.events_in,
            events_out,
            bytes_in: waiting.bytes_in,
            bytes_out: waiting.outputs.bytes() as u64,
            dead_letters,
        };
        let largest = waiting.outputs.largest();
        let commit = Commit {
            positions: waiting.positions.clone(),
            state: waiting.state.into_iter().collect(),
            digest: Arc::clone(self.plugin.digest()),
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
        });
    }

    fn settled(
        &mut self,
        settled: Result<(Box<dyn Fence>, CommitOutcome), tokio::task::JoinError>,
    ) -> Result<(), Failure> {
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
        let InFlight { positions, batches, moved, given, traced, .. } = in_flight;
        for traced in &traced {
            traced.done(&self.shard.traces, &self.shard.spec);
        }
        self.went_through(&positions, moved.events_in > 0 && given.is_none());
        self.shard.committed(&positions, moved);
        if moved.events_in > 0 {
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

    async fn finish(&mut self) -> Result<(), Failure> {
        self.drain().await?;
        // One that is not there has nothing to end.
        match self.living.there() {
            Some(instance) => Ok(instance.pause().await?),
            None => Ok(()),
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // A commit in flight is left to end by itself: aborting it would not undo it. The next
        // beginning fences it and reads what is true.
        self.in_flight.take();
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

    fn has_something(&self) -> bool {
        self.due || self.batches > 0
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
