//! Lanes: few producers that commit outputs, positions and state of many shards together.
//!
//! A shard's lane is decided by its id. A lane is a partition of two compacted topics and a producer with a
//! stable transactional id: whoever has initialised it last can commit, nobody else. What is true lies in the
//! topics; whoever takes a lane over reads it there.

mod fence;
mod format;
mod lane;
mod ours;
mod pace;
mod producer;
mod recover;
mod truth;
mod turn;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use host_events::Position;
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::broker::{Appended, BrokerError, Opened, Output, ShardId, Token, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::outlets::Outlets;

use fence::LaneFence;
use lane::{Answer, Appending, Lane, Opening, QUEUE, Request};
use ours::Ours;
pub(super) use producer::{producer_config, send};

/// The lanes of this host's identity.
pub(super) struct Lanes {
    cluster: Arc<Cluster>,
    outlets: Arc<Outlets>,
    ours: OnceCell<Ours>,
    started: Mutex<HashMap<u32, mpsc::Sender<Request>>>,
    /// Dropped with this: the lanes end.
    closing: watch::Sender<()>,
}

impl Lanes {
    pub(super) fn new(cluster: Arc<Cluster>, outlets: Arc<Outlets>) -> Self {
        let (closing, _) = watch::channel(());
        Self { cluster, outlets, ours: OnceCell::new(), started: Mutex::default(), closing }
    }

    pub(super) async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let ours = self.ours().await?;
        let lane = self.lane(ours, ours.lane_of(shard));
        let Opening { number, truth } =
            ask(&lane, |answer| Request::Open { shard, answer }).await?;
        let outlets = Arc::clone(&self.outlets);
        let fence = LaneFence { lane, outlets, shard, opening: number };
        let (positions, state, digest) = (truth.positions, truth.state, truth.digest);
        Ok(Opened { fence: Box::new(fence), positions, state, digest })
    }

    pub(super) async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        let ours = self.ours().await?;
        let lane = self.lane(ours, ours.lane_of(shard));
        ask(&lane, |answer| Request::Reposition { shard, positions, reset_state, answer }).await
    }

    pub(super) async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        let ours = self.ours().await?;
        let lanes = (0..ours.lanes).map(|number| async move {
            ask(&self.lane(ours, number), |answer| Request::Forget { processor, answer }).await
        });
        futures::future::try_join_all(lanes).await?;
        Ok(())
    }

    /// Appends in a transaction that remembers the token. Refuses nothing that was done already.
    pub(super) async fn append(
        &self,
        topic: &TopicRef,
        token: &Token,
        outputs: Vec<Output>,
    ) -> Result<Appended, BrokerError> {
        let ours = self.ours().await?;
        let token = format::token_id(token, topic.incarnation);
        let lane = self.lane(ours, ours.lane_of_bytes(&token));
        if let Err(refused) = self.check(topic, &outputs).await {
            return match ask(&lane, |answer| Request::Recall { token, answer }).await? {
                Some(count) => Ok(Appended { count, repeated: true }),
                None => Err(refused),
            };
        }
        let outputs = Arc::new(outputs);
        ask(&lane, |answer| Request::Append(Appending { token, outputs, answer })).await
    }

    async fn check(&self, topic: &TopicRef, outputs: &[Output]) -> Result<(), BrokerError> {
        self.outlets.check_records(topic, std::iter::empty()).await?;
        self.outlets.check(outputs).await
    }

    async fn ours(&self) -> Result<&Ours, BrokerError> {
        self.ours.get_or_try_init(|| Ours::ensure(&self.cluster)).await
    }

    /// A lane's task, started if need be.
    fn lane(&self, ours: &Ours, number: u32) -> mpsc::Sender<Request> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = started.entry(number).or_insert_with(|| {
            let (sender, requests) = mpsc::channel(QUEUE);
            let (cluster, outlets) = (Arc::clone(&self.cluster), Arc::clone(&self.outlets));
            let lane = Lane::new(number, cluster, outlets, ours.clone());
            tokio::spawn(lane.run(requests, self.closing.subscribe()));
            sender
        });
        lane.clone()
    }
}

async fn ask<T>(
    lane: &mpsc::Sender<Request>,
    request: impl FnOnce(Answer<T>) -> Request,
) -> Result<T, BrokerError> {
    let closed = |_| BrokerError::Unavailable("the broker was closed".into());
    let (answer, answered) = oneshot::channel();
    lane.send(request(answer)).await.map_err(|_| closed(()))?;
    answered.await.map_err(|_| closed(()))?
}
