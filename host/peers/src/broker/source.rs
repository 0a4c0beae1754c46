//! One partition of a flow of another host, in batches as whoever reads wants them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host_brokers::{BatchLimits, BrokerError, Source, TopicRef};
use host_events::{Batch, Stored};
use tokio::time::sleep;

use super::{Inner, Whence};
use crate::follow::{CREDIT, Came, Following};

/// How long whoever reads what has ended waits to be taken away himself, before he hears of an error.
const TAKEN_AWAY: Duration = Duration::from_secs(3);

/// A partition that is followed, and what it is of.
pub(super) struct Followed {
    pub(super) following: Following,
    pub(super) whence: Whence,
    pub(super) topic: TopicRef,
    pub(super) partition: u32,
}

pub(super) struct PeerSource {
    broker: Arc<Inner>,
    followed: Followed,
    /// What came and was not taken whole.
    came: Option<Came>,
    /// A record that did not fit into a batch.
    spare: Option<Stored>,
    /// The position behind all that came.
    next: u64,
    /// Whether something came since it was attached.
    well: bool,
}

impl PeerSource {
    pub(super) fn new(broker: Arc<Inner>, followed: Followed, from: u64) -> Self {
        Self { broker, followed, came: None, spare: None, next: from, well: false }
    }

    async fn wait(&mut self) -> Result<(), BrokerError> {
        let lost = match self.followed.following.next().await {
            Ok(came) => {
                (self.next, self.well) = (came.next, true);
                self.came = Some(came);
                return Ok(());
            }
            Err(lost) => lost,
        };
        // What is done to the events has changed, or the like; who says so again at once is tried later.
        if std::mem::take(&mut self.well) && lost.may_pass() {
            return self.attach_again().await;
        }
        let Followed { following, whence, .. } = &self.followed;
        let Whence { name, at, links, .. } = whence;
        let lost = links.theirs(at, following.whose(), lost).await;
        let is_end = lost.is_end();
        let error = self.stands(self.broker.lost(name, lost));
        if is_end {
            // Its owner's word is no failure of whoever reads.
            sleep(TAKEN_AWAY).await;
        }
        Err(error)
    }

    /// Follows from where it stands.
    async fn attach_again(&mut self) -> Result<(), BrokerError> {
        // Whatever is said of the former one counts no more for the next.
        self.followed.following.leave();
        let Followed { whence, topic, partition, .. } = &self.followed;
        let following = self.broker.follow(topic, whence, (*partition, self.next), CREDIT).await;
        let following = following.map_err(|error| self.stands(error))?;
        self.broker.tellers().insert((whence.name.clone(), *partition), following.teller());
        self.followed.following = following;
        Ok(())
    }

    fn stands(&self, error: BrokerError) -> BrokerError {
        self.broker.standstills.begins(self.followed.whence.name.as_str(), &error);
        error
    }

    /// The next record; none where the next batch has to be waited for.
    fn record(&mut self) -> Result<Option<Stored>, BrokerError> {
        if let Some(spare) = self.spare.take() {
            return Ok(Some(spare));
        }
        let record = self.came.as_mut().and_then(Came::record);
        if record.is_none() {
            self.came = None;
        }
        record.transpose().map_err(|error| {
            self.came = None;
            self.stands(self.followed.following.wrong(error).broker_error())
        })
    }
}

#[async_trait]
impl Source for PeerSource {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        // A frame that brings nothing and leads nowhere is no batch.
        let before = self.next;
        while self.came.is_none() && self.spare.is_none() && self.next == before {
            self.wait().await?;
        }
        while let Some(stored) = self.record()? {
            bytes += stored.record.size();
            let fits = records.len() < limits.records && bytes <= limits.bytes;
            if !fits && !records.is_empty() {
                self.spare = Some(stored);
                break;
            }
            records.push(stored);
        }
        let next = self.spare.as_ref().map_or(self.next, |stored| stored.offset);
        let (flow, partition) = (self.followed.topic.incarnation, self.followed.partition);
        Ok(Batch { flow, partition, records: records.into(), next })
    }
}

impl Drop for PeerSource {
    fn drop(&mut self) {
        let Followed { following, whence, partition, .. } = &self.followed;
        let (mut tellers, key) = (self.broker.tellers(), (whence.name.clone(), *partition));
        if tellers.get(&key).is_some_and(|teller| teller.is(&following.teller())) {
            tellers.remove(&key);
        }
    }
}

/// The time of the first record that comes; none where a frame has nothing but a gap.
pub(super) async fn first(following: &mut Following) -> Result<Option<i64>, BrokerError> {
    let mut came = following.next().await.map_err(|lost| lost.broker_error())?;
    match came.record() {
        Some(Ok(stored)) => Ok(Some(stored.record.timestamp)),
        Some(Err(error)) => Err(following.wrong(error).broker_error()),
        None => Ok(None),
    }
}
