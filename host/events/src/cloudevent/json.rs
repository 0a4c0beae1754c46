//! The JSON format of CloudEvents 1.0.2: one event in, one event out on one line.
//!
//! JSON data is never parsed into values: its bytes are kept, so numbers and the order of keys
//! survive. Batches are not read here.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::media_type::MediaType;
use super::rules::{Invalid, Rule};
use super::text::{is_json, nests_deeper, push_base64, push_on_one_line, push_string};
use super::value::JSON;
use super::{CloudEvent, EventError, MAX_ATTRIBUTES, MAX_DEPTH, MAX_JSON, Value};

impl CloudEvent {
    /// Reads one event in the JSON format.
    ///
    /// A member that is `null` is an attribute that is not set; `data: null` is a payload.
    ///
    /// # Errors
    /// Names the attribute and the rule, or the byte at which the JSON breaks.
    pub fn from_json(json: &[u8]) -> Result<Self, EventError> {
        from_members(&members(json)?)
    }

    /// Appends the event in the JSON format on one line, without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        for (name, value) in self.attributes() {
            object.value(name, value);
        }
        if let Some(data) = self.data() {
            object.data(data, self.data_content_type());
        }
        object.end();
    }
}

/// Names and raw values of an object.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The members of a JSON object, each name once.
pub(crate) fn members(json: &[u8]) -> Result<Members<'_>, EventError> {
    if json.len() > MAX_JSON {
        return Err(EventError::TooLarge { size: json.len() });
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = reader.deserialize_map(MembersVisitor);
    let members = members.and_then(|members| reader.end().map(|()| members));
    // serde_json's own words may repeat the stranger's; a place is enough.
    let members = members.map_err(|error| EventError::Json { at: place(json, &error) })?;
    for (index, (name, _)) in members.iter().enumerate() {
        let earlier = members.iter().take(index);
        if index >= MAX_ATTRIBUTES + EXTRA_MEMBERS {
            return Err(Invalid::new(name, Rule::TooMany).into());
        }
        if earlier.into_iter().any(|(other, _)| other == name) {
            return Err(Invalid::new(name, Rule::Twice).into());
        }
    }
    Ok(members)
}

/// An event out of the members of its object.
pub(crate) fn from_members(members: &Members<'_>) -> Result<CloudEvent, EventError> {
    let mut event = CloudEvent::empty();
    let (mut data, mut base64) = (None, None);
    for (name, raw) in members {
        match name.as_ref() {
            "data" => data = Some(raw.get()),
            "data_base64" => base64 = Some(raw.get()),
            name => push_attribute(&mut event, name, raw.get())?,
        }
    }
    // A null member is one that is not there, as for attributes.
    let base64 = base64.filter(|raw| *raw != "null");
    match (data, base64) {
        (Some(_), Some(_)) => return Err(Invalid::new("data", Rule::BothData).into()),
        (Some(raw), None) => set_data(&mut event, raw)?,
        (None, Some(raw)) => event.data = Some(decode_base64("data_base64", raw)?),
        (None, None) => {}
    }
    Ok(event.complete()?)
}

/// The text of a raw JSON string; `None` for what is no string or holds a lone surrogate.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The bytes of a raw JSON string of base64.
pub(crate) fn decode_base64(name: &'static str, raw: &str) -> Result<Bytes, Invalid> {
    string(raw)
        .and_then(|text| BASE64_STANDARD.decode(text.as_bytes()).ok())
        .map(Bytes::from)
        .ok_or_else(|| Invalid::new(name, Rule::NotBase64))
}

fn push_attribute(event: &mut CloudEvent, name: &str, raw: &str) -> Result<(), Invalid> {
    let value = match raw.as_bytes().first() {
        Some(b'"') => {
            let text = string(raw).ok_or_else(|| Invalid::new(name, Rule::Character))?;
            return event.push_text(name, &text);
        }
        // The name must be one all the same.
        Some(b'n') => return event.vacant(name),
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'-' | b'0'..=b'9') => {
            let number = raw.parse().map_err(|_| Invalid::new(name, Rule::NotInteger))?;
            Value::Integer(number)
        }
        _ => return Err(Invalid::new(name, Rule::NotSimple)),
    };
    event.push(name, value)
}

fn set_data(event: &mut CloudEvent, raw: &str) -> Result<(), EventError> {
    let media_type = match event.attribute("datacontenttype") {
        Some(Value::String(text)) => MediaType::parse(text),
        _ => None,
    };
    let Some(media_type) = media_type.filter(|media_type| !media_type.is_json()) else {
        if nests_deeper(raw.as_bytes(), MAX_DEPTH) {
            return Err(EventError::TooDeep);
        }
        event.implied_json = event.attribute("datacontenttype").is_none();
        event.data = Some(Bytes::copy_from_slice(raw.as_bytes()));
        return Ok(());
    };
    let text = string(raw).ok_or_else(|| Invalid::new("data", Rule::DataNotString))?;
    if !media_type.is_utf8() && !text.is_ascii() {
        return Err(Invalid::new("data", Rule::Charset).into());
    }
    event.data = Some(Bytes::copy_from_slice(text.as_bytes()));
    Ok(())
}

/// Writes one JSON object, member by member.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a name that needs no escaping, and gives the place for its value.
    pub(crate) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        let open: &[u8] = if std::mem::take(&mut self.empty) { b"\"" } else { b",\"" };
        self.out.extend_from_slice(open);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn value(&mut self, name: &str, value: &Value) {
        let out = self.member(name);
        match value {
            Value::Boolean(_) | Value::Integer(_) => {
                out.extend_from_slice(value.canonical().as_bytes());
            }
            _ => push_string(out, &value.canonical()),
        }
    }

    /// Data as the content type lets it be shown: JSON as it is, text as a string, else base64.
    pub(crate) fn data(&mut self, data: &[u8], content_type: Option<&str>) {
        let media_type = match content_type {
            Some(JSON) => None,
            Some(text) => MediaType::parse(text),
            None => return push_base64(self.member("data_base64"), data),
        };
        if media_type.is_none_or(|media_type| media_type.is_json()) {
            if is_json(data, MAX_DEPTH) {
                return push_on_one_line(self.member("data"), data);
            }
        } else if media_type.is_some_and(|media_type| media_type.is_text() && media_type.is_utf8())
            && let Ok(text) = std::str::from_utf8(data)
        {
            return push_string(self.member("data"), text);
        }
        push_base64(self.member("data_base64"), data);
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(12);
        // One more than is allowed is enough to refuse, and bounds what a stranger can make us hold.
        while members.len() <= MAX_ATTRIBUTES + EXTRA_MEMBERS
            && let Some(Key(name)) = map.next_key()?
        {
            members.push((name, map.next_value()?));
        }
        if members.len() > MAX_ATTRIBUTES + EXTRA_MEMBERS {
            while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        }
        Ok(members)
    }
}

/// A member's name, borrowed where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}

fn place(json: &[u8], error: &serde_json::Error) -> usize {
    let lines = json.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    lines.map(<[u8]>::len).sum::<usize>() + error.column()
}

/// `data`, `data_base64`, and what READ adds.
const EXTRA_MEMBERS: usize = 4;
