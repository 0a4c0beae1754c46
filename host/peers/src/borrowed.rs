//! Topics that other participants lend to this one: the subscriber's side of the transport Kafka.
//!
//! Each subscription has a client of its own, with a name and a password that its owner's host gives for the asking. They
//! are asked for when they are needed and kept in memory alone: after a start, and when the broker takes them no longer,
//! others are asked for. What the owner's host says then is what counts, and not what the broker says.

mod rules;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fnap::command::{Command, Format};
use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use fnap::stream::MAX_HOST_NAME;
use host_brokers::kafka::{Kafka, KafkaOptions, Mechanism, Sasl, Tls};
use host_brokers::{BatchLimits, Broker as _, BrokerError, Source, TopicInfo, TopicRef};
use host_events::Batch;
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};
use zeroize::Zeroize;

use crate::broker::{Gone, tell};
use crate::follow::Lost;
use crate::lending::{MECHANISM, Security};
use crate::reach::{Reach, Unreached};
use crate::trace;
pub use rules::BorrowRules;

/// Wait before a host is asked again whose broker does not take what it gave.
const AGAIN: Duration = Duration::from_secs(2);

/// The same where the operator has not allowed it: he has to change the configuration.
const NOT_ALLOWED: Duration = Duration::from_secs(60);

/// Octets of any text in an answer: the longest is a list of addresses.
const MOST_TEXT: usize = 1024;

/// How topics of others are reached.
#[derive(Clone)]
pub(crate) struct Borrowed(Arc<Inner>);

struct Inner {
    reach: Arc<dyn Reach>,
    /// How this host is called in traces.
    own: Arc<str>,
    rules: BorrowRules,
    gone: mpsc::Sender<Gone>,
    /// By the names of subscriptions; who opens one keeps others from asking for another password meanwhile.
    open: Mutex<HashMap<Name, Place>>,
}

type Place = Arc<Mutex<Option<Arc<Topic>>>>;

/// A topic, and who reads it.
struct Topic {
    kafka: Kafka,
    name: Arc<str>,
    /// How its owner's host is called in traces.
    host: Arc<str>,
}

/// What the owner's host says: with what a topic is read.
#[derive(Deserialize)]
struct Told {
    host: String,
    topic: String,
    server: String,
    security: String,
    mechanism: String,
    username: String,
    password: String,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl Borrowed {
    pub(crate) fn new(
        reach: Arc<dyn Reach>,
        own: Arc<str>,
        rules: BorrowRules,
        gone: mpsc::Sender<Gone>,
    ) -> Self {
        Self(Arc::new(Inner { reach, own, rules, gone, open: Mutex::default() }))
    }

    /// Whether topics of the owner of a flow are read at all.
    pub(crate) fn allows(&self, flow: &Name) -> bool {
        self.0.rules.allow(flow)
    }

    /// What there is of the topic of a subscription to a flow.
    pub(crate) async fn look(
        &self,
        topic: &TopicRef,
        name: &FlowName,
        at: &Name,
    ) -> Result<TopicInfo, BrokerError> {
        let there = self.topic(name, at).await?;
        let looked = there.kafka.look(&[there.as_meant(topic)]).await.pop();
        match looked.unwrap_or_else(|| Err(BrokerError::NotFound(name.to_string()))) {
            Ok(info) => Ok(info),
            Err(error) => Err(self.explained(name, at, &there, error).await),
        }
    }

    /// Reads one partition of it.
    pub(crate) async fn source(
        &self,
        topic: &TopicRef,
        name: FlowName,
        at: Name,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let there = self.topic(&name, &at).await?;
        match there.kafka.source(&there.as_meant(topic), partition, from).await {
            Ok(inner) => {
                Ok(Box::new(TopicSource { inner, borrowed: self.clone(), there, name, at }))
            }
            Err(error) => Err(self.explained(&name, &at, &there, error).await),
        }
    }

    /// Nothing more is wanted of a subscription.
    pub(crate) async fn give_back(&self, name: &Name) {
        let there = self.0.open.lock().await.remove(name);
        if let Some(there) = there
            && let Some(topic) = there.lock().await.take()
        {
            topic.kafka.close().await;
        }
    }

    /// Nothing more is wanted of any.
    pub(crate) async fn close(&self) {
        let open = std::mem::take(&mut *self.0.open.lock().await);
        for there in open.into_values() {
            if let Some(topic) = there.lock().await.take() {
                topic.kafka.close().await;
            }
        }
    }

    async fn topic(&self, name: &FlowName, at: &Name) -> Result<Arc<Topic>, BrokerError> {
        let place = Arc::clone(self.0.open.lock().await.entry(name.clone()).or_default());
        let mut place = place.lock().await;
        if let Some(topic) = &*place {
            return Ok(Arc::clone(topic));
        }
        match self.opened(name, at).await {
            Ok(topic) => {
                let topic = Arc::new(topic);
                *place = Some(Arc::clone(&topic));
                Ok(topic)
            }
            Err(lost) => {
                tell(&self.0.gone, name, &lost);
                Err(lost.broker_error())
            }
        }
    }

    /// Asks the owner's host.
    async fn opened(&self, name: &FlowName, at: &Name) -> Result<Topic, Lost> {
        if !self.allows(at) {
            return Err(Lost::Away(Unreached {
                failure: self.0.rules.refusal(at),
                again: Some(NOT_ALLOWED),
                heard: false,
            }));
        }
        let command = Command::GetCredentials { subscription: name.clone(), format: Format::Json };
        let lines =
            self.0.reach.ask(at, &command).await.map_err(|unreached| match unreached.again {
                Some(_) => Lost::Away(unreached),
                None => Lost::Ended(unreached.failure),
            })?;
        let ours = self.0.rules.ours_now().await;
        let options = options(name, &lines, &self.0.rules, ours);
        let (options, topic, host) = options.map_err(|why| nonsense(&why))?;
        let kafka = Kafka::open(options).await.map_err(|error| nonsense(&error.to_string()))?;
        Ok(Topic { kafka, name: topic.into(), host: host.into() })
    }

    /// What it means that a broker refuses a topic, or does not know it: that is for the owner's host to say.
    async fn explained(
        &self,
        name: &FlowName,
        at: &Name,
        there: &Arc<Topic>,
        error: BrokerError,
    ) -> BrokerError {
        if !matches!(error, BrokerError::Refused(_) | BrokerError::NotFound(_)) {
            return error;
        }
        let place = self.0.open.lock().await.get(name).map(Arc::clone);
        if let Some(place) = place {
            let mut place = place.lock().await;
            if place.as_ref().is_some_and(|topic| Arc::ptr_eq(topic, there)) {
                *place = None;
            }
        }
        match self.topic(name, at).await {
            // A topic that was made again is another one: no position of the former one counts there.
            Ok(_) if matches!(error, BrokerError::NotFound(_)) => error,
            Ok(_) => BrokerError::Unavailable(format!("asked for anew: {error}")),
            Err(error) => error,
        }
    }
}

impl Topic {
    fn as_meant(&self, topic: &TopicRef) -> TopicRef {
        TopicRef { topic: Arc::clone(&self.name), ..topic.clone() }
    }
}

struct TopicSource {
    inner: Box<dyn Source>,
    borrowed: Borrowed,
    there: Arc<Topic>,
    name: FlowName,
    at: Name,
}

#[async_trait]
impl Source for TopicSource {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        match self.inner.next(limits).await {
            Ok(batch) => {
                let records = trace::read(&batch.records, &self.there.host, &self.borrowed.0.own);
                Ok(Batch { records: records.into(), ..batch })
            }
            Err(error) => {
                Err(self.borrowed.explained(&self.name, &self.at, &self.there, error).await)
            }
        }
    }
}

fn nonsense(why: &str) -> Lost {
    let words = format!("the other host's answer to GET CREDENTIALS: {why}");
    let failure = Failure::new(Code::ConnError, words);
    Lost::Away(Unreached { failure, again: Some(AGAIN), heard: true })
}

/// With what a topic is read, its name, and how its owner's host is called. What does not hold together is refused.
fn options(
    name: &Name,
    lines: &[String],
    rules: &BorrowRules,
    never: Vec<SocketAddr>,
) -> Result<(KafkaOptions, String, String), String> {
    let [line] = lines else { return Err("not one line".to_owned()) };
    // Its words could repeat what is secret.
    let mut told: Told =
        serde_json::from_str(line).map_err(|_| "not as it should be".to_owned())?;
    let texts = [&told.host, &told.topic, &told.server, &told.username, &told.password];
    if texts.into_iter().any(|text| !is_plain(text)) || told.host.len() > MAX_HOST_NAME {
        return Err("a text that is empty, too long or not visible".to_owned());
    }
    if told.mechanism != MECHANISM {
        return Err("a mechanism that is not known".to_owned());
    }
    let security = Security::ALL.into_iter().find(|one| one.as_str() == told.security);
    let tls = match security.ok_or("a security that is not known")? {
        Security::SaslSsl => Some(Tls { ca_file: rules.ca_file.clone(), ..Tls::default() }),
        Security::SaslPlaintext if told.server.split(',').all(is_loopback) => None,
        Security::SaslPlaintext => return Err("clear text, and not on this machine".to_owned()),
    };
    if told.server.split(',').any(|server| rules.is_ours(server)) {
        return Err("a broker of this host's own".to_owned());
    }
    // Names are looked up by the client, which asks about each address.
    let reachable = rules.reachable(tls.is_none(), never);
    if let Some(address) = addresses(&told.server).find(|address| !reachable.allows(*address)) {
        return Err(format!("{address} is no address that brokers of others may have here"));
    }
    let sasl = Sasl {
        mechanism: Mechanism::ScramSha512,
        username: std::mem::take(&mut told.username),
        password: std::mem::take(&mut told.password),
    };
    let options = KafkaOptions {
        tls,
        sasl: Some(sasl),
        guest_of: Some(reachable),
        ..KafkaOptions::new(name.as_str(), &told.server, "subscriber", PathBuf::new())
    };
    Ok((options, std::mem::take(&mut told.topic), std::mem::take(&mut told.host)))
}

fn is_plain(text: &str) -> bool {
    (1..=MOST_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_loopback(server: &str) -> bool {
    addresses(server).all(|address| address.ip().to_canonical().is_loopback())
        && addresses(server).next().is_some()
}

/// Servers that are told by their addresses and not by names.
fn addresses(servers: &str) -> impl Iterator<Item = SocketAddr> {
    servers.split(',').filter_map(|server| server.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl Fn(&mut serde_json::Value)) -> Result<KafkaOptions, String> {
        let mut told = serde_json::json!({
            "subscription": "id.time.flows.unix.ar", "host": "fnaa.unix.ar", "type": "kafka",
            "topic": "id.time.flows.unix.ar", "server": "kafka.unix.ar:9094",
            "security": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "group": "id",
            "username": "id.time.flows.unix.ar", "password": "secret",
        });
        change(&mut told);
        let name = "id.time.flows.unix.ar".parse().unwrap();
        let networks = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).to_vec();
        let rules = BorrowRules { networks, ..BorrowRules::of_anybody() };
        options(&name, &[told.to_string()], &rules, vec![]).map(|(options, ..)| options)
    }

    #[test]
    fn what_another_host_says_of_its_broker_is_taken_when_it_holds_together() {
        let options = read(|_| {}).unwrap();
        assert!(options.tls.is_some_and(|tls| !tls.take_any_certificate));
        assert_eq!(options.servers, "kafka.unix.ar:9094");
        let clear = |server: &'static str| {
            read(move |told| {
                told["security"] = "SASL_PLAINTEXT".into();
                told["server"] = server.into();
            })
        };
        assert!(clear("127.3.4.5:9094,[::1]:9094").unwrap().tls.is_none());
        assert!(clear("127.3.4.5:9094,192.0.2.1:9094").is_err());
        assert!(clear("localhost.example:9094").is_err());
        for (key, value) in [
            ("security", "PLAINTEXT"),
            ("mechanism", "PLAIN"),
            ("password", ""),
            ("server", "a b:1"),
            ("server", "10.0.0.1:9094"),
            ("server", "kafka.unix.ar:9094,169.254.169.254:9094"),
            ("server", "127.0.0.1:22"),
            ("topic", "a\nb"),
        ] {
            assert!(read(|told| told[key] = value.into()).is_err(), "{key}={value}");
        }
        assert!(read(|told| told["host"] = "x".repeat(254).into()).is_err());
        assert!(read(|told| told["password"] = 7.into()).is_err());
    }

    #[test]
    fn a_wrong_answer_is_told_without_what_is_in_it() {
        let why = read(|told| told["mechanism"] = "secret".into()).unwrap_err();
        assert!(!why.contains("secret"), "{why}");
        let name = "id.a.b".parse().unwrap();
        let line = "{\"password\":\"secret\",\"host\":7}".to_owned();
        let rules = BorrowRules::of_anybody();
        assert!(!options(&name, &[line], &rules, vec![]).unwrap_err().contains("secret"));
        assert!(options(&name, &[], &rules, vec![]).is_err());
    }
}
