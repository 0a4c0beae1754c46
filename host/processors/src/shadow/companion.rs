//! The task in which a shadow runs, and the queue to it that nobody waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_plugins::state::Change;
use host_plugins::{Action, CallError, Instance, Plugin, Setup, ShardState, SharedState};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;

use crate::inputs::Next;
use crate::pieces;
use crate::shadow::answer::Effects;
use crate::shadow::compare::{Scene, compare};
use crate::shadow::report::ShadowReport;
use crate::status::ShardStatus;

/// Batches that may wait for the shadow. Each holds up to `batch_bytes` and what was emitted: enough to bear a
/// short stop, little beside what a shard holds anyway.
const QUEUE: usize = 4;

/// Shortest time between two copies of the state for a shadow that is behind: a copy of a large state takes
/// milliseconds of the version that counts.
const BETWEEN_COPIES: Duration = Duration::from_secs(1);

/// What came of a batch with the version that counts.
pub(crate) struct Outcome {
    pub(crate) next: Next,
    pub(crate) flow: Arc<str>,
    pub(crate) did: Did,
}

/// What the version that counts did.
pub(crate) enum Did {
    /// It answered, and changed the state.
    Answered(Vec<Action>, Vec<Change>),
    /// It failed on this one event.
    Failed(String),
}

enum Message {
    Batch(Box<Outcome>),
    /// Batches were left out: go on from this state.
    GoOn(ShardState),
}

/// A shadow of one shard. Ends when it is dropped.
pub(crate) struct Companion {
    queue: mpsc::Sender<Message>,
    task: JoinHandle<()>,
    status: Arc<ShardStatus>,
    /// It missed batches.
    behind: bool,
    copied: Instant,
}

impl Companion {
    /// Starts it from the state in `setup`, which is its own.
    pub(crate) fn start(
        plugin: Plugin,
        setup: Setup,
        outputs: Vec<String>,
        status: &Arc<ShardStatus>,
    ) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let shadow = Shadow { plugin, setup, outputs, status: Arc::clone(status) };
        let task = tokio::spawn(shadow.run(messages));
        let status = Arc::clone(status);
        Self { queue, task, status, behind: false, copied: Instant::now() }
    }

    /// Shows it a batch, if it can take one; `copy` gives the state after the batch.
    pub(crate) fn show(&mut self, outcome: Outcome, copy: impl FnOnce() -> ShardState) {
        let events = outcome.next.batch.records.len() as u64;
        if self.behind {
            self.status.shadow(|report| report.skipped += events);
            // Room for the state and for batches: it has caught up.
            let rested = self.copied.elapsed() >= BETWEEN_COPIES;
            if rested && self.queue.capacity() == QUEUE {
                self.copied = Instant::now();
                self.behind = self.queue.try_send(Message::GoOn(copy())).is_err();
            }
            return;
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Batch(Box::new(outcome))) {
            self.behind = true;
            self.status.shadow(|report| report.skipped += events);
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shadow {
    plugin: Plugin,
    setup: Setup,
    outputs: Vec<String>,
    status: Arc<ShardStatus>,
}

impl Shadow {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        if let Err(cause) = self.follow(&mut messages).await {
            tracing::info!(processor = self.setup.processor, shard = self.setup.shard, %cause, "shadow ended");
            self.status.shadow(|report| report.problem = Some(cause.to_string()));
        }
    }

    async fn follow(&mut self, messages: &mut mpsc::Receiver<Message>) -> Result<(), CallError> {
        let mut instance = self.plugin.instantiate(self.setup.clone()).await?;
        self.status.shadow(|report| report.problem = None);
        while let Some(message) = messages.recv().await {
            match message {
                Message::GoOn(state) => {
                    self.setup.state = SharedState::new(state);
                    instance = self.plugin.instantiate(self.setup.clone()).await?;
                }
                Message::Batch(outcome) => instance = self.batch(instance, *outcome).await?,
            }
        }
        Ok(())
    }

    /// Answers a batch, compares, and gives the instance that goes on.
    async fn batch(&self, mut instance: Instance, outcome: Outcome) -> Result<Instance, CallError> {
        let Outcome { next, flow, did } = outcome;
        let events = next.batch.records.len();
        let mut mine = Effects::of(events);
        let mut changes = Vec::new();
        let mut first = 0;
        let mut left = vec![next.clone()];
        while let Some(piece) = left.pop() {
            let len = piece.batch.records.len();
            self.setup.state.lock().begin();
            match instance.process(piece.input, &flow, piece.batch.clone()).await {
                Ok(actions) => {
                    changes.extend(self.setup.state.lock().take_changes());
                    self.setup.state.lock().committed();
                    mine.add(first, &piece.batch, actions);
                    first += len;
                }
                Err(cause) => {
                    self.setup.state.lock().abandon();
                    // It asks to be stopped, or there is no room for it.
                    if matches!(cause, CallError::Fatal(_) | CallError::Busy(_)) {
                        return Err(cause);
                    }
                    instance = self.plugin.instantiate(self.setup.clone()).await?;
                    if len > 1 {
                        left.extend(pieces::split(&piece, &cause, false).into_iter().rev());
                    } else {
                        mine.failed(first, cause.to_string());
                        first += len;
                    }
                }
            }
        }
        let scene = Scene { flow: &flow, batch: &next.batch, outputs: &self.outputs };
        let mut counts = Effects::of(events);
        let mut same_state = true;
        match did {
            Did::Answered(actions, theirs) => {
                counts.add(0, &next.batch, actions);
                same_state = theirs == changes;
            }
            Did::Failed(words) => counts.failed(0, words),
        }
        self.status.shadow(|report| {
            compare(&scene, &counts, &mine, report);
            report.state_differ += u64::from(!same_state);
        });
        Ok(instance)
    }
}

impl ShardStatus {
    /// A shadow of this digest is looked at from now on; counts of the same one go on.
    pub(crate) fn with_shadow(&self, digest: &str, version: &str) {
        self.with_report(|report| {
            if report.as_ref().is_none_or(|report| report.digest != digest) {
                *report = Some(ShadowReport::new(digest, version));
            }
        });
    }

    /// There is none any more.
    pub(crate) fn without_shadow(&self) {
        self.with_report(|report| *report = None);
    }

    /// Changes what is told of the shadow, where there still is one.
    pub(crate) fn shadow(&self, change: impl FnOnce(&mut ShadowReport)) {
        self.with_report(|report| report.as_mut().map(change));
    }
}
