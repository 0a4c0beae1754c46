//! Generated types from and into the SDK's own, field by field.

use super::generated::exports::flow::processor::lifecycle;
use super::generated::flow::processor::{events, log, state};
use crate::log::Level;
use crate::state::StateError;
use crate::{Action, Cardinality, DataChange, Error, Event, Info, Rewrite, Setup, Value};

impl From<events::Value> for Value {
    fn from(value: events::Value) -> Self {
        match value {
            events::Value::Boolean(value) => Self::Boolean(value),
            events::Value::Integer(value) => Self::Integer(value),
            events::Value::Text(value) => Self::Text(value),
            events::Value::Binary(value) => Self::Binary(value),
            events::Value::Uri(value) => Self::Uri(value),
            events::Value::UriReference(value) => Self::UriReference(value),
            events::Value::Timestamp(value) => Self::Timestamp(value),
        }
    }
}

impl From<Value> for events::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Text(value) => Self::Text(value),
            Value::Binary(value) => Self::Binary(value),
            Value::Uri(value) => Self::Uri(value),
            Value::UriReference(value) => Self::UriReference(value),
            Value::Timestamp(value) => Self::Timestamp(value),
        }
    }
}

impl From<events::Event> for Event {
    fn from(event: events::Event) -> Self {
        let attribute = |attribute: events::Attribute| (attribute.name, attribute.value.into());
        Self { attributes: event.attributes.into_iter().map(attribute).collect(), data: event.data }
    }
}

impl From<Event> for events::Event {
    fn from(event: Event) -> Self {
        Self { attributes: attributes(event.attributes), data: event.data }
    }
}

impl From<Action> for events::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Forward { index, output } => Self::Forward(events::Forward { index, output }),
            Action::ForwardAll { output } => Self::ForwardAll(output),
            Action::Emit { output, key, event } => {
                Self::Emit(events::Emit { output, key, event: event.into() })
            }
            Action::Rewrite(rewrite) => Self::Rewrite(rewrite.into()),
            Action::Drop { index } => Self::Drop(index),
            Action::DeadLetter { index, reason } => {
                Self::DeadLetter(events::Refusal { index, reason })
            }
        }
    }
}

impl From<Rewrite> for events::Rewrite {
    fn from(rewrite: Rewrite) -> Self {
        let Rewrite { index, output, set, unset, data } = rewrite;
        let data = match data {
            DataChange::Keep => events::DataChange::Keep,
            DataChange::Replace(bytes) => events::DataChange::Replace(bytes),
            DataChange::Remove => events::DataChange::Remove,
        };
        Self { index, output, set: attributes(set), unset, data }
    }
}

impl From<Error> for events::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Retry(reason) => Self::Retry(reason),
            Error::Reject { index, reason } => Self::Reject(events::Refusal { index, reason }),
            Error::Fatal(reason) => Self::Fatal(reason),
        }
    }
}

impl From<Info> for lifecycle::Info {
    fn from(info: Info) -> Self {
        let more = info.more();
        Self {
            name: info.name,
            version: info.version,
            summary: info.summary,
            inputs: info.inputs.into(),
            outputs: info.outputs.into(),
            config_schema: info.config_schema,
            unnamed_dropped: info.unnamed_dropped,
            more,
        }
    }
}

impl From<Cardinality> for lifecycle::Cardinality {
    fn from(cardinality: Cardinality) -> Self {
        match cardinality {
            Cardinality::One => Self::One,
            Cardinality::Many => Self::Many,
        }
    }
}

impl From<lifecycle::Setup> for Setup {
    fn from(setup: lifecycle::Setup) -> Self {
        Self {
            config: setup.config,
            inputs: setup.inputs,
            outputs: setup.outputs,
            processor: setup.processor,
            shard: setup.shard,
            more: setup.more,
        }
    }
}

impl From<state::StateError> for StateError {
    fn from(error: state::StateError) -> Self {
        match error {
            state::StateError::Full(limit) => Self::Full(limit),
            state::StateError::Denied(reason) => Self::Denied(reason),
        }
    }
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

fn attributes(attributes: Vec<(String, Value)>) -> Vec<events::Attribute> {
    let attribute =
        |(name, value): (String, Value)| events::Attribute { name, value: value.into() };
    attributes.into_iter().map(attribute).collect()
}
