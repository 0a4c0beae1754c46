//! The Kafka binding of CloudEvents 1.0.2: binary and structured mode in, binary mode out.
//!
//! Reading is lazy: an [`EventRef`] has checked a record and lends what lies in it. The key of a
//! record is no business of the event; whoever appends decides it.

use std::borrow::Cow;

use bytes::Bytes;

use super::json::Object;
use super::media_type::MediaType;
use super::rules::{Invalid, Rule, Shown};
use super::text::push_string;
use super::value::{JSON, Kind, REQUIRED, check_name, check_text};
use super::{CloudEvent, EventError, MAX_ATTRIBUTES, Value};
use crate::record::{HeadersBuilder, Record};

/// A record that is a valid CloudEvent.
#[derive(Debug)]
pub enum EventRef<'a> {
    /// Attributes in headers, the value is the data.
    Binary(Binary<'a>),
    /// The value is the whole event.
    Structured(Box<CloudEvent>),
}

/// A record in binary mode whose headers have been checked.
#[derive(Debug)]
pub struct Binary<'a> {
    record: &'a Record,
}

impl<'a> EventRef<'a> {
    /// Looks at a record: `None` is one that does not claim to be a CloudEvent.
    ///
    /// # Errors
    /// For one that claims to be and is broken.
    pub fn of(record: &'a Record) -> Result<Option<Self>, EventError> {
        if let Some(content_type) = structured_content_type(record) {
            return structured(record, content_type).map(Some);
        }
        Ok(check_headers(record)?.then_some(Self::Binary(Binary { record })))
    }

    /// One attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Value> {
        match self {
            Self::Structured(event) => event.attribute(name).cloned(),
            Self::Binary(binary) => {
                let mut headers = binary.record.headers.iter();
                let wanted = |header: &[u8]| attribute_name(header) == Some(name.as_bytes());
                let (_, value) = headers.find(|(header, _)| wanted(header))?;
                Some(typed(name, std::str::from_utf8(value?).ok()?))
            }
        }
    }

    /// The event's data.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Structured(event) => event.data(),
            Self::Binary(binary) => binary.record.value.as_ref(),
        }
    }

    /// The whole event.
    #[must_use]
    pub fn to_event(&self) -> CloudEvent {
        match self {
            Self::Structured(event) => CloudEvent::clone(event),
            Self::Binary(binary) => CloudEvent {
                attributes: binary
                    .attributes()
                    .map(|(name, text)| (super::intern(name), typed(name, text)))
                    .collect(),
                data: binary.record.value.clone(),
                implied_json: false,
            },
        }
    }

    /// Writes attributes and data into an object, `extra` between them; attributes that `hidden`
    /// names are left out.
    pub(crate) fn write_members(
        &self,
        object: &mut Object<'_>,
        hidden: &[&str],
        extra: impl FnOnce(&mut Object<'_>),
    ) {
        match self {
            Self::Structured(event) => {
                let shown = event.attributes().filter(|(name, _)| !hidden.contains(name));
                shown.for_each(|(name, value)| object.value(name, value));
                extra(object);
                if let Some(data) = event.data() {
                    object.data(data, event.data_content_type());
                }
            }
            Self::Binary(binary) => {
                let mut content_type = None;
                for (name, text) in binary.attributes() {
                    if name == "datacontenttype" {
                        content_type = Some(text);
                    }
                    if !hidden.contains(&name) {
                        push_string(object.member(name), text);
                    }
                }
                extra(object);
                if let Some(data) = &binary.record.value {
                    object.data(data, content_type);
                }
            }
        }
    }
}

impl<'a> Binary<'a> {
    /// Names and texts of the attributes, in the order of the headers. Null headers are not set.
    fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let headers = self.record.headers.iter();
        headers.filter_map(|(header, value)| {
            let name = attribute_name(header)?;
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value?).ok()?))
        })
    }
}

impl CloudEvent {
    /// The event that a record is; `None` where it does not claim to be one.
    ///
    /// # Errors
    /// For one that claims to be and is broken. Such a record still passes through byte for byte.
    pub fn from_record(record: &Record) -> Result<Option<Self>, EventError> {
        Ok(EventRef::of(record)?.map(|event| match event {
            EventRef::Structured(event) => *event,
            EventRef::Binary(_) => event.to_event(),
        }))
    }

    /// The event as a record in binary mode, without a key.
    #[must_use]
    pub fn to_record(&self, timestamp: i64) -> Record {
        let mut headers = HeadersBuilder::with_capacity(self.attributes.len() * HEADER);
        let mut header = Vec::with_capacity(HEADER);
        for (name, value) in self.attributes() {
            if name == "datacontenttype" {
                headers.push(CONTENT_TYPE, Some(value.canonical().as_bytes()));
                continue;
            }
            header.clear();
            header.extend_from_slice(PREFIX);
            header.extend_from_slice(name.as_bytes());
            headers.push(&header, Some(value.canonical().as_bytes()));
        }
        if self.implied_json && self.attribute("datacontenttype").is_none() {
            headers.push(CONTENT_TYPE, Some(JSON.as_bytes()));
        }
        Record { key: None, value: self.data.clone(), headers: headers.build(), timestamp }
    }
}

/// Whether a record is a valid CloudEvent.
#[must_use]
pub fn is_event(record: &Record) -> bool {
    matches!(EventRef::of(record), Ok(Some(_)))
}

/// One attribute of a record that is a valid CloudEvent, without building the event (a record in
/// structured mode is parsed for it: keep an [`EventRef`] to ask more than once).
#[must_use]
pub fn attribute_of(record: &Record, name: &str) -> Option<Value> {
    EventRef::of(record).ok()??.attribute(name)
}

/// One attribute as it stands in a record, whether the record is a valid event or not: in binary mode nothing is
/// checked, copied or built for it.
#[must_use]
pub fn text_of<'a>(record: &'a Record, name: &str) -> Option<Cow<'a, [u8]>> {
    for (header, value) in record.headers.iter() {
        if header.strip_prefix(PREFIX) == Some(name.as_bytes()) {
            return value.map(Cow::Borrowed);
        }
    }
    structured_content_type(record)?;
    let value = attribute_of(record, name)?;
    Some(Cow::Owned(value.canonical().into_owned().into_bytes()))
}

/// The data of a CloudEvent; of a record that is none, its value.
#[must_use]
pub fn data_of(record: &Record) -> Option<Bytes> {
    match EventRef::of(record) {
        Ok(Some(event)) => event.data().cloned(),
        _ => record.value.clone(),
    }
}

/// Which attribute a header carries, whether the name is valid or not.
fn attribute_name(header: &[u8]) -> Option<&[u8]> {
    if header.eq_ignore_ascii_case(CONTENT_TYPE) {
        return Some(b"datacontenttype");
    }
    header.strip_prefix(PREFIX)
}

/// A text that has been checked, with the type that the specification gives the attribute.
fn typed(name: &str, text: &str) -> Value {
    Value::of_kind(Kind::of(name).unwrap_or(Kind::Text), text)
}

fn structured_content_type(record: &Record) -> Option<&[u8]> {
    let mut headers = record.headers.iter();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE))?;
    let head = value?.get(..STRUCTURED.len())?;
    head.eq_ignore_ascii_case(STRUCTURED).then_some(value?)
}

fn structured<'a>(record: &Record, content_type: &[u8]) -> Result<EventRef<'a>, EventError> {
    let text = std::str::from_utf8(content_type).ok();
    if !text.and_then(MediaType::parse).is_some_and(|kind| kind.is_cloudevents_json()) {
        return Err(EventError::Format(Shown::new(content_type)));
    }
    let value = record.value.as_ref().ok_or(EventError::NoValue)?;
    Ok(EventRef::Structured(Box::new(CloudEvent::from_json(value)?)))
}

/// Whether the headers are those of a CloudEvent in binary mode. A record claims to be one when it
/// carries any of the four required attributes.
fn check_headers(record: &Record) -> Result<bool, Invalid> {
    let attributes = || {
        record.headers.iter().filter_map(|(header, value)| Some((attribute_name(header)?, value)))
    };
    if !attributes().any(|(name, _)| bit(name) & REQUIRED_BITS != 0) {
        return Ok(false);
    }
    let (mut seen, mut set) = (0, 0);
    for (index, (name, value)) in attributes().enumerate() {
        let bit = bit(name);
        let known = bit != 0;
        // Only extensions have to be looked for one by one.
        if known && seen & bit != 0
            || !known && attributes().take(index).any(|(earlier, _)| earlier == name)
        {
            return Err(Invalid::bytes(name, Rule::Twice));
        }
        if index >= MAX_ATTRIBUTES {
            return Err(Invalid::bytes(name, Rule::TooMany));
        }
        // The names that the specification defines are sound.
        let name =
            if known { std::str::from_utf8(name).unwrap_or_default() } else { check_name(name)? };
        seen |= bit;
        if let Some(value) = value {
            let text = std::str::from_utf8(value).map_err(|_| Invalid::new(name, Rule::NotUtf8))?;
            check_text(name, text)?;
            set |= bit;
        }
    }
    match REQUIRED.into_iter().find(|name| set & bit(name.as_bytes()) == 0) {
        Some(name) => Err(Invalid::new(name, Rule::Required)),
        None => Ok(true),
    }
}

/// One bit for each attribute that the specification defines; 0 for others.
fn bit(name: &[u8]) -> u8 {
    match name {
        b"specversion" => 1,
        b"id" => 2,
        b"source" => 4,
        b"type" => 8,
        b"datacontenttype" => 16,
        b"dataschema" => 32,
        b"subject" => 64,
        b"time" => 128,
        _ => 0,
    }
}

/// Octets that a header mostly needs; one that is longer makes the buffer grow.
const HEADER: usize = 32;
const REQUIRED_BITS: u8 = 15;
const PREFIX: &[u8] = b"ce_";
const CONTENT_TYPE: &[u8] = b"content-type";
const STRUCTURED: &[u8] = b"application/cloudevents";

#[cfg(test)]
mod tests;
