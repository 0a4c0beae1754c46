//! What librdkafka says, in the words of the broker trait: which broker, which topic, which cause.
#![allow(dead_code, reason = "being built")]

use rdkafka::error::KafkaError;

use super::cluster::Cluster;
use crate::broker::BrokerError;

impl Cluster {
    /// An error about a topic (or about the cluster, with an empty one).
    pub(super) fn error(&self, topic: &str, error: &KafkaError) -> BrokerError {
        BrokerError::Unavailable(format!("{}: {topic}: {error}", self.options().name))
    }
}
