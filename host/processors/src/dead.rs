//! The dead-letter flow of a processor: where an event goes that cannot get through.
//!
//! A letter is the event's own record, byte for byte, with attributes that say what happened. It
//! travels in the same commit as everything else. The flow is made when it is needed first; nothing
//! here decides which event is given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use fnap::name::Name;
use host_brokers::{Broker, BrokerError};
use host_events::clock::now;
use host_events::{CloudEvent, EventRef, Headers, HeadersBuilder, Record, Stored, Timestamp};
use host_iam::Grants;
use host_plugins::{CallError, Plugin};
use host_registry::{FlowStatus, Maker, NewFlow, Registry, RegistryError, dead_flow_taken};

use crate::pieces;
use crate::rights::may_hold_letters;
use crate::spec::{Endpoint, Spec, topic_of};

/// Why there is nowhere to put a dead letter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeadError {
    #[error("dead-letter flow: {0}")]
    Registry(#[from] RegistryError),
    #[error("dead-letter flow {flow} is on broker {there}, the outputs are on {here}")]
    OtherBroker { flow: Name, there: String, here: String },
    #[error("{}", dead_flow_taken(.0))]
    Taken(Name),
    #[error("dead-letter flow {0} is being made or taken away")]
    NotReady(Name),
    #[error("dead-letter flow: {0}")]
    Broker(#[from] BrokerError),
}

/// Where the dead letters of a processor go.
pub(crate) struct DeadFlow {
    pub(crate) registry: Registry,
    pub(crate) grants: Grants,
    pub(crate) processor: Name,
    /// The broker of the outputs: one commit cannot span two.
    pub(crate) broker: String,
    pub(crate) target: Arc<dyn Broker>,
    /// Partitions that it gets when it is made.
    pub(crate) partitions: u32,
    /// What can become a letter.
    pub(crate) inputs: Vec<Endpoint>,
}

impl DeadFlow {
    pub(crate) fn of(spec: &Spec, registry: &Registry, grants: &Grants) -> Self {
        Self {
            registry: registry.clone(),
            grants: grants.clone(),
            processor: spec.processor.clone(),
            broker: spec.target_name.clone(),
            target: Arc::clone(&spec.target),
            partitions: spec.shards(),
            inputs: spec.inputs.clone(),
        }
    }

    /// The flow if it is there, and not somebody else's.
    pub(crate) async fn find(&self) -> Result<Option<Endpoint>, DeadError> {
        let name = self.registry.dead_flow_of(&self.processor)?;
        let Some(flow) = self.registry.flow(&name).await? else { return Ok(None) };
        let processor = self.registry.processor(&self.processor).await?;
        if processor.is_some_and(|processor| !may_hold_letters(&self.grants, &processor, &flow)) {
            return Err(DeadError::Taken(name));
        }
        if !flow.is_usable() {
            return Err(DeadError::NotReady(name));
        }
        if flow.broker != self.broker {
            let (there, here) = (flow.broker, self.broker.clone());
            return Err(DeadError::OtherBroker { flow: name, there, here });
        }
        Ok(Some(Endpoint {
            name: name.to_string().into(),
            topic: topic_of(&flow),
            partitions: flow.partitions,
            broker: Arc::clone(&self.target),
            paused: flow.status == FlowStatus::Paused,
            aside: false,
        }))
    }

    /// Waits for the flow that somebody else makes, as long as a command would.
    async fn until_made(&self) -> Result<Option<Endpoint>, DeadError> {
        let mut changes = self.registry.subscribe();
        let waits = async {
            loop {
                changes.borrow_and_update();
                match self.find().await {
                    Err(DeadError::NotReady(_)) if changes.changed().await.is_ok() => {}
                    found => return found,
                }
            }
        };
        match tokio::time::timeout(host_registry::COMMAND_WAIT, waits).await {
            Ok(found) => found,
            Err(_) => self.find().await,
        }
    }

    /// Whatever an input could hold must fit, with what a letter has beside it.
    async fn config(&self) -> Result<BTreeMap<String, String>, BrokerError> {
        let mut most = DEFAULT_MAX_MESSAGE;
        for input in &self.inputs {
            let info = input.broker.describe(&input.topic).await?;
            let allowed = info.config.get(MAX_MESSAGE).and_then(|bytes| bytes.parse().ok());
            most = most.max(allowed.unwrap_or(0));
        }
        let most = (most + LETTER_BYTES).min(MOST_MAX_MESSAGE.max(most));
        Ok([(MAX_MESSAGE.to_owned(), most.to_string())].into())
    }

    /// The flow, made where it is not there.
    pub(crate) async fn get(&self) -> Result<Endpoint, DeadError> {
        // Another shard may be making it, or somebody taking it away.
        if let Some(found) = self.until_made().await? {
            return Ok(found);
        }
        let name = self.registry.dead_flow_of(&self.processor)?;
        let processor = self.registry.processor(&self.processor).await?;
        // Whose events it could not take, his are the letters.
        let owner = processor.and_then(|processor| processor.owner);
        let new = NewFlow {
            maker: Maker { owner, most: None },
            broker: Some(self.broker.clone()),
            partitions: self.partitions,
            config: self.config().await?,
            ..NewFlow::named(name.clone())
        };
        match self.registry.create_flow(new).await {
            Ok(entry) => self.registry.wait(entry, host_registry::COMMAND_WAIT).await?,
            Err(conflict @ RegistryError::Conflict { .. }) => {
                // Another shard of the processor was quicker; else the name or the topic is taken.
                let made = self.until_made().await?;
                return made.ok_or_else(|| conflict.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.find().await?.ok_or(DeadError::NotReady(name))
    }
}

/// The setting of a topic that bounds its records, by Kafka's name.
const MAX_MESSAGE: &str = "max.message.bytes";
/// What a topic takes that says nothing (Kafka's default, about 1 MiB).
const DEFAULT_MAX_MESSAGE: u64 = 1024 * 1024 + 64;
/// The most that any topic takes.
const MOST_MAX_MESSAGE: u64 = 64 * 1024 * 1024;
/// Bytes that a letter may have beside the event: a reason, names, versions, and what headers cost.
const LETTER_BYTES: u64 = 16 * 1024;

/// Why an event is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The plugin rejected it.
    Reject,
    /// The plugin trapped at it.
    Trap,
    /// The plugin passed a limit at it.
    Limit,
    /// The plugin's answer to it breaks the contract.
    Contract,
    /// The plugin sent it there.
    Asked,
    /// A broker refuses for good what it led to.
    Broker,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Contract => "contract",
            Self::Asked => "asked",
            Self::Broker => "broker",
        }
    }
}

/// Why an event is given up, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    /// The whole event is too large for the dead-letter flow.
    pub(crate) truncated: bool,
}

impl Given {
    pub(crate) fn new(kind: Kind, reason: String) -> Self {
        Self { kind, reason, truncated: false }
    }

    /// The plugin's own words for a rejection, ours for everything else; none where no event is to blame.
    pub(crate) fn of(cause: &CallError) -> Option<Self> {
        let reason = match cause {
            CallError::Reject { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        Some(Self::new(pieces::kind(cause)?, reason))
    }
}

/// Where an event was when it was given up, and who had it.
pub(crate) struct Scene<'a> {
    pub(crate) processor: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) version: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) flow: &'a str,
    pub(crate) partition: u32,
}

impl<'a> Scene<'a> {
    pub(crate) fn of(spec: &'a Spec, plugin: &'a Plugin, flow: &'a str, partition: u32) -> Self {
        let (version, digest) = (&plugin.info().version, plugin.digest());
        Self { processor: &spec.name, kind: &spec.kind, version, digest, flow, partition }
    }
}

/// Attributes that a letter carries beside the event's own.
const ATTRIBUTES: [&str; 12] = [
    "deadprocessor",
    "deadtype",
    "deadversion",
    "deaddigest",
    "deadflow",
    "deadpartition",
    "deadoffset",
    "deadtimestamp",
    "deadkind",
    "deadreason",
    "deadtime",
    TRUNCATED,
];

/// Says that only a part of the event is there: the rest lies where it came from, as long as it does.
const TRUNCATED: &str = "deadtruncated";

/// Bytes of a key or header that a truncated letter keeps: enough for what names an event.
const MAX_KEPT: usize = 256;

/// Bytes of all headers that a truncated letter keeps.
const MAX_KEPT_HEADERS: usize = 8 * 1024;

/// Bytes of a reason: what tells a person what happened; the whole trap is in the processor's log.
const MAX_REASON: usize = 1024;

/// The record of a letter. Its key is the event's, so that the letters of one key keep their order.
pub(crate) fn letter(scene: &Scene<'_>, stored: &Stored, given: &Given) -> Record {
    let now = now();
    let mut values = vec![
        scene.processor.to_owned(),
        scene.kind.to_owned(),
        scene.version.to_owned(),
        scene.digest.to_owned(),
        scene.flow.to_owned(),
        scene.partition.to_string(),
        stored.offset.to_string(),
        stored.record.timestamp.to_string(),
        given.kind.word().to_owned(),
        one_line(&given.reason),
        time_of(now),
    ];
    let mut record = in_binary_mode(&stored.record);
    if given.truncated {
        values.push("true".to_owned());
        record = truncated(record);
    }
    let mut headers = HeadersBuilder::default();
    for (name, value) in record.headers.iter().filter(|(name, _)| !is_ours(name)) {
        headers.push(name, value);
    }
    for (name, value) in ATTRIBUTES.iter().zip(&values) {
        headers.push(format!("ce_{name}").as_bytes(), Some(value.as_bytes()));
    }
    // Retention counts from now on, not from when the event happened.
    Record { headers: headers.build(), timestamp: now, ..record }
}

/// An event in structured mode carries its attributes in the value, where ours cannot be added.
fn in_binary_mode(record: &Record) -> Record {
    match EventRef::of(record) {
        Ok(Some(EventRef::Structured(event))) => {
            let key = record.key.clone();
            Record { key, ..CloudEvent::to_record(&event, record.timestamp) }
        }
        _ => record.clone(),
    }
}

/// What is left of an event that is too large: what names it, without its data.
fn truncated(record: Record) -> Record {
    let mut room = MAX_KEPT_HEADERS;
    let mut headers = HeadersBuilder::default();
    for (name, value) in record.headers.iter() {
        let size = name.len() + value.map_or(0, <[u8]>::len);
        if size <= MAX_KEPT && size <= room {
            room -= size;
            headers.push(name, value);
        }
    }
    let key = record.key.filter(|key| key.len() <= MAX_KEPT);
    Record { key, value: None, headers: headers.build(), ..record }
}

fn is_ours(header: &[u8]) -> bool {
    let name = header.strip_prefix(b"ce_").unwrap_or_default();
    ATTRIBUTES.iter().any(|ours| ours.as_bytes() == name)
}

/// What a letter was before, and where it came from.
pub(crate) struct Opened {
    pub(crate) flow: String,
    pub(crate) partition: u32,
    /// Only a part of it: the rest lies where it came from.
    pub(crate) truncated: bool,
    pub(crate) stored: Stored,
}

/// Takes a letter back to the event that it was; `None` for a record that is no letter.
pub(crate) fn open(letter: &Record) -> Option<Opened> {
    let text = |name: &str| {
        let value = letter.headers.get(format!("ce_{name}").as_bytes())??;
        std::str::from_utf8(value).ok()
    };
    let timestamp = text("deadtimestamp")?.parse().ok()?;
    let headers: Headers = letter.headers.iter().filter(|(name, _)| !is_ours(name)).collect();
    let record = Record { headers, timestamp, ..letter.clone() };
    Some(Opened {
        flow: text("deadflow")?.to_owned(),
        partition: text("deadpartition")?.parse().ok()?,
        truncated: text(TRUNCATED).is_some(),
        stored: Stored { offset: text("deadoffset")?.parse().ok()?, record },
    })
}

/// Control characters and noncharacters have no place in an attribute (CloudEvents 1.0.2, "String").
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let blank = |c: char| c == ' ' || c.is_control() || is_noncharacter(c);
    for word in text.split(blank).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let mut end = line.len().min(MAX_REASON);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// RFC 3339.
pub(crate) fn time_of(millis: i64) -> String {
    Timestamp::from_unix_millis(millis).map(|time| time.as_str().to_owned()).unwrap_or_default()
}
