//! Two versions of a plugin over past events: both begin with an empty state, and what they answer is compared and
//! thrown away.
//!
//! Reads the flows beside the processor, which goes on and knows nothing of it. Nothing of it outlives the host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fnap::name::Name;
use fnap::rights::Right;
use fnap::subject::Subject;
use host_events::{Batch, Position};
use host_iam::{Grants, Principal};
use host_plugins::log::NoLog;
use host_plugins::{CallError, LogSink, Plugin, Setup, SharedState};
use host_registry::{Processor, Start};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::inputs::{Inputs, Next};
use crate::shadow::compare::{Scene, compare};
use crate::shadow::report::ShadowReport;
use crate::shadow::side::Side;
use crate::shard::{Failure, batch_limits, setup};
use crate::spec::{Spec, SpecError};
use crate::start::{self, StartError};
use crate::supervisor::Processors;

/// Comparisons that run at once on a host: each takes a processor's time twice over, as fast as it can.
const AT_ONCE: usize = 2;

/// How long nothing comes of a flow before its end counts as reached: the last offsets of a log on Kafka may be
/// nobody's records, and are told by nothing.
const QUIET: Duration = Duration::from_secs(10);

/// Which events.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first.
    pub from: Start,
    /// The one after the last.
    pub to: Start,
}

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
        for shard in 0..spec.shards() {
            shards.push(ends(&spec, shard, span).await?);
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
        let run = Run { spec, limits, log, versions, asked_by, report: Arc::clone(&report) };
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

/// A piece of one partition of one input.
#[derive(Clone, Copy)]
struct End {
    input: u32,
    from: u64,
    to: u64,
}

async fn ends(spec: &Spec, shard: u32, span: Span) -> Result<Vec<End>, StartError> {
    let mut ends = Vec::new();
    for (endpoint, input) in spec.inputs.iter().zip(0..) {
        if shard >= endpoint.partitions {
            continue;
        }
        let from = start::resolve(endpoint, shard, &span.from).await?;
        let to = start::resolve(endpoint, shard, &span.to).await?;
        ends.push(End { input, from, to: to.max(from) });
    }
    Ok(ends)
}

/// Who wants to know, and what he has to be allowed for as long as it runs.
struct AskedBy {
    grants: Grants,
    who: Subject,
    needs: Vec<(Right, Name)>,
}

impl AskedBy {
    /// What holds only of his session says nothing about later.
    fn of(grants: &Grants, who: &Principal, processor: &Processor) -> Self {
        let who = who.subject().clone();
        let reads = processor.inputs.iter().map(|input| (Right::Read, input.clone()));
        let mut needs: Vec<_> = reads.collect();
        needs.push((Right::Administer, processor.name.clone()));
        needs.retain(|(right, name)| grants.owner_may(Some(&who), *right, name));
        Self { grants: grants.clone(), who, needs }
    }

    /// Waits until he may not any more, and says what.
    async fn until_forbidden(&self) -> String {
        let mut changes = self.grants.subscribe();
        let refused =
            |(right, name): &&(Right, Name)| !self.grants.owner_may(Some(&self.who), *right, name);
        loop {
            changes.mark_unchanged();
            if let Some((right, name)) = self.needs.iter().find(refused) {
                return format!("{} may not {right} {name} any more", self.who);
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

struct Run {
    spec: Spec,
    limits: host_plugins::Limits,
    log: Arc<dyn LogSink>,
    /// The one that runs, and the other one.
    versions: [Plugin; 2],
    asked_by: AskedBy,
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
        let [counts, other] = &self.versions;
        let mut counts = Side::start(counts.clone(), self.setup(shard), None).await?;
        let mut other = Side::start(other.clone(), self.setup(shard), None).await?;
        let mut left: BTreeMap<u32, End> =
            ends.into_iter().filter(|end| end.from < end.to).map(|end| (end.input, end)).collect();
        let mut positions = Position::default();
        for end in left.values() {
            if let Some(input) = self.spec.inputs.get(end.input as usize) {
                positions.set(input.topic.incarnation, shard, end.from);
            }
        }
        let limits = batch_limits(&self.limits);
        let mut inputs = Inputs::open(&self.spec, shard, &positions, limits).await?;
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

    fn setup(&self, shard: u32) -> Setup {
        setup(&self.spec, shard, &SharedState::default(), &self.limits, &self.log)
    }
}

/// A batch without what lies behind an offset, and where the input stands then.
fn up_to(next: Next, to: u64) -> (Next, u64) {
    if next.batch.next <= to {
        let position = next.batch.next;
        return (next, position);
    }
    let Batch { flow, partition, records, .. } = next.batch;
    let records = records.iter().take_while(|stored| stored.offset < to).cloned().collect();
    (Next { input: next.input, batch: Batch { flow, partition, records, next: to } }, to)
}
