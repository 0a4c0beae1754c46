//! Lanes: few producers that commit outputs, positions and state of many shards together.
//!
//! A shard's lane is decided by its id. A lane is a partition of two compacted topics and a producer with a
//! stable transactional id: whoever has initialised it last can commit, nobody else. What is true lies in the
//! topics; whoever takes a lane over reads it there.

mod begin;
mod begun;
mod blame;
mod cache;
mod disk;
mod end;
mod entry;
mod fence;
mod format;
mod former;
mod group;
mod keep;
mod lane;
mod mark;
mod memory;
mod moment;
mod ours;
mod outside;
mod pace;
mod producer;
mod recall;
mod recover;
mod shares;
mod take;
mod tokens;
mod truth;
mod turn;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, StreamExt, TryStreamExt};
use host_events::Position;
use tokio::sync::{mpsc, oneshot, watch as signal};
use tokio::task::JoinError;
use tokio::time::timeout;
use uuid::Uuid;

use crate::broker::{Appended, BrokerError, Enqueued, Opened, Output, ShardId, Token, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::outlets::Outlets;

use fence::LaneFence;
use former::Former;
use group::{GivesUp, Member};
use lane::{Answer, Appending, Lane, Opening, QUEUE, Request, World};
use memory::Memory;
use ours::Ours;
pub(super) use producer::{producer_config, send};
use recall::Early;
use shares::{SESSION, Shares};

/// Lanes that forget a processor at the same time: one that is read for it costs a client.
const FORGETS_AT_ONCE: usize = 4;

/// Where the lanes that were ever needed take requests.
#[derive(Clone, Default)]
struct Started(Arc<Mutex<HashMap<u32, mpsc::Sender<Request>>>>);

/// One attempt, which answers all who wait for it.
type Joining = Shared<BoxFuture<'static, Result<Arc<Ours>, BrokerError>>>;

/// The lanes of this host's identity.
pub(super) struct Lanes {
    cluster: Arc<Cluster>,
    outlets: Arc<Outlets>,
    ours: Arc<OnceLock<Arc<Ours>>>,
    /// The attempt to join that is under way.
    joining: Mutex<Option<Joining>>,
    started: Started,
    shares: Arc<Shares>,
    recovered: Arc<AtomicU64>,
    former: Arc<Former>,
    /// Dropped with this: the lanes end.
    closing: signal::Sender<()>,
}

impl Lanes {
    pub(super) fn new(cluster: Arc<Cluster>, outlets: Arc<Outlets>) -> Self {
        let (closing, _) = signal::channel(());
        let (started, shares) = (Started::default(), Arc::default());
        let (ours, joining) = (Arc::default(), Mutex::default());
        let (recovered, former) = (Arc::default(), Arc::default());
        Self { cluster, outlets, ours, joining, started, shares, recovered, former, closing }
    }

    /// Gives all lanes up that are held, and keeps on disk what makes taking them over again quicker.
    pub(super) async fn close(&self) {
        let started: Vec<_> = lock(&self.started.0).keys().copied().collect();
        self.started.give_up(&started).await;
    }

    /// The topics were taken away on purpose: this host may begin anew without them.
    pub(super) fn unremember(&self) {
        if let Some(path) = Memory::path(self.cluster.options()) {
            // It may not be there at all.
            drop(std::fs::remove_file(path));
        }
    }

    /// Records that were read to take lanes over.
    pub(super) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }

    pub(super) async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let ours = self.ours().await?;
        let lane = self.lane(&ours, ours.lane_of(shard));
        let Opening { number, truth } =
            ask(&lane, |answer| Request::Open { shard, answer }).await?;
        let outlets = Arc::clone(&self.outlets);
        let fence = LaneFence { lane, outlets, shard, opening: number };
        let (positions, state, digest) = (truth.positions, truth.state, truth.digest);
        Ok(Opened { fence: Box::new(fence), positions, state, digest })
    }

    /// Waits until the group gives the lane of a shard to this host, which has not got it.
    pub(super) async fn freed(&self, shard: ShardId) {
        match self.ours.get() {
            Some(ours) => self.shares.given_anew(ours.lane_of(shard)).await,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        let ours = self.ours().await?;
        let lane = self.lane(&ours, ours.lane_of(shard));
        ask(&lane, |answer| Request::Reposition { shard, positions, reset_state, answer }).await
    }

    /// Forgets a processor in all lanes, also in those that another host holds. Makes no topics for it, and where
    /// they are lost there is nothing to forget.
    pub(super) async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        if self.ours.get().is_none() && !Ours::are_there(&self.cluster).await? {
            return Ok(());
        }
        let forgotten = async {
            let ours = self.ours().await?;
            let lanes = (0..ours.lanes).map(|number| self.forget_in(&ours, number, processor));
            stream::iter(lanes).buffer_unordered(FORGETS_AT_ONCE).try_collect().await
        };
        match forgotten.await {
            Err(error @ (BrokerError::Damaged(_) | BrokerError::Invalid(_))) => {
                let broker = &self.cluster.options().name;
                tracing::warn!(broker, %processor, cause = %error, "left what is kept of a deleted processor");
                Ok(())
            }
            done => done,
        }
    }

    async fn forget_in(
        &self,
        ours: &Arc<Ours>,
        number: u32,
        processor: Uuid,
    ) -> Result<(), BrokerError> {
        if !self.shares.has(number) {
            return outside::forget(&self.cluster, ours, number, processor).await;
        }
        ask(&self.lane(ours, number), |answer| Request::Forget { processor, answer }).await
    }

    /// Appends in a transaction that remembers the token. Refuses nothing that was done already. All that a
    /// principal writes to a flow goes through one lane, so that it keeps its order.
    pub(super) async fn enqueue(
        &self,
        topic: &TopicRef,
        token: &Token,
        outputs: Vec<Output>,
    ) -> Result<Enqueued, BrokerError> {
        let ours = self.ours().await?;
        let writer = format::writer_id(&token.principal, topic.incarnation);
        let number = ours.lane_of_bytes(&writer);
        let lane = self.lane(&ours, number);
        let token = format::token_id(token, topic.incarnation);
        if let Some(count) = self.formerly(&ours, number, token).await? {
            return Ok(std::future::ready(Ok(Appended { count, repeated: true })).boxed());
        }
        if let Err(refused) = self.check(topic, &outputs).await {
            let seen = ask(&lane, |answer| Request::Recall { token, answer }).await?;
            let appended = seen.map(|count| Appended { count, repeated: true }).ok_or(refused);
            return Ok(std::future::ready(appended).boxed());
        }
        let outputs = Arc::new(outputs);
        let asked = post(&lane, |answer| Request::Append(Appending { token, outputs, answer }));
        Ok(asked.await?.boxed())
    }

    async fn check(&self, topic: &TopicRef, outputs: &[Output]) -> Result<(), BrokerError> {
        self.outlets.check_records(topic, std::iter::empty()).await?;
        self.outlets.check(outputs).await
    }

    async fn ours(&self) -> Result<Arc<Ours>, BrokerError> {
        if let Some(ours) = self.ours.get() {
            return Ok(Arc::clone(ours));
        }
        let joining = lock(&self.joining).get_or_insert_with(|| self.join()).clone();
        let joined = joining.clone().await;
        let mut now = lock(&self.joining);
        if joined.is_err() && now.as_ref().is_some_and(|now| now.ptr_eq(&joining)) {
            // Whoever comes next tries again.
            *now = None;
        }
        joined
    }

    /// Sees that the topics are there, and joins those who share them, also when nobody waits any more.
    fn join(&self) -> Joining {
        let (cluster, shares) = (Arc::clone(&self.cluster), Arc::clone(&self.shares));
        let (joined, started) = (Arc::clone(&self.ours), self.started.clone());
        let closing = self.closing.subscribe();
        let joining = tokio::spawn(async move {
            let ours = Arc::new(Ours::ensure(&cluster).await?);
            let member = Member::join(&cluster, &ours).await?;
            joined.set(Arc::clone(&ours)).ok();
            let watched = (Arc::clone(&cluster), Arc::clone(&ours), Arc::clone(&shares));
            let (lanes, ends) = (started.clone(), closing.clone());
            tokio::spawn(watch::run(watched.0, watched.1, watched.2, lanes, ends));
            tokio::spawn(member.run(cluster, Arc::clone(&ours), shares, started, closing));
            Ok(ours)
        });
        let ended = |error: JoinError| BrokerError::Unavailable(error.to_string());
        joining.map(move |joined| joined.unwrap_or_else(|error| Err(ended(error)))).boxed().shared()
    }

    /// A lane's task, started if need be.
    fn lane(&self, ours: &Arc<Ours>, number: u32) -> mpsc::Sender<Request> {
        let mut started = lock(&self.started.0);
        let lane = started.entry(number).or_insert_with(|| {
            let (sender, requests) = mpsc::channel(QUEUE);
            let (cluster, outlets) = (Arc::clone(&self.cluster), Arc::clone(&self.outlets));
            let (ours, shares) = (Arc::clone(ours), Arc::clone(&self.shares));
            let recovered = Arc::clone(&self.recovered);
            let early = Early::default();
            let former = Arc::clone(&self.former);
            let world = World { number, cluster, outlets, ours, shares, recovered, early, former };
            let lane = Lane::new(world);
            tokio::spawn(lane.run(requests, self.closing.subscribe()));
            sender
        });
        lane.clone()
    }
}

impl Started {
    fn get(&self, lane: u32) -> Option<mpsc::Sender<Request>> {
        lock(&self.0).get(&lane).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

async fn ask<T: Send + 'static>(
    lane: &mpsc::Sender<Request>,
    request: impl FnOnce(Answer<T>) -> Request,
) -> Result<T, BrokerError> {
    post(lane, request).await?.await
}

/// Puts a request into a lane's queue, and gives what waits for the answer.
async fn post<T: Send + 'static>(
    lane: &mpsc::Sender<Request>,
    request: impl FnOnce(Answer<T>) -> Request,
) -> Result<impl Future<Output = Result<T, BrokerError>> + Send + 'static, BrokerError> {
    let closed = || BrokerError::Unavailable("the broker was closed".into());
    let (answer, answered) = oneshot::channel();
    lane.send(request(answer)).await.map_err(|_| closed())?;
    Ok(answered.map(move |answered| answered.unwrap_or_else(|_| Err(closed()))))
}
