//! One Kafka cluster: settings of its clients, and questions that every part asks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaOptions;
use super::coordinators::Coordinators;
use super::guest::Guest;
use super::lanes::producer_config;
use super::native::admin::{self, Fault, TopicDescription};
use super::native::handle::Handle;
use super::shared::{Shared, SharedClient};
use super::topics::Silence;
use super::voice::Voice;
use crate::broker::{BrokerError, TopicRef};

/// How long an admin request may take, also at a cluster that is busy or elects leaders.
pub(super) const REQUEST: Duration = Duration::from_secs(20);

/// How long a question waits for a cluster that is known to be in trouble. Longer than
/// [`RECONNECT`] and what librdkafka adds to it (a half), so that it is tried again meanwhile.
pub(super) const AWAY: Duration = Duration::from_secs(3);

/// The same where it is known to be away, and is asked again and again anyway: enough for one that is back.
const KNOWN_AWAY: Duration = Duration::from_millis(300);

/// Between two questions to a cluster that is away.
const LOOK_OUT: Duration = Duration::from_millis(500);

/// The longest pause between attempts to connect.
const RECONNECT: Duration = Duration::from_millis(1500);

/// How long one answer may take, unless the operator says otherwise. A node whose machine ended without a word closes
/// no connection; who waits for it goes to whoever leads then. Kafka's own clients wait for as long, librdkafka twice that.
const ANSWER: Duration = Duration::from_secs(30);

/// How long plain appends wait for what comes with them. Without it the first records of an append leave
/// alone, and many small requests cost the cluster more than the wait costs anybody.
const GATHER: Duration = Duration::from_millis(1);

/// Topics that one question names: an answer stays far below a megabyte.
const ASKED_AT_ONCE: usize = 500;

/// A cluster as it was configured.
pub(super) struct Cluster {
    options: KafkaOptions,
    voice: Voice,
    shared: Shared,
    coordinators: Coordinators,
    silence: Silence,
    guest: Guest,
}

impl Cluster {
    pub(super) fn new(options: KafkaOptions) -> Result<Self, BrokerError> {
        let voice = Voice::new(&options.name, options.guest_of.clone());
        let (shared, coordinators) = (Shared::default(), Coordinators::default());
        let (silence, guest) = (Silence::default(), Guest::default());
        Ok(Self { options, voice, shared, coordinators, silence, guest })
    }

    /// Makes a client and drops it: librdkafka looks at certificates and at settings together only then.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        let config = self.client_config();
        let kind = rdkafka::types::RDKafkaType::RD_KAFKA_PRODUCER;
        let made = config
            .create_native_config()
            .and_then(|native| Client::new(&config, native, kind, self.voice.clone()));
        made.map(drop).map_err(|error| self.error("", &error))
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// Whether it is somebody else's.
    pub(super) fn is_guest(&self) -> bool {
        self.options.guest_of.is_some()
    }

    /// Refuses to write to one that is somebody else's.
    pub(super) fn check_ours(&self) -> Result<(), BrokerError> {
        if self.is_guest() {
            let words = "a cluster of somebody else's is only read";
            return Err(BrokerError::Invalid(self.words("", words)));
        }
        Ok(())
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
        if config.get("socket.timeout.ms").is_none() {
            config.set("socket.timeout.ms", ANSWER.as_millis().to_string());
        }
        config
    }

    /// The same for a client of which questions are asked. A question that waits for a broker which is away makes
    /// librdkafka (2.12) try it again and again without the pause between two tries, some thousand times in a second,
    /// unless it connects to each broker by itself. Not of somebody else's cluster: what that says of itself would
    /// decide how many nodes this host keeps connected.
    fn asking_config(mut config: ClientConfig) -> ClientConfig {
        config.set("enable.sparse.connections", "false");
        config
    }

    /// The client for admin requests and plain appends: an idempotent producer without transactions.
    pub(super) fn shared(&self) -> Result<Arc<SharedClient>, BrokerError> {
        self.client(false)
    }

    /// The same as long as it takes records, else another one.
    pub(super) fn appending(&self) -> Result<Handle, BrokerError> {
        let closing = || self.fault("", &Fault::ours("the client is closing"));
        self.client(true)?.handle().ok_or_else(closing)
    }

    fn client(&self, takes_records: bool) -> Result<Arc<SharedClient>, BrokerError> {
        self.check_ours()?;
        let mut config = Self::asking_config(producer_config(self));
        if !self.options.client.contains_key("linger.ms") {
            config.set("linger.ms", GATHER.as_millis().to_string());
        }
        let client = self.shared.client(takes_records, &config, &self.voice);
        client.map_err(|error| self.error("", &error))
    }

    pub(super) fn handle(&self) -> Result<Handle, BrokerError> {
        self.handle_or_fault().map_err(|fault| self.fault("", &fault))
    }

    pub(super) fn handle_or_fault(&self) -> Result<Handle, Fault> {
        if self.is_guest() {
            return self.guest.handle(self.client_config(), &self.voice);
        }
        let shared = self.shared().map_err(|error| Fault::ours(error.to_string()))?;
        shared.handle().ok_or_else(|| Fault::ours("the client is closing"))
    }

    /// Asks what only the coordinator of a group knows, as [`Cluster::ask`] does.
    pub(super) async fn ask_coordinator<T, Q>(
        &self,
        question: impl FnOnce(Handle) -> Q,
    ) -> Result<T, Fault>
    where
        Q: Future<Output = Result<T, Fault>>,
    {
        let make = || {
            self.check_ours().map_err(|error| Fault::ours(error.to_string()))?;
            let config = Self::asking_config(self.client_config());
            let made = SharedClient::make(&config, &self.voice);
            made.map_err(|error| Fault::new(RDKafkaErrorCode::InvalidArgument, error.to_string()))
        };
        self.ask(self.coordinators.ask(make, question)).await
    }

    /// Waits for the answer to a question; for a cluster in trouble only for a while, since asking changes
    /// nothing and can be given up at any time.
    pub(super) async fn answer<T>(
        &self,
        topic: &str,
        question: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, BrokerError> {
        self.ask(question).await.map_err(|fault| self.fault(topic, &fault))
    }

    /// The same where the fault is told later.
    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let patience = if self.fault_of_being_away().is_some() { KNOWN_AWAY } else { AWAY };
        let hopeless = async {
            tokio::time::sleep(patience).await;
            self.voice.troubled().await
        };
        let answer = tokio::select! {
            answer = question => answer,
            fault = hopeless => Err(fault),
        };
        if answer.is_ok() {
            self.voice.is_well();
        }
        answer
    }

    /// Whether those who know of groups have been silent.
    pub(super) fn silence(&self) -> &Silence {
        &self.silence
    }

    /// Whether nobody of it answers at the moment.
    pub(super) fn is_hopeless(&self) -> bool {
        self.voice.away_for(Duration::ZERO).is_some()
    }

    /// Why nobody of a cluster of ours answers, where that has lasted for some seconds.
    pub(super) fn fault_of_being_away(&self) -> Option<Fault> {
        self.voice.away_for(AWAY).filter(|_| !self.is_guest())
    }

    /// Waits until that is so.
    pub(super) async fn is_away(&self) -> Fault {
        loop {
            self.voice.troubled().await;
            if let Some(fault) = self.fault_of_being_away() {
                return fault;
            }
            tokio::time::sleep(LOOK_OUT).await;
        }
    }

    /// Asks a cluster that nobody of answers until somebody does, so that this is known also where nobody wants anything
    /// of it; for ever.
    pub(super) async fn look_out(&self) {
        let name = format!("_fnaa.{}.positions", self.options.identity);
        loop {
            self.voice.troubled().await;
            let asked =
                async { admin::describe_topics(&self.handle_or_fault()?, &[&name], REQUEST).await };
            if matches!(tokio::time::timeout(AWAY, asked).await, Ok(Ok(_))) {
                self.voice.is_well();
            }
            tokio::time::sleep(LOOK_OUT).await;
        }
    }

    /// Topics as the cluster knows them now; `None` for one that is not there.
    pub(super) async fn topics(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Option<TopicDescription>>, BrokerError> {
        let about = if let [one] = topics { one } else { "" };
        let described = self.described(&self.handle()?, topics).await;
        let known = |(name, topic): (String, Result<TopicDescription, Fault>)| match topic {
            Ok(topic) => Ok((name, Some(topic))),
            Err(fault) if is_unknown(fault.code) => Ok((name, None)),
            Err(fault) => Err(self.fault(&name, &fault.lacking("Describe"))),
        };
        described.map_err(|fault| self.fault(about, &fault))?.into_iter().map(known).collect()
    }

    /// Topics, or why each of them cannot be described.
    pub(super) async fn described(
        &self,
        handle: &Handle,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Result<TopicDescription, Fault>>, Fault> {
        let mut names = topics.to_vec();
        names.sort_unstable();
        names.dedup();
        let mut known = BTreeMap::new();
        for names in names.chunks(ASKED_AT_ONCE) {
            known.extend(self.ask(admin::describe_topics(handle, names, REQUEST)).await?);
        }
        Ok(known)
    }

    /// A topic in the life that is meant.
    pub(super) async fn topic(&self, topic: &TopicRef) -> Result<TopicDescription, BrokerError> {
        let name = &*topic.topic;
        let found = self.topics(&[name]).await?.remove(name).flatten();
        self.alive(topic, found)
    }

    /// A topic that was found, if it is in the life that is meant.
    pub(super) fn alive(
        &self,
        topic: &TopicRef,
        found: Option<TopicDescription>,
    ) -> Result<TopicDescription, BrokerError> {
        let name = &*topic.topic;
        let found = found.ok_or_else(|| BrokerError::NotFound(self.words(name, "not there")))?;
        match (topic.id, found.id) {
            (Some(meant), Some(id)) if meant != id => {
                let words = format!("another life: its id is {id}, meant is {meant}");
                Err(BrokerError::NotFound(self.words(name, &words)))
            }
            _ => Ok(found),
        }
    }
}

pub(super) fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
}
