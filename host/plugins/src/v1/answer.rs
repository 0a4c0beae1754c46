//! What a guest of version 0.1.0 answers, checked and put into the host's words.

use bytes::Bytes;
use host_events::Record;

use super::generated::exports::flow::processor::lifecycle;
use super::generated::flow::processor::events::{
    self, Attribute, DataChange, Emit, Error, Refusal, Rewrite, Value,
};
use crate::action::Action;
use crate::error::{CallError, LoadError};
use crate::event;
use crate::limits::Limits;
use crate::log::cut;
use crate::plugin::{Cardinality, Claim, Info};
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
                CallError::Contract(format!("rejects event {index} of {len}: {}", reason_of(&reason)))
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

/// Checks the decisions about a batch.
pub(crate) fn check(
    actions: Vec<events::Action>,
    view: &View,
    outputs: u32,
    unnamed_dropped: bool,
    limits: &Limits,
) -> Result<Vec<Action>, CallError> {
    let named = vec![unnamed_dropped; view.len() as usize];
    let mut check = Check { view, outputs, limits, named, events: 0, bytes: 0 };
    let checked = actions.into_iter().map(|action| check.action(action)).collect::<Result<_, _>>()?;
    match check.named.iter().position(|named| !named) {
        None => Ok(checked),
        Some(index) => Err(broken(format!("no action names event {index} of {}", view.len()))),
    }
}

struct Check<'a> {
    view: &'a View,
    outputs: u32,
    limits: &'a Limits,
    named: Vec<bool>,
    events: u32,
    bytes: u64,
}

impl Check<'_> {
    fn action(&mut self, action: events::Action) -> Result<Action, CallError> {
        match action {
            events::Action::Forward(events::Forward { index, output }) => {
                self.output(output)?;
                self.name(index)?;
                Ok(Action::Forward { index, output })
            }
            events::Action::ForwardAll(output) => {
                self.output(output)?;
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
                Ok(Action::DeadLetter { index, reason: reason_of(&reason) })
            }
        }
    }

    fn emit(&mut self, emit: Emit) -> Result<Action, CallError> {
        self.output(emit.output)?;
        let event = event::Event {
            attributes: emit.event.attributes.into_iter().map(pair).collect(),
            data: emit.event.data.map(Bytes::from),
        };
        let key = emit.key.map(Bytes::from).or_else(|| event.partition_key());
        let record = event::write(event, key.clone(), self.view.timestamp())
            .map_err(|reason| broken(format!("emits no valid CloudEvent: {reason}")))?;
        self.count(&record)?;
        Ok(Action::Emit { output: emit.output, key, record })
    }

    fn rewrite(&mut self, rewrite: Rewrite) -> Result<Action, CallError> {
        let Rewrite { index, output, set, unset, data } = rewrite;
        self.output(output)?;
        let old = self.name(index)?;
        let Some(mut event) = event::read(old) else {
            return Err(broken(format!("rewrites event {index}, which is no CloudEvent")));
        };
        event.attributes.retain(|(name, _)| !unset.contains(name));
        for (name, value) in set.into_iter().map(pair) {
            event.set(name, value);
        }
        match data {
            DataChange::Keep => {}
            DataChange::Replace(data) => event.data = Some(data.into()),
            DataChange::Remove => event.data = None,
        }
        let record = event::rewrite(event, old)
            .map_err(|reason| broken(format!("rewrites event {index} to no valid CloudEvent: {reason}")))?;
        self.count(&record)?;
        Ok(Action::Rewrite { output, index, record })
    }

    fn output(&self, output: u32) -> Result<(), CallError> {
        if output < self.outputs {
            return Ok(());
        }
        Err(broken(format!("names output {output} of {}", self.outputs)))
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
        let passed = |which, limit| Err(CallError::Limit {
            which,
            limit,
            words: "emitted more for one batch".to_owned(),
        });
        if self.events > self.limits.emit_events {
            return passed("emit_events", u64::from(self.limits.emit_events));
        }
        if self.bytes > self.limits.emit_bytes {
            return passed("emit_bytes", self.limits.emit_bytes);
        }
        Ok(())
    }
}

fn pair(attribute: Attribute) -> (String, event::Value) {
    (attribute.name, attribute.value.into())
}

fn broken(words: String) -> CallError {
    CallError::Contract(words)
}

fn reason_of(reason: &str) -> String {
    cut(reason, MAX_REASON).to_owned()
}

impl From<Value> for event::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Text(value) => Self::Text(value),
            Value::Binary(value) => Self::Binary(value.into()),
            Value::Uri(value) => Self::Uri(value),
            Value::UriReference(value) => Self::UriReference(value),
            Value::Timestamp(value) => Self::Timestamp(value),
        }
    }
}

/// Bytes of a guest's reason: it becomes an attribute of a dead letter and a line of a reply.
const MAX_REASON: usize = 1024;
