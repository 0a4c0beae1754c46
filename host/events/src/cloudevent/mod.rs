//! CloudEvents 1.0.2: an event that exists is a valid one.
//!
//! The model keeps attributes in the order they came, data as bytes (absent apart from empty), and
//! knows nothing of profiles: those judge valid events (`nl-gov` and the like come later).

mod kafka;
mod media_type;
mod rules;
mod timestamp;
mod uri;
mod value;

pub(crate) mod json;
pub(crate) mod text;

use std::borrow::Cow;

use bytes::Bytes;

pub use kafka::{EventRef, attribute_of, data_of, is_event, text_of};
pub use rules::{Invalid, Rule, Shown};
pub use timestamp::Timestamp;
pub use value::Value;

use value::{JSON, REQUIRED, SPEC_VERSION, check_name, check_text, intern};

/// A valid CloudEvent.
#[derive(Clone, Debug)]
pub struct CloudEvent {
    attributes: Vec<(Cow<'static, str>, Value)>,
    data: Option<Bytes>,
    /// The data came as JSON without a content type; see [`Self::data_content_type`].
    implied_json: bool,
}

/// Why bytes or a record are no CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// An attribute or the data breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No JSON object.
    #[error("not a JSON object: cannot be read at byte {at}")]
    Json {
        /// Where reading ended, counted from 1.
        at: usize,
    },
    /// Larger than [`MAX_JSON`].
    #[error("event of {size} bytes is over the limit of {MAX_JSON}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// The data nests deeper than [`MAX_DEPTH`].
    #[error("data nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A record in structured mode whose format is not JSON.
    #[error("unsupported event format {0}")]
    Format(Shown),
    /// A record in structured mode without a value.
    #[error("event in structured mode without a value")]
    NoValue,
    /// Neither a CloudEvent nor the object that stands for a record that is none.
    #[error("record member {0} is wrong")]
    RecordMember(&'static str),
}

impl CloudEvent {
    /// An event with the four required attributes and no data.
    ///
    /// # Errors
    /// Names the attribute and the rule it breaks.
    pub fn new(id: &str, source: &str, ty: &str) -> Result<Self, Invalid> {
        let mut event = Self::empty();
        for (name, text) in REQUIRED.into_iter().zip([SPEC_VERSION, id, source, ty]) {
            event.push_text(name, text)?;
        }
        Ok(event)
    }

    /// An event out of its attributes, the required ones among them, each name once.
    ///
    /// # Errors
    /// Names the attribute and the rule it breaks.
    pub fn from_parts<N: AsRef<str>>(
        attributes: impl IntoIterator<Item = (N, Value)>,
        data: Option<Bytes>,
    ) -> Result<Self, Invalid> {
        let mut event = Self::empty();
        for (name, value) in attributes {
            event.push(name.as_ref(), value)?;
        }
        event.data = data;
        event.complete()
    }

    /// The attribute `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// The attribute `source`.
    #[must_use]
    pub fn source(&self) -> &str {
        self.text("source")
    }

    /// The attribute `type`.
    #[must_use]
    pub fn ty(&self) -> &str {
        self.text("type")
    }

    /// One attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All attributes, each name once, in the order they came.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.attributes.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The data as bytes; JSON data as its text.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }

    /// What the data is: `datacontenttype`, or what its absence means for data that came as JSON.
    #[must_use]
    pub fn data_content_type(&self) -> Option<&str> {
        match self.attribute("datacontenttype") {
            Some(Value::String(text)) => Some(text),
            _ if self.implied_json => Some(JSON),
            _ => None,
        }
    }

    /// Sets an attribute, in its place where it exists.
    ///
    /// # Errors
    /// Names the attribute and the rule it breaks; the event stays as it was.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), Invalid> {
        check_name(name.as_bytes())?;
        let value = value.checked(name)?;
        let full = self.attributes.len() >= MAX_ATTRIBUTES;
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None if full => return Err(Invalid::new(name, Rule::TooMany)),
            None => self.attributes.push((intern(name), value)),
        }
        self.implied_json &= name != "datacontenttype";
        Ok(())
    }

    /// Takes an attribute away and says whether it was there.
    ///
    /// # Errors
    /// For a required one.
    pub fn unset(&mut self, name: &str) -> Result<bool, Invalid> {
        if REQUIRED.contains(&name) {
            return Err(Invalid::new(name, Rule::Required));
        }
        let before = self.attributes.len();
        self.attributes.retain(|(known, _)| known != name);
        Ok(self.attributes.len() < before)
    }

    /// Replaces the data, which stays of the content type it was.
    pub fn set_data(&mut self, data: Option<Bytes>) {
        // New bytes are no text that we have parsed: from here on the type must be said.
        if std::mem::take(&mut self.implied_json) && data.is_some() {
            self.attributes.push((intern("datacontenttype"), Value::String(JSON.to_owned())));
        }
        self.data = data;
    }

    fn empty() -> Self {
        Self { attributes: Vec::with_capacity(8), data: None, implied_json: false }
    }

    fn push_text(&mut self, name: &str, text: &str) -> Result<(), Invalid> {
        self.vacant(name)?;
        let kind = check_text(name, text)?;
        self.attributes.push((intern(name), Value::of_kind(kind, text)));
        Ok(())
    }

    fn push(&mut self, name: &str, value: Value) -> Result<(), Invalid> {
        self.vacant(name)?;
        let value = value.checked(name)?;
        self.attributes.push((intern(name), value));
        Ok(())
    }

    fn vacant(&self, name: &str) -> Result<(), Invalid> {
        check_name(name.as_bytes())?;
        if self.attribute(name).is_some() {
            return Err(Invalid::new(name, Rule::Twice));
        }
        if self.attributes.len() >= MAX_ATTRIBUTES {
            return Err(Invalid::new(name, Rule::TooMany));
        }
        Ok(())
    }

    fn complete(self) -> Result<Self, Invalid> {
        match REQUIRED.into_iter().find(|name| self.attribute(name).is_none()) {
            Some(name) => Err(Invalid::new(name, Rule::Required)),
            None => Ok(self),
        }
    }

    fn text(&self, name: &str) -> &str {
        match self.attribute(name) {
            Some(Value::String(text) | Value::UriReference(text)) => text,
            _ => "",
        }
    }
}

/// Two events are equal when they say the same: the order of attributes says nothing, and JSON
/// without a content type is `application/json`.
impl PartialEq for CloudEvent {
    fn eq(&self, other: &Self) -> bool {
        let others = |event: &Self| {
            event.attributes.len() - usize::from(event.attribute("datacontenttype").is_some())
        };
        self.data == other.data
            && self.data_content_type() == other.data_content_type()
            && others(self) == others(other)
            && self.attributes.iter().all(|(name, value)| {
                name == "datacontenttype" || other.attribute(name) == Some(value)
            })
    }
}

impl Eq for CloudEvent {}

/// Attributes that one event may have. The specification asks to keep them few, so that they fit in
/// headers; looking names up one by one stays cheap up to here.
pub const MAX_ATTRIBUTES: usize = 256;

/// Bytes of one event in JSON. A flow's own limit is far below; this is the largest frame between
/// hosts.
pub const MAX_JSON: usize = 16 * 1024 * 1024;

/// Levels that JSON data may nest, so that whoever parses it later by recursion survives; common
/// parsers stop at 128.
pub const MAX_DEPTH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> CloudEvent {
        CloudEvent::new("1", "/here", "a.b").unwrap()
    }

    #[test]
    fn a_required_attribute_cannot_be_empty_or_taken_away() {
        let error = CloudEvent::new("", "/here", "a.b").unwrap_err();
        assert_eq!(error.to_string(), "attribute id: must not be empty");
        assert_eq!(event().unset("type").unwrap_err().rule, Rule::Required);
        let parts = [("id", Value::String("1".into()))];
        let error = CloudEvent::from_parts(parts, None).unwrap_err();
        assert_eq!((error.attribute, error.rule), (Shown::new(b"specversion"), Rule::Required));
    }

    #[test]
    fn an_event_that_refuses_a_value_stays_as_it_was() {
        let mut event = event();
        assert!(event.set("time", Value::String("yesterday".into())).is_err());
        assert!(event.set("Time", Value::Boolean(true)).is_err());
        assert_eq!(event, self::event());
        event.set("extra", Value::Integer(-1)).unwrap();
        assert_eq!(event.attribute("extra"), Some(&Value::Integer(-1)));
        assert!(event.unset("extra").unwrap());
    }

    #[test]
    fn one_attribute_too_many_is_refused() {
        let mut event = event();
        for index in 4..MAX_ATTRIBUTES {
            event.set(&format!("x{index}"), Value::Boolean(true)).unwrap();
        }
        assert_eq!(event.set("onemore", Value::Boolean(true)).unwrap_err().rule, Rule::TooMany);
    }
}
