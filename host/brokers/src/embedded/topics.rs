//! What is known of topics without asking the disk: lives, ends of logs, fresh batches, and who waits.
//!
//! The writer is the only one who changes it, after a commit; readers look.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Bytes of fresh batches of all logs of a broker. What finds no room is read from the disk: a thousand
/// logs at full speed are not read from memory alone anyway.
const MOST_FRESH: usize = 64 * 1024 * 1024;

/// Bytes of fresh batches that a broker keeps now.
#[derive(Debug, Default)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= MOST_FRESH);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

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

#[derive(Debug)]
struct Fresh {
    batches: VecDeque<(u64, u64, usize, Arc<[Stored]>)>,
    bytes: usize,
    room: Arc<Room>,
    /// Something was kept since the last look.
    touched: bool,
}

impl Fresh {
    fn push(&mut self, base: u64, next: u64, size: usize, records: Arc<[Stored]>) -> bool {
        let takes = size <= FRESH_BYTES && self.room.take(size);
        if takes {
            self.touched = true;
            self.bytes += size;
            self.batches.push_back((base, next, size, records));
        }
        takes
    }

    fn pop(&mut self) {
        let Some((_, _, size, _)) = self.batches.pop_front() else { return };
        self.bytes -= size;
        self.room.give(size);
    }

    fn clear(&mut self) {
        self.room.give(self.bytes);
        self.bytes = 0;
        self.batches = VecDeque::new();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Log {
    pub(crate) fn new(id: i64, [earliest, next, bytes]: [u64; 3], room: &Arc<Room>) -> Self {
        let span = watch::Sender::new(Span { earliest, next, bytes, gone: false, closed: false });
        let (batches, room) = (VecDeque::new(), Arc::clone(room));
        let fresh = Mutex::new(Fresh { batches, bytes: 0, room, touched: false });
        Self { id, span, fresh }
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
            fresh.clear();
        }
        while fresh.bytes + size > FRESH_BYTES && !fresh.batches.is_empty() {
            fresh.pop();
        }
        if !fresh.push(base, next, size, records) {
            fresh.clear();
        }
    }

    /// Forgets fresh batches: the log was purged.
    pub(crate) fn forget(&self) {
        self.fresh().clear();
    }

    /// Forgets fresh batches where nobody reads the log, or nobody has written to it since the last
    /// look: whoever reads has had them, and others need the room.
    pub(crate) fn tidy(&self) {
        let mut fresh = self.fresh();
        if !std::mem::take(&mut fresh.touched) || !self.is_read() {
            fresh.clear();
        }
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
pub(crate) struct Topics {
    named: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    /// Where fresh batches of all logs find room.
    pub(crate) room: Arc<Room>,
}

impl Topics {
    /// The topic of this name and life.
    pub(crate) fn find(&self, wanted: &TopicRef) -> Result<Arc<Topic>, BrokerError> {
        self.named(&wanted.topic)
            .filter(|topic| topic.incarnation == wanted.incarnation)
            .ok_or_else(|| BrokerError::NotFound(wanted.topic.to_string()))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Topic>> {
        self.named.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn put(&self, topic: Arc<Topic>) {
        let mut topics = self.named.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(Arc::clone(&topic.name), topic);
    }

    pub(crate) fn remove(&self, name: &str) {
        let removed = self.named.write().unwrap_or_else(PoisonError::into_inner).remove(name);
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
        self.named.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(room: &Room) -> usize {
        room.0.load(Ordering::Relaxed)
    }

    #[test]
    fn fresh_batches_of_all_logs_stay_within_their_room() {
        let room = Arc::new(Room::default());
        let alone = Log::new(0, [0, 0, 0], &room);
        (0..8).for_each(|base| alone.keep(base, base + 1, FRESH_BYTES / 4, Arc::from([])));
        assert!(alone.fresh_at(3).is_none() && (4..8).all(|at| alone.fresh_at(at).is_some()));
        drop(alone);
        let logs: Vec<_> = (0..200).map(|id| Log::new(id, [0, 0, 0], &room)).collect();
        let _readers: Vec<_> = logs.iter().map(|log| log.span.subscribe()).collect();
        for base in 0..8 {
            for log in &logs {
                log.keep(base, base + 1, FRESH_BYTES / 4, Arc::from([]));
                assert!(used(&room) <= MOST_FRESH);
            }
        }
        let kept = logs.iter().filter(|log| log.fresh_at(7).is_some()).count();
        assert!((1..200).contains(&kept), "{kept}");
        let idle = Log::new(200, [0, 0, 0], &room);
        let _reader = idle.span.subscribe();
        idle.keep(0, 1, FRESH_BYTES, Arc::from([]));
        assert!(idle.fresh_at(0).is_none());
        logs.iter().chain(logs.iter()).for_each(Log::tidy);
        assert_eq!(used(&room), 0);
        idle.keep(1, 2, FRESH_BYTES, Arc::from([]));
        assert!(idle.fresh_at(1).is_some());
        idle.keep(2, 3, FRESH_BYTES + 1, Arc::from([]));
        assert!(idle.fresh_at(2).is_none());
        idle.keep(3, 4, 10, Arc::from([]));
        assert_eq!(used(&room), 10);
        drop(idle);
        assert_eq!(used(&room), 0);
    }
}
