//! The embedded broker: topics in one SQLite database, for one machine and for trying things out.
//!
//! What is acknowledged is on disk (`synchronous=FULL`). Records, positions, state and fencing epochs lie
//! in one database, so that a processor's commit is one transaction. It is no network server: other
//! programs reach its flows through FNAP.

mod blob;
mod checkpoint;
mod disk;
mod maintenance;
mod queue;
mod reader;
mod schema;
mod shards;
mod tokens;
mod topics;
mod trouble;
mod writer;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use host_events::Position;
use host_store::StoreError;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::broker::{
    Append, Appended, Broker, BrokerError, Commit, CommitOutcome, Enqueued, Fence, Opened, Output,
    PartitionInfo, ShardId, Source, TopicChange, TopicInfo, TopicRef, TopicSpec, Transaction,
};

use checkpoint::Checkpointer;
use disk::Disk;
use maintenance::Change;
use queue::Queue;
use reader::{LogSource, Readers};
use topics::{Log, Topics};
use writer::{Answer, Request, Writer};

/// How often retention is looked after. Kafka looks every five minutes; a small host can look more
/// often, and a test must not wait that long.
const RETENTION_PERIOD: Duration = Duration::from_secs(5);

/// Bytes of a page of a new database. Batches are large: against pages of 4 KiB an append takes a
/// quarter less processor time and a read half; still larger ones make small commits write more.
const PAGE_SIZE: u32 = 16 * 1024;

/// How an embedded broker works.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Pause between looks at retention.
    pub retention_period: Duration,
    /// Bytes that the database may take on disk, beside its write-ahead log; no limit where `None`.
    pub max_bytes: Option<u64>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { retention_period: RETENTION_PERIOD, max_bytes: None }
    }
}

/// Why the broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another host")]
    InUse(String),
    /// The directory cannot be used.
    #[error("cannot use {path}: {cause}")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The embedded broker of one directory. Dropping it waits until what was asked for is written; sources
/// and shards that still exist reach nothing any more.
pub struct Embedded {
    topics: Arc<Topics>,
    readers: Readers,
    requests: Queue,
    /// Tells the writer to end even where its queue is full.
    closing: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
    _checkpointer: Checkpointer,
    /// Released by the system when the process ends, however it ends.
    _lock: File,
}

impl Embedded {
    /// Opens the broker of a directory, which is created where it is absent.
    ///
    /// # Errors
    /// When another process has it, the disk cannot be used, or a newer host wrote it.
    pub async fn open(dir: &Path, options: EmbeddedOptions) -> Result<Arc<Self>, OpenError> {
        let lock = lock(dir)?;
        let path = dir.join("log.db");
        let topics = Arc::new(Topics::default());
        let (filled, database) = (Arc::clone(&topics), path.clone());
        let connection = host_store::blocking(move || {
            let connection = host_store::open_paged(&database, &schema::SCHEMA, PAGE_SIZE)?;
            // The checkpointer does it, on a connection of its own.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.set_prepared_statement_cache_capacity(32);
            if let Some(bytes) = options.max_bytes {
                let pages = i64::try_from(bytes / u64::from(PAGE_SIZE)).unwrap_or(i64::MAX).max(1);
                connection.pragma_update(None, "max_page_count", pages)?;
            }
            maintenance::load(&connection, &filled)?;
            Ok::<_, StoreError>(connection)
        })
        .await?;
        let disk = Disk::of(&path, PAGE_SIZE);
        let checkpointer = Checkpointer::start(&path)?;
        let (requests, waiting) = Queue::new();
        let writer = Writer {
            connection,
            disk,
            topics: Arc::clone(&topics),
            openings: 0,
            holders: Default::default(),
            trouble: Default::default(),
        };
        let closing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closing);
        let writer = std::thread::Builder::new()
            .name("broker-writer".into())
            .spawn(move || writer.run(waiting, &told))
            .map_err(|cause| OpenError::Directory { path: dir.display().to_string(), cause })?;
        let readers = Readers::new(path);
        let _checkpointer = checkpointer;
        tokio::spawn(look_after_retention(requests.clone(), options.retention_period));
        let writer = Some(writer);
        Ok(Arc::new(Self {
            topics,
            readers,
            requests,
            closing,
            writer,
            _checkpointer,
            _lock: lock,
        }))
    }

    async fn change<T>(
        &self,
        change: impl FnOnce(Answer<T>) -> Change + Send,
    ) -> Result<T, BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.requests.ask(Request::Change(Box::new(change(answer)))).await?;
        answered.await.map_err(|_| gone())?
    }

    fn log(&self, topic: &TopicRef, partition: u32) -> Result<Arc<Log>, BrokerError> {
        let found = self.topics.find(topic)?;
        let log = found.logs.get(partition as usize).cloned();
        log.ok_or_else(|| BrokerError::NotFound(format!("{} partition {partition}", topic.topic)))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // The lock must not be released while something still writes. Shards hold senders, so the
        // queue does not end by itself; where it is full the writer sees the flag.
        self.closing.store(true, Ordering::Release);
        self.requests.close();
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the broker's writer panicked");
        }
        self.topics.close();
    }
}

#[async_trait]
impl Broker for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    /// There is no server to connect to: its flows are reached through this host. Where its files lie
    /// is nobody's business.
    fn server(&self) -> String {
        "embedded".to_owned()
    }

    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        self.change(|answer| Change::Create(topic.clone(), answer)).await?;
        Ok(None)
    }

    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
        self.change(|answer| Change::Update(topic.clone(), change.clone(), answer)).await
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        let topic = self.topics.find(topic)?;
        let spans = || topic.logs.iter().map(|log| *log.span.borrow());
        let info =
            |span: topics::Span| PartitionInfo { earliest: span.earliest, latest: span.next };
        Ok(TopicInfo {
            id: None,
            replication: None,
            partitions: spans().map(info).collect(),
            bytes: Some(spans().map(|span| span.bytes).sum()),
            config: topic.config.given.clone(),
        })
    }

    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.change(|answer| Change::Delete(topic.clone(), answer)).await
    }

    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.change(|answer| Change::Purge(topic.clone(), answer)).await
    }

    async fn append(&self, topic: &TopicRef, append: Append) -> Result<Appended, BrokerError> {
        self.enqueue(topic, append).await?.await
    }

    async fn enqueue(&self, topic: &TopicRef, append: Append) -> Result<Enqueued, BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.requests.ask(Request::Append { topic: topic.clone(), append, answer }).await?;
        Ok(answered.map(|answered| answered.unwrap_or_else(|_| Err(gone()))).boxed())
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let log = self.log(topic, partition)?;
        let source = LogSource {
            readers: self.readers.clone(),
            span: log.span.subscribe(),
            log,
            name: Arc::clone(&topic.topic),
            flow: topic.incarnation,
            partition,
            next: from,
            held: None,
        };
        let span = *source.span.borrow();
        source.check(span)?;
        Ok(Box::new(source))
    }

    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError> {
        let log = self.log(topic, partition)?;
        let end = log.span.borrow().next;
        Ok(self.readers.offset_at(log.id, time).await?.unwrap_or(end))
    }

    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let truth = self.change(|answer| Change::Open(shard, answer)).await?;
        let requests = self.requests.clone();
        Ok(Opened {
            fence: Box::new(Held { requests, shard, opening: truth.opening }),
            positions: truth.positions,
            state: truth.state,
            digest: truth.digest,
        })
    }

    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        self.change(|answer| Change::Reposition(shard, positions, reset_state, answer)).await
    }

    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        self.change(|answer| Change::Forget(processor, answer)).await
    }
}

struct Held {
    requests: Queue,
    shard: ShardId,
    opening: u64,
}

impl Fence for Held {
    fn begin(&mut self) -> Box<dyn Transaction + '_> {
        Box::new(Pending { held: self, outputs: Vec::new() })
    }
}

struct Pending<'a> {
    held: &'a Held,
    outputs: Vec<Output>,
}

#[async_trait]
impl Transaction for Pending<'_> {
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError> {
        self.outputs.extend(outputs);
        Ok(())
    }

    async fn commit(self: Box<Self>, commit: Commit) -> CommitOutcome {
        let (answer, answered) = oneshot::channel();
        let Held { requests, shard, opening } = self.held;
        let (shard, opening, outputs) = (*shard, *opening, self.outputs);
        let request = Request::Commit { shard, opening, outputs, commit, answer };
        if let Err(error) = requests.ask(request).await {
            return CommitOutcome::Aborted(error);
        }
        answered.await.unwrap_or_else(|_| CommitOutcome::Unknown(gone()))
    }
}

/// Holds no broker: one that is dropped is gone at once, not after a look at retention.
async fn look_after_retention(requests: Queue, period: Duration) {
    let mut failed = None;
    loop {
        tokio::time::sleep(period).await;
        let (answer, answered) = oneshot::channel();
        if requests.ask(Request::Change(Box::new(Change::Retain(answer)))).await.is_err() {
            return;
        }
        let error = answered.await.ok().and_then(Result::err).map(|error| error.to_string());
        // Once for each cause: the disk stays full for longer than a period.
        if let Some(error) = error.as_ref().filter(|_| error != failed) {
            tracing::warn!(cause = %error, "retention could not be carried out");
        }
        failed = error;
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |cause| OpenError::Directory { path: dir.display().to_string(), cause };
    // Other people's events lie there.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let lock = File::options().create(true).append(true).open(dir.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(dir.display().to_string())),
        Err(std::fs::TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

fn gone() -> BrokerError {
    BrokerError::Unavailable("the broker is closed".into())
}
