//! A dead letter: the event's own record, byte for byte, with attributes that say what happened.
//!
//! Made here, and taken back to the event that it was. Nothing here decides which event is given up.

use host_events::clock::now;
use host_events::{CloudEvent, EventRef, Headers, HeadersBuilder, Record, Stored, Timestamp};
use host_plugins::{CallError, Plugin, reason};

use crate::pieces;
use crate::spec::Spec;

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

/// As an attribute may have it.
pub(crate) fn one_line(text: &str) -> String {
    reason::one_line(text, reason::MAX_REASON)
}

/// RFC 3339.
pub(crate) fn time_of(millis: i64) -> String {
    Timestamp::from_unix_millis(millis).map(|time| time.as_str().to_owned()).unwrap_or_default()
}
