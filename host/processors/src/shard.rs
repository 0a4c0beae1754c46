//! One shard's task: takes the shard over, runs it, and begins again after a failure.
//!
//! Every beginning is a fresh instance from the last committed state, so that guest memory never
//! remembers what did not happen. What goes wrong keeps the position and is tried again with
//! back-off; nothing is skipped.

mod failure;
mod opening;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use host_brokers::ShardId;
use host_events::Position;
use host_observe::Histogram;
use host_observe::traces::Traces;
use host_plugins::log::NoLog;
use host_plugins::said::Said;
use host_plugins::{Catalog, Level, Limits, LogSink, Plugin, ShardState, SharedState};
use tokio::sync::{mpsc, watch};

use crate::careful::Careful;
use crate::control::Mode;
use crate::dead::{DeadFlow, Given};
use crate::episodes::{Episode, Tally};
use crate::inputs::{Inputs, Reading};
use crate::logs::ShardLog;
use crate::probation::Offer;
use crate::reconfigure::Ask;
use crate::shadow::Beside;
use crate::size::Size;
use crate::spec::Spec;
use crate::start::Cuts;
use crate::status::{Moved, Phase, ShardStatus};
use crate::ticks::Refused;
use crate::worker::{End, Worker};
pub(crate) use failure::Failure;
pub(crate) use opening::{Held, settle, setup};

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
