//! The flows of other hosts, as a broker that can only be read: so an ordinary processor carries a subscription, and its commit
//! makes events and position durable together at its own broker.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use host_brokers::{
    Append, Appended, BatchLimits, Broker, BrokerError, Opened, PartitionInfo, ShardId, Source,
    TopicChange, TopicInfo, TopicRef, TopicSpec,
};
use host_events::{Batch, Incarnation, Position, Stored};
use host_registry::{Registry, Transport};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::borrowed::Borrowed;
use crate::follow::{Following, Links, Lost, Seen};
use crate::reach::Reach;

/// A broker of flows that lie with others. Topics are the names that their owners gave to subscriptions.
pub struct PeerBroker {
    links: Arc<Links>,
    borrowed: Borrowed,
    registry: Registry,
    gone: mpsc::Sender<Gone>,
}

/// A subscription that its owner's host does not know, or not any more.
#[derive(Debug)]
pub struct Gone {
    /// `id.flow`.
    pub name: Name,
    /// The owner's host's word.
    pub failure: Failure,
}

impl PeerBroker {
    /// One that asks other hosts as `reach` finds them; `own` is how this host is called in traces. What it is told the end
    /// of goes to `gone`. Brokers of theirs have to show certificates of `ca_file`, or that the system trusts.
    #[must_use]
    pub fn new(
        reach: Arc<dyn Reach>,
        registry: Registry,
        own: Arc<str>,
        ca_file: Option<PathBuf>,
        gone: mpsc::Sender<Gone>,
    ) -> Self {
        let borrowed = Borrowed::new(Arc::clone(&reach), Arc::clone(&own), ca_file, gone.clone());
        Self { links: Arc::new(Links::new(reach, own)), borrowed, registry, gone }
    }

    /// Nothing more is wanted of a subscription.
    pub(crate) async fn give_back(&self, name: &Name) {
        self.borrowed.give_back(name).await;
    }

    /// Whether the owner of a subscription's flow holds it, as far as he has said so.
    #[must_use]
    pub fn is_held(&self, subscription: &Name) -> bool {
        self.links.is_held(subscription)
    }

    /// What a loss means to a processor; an end is told of, too.
    fn lost(&self, name: &FlowName, lost: Lost) -> BrokerError {
        tell(&self.gone, name, &lost);
        lost.broker_error()
    }

    /// The flow whose host has a topic, what to ask it for, and how it comes.
    fn of(&self, topic: &TopicRef) -> Result<(FlowName, Name, Transport), BrokerError> {
        let gone = || BrokerError::NotFound(format!("subscription {}", topic.topic));
        let name: FlowName = topic.topic.parse().map_err(|_| gone())?;
        let subscription = self.registry.subscription(&name).ok_or_else(gone)?;
        Ok((name, subscription.flow, subscription.transport))
    }

    async fn seen(&self, topic: &TopicRef, name: FlowName, at: Name) -> Result<Seen, BrokerError> {
        let seen = self.links.look(&name, &at).await.map_err(|lost| self.lost(&name, lost))?;
        check_life(topic, &seen.incarnation)?;
        Ok(seen)
    }
}

/// Refuses another life of a flow than the one that was subscribed to.
fn check_life(topic: &TopicRef, incarnation: &str) -> Result<(), BrokerError> {
    match topic.id {
        Some(id) if incarnation.parse() != Ok(id) => {
            Err(BrokerError::NotFound(format!("{}: another flow of that name", topic.topic)))
        }
        _ => Ok(()),
    }
}

fn read_only<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Invalid("flows of another participant can only be read".to_owned()))
}

#[async_trait]
impl Broker for PeerBroker {
    fn kind(&self) -> &'static str {
        "peer"
    }

    fn server(&self) -> String {
        String::new()
    }

    async fn create(&self, _: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        read_only()
    }

    async fn update(&self, _: &TopicRef, _: &TopicChange) -> Result<(), BrokerError> {
        read_only()
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        let (name, at, transport) = self.of(topic)?;
        if transport == Transport::Kafka {
            return self.borrowed.look(topic, &name, &at).await;
        }
        let Seen { incarnation, mut partitions } = self.seen(topic, name, at).await?;
        partitions.sort_by_key(|partition| partition.partition);
        if partitions.iter().zip(0_u32..).any(|(partition, number)| partition.partition != number) {
            return Err(BrokerError::Invalid("the other host leaves partitions out".to_owned()));
        }
        let log = |partition: &fnap::stream::Partition| PartitionInfo {
            earliest: partition.earliest,
            latest: partition.latest,
        };
        Ok(TopicInfo {
            id: incarnation.parse().ok(),
            replication: None,
            partitions: partitions.iter().map(log).collect(),
            bytes: None,
            config: Default::default(),
        })
    }

    async fn delete(&self, _: &TopicRef) -> Result<(), BrokerError> {
        read_only()
    }

    async fn purge(&self, _: &TopicRef) -> Result<(), BrokerError> {
        read_only()
    }

    async fn append(&self, _: &TopicRef, _: Append) -> Result<Appended, BrokerError> {
        read_only()
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let (name, at, transport) = self.of(topic)?;
        if transport == Transport::Kafka {
            return self.borrowed.source(topic, name, at, partition, from).await;
        }
        let following = self.links.follow(&name, &at, partition, from).await;
        let following = following.map_err(|lost| self.lost(&name, lost))?;
        check_life(topic, &following.incarnation)?;
        let (flow, gone) = (topic.incarnation, self.gone.clone());
        let (rest, next) = (Vec::new(), from);
        Ok(Box::new(PeerSource { following, name, flow, partition, rest, next, gone }))
    }

    async fn offset_at(&self, _: &TopicRef, _: u32, _: i64) -> Result<u64, BrokerError> {
        let words = "a time as the start of what another participant sends";
        Err(BrokerError::Invalid(words.to_owned()))
    }

    async fn open(&self, _: ShardId) -> Result<Opened, BrokerError> {
        read_only()
    }

    async fn reposition(&self, _: ShardId, _: Position, _: bool) -> Result<(), BrokerError> {
        read_only()
    }

    /// Positions lie at the broker that is written to.
    async fn forget(&self, _: Uuid) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) {
        self.borrowed.close().await;
    }
}

/// Tells of a subscription that its owner's host does not know any more, or has taken away.
pub(crate) fn tell(gone: &mpsc::Sender<Gone>, name: &FlowName, lost: &Lost) {
    if let Lost::Ended(failure) = lost
        && matches!(failure.code, Code::Forbidden | Code::NotFound)
    {
        // Where nobody listens the host is ending; where too many are told of at once, the processor tries again.
        drop(gone.try_send(Gone { name: name.clone(), failure: failure.clone() }));
    }
}

struct PeerSource {
    following: Following,
    name: FlowName,
    gone: mpsc::Sender<Gone>,
    flow: Incarnation,
    partition: u32,
    /// What came and did not fit into a batch, the last first.
    rest: Vec<Stored>,
    /// The position behind all that came.
    next: u64,
}

#[async_trait]
impl Source for PeerSource {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        // A frame that brings nothing and leads nowhere is no batch.
        let before = self.next;
        while self.rest.is_empty() && self.next == before {
            let came = self.following.next().await.map_err(|lost| {
                tell(&self.gone, &self.name, &lost);
                lost.broker_error()
            })?;
            self.rest = came.records;
            self.rest.reverse();
            self.next = came.next;
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(stored) = self.rest.last() {
            bytes += stored.record.size();
            let fits = records.len() < limits.records && bytes <= limits.bytes;
            if !fits && !records.is_empty() {
                break;
            }
            records.extend(self.rest.pop());
        }
        let next = self.rest.last().map_or(self.next, |stored| stored.offset);
        Ok(Batch { flow: self.flow, partition: self.partition, records: records.into(), next })
    }
}
