//! The event that a rule emits.
//!
//! It depends on the causing event and the rule alone: no clock, no random number. A batch that is
//! processed again gives the same event with the same id.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use flow_sdk::rules::{Expression, Scope};
use flow_sdk::{Action, Batch, Error, Event, Value};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// What a rule emits, and where.
#[derive(Debug)]
pub(crate) struct Emission {
    pub(crate) processor: String,
    pub(crate) rule: String,
    pub(crate) event_type: String,
    pub(crate) to: Vec<u32>,
    pub(crate) subject: Option<Expression>,
    pub(crate) data: Option<Vec<(String, Expression)>>,
}

/// The data of an emitted event.
#[derive(serde::Serialize)]
struct Data<'a> {
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<serde_json::Value>,
    data: Content<'a>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Content<'a> {
    /// The causing event's data, as it is; null where it is no JSON.
    Whole(Option<Box<RawValue>>),
    /// Chosen members; null where an expression fails.
    Chosen(BTreeMap<&'a str, Option<serde_json::Value>>),
}

impl Emission {
    /// The event, once for each output.
    pub(crate) fn actions(
        &self,
        batch: &Batch,
        index: u32,
        event: &Scope<'_>,
        by: Option<serde_json::Value>,
    ) -> Result<impl Iterator<Item = Action> + use<'_>, Error> {
        let emitted = self.event(batch, index, event, by)?;
        Ok(self.to.iter().map(move |output| Action::emit(*output, emitted.clone())))
    }

    fn event(
        &self,
        batch: &Batch,
        index: u32,
        scope: &Scope<'_>,
        by: Option<serde_json::Value>,
    ) -> Result<Event, Error> {
        let mut event = Event::new(&self.id(batch, index), &self.source(), &self.event_type);
        for name in COPIED {
            if let Some(value) = batch.attribute(index, name) {
                event.set(name, value);
            }
        }
        if let Some(subject) = self.subject(batch, index, scope) {
            event.set("subject", subject);
        }
        if let Some(id) = batch.attribute(index, "id") {
            event.set("causeid", id);
        }
        if let Some(source) = batch.attribute(index, "source") {
            event.set("causesource", source);
        }
        let data = Data { rule: &self.rule, by, data: self.content(batch, index, scope) };
        event.with_json(&data).map_err(|error| Error::reject(index, error.to_string()))
    }

    /// An event is known by its source and id. A record that is no event is known by what it holds
    /// and where it came from: two equal ones of the same millisecond give the same id.
    fn id(&self, batch: &Batch, index: u32) -> String {
        let partition = batch.partition().to_be_bytes();
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(self.processor.as_bytes());
        add(self.rule.as_bytes());
        add(&partition);
        let attribute = |name| batch.attribute(index, name).map(|value| value.to_string());
        match (attribute("source"), attribute("id")) {
            (Some(source), Some(id)) => {
                add(source.as_bytes());
                add(id.as_bytes());
            }
            _ => {
                add(batch.flow().as_bytes());
                add(&batch.timestamp(index).to_be_bytes());
                add(&batch.key(index).unwrap_or_default());
                add(&batch.data(index).unwrap_or_default());
            }
        }
        let digest = hash.finalize();
        digest.iter().take(ID_LEN).fold(String::new(), |mut id, byte| {
            let _infallible = write!(id, "{byte:02x}");
            id
        })
    }

    /// The processor as a URI. Names are host names as a rule; what is not is escaped.
    fn source(&self) -> String {
        let mut source = "flow://".to_owned();
        for byte in self.processor.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                source.push(char::from(byte));
            } else {
                let _infallible = write!(source, "%{byte:02X}");
            }
        }
        source
    }

    /// What the configuration asks for, else the causing event's own; a subject is never empty.
    fn subject(&self, batch: &Batch, index: u32, scope: &Scope<'_>) -> Option<Value> {
        let Some(expression) = &self.subject else {
            return batch.attribute(index, "subject");
        };
        let text = match expression.json(scope)? {
            serde_json::Value::Null => return None,
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        (!text.is_empty()).then(|| text.into())
    }

    fn content(&self, batch: &Batch, index: u32, scope: &Scope<'_>) -> Content<'_> {
        match &self.data {
            None => Content::Whole(batch.json_text(index)),
            Some(members) => {
                let members = members.iter();
                Content::Chosen(members.map(|(name, e)| (name.as_str(), e.json(scope))).collect())
            }
        }
    }
}

/// Attributes that an emitted event has from the causing one: when it happened, and what keeps
/// events together in a partition.
const COPIED: [&str; 2] = ["time", "partitionkey"];

/// Bytes of the hash that become the id.
const ID_LEN: usize = 16;
