//! What READs fetch before their peers have taken what came before, and how much of it there may be.
//!
//! What is fetched needs room, of its connection and of all connections together. Where there is none, it is
//! dropped, and fetched again once there is: so nobody who waits holds anything. Events are never passed over.

use std::sync::Arc;

use host_brokers::{BatchLimits, Broker, BrokerError, TopicRef};
use host_events::Batch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// How much a reader fetches at once: large enough that a disk or a network is not asked for every event.
const FETCH: BatchLimits = BatchLimits { records: 512, bytes: 256 * 1024 };

/// Octets that one READ holds of what it has fetched: a batch that is being sent, one that waits, and one of each of
/// a dozen partitions.
const EACH: usize = 4 << 20;

/// Octets that all READs hold together of what they have fetched: 16 of them at full speed, more than a disk
/// serves at once. Others share what these leave.
const ALL: usize = 64 << 20;

/// Octets that one batch counts for at the most, so that a larger one can come at all.
const MOST: usize = EACH / 4;

/// Octets that a record takes beside its payload.
const RECORD: usize = 128;

/// Octets of a permit.
const UNIT: usize = 1024;

/// Batches of all partitions that wait to be sent.
const WAITING: usize = 1;

/// Room for what all READs have fetched.
#[derive(Clone, Debug)]
pub struct ReadRoom(Arc<Semaphore>);

impl Default for ReadRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL / UNIT)))
    }
}

impl ReadRoom {
    /// Whether so much is taken that who makes no use of it should give it back.
    pub(crate) fn is_short(&self) -> bool {
        self.0.available_permits() < ALL / UNIT / 2
    }
}

/// Where one partition is read from, and up to where unless it is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) until: Option<u64>,
}

impl Span {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| self.from >= until)
    }
}

/// The log that is read.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) topic: TopicRef,
    pub(crate) room: ReadRoom,
}

/// A batch, and the room that it takes until it is dropped.
pub(crate) struct Fetched {
    pub(crate) batch: Batch,
    _taken: Taken,
}

struct Taken {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Readers of all partitions, side by side. They end when it is dropped, and what they hold is given back.
pub(crate) struct Ahead {
    fetched: mpsc::Receiver<Result<Fetched, BrokerError>>,
    _readers: JoinSet<()>,
}

impl Ahead {
    pub(crate) fn of(origin: &Origin, spans: &[Span]) -> Self {
        let (sender, fetched) = mpsc::channel(WAITING);
        let own = Arc::new(Semaphore::new(EACH / UNIT));
        let mut readers = JoinSet::new();
        for span in spans.iter().filter(|span| !span.is_over()) {
            let reader = Reader { origin: origin.clone(), own: Arc::clone(&own), span: *span };
            readers.spawn(reader.run(sender.clone()));
        }
        Self { fetched, _readers: readers }
    }

    /// The next batch of any partition; none where all are read. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Fetched, BrokerError>> {
        self.fetched.recv().await
    }
}

struct Reader {
    origin: Origin,
    own: Arc<Semaphore>,
    span: Span,
}

impl Reader {
    async fn run(mut self, sender: mpsc::Sender<Result<Fetched, BrokerError>>) {
        if let Err(error) = self.read(&sender).await {
            // A receiver that is gone does not want to know.
            drop(sender.send(Err(error)).await);
        }
    }

    async fn read(
        &mut self,
        sender: &mpsc::Sender<Result<Fetched, BrokerError>>,
    ) -> Result<(), BrokerError> {
        let mut taken = None;
        while !self.span.is_over() {
            let Span { partition, from, .. } = self.span;
            let Origin { broker, topic, .. } = &self.origin;
            let mut source = broker.source(topic, partition, from).await?;
            while !self.span.is_over() {
                let mut batch = source.next(FETCH).await?;
                let Some(taken) = taken.take().or_else(|| self.try_take(&batch)) else { break };
                self.span.from = batch.next;
                if let Some(until) = self.span.until {
                    cut(&mut batch, until);
                }
                if sender.send(Ok(Fetched { batch, _taken: taken })).await.is_err() {
                    return Ok(());
                }
            }
            drop(source);
            if !self.span.is_over() {
                taken = self.take().await;
            }
        }
        Ok(())
    }

    /// Room for a batch, if there is any now.
    fn try_take(&self, batch: &Batch) -> Option<Taken> {
        let octets: usize = batch.records.iter().map(|stored| stored.record.size() + RECORD).sum();
        let units = units(octets.min(MOST));
        let own = Arc::clone(&self.own).try_acquire_many_owned(units).ok()?;
        let all = Arc::clone(&self.origin.room.0).try_acquire_many_owned(units).ok()?;
        Some(Taken { _own: own, _all: all })
    }

    /// Room for any batch, once there is some.
    async fn take(&self) -> Option<Taken> {
        let own = Arc::clone(&self.own).acquire_many_owned(units(MOST)).await.ok()?;
        let all = Arc::clone(&self.origin.room.0).acquire_many_owned(units(MOST)).await.ok()?;
        Some(Taken { _own: own, _all: all })
    }
}

fn units(octets: usize) -> u32 {
    u32::try_from(octets.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// Leaves out what came after the READ began.
fn cut(batch: &mut Batch, until: u64) {
    let kept = batch.records.partition_point(|stored| stored.offset < until);
    if kept < batch.records.len() {
        batch.records = batch.records.iter().take(kept).cloned().collect();
    }
}
