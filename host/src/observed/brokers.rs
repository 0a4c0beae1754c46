//! Measures a broker from outside: how long commits and writes take, how they end, and whether it is full
//! or away, which is logged once when it begins and once when it is over.
//!
//! Changes nothing of what the broker answers. A method that the trait gains has to be passed on here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use host_brokers::{
    Append, Appended, Borrower, Broker, BrokerError, Commit, CommitOutcome, Consumer, Enqueued,
    Fence, FoundTopic, Opened, Output, ShardId, Source, TopicChange, TopicInfo, TopicRef,
    TopicSpec, Transaction,
};
use host_events::Position;
use host_observe::{Counter, Exposition, Histogram, Kind};
use uuid::Uuid;

/// How long a broker must do without an error before its trouble is called over: on a full disk small
/// writes can go well between large ones.
const QUIET: Duration = Duration::from_secs(5);

/// What is measured of one broker.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    name: String,
    commits: Histogram,
    appends: Histogram,
    outcomes: [Counter; OUTCOMES.len()],
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
    measured: Seen,
}

/// The broker itself, once it is there: it may know before anything fails that nobody answers.
#[derive(Default)]
struct Seen(OnceLock<Weak<dyn Broker>>);

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seen")
    }
}

const OUTCOMES: [&str; 4] = ["committed", "aborted", "fenced", "unknown"];

/// Since when, or rather at which moment last, something was wrong.
#[derive(Debug, Default)]
struct Trouble {
    full: Option<Instant>,
    away: Option<Instant>,
}

impl Measures {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), ..Self::default() })
    }

    fn committed(&self, outcome: &CommitOutcome, took: Duration) {
        self.commits.observe(took);
        let (index, error) = match outcome {
            CommitOutcome::Committed => (0, None),
            CommitOutcome::Aborted(error) => (1, Some(error)),
            CommitOutcome::Fenced => (2, None),
            CommitOutcome::Unknown(error) => (3, Some(error)),
        };
        if let Some(count) = self.outcomes.get(index) {
            count.one();
        }
        self.note(error);
    }

    fn is_away(&self) -> bool {
        let broker = self.measured.0.get().and_then(Weak::upgrade);
        broker.is_some_and(|broker| broker.away().is_some())
    }

    /// Takes note of how a change ended.
    fn note(&self, error: Option<&BrokerError>) {
        let is_trouble = matches!(error, Some(BrokerError::Full(_) | BrokerError::Unavailable(_)));
        if !is_trouble && !self.troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let (broker, now) = (&self.name, Instant::now());
        match error {
            Some(BrokerError::Full(cause)) => {
                if trouble.full.replace(now).is_none() {
                    tracing::error!(broker, cause, "broker is full, nothing can be written");
                }
            }
            Some(BrokerError::Unavailable(cause)) => {
                if trouble.away.replace(now).is_none() {
                    tracing::error!(broker, cause, "broker is unavailable");
                }
            }
            Some(_) => {}
            None => {
                let over = |since: &Instant| since.elapsed() >= QUIET;
                if trouble.full.take_if(|since| over(since)).is_some() {
                    tracing::info!(broker, "broker has room again");
                }
                if trouble.away.take_if(|since| over(since)).is_some() {
                    tracing::info!(broker, "broker is available again");
                }
            }
        }
        let troubled = trouble.full.is_some() || trouble.away.is_some();
        self.troubled.store(troubled, Ordering::Relaxed);
    }
}

/// Name and help of a gauge, and what is looked at.
type Look = (&'static str, &'static str, fn(&Trouble, &Measures) -> bool);

/// Writes what was measured of brokers.
pub(super) fn write(page: &mut Exposition, brokers: &[Arc<Measures>]) {
    let help = "Time that commits of processors took: outputs, positions and state, durable.";
    let mut family = page.family("fnaa_commit_duration_seconds", Kind::Histogram, help);
    for broker in brokers {
        family.histogram(&[("broker", &broker.name)], &broker.commits);
    }
    let help = "Time that writes of clients took until they were durable.";
    let mut family = page.family("fnaa_append_duration_seconds", Kind::Histogram, help);
    for broker in brokers {
        family.histogram(&[("broker", &broker.name)], &broker.appends);
    }
    let help = "Commits of processors by how they ended.";
    let mut family = page.family("fnaa_broker_commits_total", Kind::Counter, help);
    for broker in brokers {
        for (count, outcome) in broker.outcomes.iter().zip(OUTCOMES) {
            family.sample(&[("broker", &broker.name), ("outcome", outcome)], count);
        }
    }
    let looks: [Look; 2] = [
        ("fnaa_broker_full", "1 while the broker has no room.", |trouble, _| {
            trouble.full.is_some()
        }),
        (
            "fnaa_broker_unavailable",
            "1 while nobody of the broker answers, and from a failed write or commit until one succeeds again.",
            |trouble, broker| trouble.away.is_some() || broker.is_away(),
        ),
    ];
    for (name, help, look) in looks {
        let mut family = page.family(name, Kind::Gauge, help);
        for broker in brokers {
            let trouble = broker.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            family.sample(&[("broker", &broker.name)], look(&trouble, broker));
        }
    }
}

/// A broker that is measured.
pub(crate) struct Measured {
    inner: Arc<dyn Broker>,
    measures: Arc<Measures>,
}

impl Measured {
    pub(crate) fn new(inner: Arc<dyn Broker>, measures: Arc<Measures>) -> Self {
        // Measured once.
        measures.measured.0.set(Arc::downgrade(&inner)).ok();
        Self { inner, measures }
    }
}

#[async_trait]
impl Broker for Measured {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn server(&self) -> String {
        self.inner.server()
    }

    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        let done = self.inner.create(topic).await;
        self.measures.note(done.as_ref().err());
        done
    }

    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
        let done = self.inner.update(topic, change).await;
        self.measures.note(done.as_ref().err());
        done
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        self.inner.describe(topic).await
    }

    async fn look(&self, topics: &[TopicRef]) -> Vec<Result<TopicInfo, BrokerError>> {
        self.inner.look(topics).await
    }

    async fn topics(&self) -> Result<Vec<FoundTopic>, BrokerError> {
        self.inner.topics().await
    }

    async fn consumers(&self, topic: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
        self.inner.consumers(topic).await
    }

    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.inner.delete(topic).await
    }

    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.inner.purge(topic).await
    }

    async fn append(&self, topic: &TopicRef, append: Append) -> Result<Appended, BrokerError> {
        self.enqueue(topic, append).await?.await
    }

    async fn enqueue(&self, topic: &TopicRef, append: Append) -> Result<Enqueued, BrokerError> {
        let began = Instant::now();
        let enqueued = self.inner.enqueue(topic, append).await;
        if let Err(error) = &enqueued {
            self.measures.note(Some(error));
        }
        let (enqueued, measures) = (enqueued?, Arc::clone(&self.measures));
        let measured = async move {
            let done = enqueued.await;
            if done.is_ok() {
                measures.appends.observe(began.elapsed());
            }
            measures.note(done.as_ref().err());
            done
        };
        Ok(measured.boxed())
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        self.inner.source(topic, partition, from).await
    }

    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError> {
        self.inner.offset_at(topic, partition, time).await
    }

    async fn time_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Option<i64>, BrokerError> {
        self.inner.time_at(topic, partition, from).await
    }

    fn safe(&self, topic: &TopicRef, partition: u32, next: u64) {
        self.inner.safe(topic, partition, next);
    }

    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let opened = self.inner.open(shard).await;
        self.measures.note(opened.as_ref().err());
        let opened = opened?;
        let fence =
            Box::new(MeasuredFence { inner: opened.fence, measures: Arc::clone(&self.measures) });
        Ok(Opened { fence, ..opened })
    }

    async fn freed(&self, shard: ShardId) {
        self.inner.freed(shard).await;
    }

    async fn returned(&self) {
        self.inner.returned().await;
    }

    fn away(&self) -> Option<BrokerError> {
        self.inner.away()
    }

    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        self.inner.reposition(shard, positions, reset_state).await
    }

    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        self.inner.forget(processor).await
    }

    async fn lend(&self, topic: &str, user: &Borrower) -> Result<(), BrokerError> {
        self.inner.lend(topic, user).await
    }

    async fn take_back(&self, name: &str) -> Result<(), BrokerError> {
        self.inner.take_back(name).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct MeasuredFence {
    inner: Box<dyn Fence>,
    measures: Arc<Measures>,
}

impl Fence for MeasuredFence {
    fn begin(&mut self) -> Box<dyn Transaction + '_> {
        Box::new(MeasuredTransaction { inner: self.inner.begin(), measures: &self.measures })
    }
}

struct MeasuredTransaction<'a> {
    inner: Box<dyn Transaction + 'a>,
    measures: &'a Measures,
}

#[async_trait]
impl Transaction for MeasuredTransaction<'_> {
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError> {
        let sent = self.inner.send(outputs).await;
        if let Err(error) = &sent {
            self.measures.note(Some(error));
        }
        sent
    }

    async fn commit(self: Box<Self>, commit: Commit) -> CommitOutcome {
        let began = Instant::now();
        let outcome = self.inner.commit(commit).await;
        self.measures.committed(&outcome, began.elapsed());
        outcome
    }
}

#[cfg(test)]
mod tests;
