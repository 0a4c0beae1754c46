//! What every broker offers, whatever it is: topics, appending, reading, and commits that hold
//! outputs, positions and state together.
//!
//! The battery (`tests/battery/`) is written against these traits; what passes it can carry flows.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use host_events::{Batch, Incarnation, Position, Record};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A broker: where flows have their topics.
#[async_trait]
pub trait Broker: Send + Sync {
    /// What the broker is called in `type=` of DESCRIBE FLOW, e.g. `embedded` or `kafka`.
    fn kind(&self) -> &'static str;
    /// What clients connect to, for `server=` of DESCRIBE FLOW.
    fn server(&self) -> String;
    /// Creates a topic, and gives the broker's own id of it where it has one. Doing it again after it was
    /// made and before anything was written to it is harmless.
    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError>;
    /// Adds partitions (never fewer) and replaces the given settings.
    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError>;
    /// What the topic is now.
    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError>;
    /// What many topics are now, in their order: ids and partitions, without settings and sizes. It is asked
    /// every few seconds about every topic in use, so it has to be cheap.
    async fn look(&self, topics: &[TopicRef]) -> Vec<Result<TopicInfo, BrokerError>> {
        let mut looks = Vec::with_capacity(topics.len());
        for topic in topics {
            looks.push(self.describe(topic).await);
            if looks.len().is_multiple_of(LOOKS_IN_A_TURN) {
                // A broker that answers from memory never waits.
                tokio::task::yield_now().await;
            }
        }
        looks
    }
    /// Topics that somebody may take over as flows: all that are no internal ones. A broker that holds
    /// nothing but flows has none.
    async fn topics(&self) -> Result<Vec<FoundTopic>, BrokerError> {
        Ok(Vec::new())
    }
    /// Who reads the topic in the broker's own books (consumer groups), besides our processors.
    async fn consumers(&self, _topic: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
        Ok(Vec::new())
    }
    /// Deletes the topic and its records. Deleting what is not there is harmless.
    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError>;
    /// Deletes every record; offsets go on from where they are.
    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError>;
    /// Appends records and returns when they are safe. With a token that was seen within its
    /// lifetime nothing is written and the first answer is given again.
    async fn append(&self, topic: &TopicRef, append: Append) -> Result<Appended, BrokerError>;
    /// Appends in two steps: returns when the records stand in the broker's queue, with what waits until they are
    /// safe. What is enqueued after that lies behind them in each partition, where both have tokens of one principal,
    /// or neither has one. A broker without a queue returns when they are safe.
    async fn enqueue(&self, topic: &TopicRef, append: Append) -> Result<Enqueued, BrokerError> {
        let appended = self.append(topic, append).await;
        Ok(std::future::ready(appended).boxed())
    }
    /// Opens a reader of one partition. `next` of it waits for records.
    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError>;
    /// The offset of the first record at or after a time (milliseconds since 1970 UTC); the end of
    /// the log where there is none.
    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError>;
    /// The time (milliseconds since 1970 UTC) of the first record at or behind an offset that lies before the end; `None` where
    /// it is not found soon. It is asked every few seconds of what lags, so it has to be cheap.
    async fn time_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Option<i64>, BrokerError> {
        let mut source = self.source(topic, partition, from).await?;
        for _ in 0..MOST_GAPS {
            if let Some(stored) = source.next(ONE).await?.records.first() {
                return Ok(Some(stored.record.timestamp));
            }
        }
        Ok(None)
    }
    /// A reader has dealt with all before an offset, durably: for those whose other side wants to know. It is said
    /// every few seconds, also where nothing has changed.
    fn safe(&self, _topic: &TopicRef, _partition: u32, _next: u64) {}
    /// Takes a shard over: whoever had it open before is fenced, and what is true is read.
    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError>;
    /// Waits until a shard that another host had may be taken over here; for ever where nobody tells of it, or
    /// nothing of the kind stands against it.
    async fn freed(&self, _shard: ShardId) {
        std::future::pending().await
    }
    /// Waits until a broker that is away, or goes away meanwhile, answers again; for ever where nobody tells of it.
    async fn returned(&self) {
        std::future::pending().await
    }
    /// Why nobody of a broker answers, where that has lasted for some seconds; nothing where nobody tells of it.
    fn away(&self) -> Option<BrokerError> {
        None
    }
    /// Sets positions of a shard that nobody holds open, and where asked drops its state.
    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError>;
    /// Forgets positions and state of every shard of a processor that was deleted.
    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError>;
    /// Lets somebody who is no user of ours read one topic with clients of his own, under a name and password made
    /// for that alone. Doing it again gives him another password, and the former one is no longer taken.
    async fn lend(&self, topic: &str, _user: &Borrower) -> Result<(), BrokerError> {
        Err(BrokerError::Invalid(format!("topic {topic}: this broker lends nothing")))
    }
    /// Takes everything back that a name was lent, and the name itself, and returns when the broker has seen that.
    /// Harmless where there is nothing.
    async fn take_back(&self, _name: &str) -> Result<(), BrokerError> {
        Ok(())
    }
    /// Nothing more is wanted of it: ends what is under way, gives up what it holds, and keeps what makes the
    /// next start quicker. For some seconds at the most. Dropping it without this loses nothing.
    async fn close(&self) {}
}

/// Steps over gaps until the first record behind a position is given up.
const MOST_GAPS: u32 = 16;

/// Just the first record.
const ONE: BatchLimits = BatchLimits { records: 1, bytes: 1 };

/// Reads one partition in order.
#[async_trait]
pub trait Source: Send {
    /// The next batch: at least one record or a passed gap, within the limits. Waits while there is
    /// none; dropping the future loses nothing.
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError>;
}

/// A shard that is held open. One commit at a time.
#[async_trait]
pub trait Fence: Send {
    /// Starts a transaction.
    fn begin(&mut self) -> Box<dyn Transaction + '_>;
}

/// Outputs, positions and state that become durable together.
#[async_trait]
pub trait Transaction: Send {
    /// Hands outputs over. They may travel at once; nobody sees them before the commit.
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError>;
    /// All or nothing.
    async fn commit(self: Box<Self>, commit: Commit) -> CommitOutcome;
}

/// How a commit ended.
#[derive(Debug)]
pub enum CommitOutcome {
    /// Everything is durable.
    Committed,
    /// Nothing is; open the shard again and go on from what is true.
    Aborted(BrokerError),
    /// Somebody else holds the shard now; nothing is durable.
    Fenced,
    /// Nobody knows; open the shard again and read what is true.
    Unknown(BrokerError),
}

/// Records for one partition of one topic, in order.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where to.
    pub topic: TopicRef,
    /// The partition.
    pub partition: u32,
    /// The records.
    pub records: Vec<Record>,
}

/// What a commit makes durable beside the outputs that were sent.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Positions that changed; those not named stay.
    pub positions: Position,
    /// State that changed: key → value, or `None` for deleted.
    pub state: Vec<(Bytes, Option<Bytes>)>,
    /// Digest of the plugin that decided this (hex SHA-256).
    pub digest: Arc<str>,
    /// Positions may move back: a log was cut, and its processor goes on at its end. Otherwise a commit
    /// that would move one back is refused.
    pub rewinds: bool,
}

/// What `open` found.
pub struct Opened {
    /// The shard, held.
    pub fence: Box<dyn Fence>,
    /// Committed positions.
    pub positions: Position,
    /// Committed state.
    pub state: BTreeMap<Bytes, Bytes>,
    /// Digest of the plugin that made the last commit.
    pub digest: Option<String>,
}

/// Partition `shard` of every input of a processor. The processor's id is never used again for
/// another one, even under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId {
    /// The processor.
    pub processor: Uuid,
    /// The shard.
    pub shard: u32,
}

/// A topic and the life of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicRef {
    /// Name on the broker.
    pub topic: Arc<str>,
    /// The life of it.
    pub incarnation: Incarnation,
    /// The broker's own id of that life, once it is known. A topic of another id is not found.
    pub id: Option<Uuid>,
}

impl TopicRef {
    /// A topic whose broker has no id of its own for it, or none that is known yet.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, incarnation: Incarnation) -> Self {
        Self { topic: topic.into(), incarnation, id: None }
    }
}

/// Who is lent a topic.
pub struct Borrower {
    /// What he is called at the broker, and how the groups begin that he may read in.
    pub name: String,
    /// By what the broker knows him.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Borrower {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Borrower({})", self.name)
    }
}

/// A topic to create.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Name and life.
    pub topic: TopicRef,
    /// At least 1.
    pub partitions: u32,
    /// Copies of each partition; the broker's default where it is not said.
    pub replication: Option<u16>,
    /// Settings by Kafka's names: `retention.ms`, `retention.bytes` (-1: no limit), `max.message.bytes`.
    pub config: BTreeMap<String, String>,
}

/// A change of a topic.
#[derive(Clone, Debug, Default)]
pub struct TopicChange {
    /// New number of partitions, if it changes.
    pub partitions: Option<u32>,
    /// Settings to set.
    pub config: BTreeMap<String, String>,
}

/// What a topic is now.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    /// The broker's own id of this life, where it has one.
    pub id: Option<Uuid>,
    /// Copies of each partition, where the broker keeps any.
    pub replication: Option<u16>,
    /// For each partition, its log's first offset and the offset after its last.
    pub partitions: Vec<PartitionInfo>,
    /// Bytes on disk, where the broker knows.
    pub bytes: Option<u64>,
    /// Settings in force.
    pub config: BTreeMap<String, String>,
}

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTopic {
    /// Its name.
    pub topic: String,
    /// The broker's own id of its life, where it has one.
    pub id: Option<Uuid>,
    /// How many partitions it has.
    pub partitions: u32,
}

/// Topics that are looked at before other tasks get a turn.
const LOOKS_IN_A_TURN: usize = 64;

/// Somebody who reads a topic by the broker's own books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The group's name.
    pub group: String,
    /// The group's state in the broker's word, e.g. `Stable` or `Empty`.
    pub state: String,
    /// How many members it has now.
    pub members: usize,
    /// Events between its committed offsets and the ends of the log, where all are known.
    pub lag: Option<u64>,
}

/// How far a partition's log reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// First offset that can be read.
    pub earliest: u64,
    /// Offset that the next record will have.
    pub latest: u64,
}

/// Records from outside, with what recognises a repeat.
#[derive(Clone, Debug)]
pub struct Append {
    /// Partition and record.
    pub records: Vec<(u32, Record)>,
    /// Recognises a repeat of the same append.
    pub token: Option<Token>,
}

/// Who wrote, and his word for this append.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The principal.
    pub principal: String,
    /// What he calls this append.
    pub token: String,
}

/// Answer to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many records are safe.
    pub count: u64,
    /// Whether a repeat was recognised and nothing was written.
    pub repeated: bool,
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Records.
    pub records: usize,
    /// Bytes of their payloads; one record larger than that still comes alone.
    pub bytes: usize,
}

/// Waits until what stands in a broker's queue is safe. Who drops it no longer wants to know.
pub type Enqueued = BoxFuture<'static, Result<Appended, BrokerError>>;

/// Why a broker did not do it, named by what the caller can do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no such topic, or another life of it.
    #[error("topic not found: {0}")]
    NotFound(String),
    /// It exists already, as another one.
    #[error("topic exists: {0}")]
    Exists(String),
    /// The offset is not in the log.
    #[error(
        "offset {wanted} of partition {partition} is out of range: earliest={earliest} latest={latest}"
    )]
    OutOfRange {
        /// Partition.
        partition: u32,
        /// What was asked for.
        wanted: u64,
        /// First offset in the log.
        earliest: u64,
        /// Offset after the last.
        latest: u64,
    },
    /// The request can never work as it is.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A record is larger than the topic takes.
    #[error("record of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The topic's limit.
        limit: usize,
    },
    /// More than one commit may hold: smaller ones go well.
    #[error("too much for one commit: {0}")]
    TooMuch(String),
    /// The broker does not let us: credentials or rights. Mended by an operator, not by waiting.
    #[error("broker refuses: {0}")]
    Refused(String),
    /// Try again later.
    #[error("broker unavailable: {0}")]
    Unavailable(String),
    /// There is no room; nothing was written.
    #[error("broker is full: {0}")]
    Full(String),
    /// What is stored cannot be read.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}
