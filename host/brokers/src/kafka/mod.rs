//! Apache Kafka behind the broker trait: topics, reading, appending, and exactly-once commits over lanes.
//!
//! rdkafka is named here and nowhere else; its types stop here. A client of librdkafka costs threads, so
//! there are few of them: shared consumers for reading, one producer a lane for what is committed, one for
//! questions to coordinators of groups while there are some (more only while questions that were given up leave others waiting),
//! and one more for everything else. Nothing here resets a position.

mod append;
mod chains;
mod cluster;
mod coordinators;
mod errors;
mod guest;
mod lanes;
mod lending;
mod meet;
mod native;
mod options;
mod outlets;
mod parcel;
mod reachable;
mod reading;
mod rights;
mod shared;
mod topics;
mod travel;
mod voice;

use std::sync::Arc;

use async_trait::async_trait;
use host_events::{Incarnation, Position};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::broker::{
    Append, Appended, Borrower, Broker, BrokerError, Consumer, Enqueued, FoundTopic, Opened,
    ShardId, Source, TopicChange, TopicInfo, TopicRef, TopicSpec,
};

use append::{Appender, Turns};
use cluster::Cluster;
use lanes::Lanes;
pub use options::{KafkaOptions, LANES, Mechanism, Sasl, Tls, check_setting};
use outlets::Outlets;
pub use reachable::{LOWEST_PORT, Network, Reachable};
use reading::Readers;
pub use rights::Right;

/// A Kafka cluster that flows live on.
pub struct Kafka {
    cluster: Arc<Cluster>,
    readers: Readers,
    outlets: Arc<Outlets>,
    lanes: Lanes,
    turns: Turns,
    _lookout: Lookout,
}

/// What asks a cluster that is away; ends when dropped.
struct Lookout(JoinHandle<()>);

impl Lookout {
    /// Somebody else's cluster is asked nothing by itself.
    fn over(cluster: &Arc<Cluster>) -> Self {
        let cluster = Arc::clone(cluster);
        Self(tokio::spawn(async move {
            if !cluster.is_guest() {
                cluster.look_out().await;
            }
        }))
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Kafka {
    /// Whether a cluster could be opened with these settings; asks no cluster.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn check(options: &KafkaOptions) -> Result<(), BrokerError> {
        Cluster::new(options.clone())?.check()
    }

    /// Connects as far as needed to say that the settings make sense; a cluster that is away is no error,
    /// it is asked again when something is wanted of it.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub async fn open(options: KafkaOptions) -> Result<Self, BrokerError> {
        let cluster = Arc::new(Cluster::new(options)?);
        cluster.handle()?;
        let readers = Readers::new(Arc::clone(&cluster));
        let outlets = Outlets::new(Arc::clone(&cluster));
        let lanes = Lanes::new(Arc::clone(&cluster), Arc::clone(&outlets));
        let (turns, _lookout) = (Turns::default(), Lookout::over(&cluster));
        Ok(Self { cluster, readers, outlets, lanes, turns, _lookout })
    }

    /// Takes the topics away that keep positions and state of the identity, for one that is not needed any
    /// more: whoever runs under it afterwards begins anew. Harmless where there are none.
    ///
    /// # Errors
    /// When the cluster does not let us, or is away.
    pub async fn retire(&self) -> Result<(), BrokerError> {
        for what in ["positions", "state"] {
            let name = format!("_fnaa.{}.{what}", self.cluster.options().identity);
            let any = TopicRef::new(name, Incarnation(Uuid::nil()));
            topics::delete(&self.cluster, &any).await?;
        }
        self.lanes.unremember();
        Ok(())
    }

    /// Records of positions and state that were read so far to take shards over, all lanes together: how much a
    /// start costs, and what is cached on disk saves.
    #[must_use]
    pub fn records_recovered(&self) -> u64 {
        self.lanes.recovered()
    }
}

#[async_trait]
impl Broker for Kafka {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn server(&self) -> String {
        self.cluster.options().servers.clone()
    }

    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        topics::create(&self.cluster, topic).await
    }

    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
        let updated = topics::update(&self.cluster, topic, change).await;
        self.outlets.forget(&topic.topic);
        updated
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        topics::describe(&self.cluster, topic).await
    }

    async fn look(&self, topics: &[TopicRef]) -> Vec<Result<TopicInfo, BrokerError>> {
        topics::look(&self.cluster, topics).await
    }

    async fn topics(&self) -> Result<Vec<FoundTopic>, BrokerError> {
        topics::topics(&self.cluster).await
    }

    async fn consumers(&self, topic: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
        topics::consumers(&self.cluster, topic).await
    }

    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        let deleted = topics::delete(&self.cluster, topic).await;
        self.outlets.forget(&topic.topic);
        deleted
    }

    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        topics::purge(&self.cluster, topic).await
    }

    async fn append(&self, topic: &TopicRef, append: Append) -> Result<Appended, BrokerError> {
        self.enqueue(topic, append).await?.await
    }

    async fn enqueue(&self, topic: &TopicRef, append: Append) -> Result<Enqueued, BrokerError> {
        let Self { cluster, outlets, lanes, turns, .. } = self;
        Appender { cluster, outlets, lanes, turns }.enqueue(topic, append).await
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        self.readers.source(topic, partition, from).await
    }

    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError> {
        topics::offset_at(&self.cluster, topic, partition, time).await
    }

    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        self.lanes.open(shard).await
    }

    async fn freed(&self, shard: ShardId) {
        self.lanes.freed(shard).await;
    }

    async fn returned(&self) {
        self.cluster.voice().returned().await;
    }

    fn away(&self) -> Option<BrokerError> {
        Some(self.cluster.fault("", &self.cluster.fault_of_being_away()?))
    }

    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        self.lanes.reposition(shard, positions, reset_state).await
    }

    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        self.lanes.forget(processor).await
    }

    async fn lend(&self, topic: &str, user: &Borrower) -> Result<(), BrokerError> {
        self.lend_topic(topic, user).await
    }

    async fn take_back(&self, name: &str) -> Result<(), BrokerError> {
        self.take_back_all(name).await
    }

    async fn close(&self) {
        self.lanes.close().await;
    }
}
