//! CloudEvents as a plugin sees them: attributes with their types, and data as bytes.
//!
//! Does not check that an event is valid; the host does, and refuses one that is not.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An attribute's value with its CloudEvents type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A 32-bit number.
    Integer(i32),
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// An absolute URI.
    Uri(String),
    /// A URI or a relative reference.
    UriReference(String),
    /// RFC 3339, as it was written.
    Timestamp(String),
}

impl Value {
    /// The value where it is text of some type; none for booleans, numbers and bytes.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text)
            | Self::Uri(text)
            | Self::UriReference(text)
            | Self::Timestamp(text) => Some(text),
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) => None,
        }
    }
}

/// The canonical text of CloudEvents: bytes as base64, the others as they read.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(out),
            Self::Integer(value) => value.fmt(out),
            Self::Binary(bytes) => out.write_str(&STANDARD.encode(bytes)),
            Self::Text(text)
            | Self::Uri(text)
            | Self::UriReference(text)
            | Self::Timestamp(text) => out.write_str(text),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

/// Whether data of this content type is JSON. Data without one is taken for JSON, as CloudEvents say
/// (section 3.1.1).
pub(crate) fn is_json(content_type: Option<&Value>) -> bool {
    let Some(text) = content_type.and_then(Value::as_str) else {
        return true;
    };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}

/// A header of the broker's record: its name, and its value where it is not null.
pub type Header = (String, Option<Vec<u8>>);

/// A CloudEvent. Each attribute name appears once; data absent is not data empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// All attributes, the required ones included.
    pub attributes: Vec<(String, Value)>,
    /// The data.
    pub data: Option<Vec<u8>>,
}

impl Event {
    /// An event with the four required attributes and no data.
    #[must_use]
    pub fn new(id: &str, source: &str, event_type: &str) -> Self {
        Self::default()
            .with("specversion", "1.0")
            .with("id", id)
            .with("source", Value::UriReference(source.to_owned()))
            .with("type", event_type)
    }

    /// Sets an attribute, in place of one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets the subject.
    #[must_use]
    pub fn with_subject(self, subject: &str) -> Self {
        self.with("subject", subject)
    }

    /// Sets the time, RFC 3339.
    #[must_use]
    pub fn with_time(self, time: &str) -> Self {
        self.with("time", Value::Timestamp(time.to_owned()))
    }

    /// Sets data of any content type.
    #[must_use]
    pub fn with_data(self, content_type: &str, data: impl Into<Vec<u8>>) -> Self {
        Self { data: Some(data.into()), ..self.with("datacontenttype", content_type) }
    }

    /// Sets JSON data.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn with_json(self, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(self.with_data("application/json", serde_json::to_vec(value)?))
    }

    /// Sets an attribute, in place of one of that name.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.attributes.retain(|(existing, _)| existing != name);
        self.attributes.push((name.to_owned(), value.into()));
    }

    /// An attribute by name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(existing, _)| existing == name).map(|(_, value)| value)
    }

    /// The id; empty where it is missing.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// The source; empty where it is missing.
    #[must_use]
    pub fn source(&self) -> &str {
        self.text("source")
    }

    /// The type; empty where it is missing.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.text("type")
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.attribute("subject").and_then(Value::as_str)
    }

    /// The data read as JSON; absent data is an error.
    ///
    /// # Errors
    /// When the data is no JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.data.as_deref().unwrap_or_default())
    }

    fn text(&self, name: &str) -> &str {
        self.attribute(name).and_then(Value::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_that_is_set_again_is_replaced() {
        let event = Event::new("1", "/s", "t").with_subject("a").with_subject("b");
        assert_eq!(event.subject(), Some("b"));
        assert_eq!(event.attributes.len(), 5);
    }

    #[test]
    fn json_data_comes_back() {
        let event = Event::new("1", "/s", "t").with_json(&vec![1, 2]).unwrap();
        assert_eq!(event.json::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(event.attribute("datacontenttype"), Some(&"application/json".into()));
    }

    #[test]
    fn values_read_as_their_canonical_text() {
        assert_eq!(Value::Binary(vec![0, 255]).to_string(), "AP8=");
        assert_eq!(Value::Integer(-7).to_string(), "-7");
        assert_eq!(
            Value::Timestamp("2018-04-05T17:31:00Z".into()).to_string(),
            "2018-04-05T17:31:00Z"
        );
    }
}
