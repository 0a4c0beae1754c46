//! One shard's task: takes the shard over, runs it, and begins again after a failure.
//!
//! Every beginning is a fresh instance from the last committed state, so that guest memory never
//! remembers what did not happen. What goes wrong keeps the position and is tried again with
//! back-off; nothing is skipped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use host_brokers::{BrokerError, Commit, CommitOutcome, Fence, Output, ShardId};
use host_events::Position;
use host_observe::Histogram;
use host_observe::traces::Traces;
use host_plugins::log::NoLog;
use host_plugins::said::Said;
use host_plugins::{
    BeginError, CallError, Catalog, Level, Limits, LogSink, Plugin, Setup, ShardState, SharedState,
    StoreError,
};
use tokio::sync::{mpsc, watch};

use crate::careful::Careful;
use crate::commits::commit_all;
use crate::control::Mode;
use crate::dead::{DeadError, DeadFlow, Given};
use crate::episodes::{Episode, Tally};
use crate::inputs::{Inputs, Reading};
use crate::logs::ShardLog;
use crate::outputs::{OutputError, Ready};
use crate::probation::Offer;
use crate::reconfigure::Ask;
use crate::shadow::Beside;
use crate::size::Size;
use crate::snapshots::ReadError;
use crate::spec::Spec;
use crate::start::{self, Cuts, Gap, StartError};
use crate::status::{Moved, Phase, ShardStatus};
use crate::ticks::Refused;
use crate::told;
use crate::worker::{End, Worker};

/// How long a shard waits before it begins again after a failure.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// First wait; it doubles with each failure in a row.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Default for Backoff {
    /// 30 s at most is short enough that an operator who mended the cause sees it go on.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }
}

/// Why a shard had to begin again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("broker: {0}")]
    Broker(#[from] BrokerError),
    #[error("plugin: {0}")]
    Plugin(#[from] CallError),
    #[error("plugin: {0}")]
    Output(#[from] OutputError),
    #[error("another host holds this shard")]
    Fenced,
    #[error(transparent)]
    Dead(#[from] DeadError),
    #[error(
        "the plugin fails on every event, {row} in a row became dead letters, the position is kept (UPDATE PROCESSOR … dead-letters=all lets them all go there): plugin: {cause}"
    )]
    Everything { row: u32, cause: CallError },
    #[error("version {digest} of {kind}, which this processor is pinned to, cannot be loaded")]
    NoPinned { kind: String, digest: String },
    #[error("no plugin of type {0} is installed")]
    NoPlugin(String),
    /// Knowing more than before, so that beginning again is no repeat.
    #[error("a commit was refused, the event to blame is looked for: {0}")]
    Suspect(BrokerError),
    #[error(
        "a broker refuses event after event, {row} in a row became dead letters, the position is kept (UPDATE PROCESSOR … dead-letters=all lets them all go there): {cause}"
    )]
    RefusesEverything { row: u32, cause: String },
    #[error("broker: {0}")]
    Unwanted(String),
    /// Another version goes on, as soon as the supervisor says so.
    #[error("the new version of the plugin is rejected: {0}")]
    Rejected(String),
    #[error("the new version of the plugin fails, and cannot be rejected: {cause}: {reason}")]
    NotRejected { reason: String, cause: String },
    /// It says nothing of the version: the shard begins again with it.
    #[error("what becomes of the new version of the plugin is not noted: {0}")]
    NotNoted(#[from] StoreError),
    /// Of a comparison over past events.
    #[error("snapshot {number}: {cause}")]
    Snapshot { number: u64, cause: ReadError },
    #[error("the shard's task broke")]
    Broke,
    /// Asked about each event alone it is another question.
    #[error("new events of several ones")]
    OneByOne,
}

impl Failure {
    /// A short hiccup that says nothing about plugin or flow: no reason to alarm anybody.
    fn is_quiet(&self) -> bool {
        matches!(self, Self::Plugin(CallError::Retry(_)))
    }

    /// Whether a version that runs goes on where this is why another one cannot follow it.
    pub(crate) fn keeps_running(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::NotRejected { .. })
    }

    /// The plugin asked to be stopped: only another version or an operator's word begins again.
    fn is_final(&self) -> bool {
        matches!(self, Self::Plugin(CallError::Fatal(_)))
    }
}

impl From<BeginError> for Failure {
    fn from(cause: BeginError) -> Self {
        match cause {
            BeginError::Withheld(reason) => Self::Rejected(reason),
            BeginError::Store(cause) => Self::NotNoted(cause),
        }
    }
}

/// Whether somebody still tells the shard what to do.
#[derive(PartialEq, Eq)]
enum Supervisor {
    There,
    Gone,
}

/// All that a shard's task holds on to between beginnings.
pub(crate) struct Shard {
    pub(crate) spec: Arc<Spec>,
    pub(crate) shard: u32,
    pub(crate) mode: watch::Receiver<Mode>,
    pub(crate) plugin: watch::Receiver<Option<Offer>>,
    /// What runs beside it.
    pub(crate) shadow: watch::Receiver<Beside>,
    /// How long events waited at changes of versions, for all processors.
    pub(crate) swaps: Arc<Histogram>,
    /// Who is told of a version that fails.
    pub(crate) catalog: Catalog,
    /// Other configurations.
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) status: Arc<ShardStatus>,
    pub(crate) log: ShardLog,
    /// What its instances said in `init`.
    pub(crate) said: Arc<Said>,
    pub(crate) limits: Limits,
    pub(crate) retry: Backoff,
    /// First positions that were found, until they are known to be committed.
    pub(crate) found: Position,
    /// Logs that were cut below a position.
    pub(crate) cuts: Cuts,
    pub(crate) dead: DeadFlow,
    /// How much the plugin gets at once.
    pub(crate) size: Size,
    /// Events in a row that failed alone.
    pub(crate) row: u32,
    /// How often in a row the plugin asked for the same batch later.
    pub(crate) retries: u32,
    /// Events in a row that a broker refused.
    pub(crate) refusals: u32,
    /// The same of ticks.
    pub(crate) refused_ticks: Refused,
    /// A commit that was refused for good, until the event to blame is found.
    pub(crate) careful: Option<Careful>,
    /// Where spans go.
    pub(crate) traces: Traces,
    /// What was said about its failures.
    pub(crate) episode: Episode,
    /// What was said about its dead letters.
    pub(crate) tally: Tally,
}

/// A shard that was taken over.
pub(crate) struct Held {
    pub(crate) fence: Box<dyn Fence>,
    pub(crate) positions: Position,
    pub(crate) state: SharedState,
    /// Digest of the plugin that made the state.
    pub(crate) made_by: Option<String>,
}

impl Shard {
    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        let mut wait = self.retry.first;
        loop {
            let mode = *self.mode.borrow_and_update();
            match mode {
                Mode::Stop => return self.status.phase(Phase::Stopped),
                Mode::Pause => {
                    self.status.phase(Phase::Paused);
                    if self.mode.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Mode::Destroy => return self.destroy_cold().await,
                Mode::Run => {}
            }
            let commits = self.status.report(self.shard).commits;
            // Whatever panics: the next beginning knows nothing of it.
            let session = AssertUnwindSafe(self.session()).catch_unwind().await;
            match session.unwrap_or(Err(Failure::Broke)) {
                Ok(End::Destroyed) => return,
                Ok(End::ModeChanged) => wait = self.retry.first,
                Err(Failure::Suspect(cause)) => {
                    tracing::debug!(processor = %self.spec.name, shard = self.shard, %cause, "commit is taken apart");
                }
                Err(failure) => {
                    self.remember_cut(&failure);
                    let moved = self.status.report(self.shard).commits > commits;
                    if moved {
                        wait = self.retry.first;
                    }
                    if self.failed(&failure, wait).await == Supervisor::Gone {
                        return;
                    }
                    wait = (wait * 2).min(self.retry.longest);
                }
            }
        }
    }

    async fn session(&mut self) -> Result<End, Failure> {
        self.status.phase(Phase::Starting);
        let plugin = self.current_plugin()?;
        // A broker that is away lets nobody wait who wants something else of this shard.
        let mut mode = self.mode.clone();
        let mut held = tokio::select! {
            held = self.take_over(&plugin) => held?,
            Ok(()) = mode.changed() => return Ok(End::ModeChanged),
        };
        self.committed_before(&held.positions);
        let instance = self.first_instance(&plugin, &mut held).await?;
        self.status.has_state(held.state.look());
        let reading = Reading::new(self.size.shared(), &self.limits);
        let inputs = Inputs::open(&self.spec, self.shard, &held.positions, &reading).await?;
        self.status.plugin(plugin.digest(), &plugin.info().version);
        self.status.phase(Phase::Running);
        let version = &plugin.info().version;
        self.log.host_line(Level::Info, "started", &[("version", version)]);
        Worker::new(self, plugin, instance, held, inputs).run().await
    }

    /// Fences whoever had the shard, reads what is true, and fixes first positions.
    async fn take_over(&mut self, plugin: &Plugin) -> Result<Held, Failure> {
        let id = ShardId { processor: self.spec.id, shard: self.shard };
        let mut opened = self.spec.target.open(id).await?;
        let is_empty = opened.state.is_empty();
        self.status.state_is_of(if is_empty { Some("") } else { opened.digest.as_deref() });
        self.cuts.retain(&opened.positions);
        let (committed, found) = (&opened.positions, &self.found);
        let starting = start::positions(&self.spec, self.shard, committed, found, &self.cuts);
        let mut starting = starting.await?;
        if !starting.fresh.0.is_empty() {
            self.found = starting.fresh.clone();
            // The state is still that of the version before.
            let made_by = opened.digest.as_deref().unwrap_or(plugin.digest());
            let commit = Commit {
                positions: starting.fresh,
                state: Vec::new(),
                digest: made_by.into(),
                rewinds: !starting.gaps.is_empty(),
            };
            let inside = self.record_gaps(&starting.gaps).await?;
            let recorded = Ready { inside, aside: Vec::new() };
            settle(commit_all(opened.fence.as_mut(), recorded, commit).await)?;
            for gap in &starting.gaps {
                tracing::warn!(processor = %self.spec.name, shard = self.shard, gap = %gap.cause, next = gap.next, "went on after a gap");
                self.log.host_line(Level::Warn, "went on after a gap", &[("gap", &gap.cause)]);
            }
        }
        starting.positions.0.extend(opened.positions.0.into_iter().filter(|((life, _), _)| {
            // How far a replay is lies beside the positions.
            life.0 == self.spec.id
        }));
        Ok(Held {
            fence: opened.fence,
            positions: starting.positions,
            state: SharedState::new(ShardState::of(opened.state)),
            made_by: opened.digest,
        })
    }

    fn remember_cut(&mut self, failure: &Failure) {
        let Failure::Start(gap) = failure else { return };
        let Some((flow, partition, cut)) = gap.cut() else { return };
        if let Some(input) = self.spec.inputs.iter().find(|input| *input.name == *flow) {
            self.cuts.remember(input.topic.incarnation, partition, cut);
        }
    }

    /// Events that say what was passed over, for the commit that passes over it.
    async fn record_gaps(&self, gaps: &[Gap]) -> Result<Vec<Output>, Failure> {
        if gaps.is_empty() {
            return Ok(Vec::new());
        }
        // There is nobody to whom the topic of a subscriber would tell of it.
        if self.spec.lends.is_some() {
            return Ok(Vec::new());
        }
        let dead = self.dead.get().await?;
        let event = |gap: &Gap| told::gap(&self.spec.name, &gap.flow, gap.partition, &gap.data());
        let records = gaps.iter().map(event);
        let (records, partition) = (records.collect(), self.shard % dead.partitions.max(1));
        Ok(vec![Output { topic: dead.topic, partition, records }])
    }

    /// Where a shadow logs to: a reader of the log must not take its lines for those of the version that counts.
    pub(crate) fn silent(&self) -> Arc<dyn LogSink> {
        Arc::new(NoLog)
    }

    pub(crate) fn current_plugin(&mut self) -> Result<Plugin, Failure> {
        let current = self.plugin.borrow_and_update().as_ref().map(|offer| offer.plugin.clone());
        let kind = self.spec.kind.clone();
        current.ok_or_else(|| match self.spec.pinned.clone() {
            Some(digest) => Failure::NoPinned { kind, digest },
            None => Failure::NoPlugin(kind),
        })
    }

    fn committed_before(&self, positions: &Position) {
        self.status.positions(&self.in_flows(positions));
    }

    /// How far a replay is, is no position in a flow.
    fn in_flows(&self, positions: &Position) -> Position {
        let mut positions = positions.clone();
        positions.0.retain(|(life, _), _| life.0 != self.spec.id);
        positions
    }

    /// Notes what a commit made durable.
    pub(crate) fn committed(&mut self, positions: &Position, moved: Moved) {
        self.episode.recovered(&self.spec.name, self.shard);
        self.retries = 0;
        self.status.committed(&self.in_flows(positions), moved);
    }

    /// One line a minute at most: a plugin that fails on many must not fill the log.
    pub(crate) fn told_of_letter(
        &mut self,
        given: &Given,
        flow: &str,
        partition: u32,
        offset: u64,
    ) {
        let (kind, reason) = (given.kind.word(), &*given.reason);
        let place = format!("{flow}:{partition}:{offset}");
        let fields: [(&str, &dyn std::fmt::Display); 3] =
            [("kind", &kind), ("event", &place), ("reason", &reason)];
        self.log.host_line(Level::Warn, "event became a dead letter", &fields);
        let Some(letters) = self.tally.add(1) else { return };
        let (processor, shard) = (&self.spec.name, self.shard);
        tracing::warn!(%processor, shard, kind, flow, partition, offset, reason, letters, "event became a dead letter");
    }

    /// So many events are not carried on, and not kept either; one line a minute at most.
    pub(crate) fn left_out(&mut self, events: u64, reason: &str) {
        if events == 0 {
            return;
        }
        let Some(events) = self.tally.add(events) else { return };
        let (processor, shard) = (&self.spec.name, self.shard);
        tracing::warn!(%processor, shard, events, reason, "events are left out of the topic of a subscriber");
    }

    async fn failed(&mut self, failure: &Failure, wait: Duration) -> Supervisor {
        if failure.is_quiet() {
            tracing::debug!(processor = %self.spec.name, shard = self.shard, cause = %failure, "batch is tried again");
        } else {
            let retry = (!failure.is_final()).then_some(wait);
            self.episode.failed(&self.spec.name, self.shard, failure, retry);
            self.log.host_line(Level::Warn, "begins again", &[("cause", failure)]);
        }
        self.status.phase(Phase::Failed(failure.to_string()));
        self.leaves_meeting();
        // What failed was holding or ending: nobody says that a second time.
        if *self.mode.borrow() != Mode::Run {
            return Supervisor::There;
        }
        let id = ShardId { processor: self.spec.id, shard: self.shard };
        // A new plugin version or an operator's word ends the wait early, and that another host has given the shard up,
        // or that a broker is there again.
        let changed = tokio::select! {
            () = tokio::time::sleep(wait), if !failure.is_final() => Ok(()),
            () = self.spec.target.freed(id), if !failure.is_final() => Ok(()),
            () = self.spec.broker_returns(), if !failure.is_final() => Ok(()),
            changed = self.mode.changed() => changed,
            // It begins at once, and those who meet about that version wait for what it says.
            changed = self.plugin.changed() => changed,
        };
        changed.map_or(Supervisor::Gone, |()| Supervisor::There)
    }

    /// Lets nobody wait for this shard who wants to go on with what is offered now.
    fn leaves_meeting(&self) {
        if let Some(offer) = &*self.plugin.borrow() {
            offer.meeting.leave(self.shard);
        }
    }

    /// `destroy` of a processor that was not running when it was deleted. What goes wrong is logged:
    /// the processor is gone either way.
    async fn destroy_cold(mut self) {
        let Ok(plugin) = self.current_plugin() else { return };
        let destroyed = async {
            // Where it stood does not matter any more, nor whether it still could.
            let id = ShardId { processor: self.spec.id, shard: self.shard };
            let opened = self.spec.target.open(id).await?;
            let state = SharedState::new(ShardState::of(opened.state));
            let mut instance = self.instantiate(&plugin, &state).await?;
            instance.destroy().await.map_err(Failure::from)
        };
        if let Err(failure) = destroyed.await {
            tracing::info!(processor = %self.spec.name, shard = self.shard, cause = %failure, "destroy did not succeed");
        }
    }
}

/// What a plugin's `init` is told.
pub(crate) fn setup(
    spec: &Spec,
    shard: u32,
    state: &SharedState,
    limits: &Limits,
    log: &Arc<dyn LogSink>,
) -> Setup {
    Setup {
        processor: spec.name.to_string(),
        shard,
        inputs: spec.input_names(),
        outputs: spec.output_names(),
        config: spec.config.clone(),
        state: state.clone(),
        limits: limits.clone(),
        log: Arc::clone(log),
        more: "{}".into(),
        usage: Arc::default(),
        said: Arc::default(),
        takes_over: None,
    }
}

/// An outcome that is not `Committed` means: begin again from what is true.
pub(crate) fn settle(outcome: CommitOutcome) -> Result<(), Failure> {
    match outcome {
        CommitOutcome::Committed => Ok(()),
        CommitOutcome::Aborted(cause) | CommitOutcome::Unknown(cause) => Err(cause.into()),
        CommitOutcome::Fenced => Err(Failure::Fenced),
    }
}
