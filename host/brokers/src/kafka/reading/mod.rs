//! Shared consumers, and the sources that read from them.
//!
//! At most two consumers a cluster, whatever is read and by how many ([`consumers`]); readers of one
//! partition share what was fetched ([`place`], [`feed`], [`window`]). Nothing polls: librdkafka tells
//! when something came. Nothing here resets a position, and no record of another life of a topic is ever
//! handed out ([`ears`]).

mod arena;
mod consumers;
mod ears;
mod feed;
mod place;
mod reader;
mod settings;
mod window;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::cluster::Cluster;
use super::native::admin::{Seen, TopicDescription};
use super::topics::spans;
use crate::broker::{BrokerError, Source, TopicRef};

use consumers::Consumers;
use place::Place;
use reader::Reader;

/// The readers of a cluster.
pub(super) struct Readers(Arc<Pool>);

type Places = HashMap<(Arc<str>, u32), Arc<Place>>;

/// What readers share.
struct Pool {
    cluster: Arc<Cluster>,
    consumers: Arc<Consumers>,
    places: Mutex<Places>,
    /// Held while the life of a place is replaced by another.
    replacing: tokio::sync::Mutex<()>,
    /// Bytes in all windows.
    kept: Arc<AtomicUsize>,
    closed: AtomicBool,
}

impl Readers {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self(Arc::new(Pool {
            consumers: Consumers::new(Arc::clone(&cluster)),
            cluster,
            places: Mutex::default(),
            replacing: tokio::sync::Mutex::default(),
            kept: Arc::default(),
            closed: AtomicBool::new(false),
        }))
    }

    pub(super) async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let pool = &self.0;
        let (life, found) = pool.find(topic, partition).await?;
        pool.check(&found, partition, from).await?;
        let (place, number) = pool.enter(&topic.topic, partition, life).await;
        let topic = TopicRef { id: Some(life), ..topic.clone() };
        Ok(Box::new(Reader::new(Arc::clone(pool), place, number, topic, from)))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        for place in self.0.places().values() {
            place.main.changed().notify_waiters();
            place.turns.changed().notify_waiters();
        }
    }
}

impl Pool {
    /// The life that is meant, and the topic as it is there with one partition alone.
    async fn find(
        &self,
        topic: &TopicRef,
        partition: u32,
    ) -> Result<(Uuid, TopicDescription), BrokerError> {
        let mut found = self.cluster.topic(topic).await?;
        let count = found.partitions.len();
        found.partitions.retain(|one| u32::try_from(one.number) == Ok(partition));
        if found.partitions.is_empty() {
            let words = format!("no partition {partition} of {count}");
            return Err(BrokerError::NotFound(self.cluster.words(&topic.topic, &words)));
        }
        let none = || {
            let words = "the broker gives no topic ids; Kafka 3.1 or newer is needed";
            BrokerError::Invalid(self.cluster.words(&topic.topic, words))
        };
        Ok((found.id.ok_or_else(none)?, found))
    }

    /// Sees that a position is in the log.
    async fn check(
        &self,
        topic: &TopicDescription,
        partition: u32,
        wanted: u64,
    ) -> Result<(), BrokerError> {
        let (earliest, latest) = self.ends(topic).await?;
        if (earliest..=latest).contains(&wanted) {
            return Ok(());
        }
        Err(BrokerError::OutOfRange { partition, wanted, earliest, latest })
    }

    /// First offset of a partition, and the offset behind the last that may be read.
    async fn ends(&self, topic: &TopicDescription) -> Result<(u64, u64), BrokerError> {
        let spans = spans(&self.cluster, topic, Seen::Committed).await?;
        let offset = |offset: i64| u64::try_from(offset).unwrap_or_default();
        let ends = spans.into_values().next().map(|(low, high)| (offset(low), offset(high)));
        let (earliest, latest) = ends.ok_or_else(|| {
            BrokerError::Unavailable(self.cluster.words(&topic.name, "its offsets are missing"))
        })?;
        Ok((earliest, latest.max(earliest)))
    }

    /// Where a partition is read, with one more reader there, and that reader's number.
    async fn enter(&self, topic: &Arc<str>, partition: u32, life: Uuid) -> (Arc<Place>, u64) {
        let key = (Arc::clone(topic), partition);
        let _replacing = self.replacing.lock().await;
        let other = self.places().get(&key).filter(|place| place.life != life).cloned();
        if let Some(other) = other {
            // A consumer knows one life of a topic at a time, and this one is there now.
            self.places().remove(&key);
            other.end(&self.consumers).await;
        }
        let mut places = self.places();
        let place = places
            .entry(key)
            .or_insert_with(|| Place::new(Arc::clone(topic), partition, life, &self.kept));
        (Arc::clone(place), place.enter())
    }

    /// A reader has left: what nobody uses any more is stopped and forgotten.
    async fn tidy(self: Arc<Self>, place: Arc<Place>) {
        Arc::clone(&place).tidy(Arc::clone(&self.consumers)).await;
        let mut places = self.places();
        let key = (Arc::clone(&place.topic), place.partition);
        let same = places.get(&key).is_some_and(|there| Arc::ptr_eq(there, &place));
        // One that was entered again since, or begins again, is tidied when it is left again.
        if same && place.is_left() && !place.main.is_reading() && !place.turns.is_reading() {
            places.remove(&key);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
