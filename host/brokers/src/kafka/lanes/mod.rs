//! Lanes: few producers that commit outputs, positions and state of many shards together.
//!
//! A shard's lane is decided by its id. A lane is a partition of two compacted topics and a producer with a
//! stable transactional id: whoever has initialised it last can commit, nobody else. What is true lies in the
//! topics; whoever takes a lane over reads it there.

mod begin;
mod disk;
mod fence;
mod format;
mod group;
mod lane;
mod mark;
mod memory;
mod ours;
mod pace;
mod producer;
mod recover;
mod shares;
mod truth;
mod turn;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use host_events::Position;
use tokio::sync::{OnceCell, mpsc, oneshot, watch as signal};
use tokio::time::timeout;
use uuid::Uuid;

use crate::broker::{Appended, BrokerError, Opened, Output, ShardId, Token, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::outlets::Outlets;

use fence::LaneFence;
use group::{GivesUp, Member};
use lane::{Answer, Appending, Lane, Opening, QUEUE, Request};
use ours::Ours;
pub(super) use producer::{producer_config, send};
use shares::{SESSION, Shares};

/// Where the lanes that were ever needed take requests.
#[derive(Clone, Default)]
struct Started(Arc<Mutex<HashMap<u32, mpsc::Sender<Request>>>>);

/// The lanes of this host's identity.
pub(super) struct Lanes {
    cluster: Arc<Cluster>,
    outlets: Arc<Outlets>,
    ours: OnceCell<Arc<Ours>>,
    started: Started,
    shares: Arc<Shares>,
    /// Dropped with this: the lanes end.
    closing: signal::Sender<()>,
}

impl Lanes {
    pub(super) fn new(cluster: Arc<Cluster>, outlets: Arc<Outlets>) -> Self {
        let (closing, _) = signal::channel(());
        let (started, shares) = (Started::default(), Arc::default());
        Self { cluster, outlets, ours: OnceCell::new(), started, shares, closing }
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

    async fn ours(&self) -> Result<&Arc<Ours>, BrokerError> {
        self.ours.get_or_try_init(|| self.join()).await
    }

    /// Sees that the topics are there, and joins those who share them.
    async fn join(&self) -> Result<Arc<Ours>, BrokerError> {
        let ours = Arc::new(Ours::ensure(&self.cluster).await?);
        let member = Member::join(&self.cluster, &ours).await?;
        let (cluster, shares) = (Arc::clone(&self.cluster), Arc::clone(&self.shares));
        let (started, closing) = (self.started.clone(), self.closing.subscribe());
        let watched = (Arc::clone(&cluster), Arc::clone(&ours), Arc::clone(&shares));
        tokio::spawn(watch::run(watched.0, watched.1, watched.2, started.clone(), closing.clone()));
        tokio::spawn(member.run(cluster, Arc::clone(&ours), shares, started, closing));
        Ok(ours)
    }

    /// A lane's task, started if need be.
    fn lane(&self, ours: &Arc<Ours>, number: u32) -> mpsc::Sender<Request> {
        let mut started = self.started.lock();
        let lane = started.entry(number).or_insert_with(|| {
            let (sender, requests) = mpsc::channel(QUEUE);
            let (cluster, outlets) = (Arc::clone(&self.cluster), Arc::clone(&self.outlets));
            let shares = Arc::clone(&self.shares);
            let lane = Lane::new(number, cluster, outlets, Arc::clone(ours), shares);
            tokio::spawn(lane.run(requests, self.closing.subscribe()));
            sender
        });
        lane.clone()
    }
}

impl Started {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<Request>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, lane: u32) -> Option<mpsc::Sender<Request>> {
        self.lock().get(&lane).cloned()
    }
}

#[async_trait]
impl GivesUp for Started {
    async fn give_up(&self, lanes: &[u32]) {
        let started = lanes.iter().filter_map(|lane| self.get(*lane));
        let released = started.map(|lane| async move {
            let (answer, answered) = oneshot::channel();
            if lane.send(Request::Release { answer }).await.is_ok() {
                drop(answered.await);
            }
        });
        // Whoever gets the lane fences what does not end.
        drop(timeout(SESSION, futures::future::join_all(released)).await);
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
