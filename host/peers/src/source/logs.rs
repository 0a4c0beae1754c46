//! Batches of flows, each read once for all followers that are at the same place.
//!
//! A follower asks for the batch at its place. Where it was read of late, it is here; where somebody waits for it
//! already, both get the same; else a task reads it, which ends when nobody wants it any more. So all that have
//! caught up share one reader that waits for what comes, and who is behind reads for himself, and for all who are behind
//! just as far. What is kept is bounded in all; the oldest goes first.

mod log;
mod wakes;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fnap::name::Name;
use host_brokers::{Broker, TopicRef};
use host_processors::Processors;
use host_registry::Lens;
use tokio::sync::Semaphore;

use super::guests::{Guest, Guests};
use super::views::Views;
use log::{BEHIND, Origin};
pub(super) use log::{Failed, Found, Log, Want};
pub(super) use wakes::{Waiter, Wakes, Woken};

/// Octets of all batches that are kept: at 100 MB/s those of the last half second, in which followers of one
/// flow take turns.
const KEPT: usize = 64 << 20;

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

/// Nothing panics while it holds one of these.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
