//! What is known of topics that are written to: whether they are there in the life that is meant, how many
//! partitions they have, and how large a record may be.
//!
//! Refuses what can be refused before anything travels, so that one shard's mistake costs its neighbours
//! nothing. Asks seldom: what is known is used while the question is asked again beside the work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use host_events::Record;
use uuid::Uuid;

use super::cluster::Cluster;
use super::topics;
use crate::broker::{BrokerError, Output, TopicRef};

/// How old what is known of a topic's life may be when something is committed to it. It is asked for beside the
/// delivery, so this costs no time, and at most five questions a second.
const LIFE_KNOWN_FOR: Duration = Duration::from_millis(200);

/// Who has not asked for that long waits for the answer: nobody writes to a topic on old news.
const LIFE_BELIEVED_FOR: Duration = Duration::from_secs(5);

/// After this the limit of a topic's records is asked for again; before that only where it refuses one.
const LIMIT_KNOWN_FOR: Duration = Duration::from_secs(30);

/// How long a topic that was there once is looked for: a node may hear of it a little later than another one.
const HEARD_OF: Duration = Duration::from_secs(1);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Topics that are remembered; with more of them all are asked for again now and then.
const REMEMBERED: usize = 4096;

/// Kafka's limit where a topic's settings do not say one.
const DEFAULT_LIMIT: usize = 1_048_588;

/// What a batch takes beside its records, by Kafka's format.
pub(super) const BATCH_OVERHEAD: usize = 61;

/// Topics that are written to.
pub(super) struct Outlets {
    cluster: Arc<Cluster>,
    known: Mutex<HashMap<Arc<str>, Arc<Outlet>>>,
}

/// One topic.
#[derive(Default)]
struct Outlet {
    seen: Mutex<Seen>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Seen {
    life: Option<Life>,
    limit: Option<(usize, Instant)>,
}

#[derive(Clone, Copy)]
struct Life {
    at: Instant,
    /// `None`: it is not there.
    is: Option<(Option<Uuid>, u32)>,
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    /// As old as may be: it is asked again beside the work.
    Known,
    /// Not older than [`LIFE_KNOWN_FOR`].
    Recent,
    Fresh,
}

impl Outlets {
    pub(super) fn new(cluster: Arc<Cluster>) -> Arc<Self> {
        Arc::new(Self { cluster, known: Mutex::default() })
    }

    /// Sees that outputs can be written as far as that is known without trying.
    pub(super) async fn check(self: &Arc<Self>, outputs: &[Output]) -> Result<(), BrokerError> {
        for output in outputs {
            let records = output.records.iter().map(|record| (output.partition, record));
            self.check_records(&output.topic, records).await?;
        }
        Ok(())
    }

    /// The same of records for several partitions of one topic.
    pub(super) async fn check_records<'a>(
        self: &Arc<Self>,
        topic: &TopicRef,
        records: impl Iterator<Item = (u32, &'a Record)>,
    ) -> Result<(), BrokerError> {
        let (mut partition, mut size) = (None, 0);
        for (number, record) in records {
            partition = partition.max(Some(number));
            size = size.max(record.size());
        }
        let partitions = self.partitions(topic, Want::Known).await?;
        if let Some(partition) = partition.filter(|partition| *partition >= partitions) {
            // It may have gained partitions a moment ago.
            if partition >= self.partitions(topic, Want::Fresh).await? {
                let words = format!("it has no partition {partition}");
                // The flow may be about to gain it: trying again helps then.
                return Err(BrokerError::Unavailable(self.cluster.words(&topic.topic, &words)));
            }
        }
        if size > self.limit(topic, Want::Known).await? {
            let limit = self.limit(topic, Want::Fresh).await?;
            if size > limit {
                return Err(BrokerError::TooLarge { size, limit });
            }
        }
        Ok(())
    }

    /// Sees that topics are there in the lives that are meant, as a moment ago at the latest; the first one
    /// that is not.
    pub(super) async fn confirm(
        self: &Arc<Self>,
        topics: impl Iterator<Item = &TopicRef>,
    ) -> Option<BrokerError> {
        for topic in topics {
            if let Err(error @ BrokerError::NotFound(_)) =
                self.partitions(topic, Want::Recent).await
            {
                return Some(error);
            }
        }
        None
    }

    /// Sees that topics are there now in the lives that are meant; the first one that is not.
    pub(super) async fn check_lives(
        self: &Arc<Self>,
        topics: impl Iterator<Item = &TopicRef>,
    ) -> Option<BrokerError> {
        for topic in topics {
            if let Err(error @ BrokerError::NotFound(_)) = self.partitions(topic, Want::Fresh).await
            {
                return Some(error);
            }
        }
        None
    }

    /// The limit of a topic's records as far as it is known here.
    pub(super) fn known_limit(&self, topic: &str) -> usize {
        let known = lock(&self.known).get(topic).map(Arc::clone);
        let limit = known.and_then(|outlet| lock(&outlet.seen).limit);
        limit.map_or(DEFAULT_LIMIT, |(limit, _)| limit)
    }

    /// The limit of a topic's records as it is now.
    pub(super) async fn fresh_limit(&self, topic: &TopicRef) -> Result<usize, BrokerError> {
        self.limit(topic, Want::Fresh).await
    }

    /// Something was done to a topic, or it did something unexpected: what was known is forgotten.
    pub(super) fn forget(&self, topic: &str) {
        lock(&self.known).remove(topic);
    }

    /// How many partitions a topic has in the life that is meant.
    async fn partitions(
        self: &Arc<Self>,
        topic: &TopicRef,
        want: Want,
    ) -> Result<u32, BrokerError> {
        let outlet = self.outlet(&topic.topic);
        let seen = lock(&outlet.seen).life;
        let life = match seen {
            Some(life) if want == Want::Known && life.at.elapsed() < LIFE_BELIEVED_FOR => {
                if life.at.elapsed() > LIFE_KNOWN_FOR {
                    self.ask_beside(&outlet, topic);
                }
                life
            }
            Some(life) if want == Want::Recent && life.at.elapsed() < LIFE_KNOWN_FOR => life,
            seen => self.ask_life(&outlet, &topic.topic, seen).await?,
        };
        let mut meant = self.meant(topic, life);
        let deadline = Instant::now() + HEARD_OF;
        let mut last = life;
        // It may have been made a moment ago, and not every node has heard of it.
        while meant.is_err() && Instant::now() < deadline {
            last = self.ask_life(&outlet, &topic.topic, Some(last)).await?;
            meant = self.meant(topic, last);
            if meant.is_ok() || topic.id.is_none() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        meant
    }

    fn meant(&self, topic: &TopicRef, life: Life) -> Result<u32, BrokerError> {
        let not_found =
            |words: &str| BrokerError::NotFound(self.cluster.words(&topic.topic, words));
        match (life.is, topic.id) {
            (None, _) => Err(not_found("it is not there")),
            (Some((Some(id), _)), Some(meant)) if id != meant => {
                Err(not_found(&format!("another life: its id is {id}, meant is {meant}")))
            }
            (Some((_, partitions)), _) => Ok(partitions),
        }
    }

    /// Asks, unless somebody else did since `before`.
    async fn ask_life(
        &self,
        outlet: &Outlet,
        topic: &str,
        before: Option<Life>,
    ) -> Result<Life, BrokerError> {
        let _turn = outlet.asking.lock().await;
        if let Some(life) = lock(&outlet.seen).life
            && before.is_none_or(|before| life.at > before.at)
        {
            return Ok(life);
        }
        let at = Instant::now();
        let found = self.cluster.topics(&[topic]).await?.remove(topic).flatten();
        let count = |partitions: usize| u32::try_from(partitions).unwrap_or(u32::MAX);
        let is = found.map(|found| (found.id, count(found.partitions.len())));
        let life = Life { at, is };
        lock(&outlet.seen).life = Some(life);
        Ok(life)
    }

    fn ask_beside(self: &Arc<Self>, outlet: &Arc<Outlet>, topic: &TopicRef) {
        if outlet.asking.try_lock().is_err() {
            return;
        }
        let (this, outlet) = (Arc::clone(self), Arc::clone(outlet));
        let topic = Arc::clone(&topic.topic);
        tokio::spawn(async move {
            let before = lock(&outlet.seen).life;
            // Who writes next asks again where this went wrong.
            drop(this.ask_life(&outlet, &topic, before).await);
        });
    }

    async fn limit(&self, topic: &TopicRef, want: Want) -> Result<usize, BrokerError> {
        let outlet = self.outlet(&topic.topic);
        let seen = lock(&outlet.seen).limit;
        if let Some((limit, at)) = seen
            && want == Want::Known
            && at.elapsed() < LIMIT_KNOWN_FOR
        {
            return Ok(limit);
        }
        let _turn = outlet.asking.lock().await;
        if let Some((limit, at)) = lock(&outlet.seen).limit
            && seen.is_none_or(|(_, before)| at > before)
        {
            return Ok(limit);
        }
        let at = Instant::now();
        let settings = topics::settings(&self.cluster, &topic.topic).await?;
        let limit = settings.into_iter().find(|setting| setting.name == "max.message.bytes");
        let limit = limit.and_then(|limit| limit.value.parse().ok()).unwrap_or(DEFAULT_LIMIT);
        lock(&outlet.seen).limit = Some((limit, at));
        Ok(limit)
    }

    fn outlet(&self, topic: &Arc<str>) -> Arc<Outlet> {
        let mut known = lock(&self.known);
        if known.len() >= REMEMBERED && !known.contains_key(topic) {
            known.clear();
        }
        Arc::clone(known.entry(Arc::clone(topic)).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
