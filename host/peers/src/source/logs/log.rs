//! One partition of a flow as those who follow it share it: read once, kept for a while, and read again for who comes late.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use host_brokers::{BatchLimits, Broker, BrokerError, Source};
use host_events::Batch;
use host_processors::View;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::wakes::{Waiter, Woken};
use super::{Key, Logs, locked};
use crate::source::views::Viewed;

/// One partition that is followed.
pub(in crate::source) struct Log {
    pub(super) home: Logs,
    pub(super) key: Key,
    pub(super) origin: Origin,
    pub(super) state: Mutex<State>,
    /// What was read last did not pass the view.
    pub(super) refused: Arc<AtomicBool>,
}

/// Where batches come from.
pub(super) enum Origin {
    Broker(Arc<dyn Broker>),
    /// The same partition, and what is let through of it.
    View(Arc<Log>, Arc<View>),
}

#[derive(Default)]
pub(super) struct State {
    /// By the place from which they were read.
    pub(super) batches: BTreeMap<u64, Batch>,
    reads: BTreeMap<u64, Reading>,
    sources: VecDeque<(u64, Box<dyn Source>)>,
    pub(super) latest: u64,
    /// Number of the next that waits.
    waits: u64,
    /// The versions of the view's components that the batches have passed.
    version: Vec<Option<Arc<str>>>,
    /// How many times everything was forgotten: what was being read then is of no use.
    lives: u64,
}

impl State {
    fn take_source(&mut self, from: u64) -> Option<Box<dyn Source>> {
        let at = self.sources.iter().position(|(next, _)| *next == from)?;
        self.sources.remove(at).map(|(_, source)| source)
    }
}

struct Reading {
    waiting: BTreeMap<u64, Waiter>,
    task: AbortHandle,
}

/// Why there will be none.
#[derive(Clone, Debug)]
pub(in crate::source) struct Failed {
    pub(in crate::source) error: BrokerError,
    /// It is what is done to the events on the way that does not work, and no broker.
    pub(in crate::source) of_view: bool,
}

/// A wait for a batch, until it is dropped.
pub(in crate::source) struct Want {
    pub(super) log: Arc<Log>,
    pub(super) from: u64,
    number: u64,
}

/// What there is at a place.
pub(in crate::source) enum Found {
    /// A batch that holds it.
    Batch(Batch),
    /// It will be told.
    Later(Want),
}

/// What is read at once: what a queue of a connection takes twice.
const READ: BatchLimits = BatchLimits { records: 2_048, bytes: 512 << 10 };

/// Octets that a record takes beside its payload.
const RECORD: usize = 128;

/// Reads at once of followers that are behind: what they bring is far less than what is kept, so that it is
/// still there when they come to it.
pub(super) const BEHIND: usize = 32;

/// A read of what should be there that takes longer makes room for others: its broker is away.
const SLOW: Duration = Duration::from_secs(5);

/// Readers of one partition that wait at the place to which they have come.
const SOURCES: usize = 4;

impl Log {
    /// The end of the partition, as far as it is known.
    pub(in crate::source) fn latest(&self) -> u64 {
        match &self.origin {
            Origin::Broker(_) => self.state().latest,
            Origin::View(of, _) => of.latest(),
        }
    }

    /// Why the view failed that it is seen through, in words that are the owner's alone.
    pub(in crate::source) fn trouble(&self) -> Option<String> {
        match &self.origin {
            Origin::Broker(_) => None,
            Origin::View(_, view) => Some(view.last_failure()),
        }
    }

    /// Processor time of what is done to its events, by now.
    pub(in crate::source) fn view_time(&self) -> Duration {
        match &self.origin {
            Origin::Broker(_) => Duration::ZERO,
            Origin::View(_, view) => view.used().cpu,
        }
    }

    /// The batch at a place; where it has to be read, the waiter is told once it is there. What another version of a
    /// component has let through is not given any more.
    pub(in crate::source) fn at(self: &Arc<Self>, from: u64, waiter: Waiter) -> Found {
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

    pub(super) fn forget(&self) {
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
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

impl std::fmt::Debug for Log {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Log").field("key", &self.key).finish_non_exhaustive()
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
