//! Between CloudEvents as [`host_events`] reads them out of records and the values of the contract.
//!
//! One attribute of a record in binary mode is read from its header alone.

use bytes::Bytes;
use host_events::{HeadersBuilder, Record};

/// A value of an attribute with its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i32),
    Text(String),
    Binary(Bytes),
    Uri(String),
    UriReference(String),
    Timestamp(String),
}

/// A CloudEvent, attributes in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) attributes: Vec<(String, Value)>,
    pub(crate) data: Option<Bytes>,
}

impl Event {
    /// The attribute that says which events belong together.
    pub(crate) fn partition_key(&self) -> Option<Bytes> {
        let found = self.attributes.iter().find(|(name, _)| name == "partitionkey");
        match found {
            Some((_, Value::Text(key))) => Some(Bytes::copy_from_slice(key.as_bytes())),
            _ => None,
        }
    }

    /// Sets an attribute, in its place where it is there already.
    pub(crate) fn set(&mut self, name: String, value: Value) {
        match self.attributes.iter_mut().find(|(there, _)| *there == name) {
            Some((_, there)) => *there = value,
            None => self.attributes.push((name, value)),
        }
    }
}

pub(crate) fn is_event(record: &Record) -> bool {
    record.headers.get(b"ce_specversion").is_some()
}

pub(crate) fn attribute(record: &Record, name: &str) -> Option<Value> {
    let header = match name {
        "datacontenttype" => "content-type".to_owned(),
        name => format!("ce_{name}"),
    };
    let value = record.headers.get(header.as_bytes())??;
    typed(name, std::str::from_utf8(value).ok()?.to_owned())
}

fn typed(name: &str, value: String) -> Option<Value> {
    Some(match name {
        "source" => Value::UriReference(value),
        "dataschema" => Value::Uri(value),
        "time" => Value::Timestamp(value),
        _ => Value::Text(value),
    })
}

pub(crate) fn data(record: &Record) -> Option<Bytes> {
    record.value.clone()
}

pub(crate) fn read(record: &Record) -> Option<Event> {
    if !is_event(record) {
        return None;
    }
    let mut attributes = Vec::new();
    for (name, value) in record.headers.iter() {
        let name = std::str::from_utf8(name).ok()?;
        let name = match name {
            "content-type" => "datacontenttype",
            name => match name.strip_prefix("ce_") {
                Some(name) => name,
                None => continue,
            },
        };
        attributes.push((name.to_owned(), typed(name, std::str::from_utf8(value?).ok()?.to_owned())?));
    }
    Some(Event { attributes, data: data(record) })
}

pub(crate) fn write(event: Event, key: Option<Bytes>, timestamp: i64) -> Result<Record, String> {
    let mut headers = HeadersBuilder::default();
    for (name, value) in &event.attributes {
        let text = match value {
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Binary(_) => return Err("binary".to_owned()),
            Value::Text(value)
            | Value::Uri(value)
            | Value::UriReference(value)
            | Value::Timestamp(value) => value.clone(),
        };
        let header = match name.as_str() {
            "datacontenttype" => "content-type".to_owned(),
            name => format!("ce_{name}"),
        };
        headers.push(header.as_bytes(), Some(text.as_bytes()));
    }
    Ok(Record { key, value: event.data, headers: headers.build(), timestamp })
}

pub(crate) fn rewrite(event: Event, old: &Record) -> Result<Record, String> {
    write(event, old.key.clone(), old.timestamp)
}
