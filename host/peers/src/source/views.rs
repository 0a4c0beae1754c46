//! A partition as one subscriber is to see it: batches of the flow's own log, passed through a view once for all who
//! have the same.
//!
//! Where the view fails it is tried again for some seconds, and then whoever waits is told. Never is anything handed out
//! that has not passed it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use fnap::name::Name;
use host_brokers::{BatchLimits, BrokerError, Source, TopicRef};
use host_events::Batch;
use host_processors::{Processors, View};
use host_registry::Lens;
use tokio::time::sleep;

use super::logs::{Found, Log, Waiter, Wakes, locked};
use crate::trace::HEADER;

/// How often a view that fails is tried before those who wait are told, and the first wait between two tries, which
/// doubles: 3 s in all, in which an owner's plugin may be swapped or a host may find room again.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(200);

/// Views that have failed and are remembered when nobody follows them any more: who comes again and again with a
/// condition that is slow waits behind others like him.
const REMEMBERED: usize = 256;

/// Views of all flows that somebody follows: one for all partitions of a flow and all who have the same. Cloning shares
/// them.
#[derive(Clone, Debug, Default)]
pub(super) struct Views(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    open: HashMap<Key, Weak<View>>,
    failed: VecDeque<Arc<View>>,
}

/// A broker's name, a topic, and what is done to its events.
type Key = (String, TopicRef, Vec<Lens>);

impl Views {
    /// A view of a flow.
    pub(super) fn of(
        &self,
        processors: &Processors,
        flow: &Name,
        (broker, topic): (&str, &TopicRef),
        lenses: &[Lens],
    ) -> Arc<View> {
        let key = (broker.to_owned(), topic.clone(), lenses.to_vec());
        let mut known = locked(&self.0);
        if let Some(view) = known.open.get(&key).and_then(Weak::upgrade) {
            return view;
        }
        known.open.retain(|_, view| view.strong_count() > 0);
        let view = Arc::new(processors.view(flow, lenses, HEADER));
        known.open.insert(key, Arc::downgrade(&view));
        view
    }

    fn failed(&self, view: &Arc<View>) {
        let mut known = locked(&self.0);
        known.failed.retain(|other| !Arc::ptr_eq(other, view));
        known.failed.push_back(Arc::clone(view));
        let gone = if known.failed.len() > REMEMBERED { known.failed.pop_front() } else { None };
        drop(known);
        drop(gone);
    }
}

/// Reads a flow's own log through a view.
pub(super) struct Viewed {
    pub(super) of: Arc<Log>,
    pub(super) view: Arc<View>,
    pub(super) views: Views,
    pub(super) next: u64,
    /// Whether the last batch did not pass: what else goes wrong is about its broker.
    pub(super) refused: Arc<AtomicBool>,
}

#[async_trait]
impl Source for Viewed {
    async fn next(&mut self, _: BatchLimits) -> Result<Batch, BrokerError> {
        self.refused.store(false, Ordering::Relaxed);
        let batch = self.whole().await?;
        let (mut wait, mut tries) = (AGAIN, 1);
        loop {
            match self.view.pass(&batch).await {
                Ok(seen) => {
                    self.next = seen.next;
                    return Ok(seen);
                }
                Err(error) if tries >= TRIES => {
                    self.view.tell_failure(&error, batch.partition, self.next);
                    self.views.failed(&self.view);
                    self.refused.store(true, Ordering::Relaxed);
                    return Err(BrokerError::Unavailable(error.to_string()));
                }
                Err(error) => {
                    tracing::debug!(%error, cause = error.cause(), "a view is tried again")
                }
            }
            sleep(wait).await;
            (wait, tries) = (wait * 2, tries + 1);
        }
    }
}

impl Viewed {
    /// What there is at the place, before it is looked at.
    async fn whole(&self) -> Result<Batch, BrokerError> {
        let wakes = Arc::new(Wakes::default());
        loop {
            let waiter = Waiter { wakes: Arc::clone(&wakes), place: (0, 0) };
            let want = match self.of.at(self.next, waiter) {
                Found::Batch(batch) => return Ok(self.rest(batch)),
                Found::Later(want) => want,
            };
            wakes.bell.notified().await;
            drop(want);
            if let Some(failed) = wakes.take().into_iter().find_map(|woken| woken.failed) {
                return Err(failed.error);
            }
        }
    }

    /// Without what lies before the place.
    fn rest(&self, batch: Batch) -> Batch {
        let from = batch.records.partition_point(|stored| stored.offset < self.next);
        match batch.records.get(from..) {
            Some(rest) if from > 0 => Batch { records: rest.into(), ..batch },
            _ => batch,
        }
    }
}
