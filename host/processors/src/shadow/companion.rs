//! The task in which a shadow runs, and the queue to it that nobody waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_plugins::state::Change;
use host_plugins::{Action, CallError, Plugin, Setup, ShardState};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;

use crate::inputs::Next;
use crate::shadow::answer::Effects;
use crate::shadow::compare::{Scene, compare};
use crate::shadow::report::ShadowReport;
use crate::shadow::side::Side;
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

    /// The state has changed without a batch: it goes on later from what the state is then.
    pub(crate) fn lost(&mut self) {
        self.behind = true;
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
    async fn run(self, mut messages: mpsc::Receiver<Message>) {
        let Self { plugin, setup, outputs, status } = self;
        let (processor, shard) = (setup.processor.clone(), setup.shard);
        if let Err(cause) = follow(plugin, setup, &outputs, &status, &mut messages).await {
            tracing::info!(processor, shard, %cause, "shadow ended");
            status.shadow(|report| report.problem = Some(cause.to_string()));
        }
    }
}

async fn follow(
    plugin: Plugin,
    setup: Setup,
    outputs: &[String],
    status: &ShardStatus,
    messages: &mut mpsc::Receiver<Message>,
) -> Result<(), CallError> {
    let mut side = Side::start(plugin, setup).await?;
    status.shadow(|report| report.problem = None);
    while let Some(message) = messages.recv().await {
        match message {
            Message::GoOn(state) => side.go_on(state).await?,
            Message::Batch(outcome) => {
                let Outcome { next, flow, did } = *outcome;
                let (mine, changes) = side.answer(&next, &flow).await?;
                let (counts, theirs) = did.effects(&next);
                let scene = Scene { flow: &flow, batch: &next.batch, outputs };
                status.shadow(|report| {
                    compare(&scene, &counts, &mine, report);
                    report.state_differ +=
                        u64::from(theirs.is_some_and(|theirs| theirs != changes));
                });
            }
        }
    }
    Ok(())
}

impl Did {
    /// What it did to each event, and how it changed the state where that is known.
    fn effects(self, next: &Next) -> (Effects, Option<Vec<Change>>) {
        let mut effects = Effects::of(next.batch.records.len());
        match self {
            Self::Answered(actions, changes) => {
                effects.add(0, &next.batch, actions);
                (effects, Some(changes))
            }
            Self::Failed(words) => {
                effects.failed(0, words);
                (effects, None)
            }
        }
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
