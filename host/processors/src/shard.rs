//! One shard's task: takes the shard over, runs it, and begins again after a failure.
//!
//! Every beginning is a fresh instance from the last committed state, so that guest memory never
//! remembers what did not happen. What goes wrong keeps the position and is tried again with
//! back-off; nothing is skipped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use host_brokers::{BatchLimits, BrokerError, Commit, CommitOutcome, Fence, ShardId};
use host_events::Position;
use host_plugins::{
    CallError, Instance, Level, Limits, LogSink, Plugin, Setup, ShardState, SharedState,
};
use tokio::sync::watch;

use crate::control::Mode;
use crate::inputs::Inputs;
use crate::logs::ShardLog;
use crate::outputs::OutputError;
use crate::spec::Spec;
use crate::start::{self, StartError};
use crate::status::{Phase, ShardStatus};
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

/// Halvings after which any batch is one event: more than a batch has bits.
const MOST_HALVED: u32 = 32;

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
    #[error("no plugin of type {0} is installed")]
    NoPlugin(String),
    #[error("the shard's task broke")]
    Broke,
}

impl Failure {
    /// A short hiccup that says nothing about plugin or flow: no reason to alarm anybody.
    fn is_quiet(&self) -> bool {
        matches!(self, Self::Plugin(CallError::Retry(_)))
    }

    /// The plugin asked to be stopped: only another version or an operator's word begins again.
    fn is_final(&self) -> bool {
        matches!(self, Self::Plugin(CallError::Fatal(_)))
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
    pub(crate) plugin: watch::Receiver<Option<Plugin>>,
    pub(crate) status: Arc<ShardStatus>,
    pub(crate) log: ShardLog,
    pub(crate) limits: Limits,
    pub(crate) retry: Backoff,
    /// First positions that were found, until they are known to be committed.
    pub(crate) found: Position,
    /// How often the batch size was halved, because a whole batch passed a limit of the plugin.
    pub(crate) halved: u32,
}

/// A shard that was taken over.
pub(crate) struct Held {
    pub(crate) fence: Box<dyn Fence>,
    pub(crate) positions: Position,
    pub(crate) state: SharedState,
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
                Err(failure) => {
                    let moved = self.status.report(self.shard).commits > commits;
                    if moved {
                        wait = self.retry.first;
                    }
                    self.adapt(&failure, moved);
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
        let held = self.take_over(&plugin).await?;
        self.status.positions(&held.positions);
        let instance = self.instantiate(&plugin, &held.state).await?;
        let limits = self.batch_limits();
        let inputs = Inputs::open(&self.spec, self.shard, &held.positions, limits).await?;
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
        let starting = start::positions(&self.spec, self.shard, &opened.positions, &self.found);
        let starting = starting.await?;
        if !starting.fresh.0.is_empty() {
            self.found = starting.fresh.clone();
            let commit = Commit {
                positions: starting.fresh,
                state: Vec::new(),
                digest: Arc::clone(plugin.digest()),
            };
            settle(opened.fence.begin().commit(commit).await)?;
        }
        Ok(Held {
            fence: opened.fence,
            positions: starting.positions,
            state: SharedState::new(ShardState::with_base(opened.state)),
        })
    }

    /// Makes an instance of a plugin for this shard and calls its `init`.
    pub(crate) async fn instantiate(
        &self,
        plugin: &Plugin,
        state: &SharedState,
    ) -> Result<Instance, CallError> {
        plugin
            .instantiate(setup(&self.spec, self.shard, state, &self.limits, &self.log.sink()))
            .await
    }

    pub(crate) fn current_plugin(&mut self) -> Result<Plugin, Failure> {
        let current = self.plugin.borrow_and_update().clone();
        current.ok_or_else(|| Failure::NoPlugin(self.spec.kind.clone()))
    }

    pub(crate) fn batch_limits(&self) -> BatchLimits {
        let bytes = usize::try_from(self.limits.batch_bytes).unwrap_or(usize::MAX);
        let halved = |number: usize| number.checked_shr(self.halved).unwrap_or(0).max(1);
        BatchLimits { records: halved(self.limits.batch_events as usize), bytes: halved(bytes) }
    }

    /// A batch that is too much for the plugin as a whole comes back in smaller pieces, down to one
    /// event; once something was committed, batches have their full size again.
    fn adapt(&mut self, failure: &Failure, moved: bool) {
        if moved {
            self.halved = 0;
        }
        if matches!(failure, Failure::Plugin(CallError::Limit { .. } | CallError::Trap(_))) {
            self.halved = (self.halved + 1).min(MOST_HALVED);
        }
    }

    async fn failed(&mut self, failure: &Failure, wait: Duration) -> Supervisor {
        if failure.is_quiet() {
            tracing::debug!(processor = %self.spec.name, shard = self.shard, cause = %failure, "batch is tried again");
        } else {
            let (processor, shard) = (&self.spec.name, self.shard);
            tracing::warn!(%processor, shard, cause = %failure, retry_ms = wait.as_millis() as u64, "shard begins again");
            self.log.host_line(Level::Warn, "begins again", &[("cause", failure)]);
        }
        self.status.phase(Phase::Failed(failure.to_string()));
        // What failed was holding or ending: nobody says that a second time.
        if *self.mode.borrow() != Mode::Run {
            return Supervisor::There;
        }
        // A new plugin version or an operator's word ends the wait early.
        let changed = tokio::select! {
            () = tokio::time::sleep(wait), if !failure.is_final() => Ok(()),
            changed = self.mode.changed() => changed,
            changed = self.plugin.changed() => changed,
        };
        changed.map_or(Supervisor::Gone, |()| Supervisor::There)
    }

    /// `destroy` of a processor that was not running when it was deleted. What goes wrong is logged:
    /// the processor is gone either way.
    async fn destroy_cold(mut self) {
        let Ok(plugin) = self.current_plugin() else { return };
        let destroyed = async {
            let held = self.take_over(&plugin).await?;
            let mut instance = self.instantiate(&plugin, &held.state).await?;
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
