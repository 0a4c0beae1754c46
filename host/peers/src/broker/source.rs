//! One partition of a flow of another host, in batches as whoever reads wants them.

use std::sync::Arc;

use async_trait::async_trait;
use host_brokers::{BatchLimits, BrokerError, Source};
use host_events::{Batch, Incarnation, Stored};

use super::{Inner, Whence};
use crate::follow::{Came, Following};

/// A partition that is followed, and what it is of.
pub(super) struct Followed {
    pub(super) following: Following,
    pub(super) whence: Whence,
    pub(super) flow: Incarnation,
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
}

impl PeerSource {
    pub(super) fn new(broker: Arc<Inner>, followed: Followed, from: u64) -> Self {
        Self { broker, followed, came: None, spare: None, next: from }
    }

    async fn wait(&mut self) -> Result<(), BrokerError> {
        match self.followed.following.next().await {
            Ok(came) => {
                self.next = came.next;
                self.came = Some(came);
                Ok(())
            }
            Err(lost) => {
                let Followed { following, whence, .. } = &self.followed;
                let Whence { name, at, links, .. } = whence;
                let lost = links.theirs(at, following.whose(), lost).await;
                Err(self.stands(self.broker.lost(name, lost)))
            }
        }
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
        let Followed { flow, partition, .. } = self.followed;
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
