//! What CREATE and UPDATE FLOW say of a topic: its settings, or the one that is taken over.
//!
//! Whether a setting exists and what it may be is the broker's to say. A topic that is taken over stays as
//! it is: how many partitions it has, and what is set on it, is read from its broker.

use fnap::reply::{Code, Failure};
use fnap::value::Settings;
use host_brokers::{BrokerError, TopicRef};
use host_events::Incarnation;
use host_registry::{Config, HOST_KEYS, Taken, limits};

use super::broker_failure;
use crate::services::Services;

/// Settings of a flow, by who they are for.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) partitions: Option<u32>,
    pub(super) replication: Option<u16>,
    pub(super) broker: Option<String>,
    /// A topic that is there.
    pub(super) topic: Option<String>,
    /// The topic's own, and the host's.
    pub(super) config: Config,
}

impl Wanted {
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        for (key, value) in settings.iter() {
            match key {
                "partitions" => wanted.partitions = Some(number(key, value)?),
                "replication" => wanted.replication = Some(at_least_one(key, value)?),
                "broker" => wanted.broker = Some(value.to_owned()),
                "topic" => wanted.topic = Some(value.to_owned()),
                _ => drop(wanted.config.insert(key.to_owned(), value.to_owned())),
            }
        }
        Ok(wanted)
    }

    /// With `topic=` stands nothing that would change the topic.
    pub(super) fn check_taken(&self) -> Result<(), Failure> {
        let changes = self.config.keys().find(|key| !HOST_KEYS.contains(&key.as_str()));
        let changes = changes.map(String::as_str);
        let changes = changes.or(self.partitions.map(|_| "partitions"));
        match changes.or(self.replication.map(|_| "replication")) {
            None => Ok(()),
            Some(key) => {
                let words =
                    format!("{key}= beside topic=: a topic that is taken over stays as it is");
                Err(Failure::new(Code::BadFormat, words))
            }
        }
    }
}

/// Looks for a topic that is to be taken over.
pub(super) async fn find(services: &Services, broker: &str, topic: &str) -> Result<Taken, Failure> {
    let unknown = || Failure::new(Code::NotFound, format!("broker {broker}"));
    let found = services.brokers.get(broker).ok_or_else(unknown)?;
    if limits::INTERNAL_TOPICS.iter().any(|prefix| topic.starts_with(prefix)) {
        let words = format!("topic {topic} is an internal one and no flow's");
        return Err(Failure::new(Code::BadFormat, words));
    }
    // Whatever life of it is there now.
    let any = TopicRef::new(topic, Incarnation(uuid::Uuid::nil()));
    let info = found.describe(&any).await.map_err(|error| match error {
        BrokerError::NotFound(_) => {
            let words =
                format!("topic {topic} on broker {broker}: without topic= a new one is made");
            Failure::new(Code::NotFound, words)
        }
        error => broker_failure(&error),
    })?;
    let partitions = u32::try_from(info.partitions.len()).unwrap_or(u32::MAX);
    Ok(Taken { topic: topic.to_owned(), id: info.id, partitions })
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Failure> {
    let wrong = |_| Failure::new(Code::BadFormat, format!("{key}={value} is no number"));
    value.parse().map_err(wrong)
}

fn at_least_one(key: &str, value: &str) -> Result<u16, Failure> {
    match number(key, value)? {
        0 => Err(Failure::new(Code::BadFormat, format!("{key} is at least 1"))),
        number => Ok(number),
    }
}
