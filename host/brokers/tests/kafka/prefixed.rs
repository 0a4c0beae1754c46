//! Where a Kafka broker lives between openings: the node that this program shares, with topics under names
//! of the place's own.

use std::sync::Arc;

use async_trait::async_trait;
use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{
    Append, Appended, Broker, BrokerError, Commit, CommitOutcome, Consumer, Fence, Opened, Output,
    ShardId, Source, TopicChange, TopicInfo, TopicRef, TopicSpec, Transaction,
};
use host_events::Position;
use kafka_node::Node;
use tempfile::TempDir;
use uuid::Uuid;

use crate::battery::Place;

pub struct KafkaPlace {
    servers: String,
    name: String,
    dir: TempDir,
}

impl KafkaPlace {
    /// On the shared node.
    pub fn new() -> Self {
        Self::at(&servers())
    }

    pub fn at(servers: &str) -> Self {
        let name = format!("t{}", Uuid::new_v4().simple());
        Self { servers: servers.to_owned(), name, dir: TempDir::new().unwrap() }
    }

    pub fn options(&self) -> KafkaOptions {
        KafkaOptions::new("k", &self.servers, &self.name, self.dir.path())
    }

    /// What a topic is called on the cluster.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }
}

/// The servers of the shared node, which is started away from the tasks of a test.
pub fn servers() -> String {
    std::thread::spawn(|| Node::shared().servers()).join().unwrap()
}

impl Place for KafkaPlace {
    async fn open(&self) -> Arc<dyn Broker> {
        let inner = Kafka::open(self.options()).await.unwrap();
        Arc::new(Prefixed { inner, prefix: format!("{}.", self.name) })
    }

    fn reads_ahead(&self) -> bool {
        true
    }
}

/// A broker on which every topic has a prefix.
pub struct Prefixed {
    pub inner: Kafka,
    pub prefix: String,
}

impl Prefixed {
    fn there(&self, topic: &TopicRef) -> TopicRef {
        prefixed(&self.prefix, topic)
    }
}

fn prefixed(prefix: &str, topic: &TopicRef) -> TopicRef {
    TopicRef { topic: format!("{prefix}{}", topic.topic).into(), ..topic.clone() }
}

#[async_trait]
impl Broker for Prefixed {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn server(&self) -> String {
        self.inner.server()
    }

    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        let spec = TopicSpec { topic: self.there(&topic.topic), ..topic.clone() };
        self.inner.create(&spec).await
    }

    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
        self.inner.update(&self.there(topic), change).await
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        self.inner.describe(&self.there(topic)).await
    }

    async fn consumers(&self, topic: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
        self.inner.consumers(&self.there(topic)).await
    }

    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.inner.delete(&self.there(topic)).await
    }

    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.inner.purge(&self.there(topic)).await
    }

    async fn append(&self, topic: &TopicRef, append: Append) -> Result<Appended, BrokerError> {
        self.inner.append(&self.there(topic), append).await
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        self.inner.source(&self.there(topic), partition, from).await
    }

    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError> {
        self.inner.offset_at(&self.there(topic), partition, time).await
    }

    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let opened = self.inner.open(shard).await?;
        let fence = PrefixedFence { inner: opened.fence, prefix: self.prefix.clone() };
        Ok(Opened { fence: Box::new(fence), ..opened })
    }

    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        self.inner.reposition(shard, positions, reset_state).await
    }

    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        self.inner.forget(processor).await
    }
}

struct PrefixedFence {
    inner: Box<dyn Fence>,
    prefix: String,
}

impl Fence for PrefixedFence {
    fn begin(&mut self) -> Box<dyn Transaction + '_> {
        Box::new(PrefixedTransaction { inner: self.inner.begin(), prefix: &self.prefix })
    }
}

struct PrefixedTransaction<'a> {
    inner: Box<dyn Transaction + 'a>,
    prefix: &'a str,
}

#[async_trait]
impl Transaction for PrefixedTransaction<'_> {
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError> {
        let there =
            |output: Output| Output { topic: prefixed(self.prefix, &output.topic), ..output };
        self.inner.send(outputs.into_iter().map(there).collect()).await
    }

    async fn commit(self: Box<Self>, commit: Commit) -> CommitOutcome {
        self.inner.commit(commit).await
    }
}
