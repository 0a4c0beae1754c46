//! The task in which a shadow runs, and the queue to it that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host_events::{Batch, Incarnation};
use host_plugins::state::Change;
use host_plugins::{Action, CallError, Plugin, Setup, ShardState, SharedState};
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

/// How long a shadow for which there is no room waits before it asks for room again.
const NO_ROOM: Duration = Duration::from_secs(5);

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

/// What a shadow is shown.
pub(super) enum Message {
    Batch(Box<Outcome>),
    /// The clock, and what the version that counts did then.
    Tick {
        now: i64,
        actions: Vec<Action>,
        changes: Vec<Change>,
    },
    /// Something was left out: go on from this state.
    GoOn(ShardState),
}

impl Message {
    fn events(&self) -> u64 {
        match self {
            Self::Batch(outcome) => outcome.next.batch.records.len() as u64,
            Self::Tick { .. } | Self::GoOn(_) => 0,
        }
    }
}

/// A shadow of one shard. Ends when it is dropped.
pub(crate) struct Companion {
    queue: mpsc::Sender<Message>,
    task: JoinHandle<()>,
    status: Arc<ShardStatus>,
    /// It missed something.
    behind: bool,
    /// It has forgotten what it had.
    lost: Arc<AtomicBool>,
    copied: Instant,
}

impl Companion {
    /// Starts it from the state in the setup, which is its own.
    pub(super) fn start(shadow: Shadow) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (status, lost) = (Arc::clone(&shadow.status), Arc::default());
        let task = tokio::spawn(shadow.run(messages, Arc::clone(&lost)));
        Self { queue, task, status, behind: false, lost, copied: Instant::now() }
    }

    /// Shows it something, if it can take it; `copy` gives the state after that.
    pub(super) fn show(&mut self, message: Message, copy: impl FnOnce() -> ShardState) {
        let events = message.events();
        self.behind |= self.lost.swap(false, Ordering::Relaxed);
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
        if let Err(TrySendError::Full(_)) = self.queue.try_send(message) {
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

/// What a shadow needs.
pub(super) struct Shadow {
    pub(super) plugin: Plugin,
    pub(super) setup: Setup,
    /// The version whose state it takes over, where it does.
    pub(super) from: Option<String>,
    pub(super) outputs: Vec<String>,
    /// How often the version that counts is called by the clock.
    pub(super) interval: Option<Duration>,
    /// How long its instance is kept while nothing comes.
    pub(super) idle: Duration,
    pub(super) status: Arc<ShardStatus>,
}

impl Shadow {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>, lost: Arc<AtomicBool>) {
        loop {
            let Err(cause) = self.follow(&mut messages).await else { return };
            let (processor, shard) = (&self.setup.processor, self.setup.shard);
            tracing::info!(processor, shard, %cause, "shadow ended");
            let is_passing = matches!(cause, CallError::Busy(_));
            self.status.shadow(|report| {
                report.problem = Some(cause.to_string());
                report.is_passing = is_passing;
            });
            if !is_passing {
                return;
            }
            tokio::time::sleep(NO_ROOM).await;
            lost.store(true, Ordering::Relaxed);
            let Some(state) = self.state_to_go_on(&mut messages).await else { return };
            self.setup.state = SharedState::new(state);
        }
    }

    /// Leaves out what was to be shown to who is not there any more.
    async fn state_to_go_on(&self, messages: &mut mpsc::Receiver<Message>) -> Option<ShardState> {
        loop {
            match messages.recv().await? {
                Message::GoOn(state) => return Some(state),
                left_out => self.status.shadow(|report| report.skipped += left_out.events()),
            }
        }
    }

    async fn follow(&self, messages: &mut mpsc::Receiver<Message>) -> Result<(), CallError> {
        let Self { plugin, setup, from, interval, status, .. } = self;
        let mut side = Side::start(plugin.clone(), setup.clone(), from.clone()).await?;
        status.shadow(|report| {
            report.problem = None;
            report.is_passing = false;
            report.ticks = other_ticks(*interval, side.interval());
        });
        loop {
            let next = match side.rests() {
                true => Ok(messages.recv().await),
                false => tokio::time::timeout(self.idle, messages.recv()).await,
            };
            match next {
                Ok(Some(message)) => self.shown(&mut side, message).await?,
                Ok(None) => return Ok(()),
                Err(_) => side.rest(),
            }
        }
    }

    async fn shown(&self, side: &mut Side, message: Message) -> Result<(), CallError> {
        match message {
            Message::GoOn(state) => side.go_on(state).await?,
            Message::Batch(outcome) => {
                let Outcome { next, flow, did } = *outcome;
                let (mine, changes) = side.answer(&next, &flow).await?;
                let (counts, theirs) = did.effects(&next);
                let scene = Scene { flow: &flow, batch: &next.batch, outputs: &self.outputs };
                let other = theirs.is_some_and(|theirs| theirs != changes);
                self.compared(&scene, &counts, &mine, other);
            }
            Message::Tick { now, actions, changes } => {
                let (mine, my_changes) = side.tick(now).await?;
                let batch = nothing(self.setup.shard, now);
                let mut counts = Effects::of(0);
                counts.decided(actions);
                let scene = Scene { flow: "tick", batch: &batch, outputs: &self.outputs };
                self.compared(&scene, &counts, &mine, my_changes != changes);
            }
        }
        Ok(())
    }

    fn compared(&self, scene: &Scene<'_>, counts: &Effects, mine: &Effects, other_state: bool) {
        self.status.shadow(|report| {
            compare(scene, counts, mine, report);
            report.state_differ += u64::from(other_state);
        });
    }
}

/// The batch of a tick, which has no events.
fn nothing(shard: u32, now: i64) -> Batch {
    let next = u64::try_from(now).unwrap_or(0);
    Batch { flow: Incarnation(uuid::Uuid::nil()), partition: shard, records: Arc::default(), next }
}

/// The shadow is called with the version that counts, whatever it asks for itself.
fn other_ticks(counts: Option<Duration>, shadow: Option<Duration>) -> Option<String> {
    let words = |interval: Option<Duration>| match interval {
        Some(interval) => format!("every {} ms", interval.as_millis()),
        None => "never".to_owned(),
    };
    (counts != shadow).then(|| format!("{}, the shadow {}", words(counts), words(shadow)))
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
    /// A shadow is looked at from now on; counts of the same one in the same round go on.
    pub(super) fn with_shadow(&self, new: ShadowReport) {
        self.with_report(|report| match report {
            Some(report) if report.digest == new.digest && report.round == new.round => {
                report.version = new.version;
                report.is_ended = false;
            }
            report => *report = Some(new),
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
