//! Descriptions and lists, as `key=value` lines or as JSON.

use fnap::command::{Format, Timestamp};
use fnap::reply::Reply;
use fnap::subject::Subject;
use serde_json::{Map, Value};

/// Keys and values of one thing, in order.
#[derive(Default)]
pub(super) struct Description(Map<String, Value>);

impl Description {
    /// Adds a key.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Adds keys with a prefix.
    pub(super) fn with_all<'a>(
        mut self,
        prefix: &str,
        pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        for (key, value) in pairs {
            self.0.insert(format!("{prefix}{key}"), Value::String(value.clone()));
        }
        self
    }

    /// Whose it is, where it is somebody's.
    pub(super) fn with_owner(self, owner: Option<&Subject>) -> Self {
        match owner {
            Some(owner) => self.with("owner", owner.to_string()),
            None => self,
        }
    }

    /// One `key=value` a line, or one JSON object.
    pub(super) fn reply(self, format: Format) -> Reply {
        match format {
            Format::Json => Reply::data([Value::Object(self.0)]),
            Format::Text => Reply::data(self.0.iter().flat_map(|(key, value)| lines(key, value))),
        }
    }
}

/// One name a line, or one JSON object a line.
pub(super) fn list(things: Vec<(String, Description)>, format: Format) -> Reply {
    match format {
        Format::Json => Reply::data(things.into_iter().map(|(_, thing)| Value::Object(thing.0))),
        Format::Text => Reply::data(things.into_iter().map(|(name, _)| name)),
    }
}

/// Lists repeat their key; everything else is one line.
fn lines(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(|value| lines(key, value)).collect(),
        Value::String(text) => vec![format!("{key}={text}")],
        Value::Null => vec![format!("{key}=unknown")],
        Value::Object(fields) => {
            let words = fields.iter().map(|(key, value)| match value {
                Value::String(text) => format!("{key}={text}"),
                other => format!("{key}={other}"),
            });
            vec![format!("{key}={}", words.collect::<Vec<_>>().join(" "))]
        }
        other => vec![format!("{key}={other}")],
    }
}

/// Milliseconds since 1970 as RFC 3339, always with three decimals.
pub(super) fn time(millis: i64) -> Value {
    let time = Timestamp::from_unix_millis(millis);
    time.map_or(Value::Null, |time| Value::String(time.with_millis()))
}
