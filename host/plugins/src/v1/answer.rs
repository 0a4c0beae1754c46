//! What a guest answers, checked and put into the host's words.

use bytes::Bytes;
use host_events::{CloudEvent, Record, Timestamp};

use super::generated::exports::flow::processor::lifecycle;
use super::generated::flow::processor::events::{
    self, Attribute, DataChange, Emit, Error, Refusal, Rewrite, Value,
};
use crate::action::Action;
use crate::error::{CallError, LoadError};
use crate::event;
use crate::limits::Limits;
use crate::log::plain;
use crate::plugin::{Cardinality, Claim, Info};
use crate::reason::MAX_REASON;
use crate::version::Version;
use crate::view::View;

/// Puts an error of a guest into the host's words.
pub(crate) fn refused(error: Error, view: Option<&View>) -> CallError {
    match error {
        Error::Retry(reason) => CallError::Retry(reason_of(&reason)),
        Error::Fatal(reason) => CallError::Fatal(reason_of(&reason)),
        Error::Reject(Refusal { index, reason }) => {
            let len = view.map_or(0, View::len);
            if index < len {
                CallError::Reject { index, reason: reason_of(&reason) }
            } else {
                CallError::Contract(format!(
                    "rejects event {index} of {len}: {}",
                    reason_of(&reason)
                ))
            }
        }
    }
}

/// Checks what `describe` says.
pub(crate) fn info(info: lifecycle::Info) -> Result<Info, LoadError> {
    let cardinality = |side| match side {
        lifecycle::Cardinality::One => Cardinality::One,
        lifecycle::Cardinality::Many => Cardinality::Many,
    };
    Claim {
        name: info.name,
        version: info.version,
        summary: info.summary,
        inputs: cardinality(info.inputs),
        outputs: cardinality(info.outputs),
        config_schema: info.config_schema,
        unnamed_dropped: info.unnamed_dropped,
        more: info.more,
    }
    .check()
}

/// What decisions are held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Outputs there are.
    pub(crate) outputs: u32,
    /// Events that no action names are dropped.
    pub(crate) unnamed_dropped: bool,
    /// What may be emitted.
    pub(crate) limits: &'a Limits,
    /// The contract's version.
    pub(crate) version: Version,
}

/// Decisions that keep to the terms.
pub(crate) struct Answer {
    pub(crate) actions: Vec<Action>,
    /// New or changed events.
    pub(crate) events: u32,
    /// Bytes of them.
    pub(crate) bytes: u64,
}

/// Checks the decisions about a batch.
pub(crate) fn check(
    actions: Vec<events::Action>,
    view: &View,
    terms: &Terms<'_>,
) -> Result<Answer, CallError> {
    let named = vec![terms.unnamed_dropped; view.len() as usize];
    let mut check = Check { view, terms, named, forwards: 0, dead: 0, events: 0, bytes: 0 };
    let checked =
        actions.into_iter().map(|action| check.action(action)).collect::<Result<_, _>>()?;
    match check.named.iter().position(|named| !named) {
        None => Ok(Answer { actions: checked, events: check.events, bytes: check.bytes }),
        Some(index) => Err(broken(format!("no action names event {index} of {}", view.len()))),
    }
}

struct Check<'a> {
    view: &'a View,
    terms: &'a Terms<'a>,
    named: Vec<bool>,
    /// Events forwarded, once for each output.
    forwards: u64,
    /// Events that are dead letters.
    dead: u32,
    events: u32,
    bytes: u64,
}

impl Check<'_> {
    fn action(&mut self, action: events::Action) -> Result<Action, CallError> {
        match action {
            events::Action::Forward(events::Forward { index, output }) => {
                self.output(output)?;
                self.name(index)?;
                self.forwarded(1)?;
                Ok(Action::Forward { index, output })
            }
            events::Action::ForwardAll(output) => {
                self.output(output)?;
                self.forwarded(self.view.len())?;
                self.named.fill(true);
                Ok(Action::ForwardAll { output })
            }
            events::Action::Emit(emit) => self.emit(emit),
            events::Action::Rewrite(rewrite) => self.rewrite(rewrite),
            events::Action::Drop(index) => {
                self.name(index)?;
                Ok(Action::Drop { index })
            }
            events::Action::DeadLetter(Refusal { index, reason }) => {
                self.name(index)?;
                self.dead()?;
                Ok(Action::DeadLetter { index, reason: reason_of(&reason) })
            }
        }
    }

    fn emit(&mut self, emit: Emit) -> Result<Action, CallError> {
        self.output(emit.output)?;
        let event = built(emit.event)
            .map_err(|reason| broken(format!("emits no valid CloudEvent: {reason}")))?;
        let key = emit.key.map(Bytes::from).or_else(|| partition_key(&event));
        let record = Record { key: key.clone(), ..event.to_record(self.view.timestamp()) };
        self.count(&record)?;
        Ok(Action::Emit { output: emit.output, key, record })
    }

    fn rewrite(&mut self, rewrite: Rewrite) -> Result<Action, CallError> {
        let (index, output) = (rewrite.index, rewrite.output);
        self.output(output)?;
        let keys = self.terms.version.rewrites_keys();
        let old = self.name(index)?;
        let Ok(Some(event)) = CloudEvent::from_record(old) else {
            return Err(broken(format!("rewrites event {index}, which is no CloudEvent")));
        };
        let keyed = keys && rewrite.set.iter().any(|attribute| attribute.name == PARTITION_KEY);
        let event = changed(event, rewrite).map_err(|reason| {
            broken(format!("rewrites event {index} to no valid CloudEvent: {reason}"))
        })?;
        let mut record = event::rewritten(&event, old);
        if keyed {
            record.key = partition_key(&event);
        }
        self.count(&record)?;
        Ok(Action::Rewrite { output, index, record, keyed })
    }

    fn output(&self, output: u32) -> Result<(), CallError> {
        if output < self.terms.outputs {
            return Ok(());
        }
        Err(broken(format!("names output {output} of {}", self.terms.outputs)))
    }

    /// Each event to each output is all that a plugin can mean. A quarter of a million times "forward
    /// all" fits into an answer and would fill the host's memory.
    fn forwarded(&mut self, events: u32) -> Result<(), CallError> {
        self.forwards += u64::from(events);
        if self.forwards <= u64::from(self.view.len()) * u64::from(self.terms.outputs) {
            return Ok(());
        }
        let (len, outputs) = (self.view.len(), self.terms.outputs);
        Err(broken(format!("forwards more than each of {len} events to each of {outputs} outputs")))
    }

    /// An event dies once; each letter carries the whole event.
    fn dead(&mut self) -> Result<(), CallError> {
        self.dead += 1;
        if self.dead <= self.view.len() {
            return Ok(());
        }
        Err(broken(format!("makes more dead letters than there are events, {}", self.view.len())))
    }

    fn name(&mut self, index: u32) -> Result<&Record, CallError> {
        let len = self.view.len();
        let unknown = || broken(format!("names event {index} of {len}"));
        *self.named.get_mut(index as usize).ok_or_else(unknown)? = true;
        self.view.record(index).map_err(|_| unknown())
    }

    fn count(&mut self, record: &Record) -> Result<(), CallError> {
        self.events += 1;
        self.bytes += record.size() as u64;
        let passed = |which, limit| {
            Err(CallError::Limit { which, limit, words: "emitted more for one batch".to_owned() })
        };
        if self.events > self.terms.limits.emit_events {
            return passed("emit_events", u64::from(self.terms.limits.emit_events));
        }
        if self.bytes > self.terms.limits.emit_bytes {
            return passed("emit_bytes", self.terms.limits.emit_bytes);
        }
        Ok(())
    }
}

fn built(event: events::Event) -> Result<CloudEvent, String> {
    let attributes = event.attributes.into_iter().map(|attribute| {
        let value = value_of(attribute.value)?;
        Ok((attribute.name, value))
    });
    let attributes: Vec<_> = attributes.collect::<Result<_, String>>()?;
    CloudEvent::from_parts(attributes, event.data.map(Bytes::from))
        .map_err(|error| error.to_string())
}

fn changed(mut event: CloudEvent, rewrite: Rewrite) -> Result<CloudEvent, String> {
    for name in &rewrite.unset {
        event.unset(name).map_err(|error| error.to_string())?;
    }
    for Attribute { name, value } in rewrite.set {
        event.set(&name, value_of(value)?).map_err(|error| error.to_string())?;
    }
    match rewrite.data {
        DataChange::Keep => {}
        DataChange::Replace(data) => event.set_data(Some(data.into())),
        DataChange::Remove => event.set_data(None),
    }
    Ok(event)
}

/// What the extension attribute says about which events belong together.
fn partition_key(event: &CloudEvent) -> Option<Bytes> {
    let key = event.attribute(PARTITION_KEY)?;
    Some(Bytes::copy_from_slice(key.canonical().as_bytes()))
}

fn value_of(value: Value) -> Result<host_events::Value, String> {
    Ok(match value {
        Value::Boolean(value) => host_events::Value::Boolean(value),
        Value::Integer(value) => host_events::Value::Integer(value),
        Value::Text(value) => host_events::Value::String(value),
        Value::Binary(value) => host_events::Value::Binary(value.into()),
        Value::Uri(value) => host_events::Value::Uri(value),
        Value::UriReference(value) => host_events::Value::UriReference(value),
        Value::Timestamp(value) => match Timestamp::parse(&value) {
            Some(value) => host_events::Value::Timestamp(value),
            None => return Err("a timestamp is no date-time of RFC 3339".to_owned()),
        },
    })
}

fn broken(words: String) -> CallError {
    CallError::Contract(words)
}

fn reason_of(reason: &str) -> String {
    plain(reason, MAX_REASON)
}

/// The extension of CloudEvents for a record's key.
const PARTITION_KEY: &str = "partitionkey";
