//! What is known of topics without asking the disk: lives, ends of logs, fresh batches, and who waits.
//!
//! The writer is the only one who changes it, after a commit; readers look.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use host_events::{Incarnation, Stored};
use tokio::sync::watch;

use crate::broker::{BrokerError, TopicRef};

/// Largest record of a topic that does not say: Kafka's default.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 1_048_588;

/// Largest record that a topic may allow. A record is held in memory whole, several times.
pub(crate) const MOST_MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Bytes of fresh batches kept for each log that somebody reads, so that readers at the tail do not
/// touch the disk: two full batches.
const FRESH_BYTES: usize = 1024 * 1024;

/// Settings of a topic that the embedded broker knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) max_message: Option<usize>,
}

impl Config {
    /// Parses settings; an unknown key or a wrong value is refused by name.
    pub(crate) fn parse(given: BTreeMap<String, String>) -> Result<Self, BrokerError> {
        let mut config = Self::default();
        for (key, value) in &given {
            let number = || {
                let wrong = || BrokerError::Invalid(format!("{key}={value} is no number"));
                value.parse::<i64>().map_err(|_| wrong())
            };
            match key.as_str() {
                "retention.ms" => config.retention_ms = Some(number()?).filter(|ms| *ms >= 0),
                "retention.bytes" => config.retention_bytes = u64::try_from(number()?).ok(),
                "max.message.bytes" => {
                    let bytes = usize::try_from(number()?).ok();
                    let fits = bytes.filter(|bytes| (1..=MOST_MAX_MESSAGE).contains(bytes));
                    let most = MOST_MAX_MESSAGE;
                    config.max_message = Some(fits.ok_or_else(|| {
                        BrokerError::Invalid(format!("{key}={value} is not within 1 and {most}"))
                    })?);
                }
                _ => return Err(BrokerError::Invalid(format!("unknown setting {key}"))),
            }
        }
        config.given = given;
        Ok(config)
    }
}

/// A topic as readers and the writer know it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: i64,
    pub(crate) name: Arc<str>,
    pub(crate) incarnation: Incarnation,
    pub(crate) config: Config,
    pub(crate) logs: Vec<Arc<Log>>,
}

impl Topic {
    pub(crate) fn max_message(&self) -> usize {
        self.config.max_message.unwrap_or(DEFAULT_MAX_MESSAGE)
    }
}

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: i64,
    /// First and next offset, as committed. Readers wait on it; it closes when the topic goes.
    pub(crate) span: watch::Sender<Span>,
    fresh: Mutex<Fresh>,
}

/// How far a log reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) earliest: u64,
    pub(crate) next: u64,
    /// Bytes of its batches.
    pub(crate) bytes: u64,
    /// Its topic was deleted.
    pub(crate) gone: bool,
    /// The broker was dropped.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct Fresh {
    batches: VecDeque<(u64, u64, usize, Arc<[Stored]>)>,
    bytes: usize,
}

impl Log {
    pub(crate) fn new(id: i64, earliest: u64, next: u64, bytes: u64) -> Self {
        let span = watch::Sender::new(Span { earliest, next, bytes, gone: false, closed: false });
        Self { id, span, fresh: Mutex::default() }
    }

    /// Whether somebody reads it and fresh batches are worth keeping.
    pub(crate) fn is_read(&self) -> bool {
        self.span.receiver_count() > 0
    }

    /// Keeps a batch that was just committed.
    pub(crate) fn keep(&self, base: u64, next: u64, size: usize, records: Arc<[Stored]>) {
        let mut fresh = self.fresh();
        // Only batches without a gap between them can stand in for the disk.
        if fresh.batches.back().is_some_and(|(_, end, _, _)| *end != base) {
            *fresh = Fresh::default();
        }
        fresh.bytes += size;
        fresh.batches.push_back((base, next, size, records));
        while fresh.bytes > FRESH_BYTES {
            let Some((_, _, size, _)) = fresh.batches.pop_front() else { break };
            fresh.bytes -= size;
        }
    }

    /// Forgets fresh batches: the log was purged, or nobody reads it.
    pub(crate) fn forget(&self) {
        *self.fresh() = Fresh::default();
    }

    /// The fresh batch that holds an offset.
    pub(crate) fn fresh_at(&self, offset: u64) -> Option<(u64, Arc<[Stored]>)> {
        let fresh = self.fresh();
        let holds = |(base, next, _, _): &&(u64, u64, usize, Arc<[Stored]>)| {
            (*base..*next).contains(&offset)
        };
        fresh.batches.iter().find(holds).map(|(_, next, _, records)| (*next, Arc::clone(records)))
    }

    fn fresh(&self) -> std::sync::MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All topics, for everybody.
#[derive(Debug, Default)]
pub(crate) struct Topics(RwLock<HashMap<Arc<str>, Arc<Topic>>>);

impl Topics {
    /// The topic of this name and life.
    pub(crate) fn find(&self, wanted: &TopicRef) -> Result<Arc<Topic>, BrokerError> {
        self.named(&wanted.topic)
            .filter(|topic| topic.incarnation == wanted.incarnation)
            .ok_or_else(|| BrokerError::NotFound(wanted.topic.to_string()))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Topic>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn put(&self, topic: Arc<Topic>) {
        let mut topics = self.0.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(Arc::clone(&topic.name), topic);
    }

    pub(crate) fn remove(&self, name: &str) {
        let removed = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        for log in removed.iter().flat_map(|topic| &topic.logs) {
            log.span.send_modify(|span| span.gone = true);
        }
    }

    /// Wakes every reader: nothing comes any more.
    pub(crate) fn close(&self) {
        for log in self.all().iter().flat_map(|topic| &topic.logs) {
            log.span.send_modify(|span| span.closed = true);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
