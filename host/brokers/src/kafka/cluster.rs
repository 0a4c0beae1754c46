//! One Kafka cluster: settings of its clients, and questions that every part asks.
#![allow(dead_code, reason = "being built")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use uuid::Uuid;

use super::KafkaOptions;
use super::native::admin::{self, Fault, TopicDescription};
use super::native::handle::Handle;
use super::shared::{Shared, SharedClient};
use super::voice::Voice;
use crate::broker::{BrokerError, TopicRef};

/// How long an admin request may take, also at a cluster that is busy or elects leaders.
pub(super) const REQUEST: Duration = Duration::from_secs(20);

/// How long a question waits for a cluster that is known to be in trouble. Longer than
/// [`RECONNECT`] and what librdkafka adds to it (a half), so that it is tried again meanwhile.
pub(super) const AWAY: Duration = Duration::from_secs(3);

/// The longest pause between attempts to connect.
const RECONNECT: Duration = Duration::from_millis(1500);

/// Topics that one question names: an answer stays far below a megabyte.
const ASKED_AT_ONCE: usize = 500;

/// A cluster as it was configured.
pub(super) struct Cluster {
    options: KafkaOptions,
    voice: Voice,
    shared: Shared,
}

impl Cluster {
    pub(super) fn new(options: KafkaOptions) -> Result<Self, BrokerError> {
        let voice = Voice::new(&options.name);
        Ok(Self { options, voice, shared: Shared::default() })
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// The context of clients of this cluster: takes their log lines and errors. Where a client needs a
    /// context of its own, that one passes `log` and `error` on.
    pub(super) fn voice(&self) -> &Voice {
        &self.voice
    }

    /// What every client of this cluster is configured with.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = self.options.client_config();
        config.set("reconnect.backoff.max.ms", RECONNECT.as_millis().to_string());
        config
    }

    /// The client for admin requests and plain appends: an idempotent producer without transactions.
    pub(super) fn shared(&self) -> Result<Arc<SharedClient>, BrokerError> {
        let mut config = self.client_config();
        config.set("enable.idempotence", "true");
        self.shared.client(&config, &self.voice).map_err(|error| self.error("", &error))
    }

    pub(super) fn handle(&self) -> Result<Handle, BrokerError> {
        let none = || BrokerError::Unavailable(self.words("", "the client is closing"));
        self.shared()?.handle().ok_or_else(none)
    }

    /// Waits for the answer to a question; for a cluster in trouble only for a while, since asking changes
    /// nothing and can be given up at any time.
    pub(super) async fn answer<T>(
        &self,
        topic: &str,
        question: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, BrokerError> {
        let hopeless = async {
            tokio::time::sleep(AWAY).await;
            self.voice.troubled().await
        };
        let answer = tokio::select! {
            answer = question => answer,
            fault = hopeless => Err(fault),
        };
        if answer.is_ok() {
            self.voice.is_well();
        }
        answer.map_err(|fault| self.fault(topic, &fault))
    }

    /// Topics as the cluster knows them now; `None` for one that is not there.
    pub(super) async fn topics(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Option<TopicDescription>>, BrokerError> {
        let handle = self.handle()?;
        let mut names = topics.to_vec();
        names.sort_unstable();
        names.dedup();
        let mut known = BTreeMap::new();
        for names in names.chunks(ASKED_AT_ONCE) {
            let about = if let [one] = names { one } else { "" };
            let asked = admin::describe_topics(&handle, names, REQUEST);
            for (name, described) in self.answer(about, asked).await? {
                let described = match described {
                    Ok(description) => Some(description),
                    Err(fault) if is_unknown(fault.code) => None,
                    Err(fault) => return Err(self.fault(&name, &fault)),
                };
                known.insert(name, described);
            }
        }
        Ok(known)
    }

    /// The ids of topics as the cluster knows them now; `None` for one that is not there.
    pub(super) async fn topic_ids(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Option<Uuid>>, BrokerError> {
        let topics = self.topics(topics).await?;
        Ok(topics.into_iter().map(|(name, topic)| (name, topic.and_then(|one| one.id))).collect())
    }

    /// A topic in the life that is meant.
    pub(super) async fn topic(&self, topic: &TopicRef) -> Result<TopicDescription, BrokerError> {
        let name = &*topic.topic;
        let found = self.topics(&[name]).await?.remove(name).flatten();
        let found = found.ok_or_else(|| BrokerError::NotFound(self.words(name, "not there")))?;
        match (topic.id, found.id) {
            (Some(meant), Some(id)) if meant != id => {
                let words = format!("another life: its id is {id}, meant is {meant}");
                Err(BrokerError::NotFound(self.words(name, &words)))
            }
            _ => Ok(found),
        }
    }

    /// Sees that a topic is there in the life that is meant.
    pub(super) async fn check_life(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.topic(topic).await.map(drop)
    }
}

fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
}
