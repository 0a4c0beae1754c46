//! What an operator says of a Kafka cluster, and what of it librdkafka is told.
//!
//! Settings that the promises of this host rest on are not the operator's to change, and secrets come
//! from files alone: both are refused among the further settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::reachable::Reachable;

/// Lanes of an identity that does not say: as many producers, of two to five threads each.
pub const LANES: u32 = 8;

/// A cluster, and who this host is on it.
#[derive(Clone, PartialEq, Eq)]
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
    /// Whether and how connections are encrypted.
    pub tls: Option<Tls>,
    /// Who this host is to the cluster, where it asks.
    pub sasl: Option<Sasl>,
    /// Further settings of clients under librdkafka's names, as [`check_setting`] lets them pass.
    pub client: BTreeMap<String, String>,
    /// Where state is cached.
    pub cache_dir: PathBuf,
    /// Where its nodes may be, of a cluster that is somebody else's: it is read, and nothing else.
    pub guest_of: Option<Reachable>,
}

impl KafkaOptions {
    /// A cluster in clear text that asks nobody who he is, with the defaults for everything else.
    #[must_use]
    pub fn new(name: &str, servers: &str, identity: &str, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            servers: servers.to_owned(),
            identity: identity.to_owned(),
            instance: identity.to_owned(),
            lanes: LANES,
            replication: None,
            tls: None,
            sasl: None,
            client: BTreeMap::new(),
            cache_dir: cache_dir.into(),
            guest_of: None,
        }
    }

    /// What every client is configured with.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("bootstrap.servers", &self.servers);
        config.set("client.id", format!("fnaa.{}", self.identity));
        config.set("allow.auto.create.topics", "false");
        for (key, value) in &self.client {
            config.set(key, value);
        }
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.set(&mut config);
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", sasl.mechanism.name());
            config.set("sasl.username", &sasl.username);
            config.set("sasl.password", &sasl.password);
        }
        config
    }
}

impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, servers, identity, instance, lanes, .. } = self;
        write!(out, "KafkaOptions({name} {servers} {identity} {instance} {lanes})")
    }
}

/// Encrypted connections to a cluster, whose certificate has to be one of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whom to believe, as PEM; the system's list without it.
    pub ca_file: Option<PathBuf>,
    /// Who we are, as PEM, where the cluster asks: certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// DANGER: takes whatever certificate comes, from whomever.
    pub take_any_certificate: bool,
}

impl Tls {
    fn set(&self, config: &mut ClientConfig) {
        let ca = self.ca_file.as_ref().map_or("probe".into(), |file| file.to_string_lossy());
        config.set("ssl.ca.location", ca);
        if let Some((certificate, key)) = &self.identity {
            config.set("ssl.certificate.location", certificate.to_string_lossy());
            config.set("ssl.key.location", key.to_string_lossy());
        }
        let (verify, names) =
            if self.take_any_certificate { ("false", "none") } else { ("true", "https") };
        config.set("enable.ssl.certificate.verification", verify);
        config.set("ssl.endpoint.identification.algorithm", names);
    }
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How they are shown.
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Sasl({} {})", self.mechanism.name(), self.username)
    }
}

/// How name and password are shown to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As they are: for encrypted connections.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Whether one of an operator's further settings can be used.
///
/// # Errors
/// Says why not: what it would break, or what librdkafka has against it. Values are not repeated.
pub fn check_setting(key: &str, value: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{key} cannot be set here: {why}"));
    if SECRETS.iter().any(|word| key.contains(word)) {
        return refused("secrets are read from files, see [brokers.tls] and [brokers.sasl]");
    }
    if key.starts_with("sasl.") || OURS_BY_TABLE.contains(&key) {
        return refused("[brokers.tls] and [brokers.sasl] say it");
    }
    if let Some((_, why)) = RELIED_ON.iter().find(|(ours, _)| *ours == key) {
        return refused(why);
    }
    if key.starts_with("test.") || key.ends_with("_cb") || CODE.contains(&key) {
        return refused("it is for programs");
    }
    let mut config = ClientConfig::new();
    config.set(key, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, why, ..)) => {
            let why = if value.is_empty() { why } else { why.replace(value, "…") };
            Err(format!("librdkafka does not take {key}: {why}"))
        }
        Err(_) => Err(format!("librdkafka does not take {key}")),
    }
}

/// Parts of keys whose values are secrets.
const SECRETS: [&str; 3] = ["password", "secret", ".pem"];

const OURS_BY_TABLE: [&str; 8] = [
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    "enable.sasl.oauthbearer.unsecure.jwt",
];

/// Loads code, or hands over memory.
const CODE: [&str; 6] = [
    "plugin.library.paths",
    "ssl.engine.location",
    "ssl.providers",
    "opaque",
    "interceptors",
    "default_topic_conf",
];

const EXACTLY_ONCE: &str = "exactly-once rests on it";
const POSITIONS: &str = "where reading goes on is decided by the positions that were committed";
const SAFE: &str = "what was acknowledged would not be safe";
const ELSEWHERE: &str = "another key of the broker says it";

/// What the promises rest on, and why.
const RELIED_ON: [(&str, &str); 36] = [
    ("bootstrap.servers", ELSEWHERE),
    ("metadata.broker.list", ELSEWHERE),
    ("client.id", ELSEWHERE),
    ("enable.idempotence", EXACTLY_ONCE),
    ("enable.gapless.guarantee", EXACTLY_ONCE),
    ("transactional.id", EXACTLY_ONCE),
    ("transaction.timeout.ms", EXACTLY_ONCE),
    ("isolation.level", EXACTLY_ONCE),
    ("max.in.flight", EXACTLY_ONCE),
    ("max.in.flight.requests.per.connection", EXACTLY_ONCE),
    ("retries", EXACTLY_ONCE),
    ("message.send.max.retries", EXACTLY_ONCE),
    ("queuing.strategy", EXACTLY_ONCE),
    ("produce.offset.report", EXACTLY_ONCE),
    ("delivery.report.only.error", EXACTLY_ONCE),
    ("enabled_events", EXACTLY_ONCE),
    ("message.timeout.ms", EXACTLY_ONCE),
    ("delivery.timeout.ms", EXACTLY_ONCE),
    ("topic.blacklist", EXACTLY_ONCE),
    ("acks", SAFE),
    ("request.required.acks", SAFE),
    ("check.crcs", SAFE),
    ("auto.offset.reset", POSITIONS),
    ("enable.auto.commit", POSITIONS),
    ("auto.commit.enable", POSITIONS),
    ("auto.commit.interval.ms", POSITIONS),
    ("enable.auto.offset.store", POSITIONS),
    ("enable.partition.eof", POSITIONS),
    ("offset.store.method", POSITIONS),
    ("group.id", POSITIONS),
    ("group.instance.id", POSITIONS),
    ("group.protocol", POSITIONS),
    ("partition.assignment.strategy", POSITIONS),
    ("partitioner", "keys have the partition that every other participant finds them in"),
    ("allow.auto.create.topics", "flows are created by CREATE FLOW"),
    ("log.queue", "the log of librdkafka is part of the host's"),
];

#[cfg(test)]
mod tests;
