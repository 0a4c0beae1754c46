//! What an operator says of a Kafka cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A cluster, and who this host is on it.
#[derive(Clone)]
pub struct KafkaOptions {
    /// What the broker is called in the configuration, for words.
    pub name: String,
    /// `host:port,…` to begin with.
    pub servers: String,
    /// Names the topics and transactional ids of all hosts that are one participant.
    pub identity: String,
    /// Stable name of this host among those of one identity, e.g. kept in its data directory.
    pub instance: String,
    /// Lanes of the identity, set once: a cluster that has others keeps them.
    pub lanes: u32,
    /// Copies of topics where a flow does not say; the cluster's default without it.
    pub replication: Option<u16>,
    /// Further settings of clients under librdkafka's names. May hold secrets.
    pub client: BTreeMap<String, String>,
    /// Where state is cached.
    pub cache_dir: PathBuf,
}

impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, servers, identity, instance, lanes, .. } = self;
        write!(out, "KafkaOptions({name} {servers} {identity} {instance} {lanes})")
    }
}
