//! Where the tests' brokers are: on one node for all of them, each under an identity of its own.

use std::sync::Arc;

use host_brokers::Broker;
use host_brokers::kafka::{Kafka, KafkaOptions};
use kafka_node::Node;
use tempfile::TempDir;
use uuid::Uuid;

use crate::battery::Place;

/// An identity on the node that all tests share.
pub struct OnKafka {
    servers: String,
    identity: String,
    cache: TempDir,
}

impl OnKafka {
    pub fn new() -> Self {
        Self::at(&servers())
    }

    /// On a node of a test's own.
    pub fn at(servers: &str) -> Self {
        let (servers, identity) = (servers.to_owned(), Uuid::new_v4().simple().to_string());
        Self { servers, identity, cache: TempDir::new().unwrap() }
    }

    /// Few lanes: each test has its own.
    pub fn options(&self) -> KafkaOptions {
        let cache = self.cache.path();
        let mut options = KafkaOptions::new("k", &self.servers, &self.identity, cache);
        options.lanes = 2;
        options
    }
}

impl Place for OnKafka {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(Kafka::open(self.options()).await.unwrap())
    }

    fn reads_ahead(&self) -> bool {
        true
    }
}

/// The shared node's; the first to ask starts it.
pub fn servers() -> String {
    tokio::task::block_in_place(|| Node::shared().servers())
}
