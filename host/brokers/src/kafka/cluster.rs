//! One Kafka cluster: settings of its clients, and questions that every part asks.
#![allow(dead_code, reason = "being built")]

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use uuid::Uuid;

use super::KafkaOptions;
use crate::broker::{BrokerError, TopicRef};

/// A cluster as it was configured.
pub(super) struct Cluster {
    options: KafkaOptions,
}

impl Cluster {
    pub(super) fn new(options: KafkaOptions) -> Result<Self, BrokerError> {
        Ok(Self { options })
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// What every client of this cluster is configured with.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.options.servers);
        for (key, value) in &self.options.client {
            config.set(key, value);
        }
        config
    }

    /// The ids of topics as the cluster knows them now; `None` for one that is not there.
    pub(super) async fn topic_ids(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Option<Uuid>>, BrokerError> {
        Err(BrokerError::Unavailable(format!("not built yet: ids of {topics:?}")))
    }

    /// Sees that a topic is there in the life that is meant.
    pub(super) async fn check_life(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        let ids = self.topic_ids(&[&topic.topic]).await?;
        match ids.get(&*topic.topic).copied().flatten() {
            Some(id) if topic.id.is_none_or(|meant| meant == id) => Ok(()),
            _ => Err(BrokerError::NotFound(topic.topic.to_string())),
        }
    }
}
