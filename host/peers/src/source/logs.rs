//! Batches of flows, each read once for all followers that are at the same place.
//!
//! A follower asks for the batch at its place. Where it was read of late, it is here; where somebody waits for it
//! already, both get the same; else a task reads it, which ends when nobody wants it any more. So all that have
//! caught up share one reader that waits for what comes, and who is behind reads for himself, and for all who are behind
//! just as far. What is kept is bounded in all; the oldest goes first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fnap::name::Name;
use host_brokers::{BatchLimits, Broker, BrokerError, Source, TopicRef};
use host_events::Batch;
use host_processors::{Processors, View};
use host_registry::Lens;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::guests::{Guest, Guests};
use super::views::{Viewed, Views};

/// What is read at once: what a queue of a connection takes twice.
const READ: BatchLimits = BatchLimits { records: 2_048, bytes: 512 << 10 };

/// Octets of all batches that are kept: at 100 MB/s those of the last half second, in which followers of one
/// flow take turns.
const KEPT: usize = 64 << 20;

/// Octets that a record takes beside its payload.
const RECORD: usize = 128;

/// Reads at once of followers that are behind: what they bring is far less than what is kept, so that it is
/// still there when they come to it.
const BEHIND: usize = 32;

/// A read of what should be there that takes longer makes room for others: its broker is away.
const SLOW: Duration = Duration::from_secs(5);

/// Readers of one partition that wait at the place to which they have come.
const SOURCES: usize = 4;

/// What was read of late of all partitions that are followed.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: Mutex<HashMap<Key, Weak<Log>>>,
    kept: Mutex<Kept>,
    behind: Arc<Semaphore>,
    guests: Guests,
    views: Views,
}

/// A partition: its broker's name, the topic, the number; and what is done to its events on the way.
type Key = (String, TopicRef, u32, Vec<Lens>);

#[derive(Debug, Default)]
struct Kept {
    octets: usize,
    order: VecDeque<Piece>,
}

/// A batch that is kept.
#[derive(Debug)]
struct Piece {
    log: Weak<Log>,
    from: u64,
    octets: usize,
}

/// One partition that is followed.
pub(super) struct Log {
    home: Logs,
    key: Key,
    origin: Origin,
    state: Mutex<State>,
    /// What was read last did not pass the view.
    refused: Arc<AtomicBool>,
}

/// Where batches come from.
enum Origin {
    Broker(Arc<dyn Broker>),
    /// The same partition, and what is let through of it.
    View(Arc<Log>, Arc<View>),
}

#[derive(Default)]
struct State {
    /// By the place from which they were read.
    batches: BTreeMap<u64, Batch>,
    reads: BTreeMap<u64, Reading>,
    sources: VecDeque<(u64, Box<dyn Source>)>,
    latest: u64,
    /// Number of the next that waits.
    waits: u64,
    /// The versions of the view's components that the batches have passed.
    version: Vec<Option<Arc<str>>>,
    /// How many times everything was forgotten: what was being read then is of no use.
    lives: u64,
}

struct Reading {
    waiting: BTreeMap<u64, Waiter>,
    task: AbortHandle,
}

/// Whom to tell, and about what.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) wakes: Arc<Wakes>,
    /// Stream and partition.
    pub(super) place: (u32, u32),
}

/// What a connection is told: no more than it waits for.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    told: Mutex<Vec<Woken>>,
    pub(super) bell: Notify,
}

/// There is a batch, or there will be none.
#[derive(Debug)]
pub(super) struct Woken {
    pub(super) place: (u32, u32),
    pub(super) failed: Option<Failed>,
}

/// Why there will be none.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) error: BrokerError,
    /// It is what is done to the events on the way that does not work, and no broker.
    pub(super) of_view: bool,
}

/// A wait for a batch, until it is dropped.
pub(super) struct Want {
    log: Arc<Log>,
    from: u64,
    number: u64,
}

/// What there is at a place.
pub(super) enum Found {
    /// A batch that holds it.
    Batch(Batch),
    /// It will be told.
    Later(Want),
}

impl Default for Inner {
    fn default() -> Self {
        let behind = Arc::new(Semaphore::new(BEHIND));
        let (guests, views) = (Guests::default(), Views::default());
        Self { open: Mutex::default(), kept: Mutex::default(), behind, guests, views }
    }
}

impl Logs {
    /// A partition, whose end is known to be there or further.
    pub(super) fn open(
        &self,
        (name, broker): (&str, &Arc<dyn Broker>),
        topic: &TopicRef,
        partition: u32,
        latest: u64,
    ) -> Arc<Log> {
        let key = (name.to_owned(), topic.clone(), partition, Vec::new());
        let log = self.find(key, || Origin::Broker(Arc::clone(broker)));
        let mut state = log.state();
        state.latest = state.latest.max(latest);
        drop(state);
        log
    }

    /// What somebody is to see of a partition.
    pub(super) fn view(
        &self,
        processors: &Processors,
        flow: &Name,
        of: &Arc<Log>,
        lenses: &[Lens],
    ) -> Arc<Log> {
        let (broker, topic, partition, _) = &of.key;
        let view = self.0.views.of(processors, flow, (broker, topic), lenses);
        let key = (broker.clone(), topic.clone(), *partition, lenses.to_vec());
        self.find(key, || Origin::View(Arc::clone(of), view))
    }

    fn find(&self, key: Key, origin: impl FnOnce() -> Origin) -> Arc<Log> {
        let mut open = locked(&self.0.open);
        if let Some(log) = open.get(&key).and_then(Weak::upgrade) {
            return log;
        }
        let (home, origin) = (self.clone(), origin());
        let (state, refused) = Default::default();
        let log = Log { home, key: key.clone(), origin, state, refused };
        let log = Arc::new(log);
        open.insert(key, Arc::downgrade(&log));
        log
    }

    /// A connection on which flows are sent.
    pub(super) fn join(&self) -> Guest {
        self.0.guests.join()
    }

    /// Waits until every connection that carries a flow or subscription has looked at it again, and nothing that was to
    /// be sent before is on its way. Who takes nothing loses the stream, and then the connection.
    pub async fn settled(&self, about: &Name) {
        self.0.guests.settled(Some(about)).await;
    }

    /// The same of all that is carried: rights have changed.
    pub async fn all_settled(&self) {
        self.0.guests.settled(None).await;
    }

    /// Forgets all that was read of a topic, also what is being read now: it has been purged.
    pub fn forget(&self, broker: &str, topic: &TopicRef) {
        // Twice: a log that reads from another one, and may have been opened meanwhile, may have got something there before
        // that one forgot it.
        let mut logs = Vec::new();
        for _ in 0..2 {
            let again = self.of(broker, topic);
            again.iter().for_each(|log| log.forget());
            logs.extend(again);
        }
        self.uncount(&logs);
    }

    /// Nothing of these is kept any more.
    fn uncount(&self, logs: &[Arc<Log>]) {
        let gone = |piece: &Piece| logs.iter().any(|log| piece.log.as_ptr() == Arc::as_ptr(log));
        let mut kept = locked(&self.0.kept);
        let freed: usize = kept.order.iter().filter(|piece| gone(piece)).map(|p| p.octets).sum();
        kept.order.retain(|piece| !gone(piece));
        kept.octets -= freed;
    }

    fn of(&self, broker: &str, topic: &TopicRef) -> Vec<Arc<Log>> {
        let open = locked(&self.0.open);
        let of = open.iter().filter(|(key, _)| key.0 == broker && key.1 == *topic);
        of.filter_map(|(_, log)| log.upgrade()).collect()
    }

    /// Octets of what is kept.
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        locked(&self.0.kept).octets
    }

    /// Whether nothing is followed.
    #[cfg(test)]
    pub(super) fn is_unused(&self) -> bool {
        locked(&self.0.open).is_empty()
    }

    /// Counts a batch, and lets the oldest go.
    fn keep(&self, log: &Arc<Log>, from: u64, octets: usize) {
        let mut kept = locked(&self.0.kept);
        kept.octets += octets;
        kept.order.push_back(Piece { log: Arc::downgrade(log), from, octets });
        let mut gone = Vec::new();
        while kept.octets > KEPT && kept.order.len() > 1 {
            let Some(piece) = kept.order.pop_front() else { break };
            kept.octets -= piece.octets;
            gone.push(piece);
        }
        drop(kept);
        for Piece { log, from, .. } in gone {
            if let Some(log) = log.upgrade() {
                let batch = log.state().batches.remove(&from);
                drop(batch);
            }
        }
    }
}

impl Log {
    /// The end of the partition, as far as it is known.
    pub(super) fn latest(&self) -> u64 {
        match &self.origin {
            Origin::Broker(_) => self.state().latest,
            Origin::View(of, _) => of.latest(),
        }
    }

    /// Why the view failed that it is seen through, in words that are the owner's alone.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.origin {
            Origin::Broker(_) => None,
            Origin::View(_, view) => Some(view.last_failure()),
        }
    }

    /// Processor time of what is done to its events, by now.
    pub(super) fn view_time(&self) -> Duration {
        match &self.origin {
            Origin::Broker(_) => Duration::ZERO,
            Origin::View(_, view) => view.used().cpu,
        }
    }

    /// The batch at a place; where it has to be read, the waiter is told once it is there. What another version of a
    /// component has let through is not given any more.
    pub(super) fn at(self: &Arc<Self>, from: u64, waiter: Waiter) -> Found {
        self.renew();
        let mut state = self.state();
        if let Some((_, batch)) = state.batches.range(..=from).next_back()
            && batch.next > from
        {
            return Found::Batch(batch.clone());
        }
        let number = state.waits;
        state.waits += 1;
        if let Some(reading) = state.reads.get_mut(&from) {
            reading.waiting.insert(number, waiter);
        } else {
            let source = state.take_source(from);
            // A view waits for the partition itself, and may not hold a place there.
            let behind = matches!(self.origin, Origin::Broker(_)) && from < state.latest;
            let read = Arc::clone(self).read((from, state.lives), source, behind);
            let task = tokio::spawn(read).abort_handle();
            let waiting = BTreeMap::from([(number, waiter)]);
            state.reads.insert(from, Reading { waiting, task });
        }
        Found::Later(Want { log: Arc::clone(self), from, number })
    }

    async fn read(
        self: Arc<Self>,
        (from, life): (u64, u64),
        source: Option<Box<dyn Source>>,
        behind: bool,
    ) {
        let room = Arc::clone(&self.home.0.behind);
        let permit = if behind { room.acquire_owned().await.ok() } else { None };
        let read = {
            let mut fetch = pin!(self.fetch(from, source));
            if let Ok(read) = timeout(SLOW, &mut fetch).await {
                read
            } else {
                drop(permit);
                fetch.await
            }
        };
        self.arrived((from, life), read);
    }

    async fn fetch(
        &self,
        from: u64,
        source: Option<Box<dyn Source>>,
    ) -> Result<(Batch, Box<dyn Source>), BrokerError> {
        let (_, topic, partition, _) = &self.key;
        let mut source = match (source, &self.origin) {
            (Some(source), _) => source,
            (None, Origin::Broker(broker)) => broker.source(topic, *partition, from).await?,
            (None, Origin::View(of, view)) => {
                let (of, view, views) =
                    (Arc::clone(of), Arc::clone(view), self.home.0.views.clone());
                let refused = Arc::clone(&self.refused);
                Box::new(Viewed { of, view, views, next: from, refused })
            }
        };
        let batch = source.next(READ).await?;
        if batch.next <= from {
            return Err(BrokerError::Damaged(format!("a batch at {from} leads to {}", batch.next)));
        }
        Ok((batch, source))
    }

    fn arrived(
        self: &Arc<Self>,
        (from, life): (u64, u64),
        read: Result<(Batch, Box<dyn Source>), BrokerError>,
    ) {
        let mut state = self.state();
        // Those who waited were told, and may have asked anew.
        if state.lives != life {
            return;
        }
        let waiting = state.reads.remove(&from).map(|reading| reading.waiting).unwrap_or_default();
        let (mut octets, mut spare, mut failed) = (None, None, None);
        match read {
            Ok((batch, source)) => {
                let records = batch.records.iter();
                octets = Some(records.map(|stored| stored.record.size() + RECORD).sum());
                state.latest = state.latest.max(batch.next);
                state.sources.push_back((batch.next, source));
                if state.sources.len() > SOURCES {
                    spare = state.sources.pop_front();
                }
                state.batches.insert(from, batch);
            }
            Err(error) => {
                let of_view = self.refused.load(Ordering::Relaxed);
                failed = Some(Failed { error, of_view });
            }
        }
        drop(state);
        drop(spare);
        if let Some(octets) = octets {
            self.home.keep(self, from, octets);
        }
        for waiter in waiting.into_values() {
            waiter.wakes.tell(Woken { place: waiter.place, failed: failed.clone() });
        }
    }

    /// Forgets what has passed the view as it was before.
    fn renew(self: &Arc<Self>) {
        let Origin::View(_, view) = &self.origin else { return };
        let version = view.version();
        let is_other = |state: &mut State| {
            let before = std::mem::replace(&mut state.version, version.clone());
            before != version && state.lives + state.waits > 0
        };
        if is_other(&mut self.state()) {
            self.forget();
            self.home.uncount(std::slice::from_ref(self));
        }
    }

    fn forget(&self) {
        let mut state = self.state();
        state.lives += 1;
        let batches = std::mem::take(&mut state.batches);
        let sources = std::mem::take(&mut state.sources);
        let reads = std::mem::take(&mut state.reads);
        drop(state);
        drop((batches, sources));
        for reading in reads.into_values() {
            reading.task.abort();
            for Waiter { wakes, place } in reading.waiting.into_values() {
                wakes.tell(Woken { place, failed: None });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn take_source(&mut self, from: u64) -> Option<Box<dyn Source>> {
        let at = self.sources.iter().position(|(next, _)| *next == from)?;
        self.sources.remove(at).map(|(_, source)| source)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut open = locked(&self.home.0.open);
        // Another one may be there already.
        if open.get(&self.key).is_some_and(|log| log.strong_count() == 0) {
            open.remove(&self.key);
        }
    }
}

impl Drop for Want {
    fn drop(&mut self) {
        let mut state = self.log.state();
        let Some(reading) = state.reads.get_mut(&self.from) else { return };
        let waited = reading.waiting.remove(&self.number).is_some();
        if waited && reading.waiting.is_empty() {
            reading.task.abort();
            state.reads.remove(&self.from);
        }
    }
}

impl Wakes {
    fn tell(&self, woken: Woken) {
        locked(&self.told).push(woken);
        self.bell.notify_one();
    }

    /// What was told since.
    pub(super) fn take(&self) -> Vec<Woken> {
        std::mem::take(&mut *locked(&self.told))
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Log").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Nothing panics while it holds one of these.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
