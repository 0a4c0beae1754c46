//! Two versions of a plugin over past events: both begin with an empty state, or with that of a snapshot, and what they
//! answer is compared and thrown away.
//!
//! Reads the flows beside the processor, which goes on and knows nothing of it. Nothing of it outlives the host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host_events::Position;
use host_iam::Principal;
use host_plugins::log::NoLog;
use host_plugins::{CallError, LogSink, Optional, Plugin, ShardState, SharedState};
use host_registry::Processor;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::inputs::{Inputs, Next, Reading};
use crate::shadow::asked::AskedBy;
use crate::shadow::compare::{Scene, compare};
use crate::shadow::report::ShadowReport;
use crate::shadow::side::Side;
use crate::shadow::span::{End, Origin, Span, ends, up_to};
use crate::shard::{Failure, setup};
use crate::size::Size;
use crate::snapshots::ShardSnapshot;
use crate::spec::{Spec, SpecError};
use crate::start::StartError;
use crate::supervisor::Processors;

/// Comparisons that run at once on a host: each takes a processor's time twice over, as fast as it can.
const AT_ONCE: usize = 2;

/// How long nothing comes of a flow before its end counts as reached: the last offsets of a log on Kafka may be
/// nobody's records, and are told by nothing.
const QUIET: Duration = Duration::from_secs(10);

/// How a comparison does.
#[derive(Clone, Debug)]
pub struct PastReport {
    /// What was found.
    pub found: ShadowReport,
    /// Offsets that were gone through.
    pub done: u64,
    /// Offsets in the span.
    pub all: u64,
    /// Whether it still runs.
    pub runs: bool,
}

/// Why nothing is compared.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// One of the processor's runs.
    #[error("a comparison of processor {0} is under way")]
    UnderWay(String),
    /// Others run.
    #[error("{AT_ONCE} comparisons run on this host")]
    TooMany,
    /// Its flows are not there.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no such snapshot.
    #[error("snapshot {number} of processor {name}")]
    NoSnapshot {
        /// Which.
        number: u64,
        /// Of which processor.
        name: String,
    },
    /// The span is not in its flows.
    #[error("{0}")]
    Span(String),
    /// The version that it runs cannot be loaded.
    #[error("the version that processor {0} runs cannot be loaded")]
    NoPlugin(String),
}

impl From<StartError> for PastError {
    fn from(error: StartError) -> Self {
        Self::Span(error.to_string())
    }
}

/// The comparisons of a host, by processor.
#[derive(Default)]
pub(crate) struct Pasts(Mutex<BTreeMap<Uuid, Past>>);

struct Past {
    report: Arc<Mutex<PastReport>>,
    task: JoinHandle<()>,
}

impl Drop for Past {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Processors {
    /// Compares the version that a processor runs with another one, over past events.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub async fn compare_past(
        &self,
        processor: &Processor,
        other: Plugin,
        span: Span,
        who: &Principal,
    ) -> Result<(), PastError> {
        let spec = Spec::resolve(processor, &self.0.registry, &self.0.brokers).await?;
        let name = || processor.name.to_string();
        let offer = self.plugin_for(&spec).await.ok_or_else(|| PastError::NoPlugin(name()))?;
        let plugin = offer.plugin;
        let mut shards = Vec::new();
        let origin = self.origin(&spec, span.from).await?;
        spec.check_place(&span.to).map_err(|error| PastError::Span(error.to_string()))?;
        for shard in 0..spec.shards() {
            shards.push(ends(&spec, shard, &origin, &span.to).await?);
        }
        let all = shards.iter().flatten().map(|end| end.to.saturating_sub(end.from)).sum();
        let found = ShadowReport::new(other.digest(), &other.info().version, 0);
        let report = Arc::new(Mutex::new(PastReport { found, done: 0, all, runs: true }));
        let mut pasts = self.0.pasts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pasts.get(&spec.id).is_some_and(|past| !past.task.is_finished()) {
            return Err(PastError::UnderWay(name()));
        }
        if pasts.values().filter(|past| !past.task.is_finished()).count() >= AT_ONCE {
            return Err(PastError::TooMany);
        }
        let (id, limits) = (spec.id, spec.limits.of(&self.0.options));
        let log: Arc<dyn LogSink> = Arc::new(NoLog);
        let asked_by = AskedBy::of(&self.0.options.grants, who, processor);
        let versions = [plugin, other];
        let processors = self.clone();
        let run = Run {
            spec,
            limits,
            log,
            versions,
            asked_by,
            origin,
            processors,
            report: Arc::clone(&report),
        };
        let task = tokio::spawn(run.run(shards));
        pasts.insert(id, Past { report, task });
        Ok(())
    }

    /// What the latest comparison of a processor found.
    #[must_use]
    pub fn comparison(&self, id: Uuid) -> Option<PastReport> {
        let pasts = self.0.pasts.0.lock().unwrap_or_else(PoisonError::into_inner);
        pasts.get(&id).map(|past| locked(&past.report, |report| report.clone()))
    }

    /// Ends and forgets it; says whether there was one.
    pub fn end_comparison(&self, id: Uuid) -> bool {
        self.0.pasts.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).is_some()
    }
}

fn locked<T>(report: &Mutex<PastReport>, look: impl FnOnce(&mut PastReport) -> T) -> T {
    look(&mut report.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Run {
    spec: Spec,
    limits: host_plugins::Limits,
    log: Arc<dyn LogSink>,
    /// The one that runs, and the other one.
    versions: [Plugin; 2],
    asked_by: AskedBy,
    origin: Origin,
    processors: Processors,
    report: Arc<Mutex<PastReport>>,
}

impl Run {
    async fn run(self, shards: Vec<Vec<End>>) {
        let problem = tokio::select! {
            problem = self.all(shards) => problem,
            problem = self.asked_by.until_forbidden() => Some(problem),
        };
        locked(&self.report, |report| {
            report.found.problem = problem;
            report.runs = false;
        });
    }

    async fn all(&self, shards: Vec<Vec<End>>) -> Option<String> {
        for (ends, shard) in shards.into_iter().zip(0..) {
            if let Err(failure) = self.shard(shard, ends).await {
                return Some(format!("shard {shard}: {failure}"));
            }
        }
        None
    }

    async fn shard(&self, shard: u32, ends: Vec<End>) -> Result<(), Failure> {
        let taken = self.taken(shard).await?;
        let [counts, other] = &self.versions;
        let mut counts = self.side(counts, shard, &taken).await?;
        let mut other = self.side(other, shard, &taken).await?;
        drop(taken);
        let mut left: BTreeMap<u32, End> =
            ends.into_iter().filter(|end| end.from < end.to).map(|end| (end.input, end)).collect();
        let reading = Reading::new(Size::new(&self.limits).shared(), &self.limits);
        let positions = self.positions(shard, left.values());
        let mut inputs = Inputs::open(&self.spec, shard, &positions, &reading).await?;
        let mut quiet = Instant::now() + QUIET;
        while !left.is_empty() {
            let Ok(next) = tokio::time::timeout_at(quiet, inputs.next()).await else { break };
            let next = next?;
            let Some(end) = left.get_mut(&next.input) else { continue };
            let (next, position) = up_to(next, end.to);
            locked(&self.report, |report| report.done += position.saturating_sub(end.from));
            end.from = position;
            if position >= end.to {
                left.remove(&next.input);
            }
            self.batch(&mut counts, &mut other, &next).await?;
            // Inputs that are through go on, and say nothing of those that are not.
            quiet = Instant::now() + QUIET;
        }
        let rest: u64 = left.values().map(|end| end.to - end.from).sum();
        locked(&self.report, |report| report.done += rest);
        Ok(())
    }

    /// The state that both begin with.
    async fn taken(&self, shard: u32) -> Result<ShardSnapshot, Failure> {
        let Origin::Snapshot { number, .. } = self.origin else {
            return Ok(ShardSnapshot::default());
        };
        let read = self.processors.snapshot_of_shard(self.spec.id, number, shard).await;
        read.map_err(|cause| Failure::Snapshot { number, cause })
    }

    /// Where the inputs are read from.
    fn positions<'a>(&self, shard: u32, ends: impl Iterator<Item = &'a End>) -> Position {
        let mut positions = Position::default();
        for end in ends {
            if let Some(input) = self.spec.inputs.get(end.input as usize) {
                positions.set(input.topic.incarnation, shard, end.from);
            }
        }
        positions
    }

    async fn batch(
        &self,
        counts: &mut Side,
        other: &mut Side,
        next: &Next,
    ) -> Result<(), CallError> {
        if next.batch.records.is_empty() {
            return Ok(());
        }
        let flow = self.spec.input_name(next.input);
        let (theirs, their_state) = counts.answer(next, &flow).await?;
        let (mine, my_state) = other.answer(next, &flow).await?;
        let outputs = self.spec.output_names();
        let scene = Scene { flow: &flow, batch: &next.batch, outputs: &outputs };
        locked(&self.report, |report| {
            compare(&scene, &theirs, &mine, &mut report.found);
            report.found.state_differ += u64::from(their_state != my_state);
        });
        Ok(())
    }

    /// A version on a state of its own.
    async fn side(
        &self,
        plugin: &Plugin,
        shard: u32,
        taken: &ShardSnapshot,
    ) -> Result<Side, CallError> {
        let state = SharedState::new(ShardState::with_base(taken.entries.iter().cloned()));
        let setup = setup(&self.spec, shard, &state, &self.limits, &self.log);
        let other = *taken.digest != **plugin.digest() && plugin.exports(Optional::Migrate);
        let from = other.then(|| taken.version.clone());
        Side::start(plugin.clone(), setup, from).await
    }
}
