//! Attribute names and values with the types of CloudEvents 1.0.2, and what each attribute asks.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::media_type::MediaType;
use super::rules::{Invalid, Rule};
use super::timestamp::{Timestamp, is_timestamp};
use super::uri::{is_absolute_uri, is_uri_reference};

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// Text without control characters.
    String(String),
    /// Bytes.
    Binary(Bytes),
    /// An absolute URI.
    Uri(String),
    /// A URI-reference.
    UriReference(String),
    /// An RFC 3339 date-time, as it was written.
    Timestamp(Timestamp),
}

impl Value {
    /// The canonical string of the specification, which is what travels in Kafka's headers.
    #[must_use]
    pub fn canonical(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(true) => "true".into(),
            Self::Boolean(false) => "false".into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Binary(bytes) => BASE64_STANDARD.encode(bytes).into(),
            Self::String(text) | Self::Uri(text) | Self::UriReference(text) => text.into(),
            Self::Timestamp(time) => time.as_str().into(),
        }
    }

    /// A text that [`check_text`] has passed as this kind.
    pub(crate) fn of_kind(kind: Kind, text: &str) -> Self {
        match kind {
            Kind::UriReference => Self::UriReference(text.to_owned()),
            Kind::Uri => Self::Uri(text.to_owned()),
            Kind::Timestamp => Timestamp::parse(text)
                .map_or_else(|| Self::String(text.to_owned()), Self::Timestamp),
            Kind::Text | Kind::MediaType | Kind::Version => Self::String(text.to_owned()),
        }
    }

    /// The value as the attribute `name` carries it, where it may.
    pub(crate) fn checked(self, name: &str) -> Result<Self, Invalid> {
        let known = Kind::of(name);
        let broken = |rule| Err(Invalid::new(name, rule));
        match &self {
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) if known.is_some() => {
                broken(Rule::NotString)
            }
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) => Ok(self),
            Self::Uri(text) if known.is_none() && !is_absolute_uri(text) => broken(Rule::NotUri),
            Self::UriReference(text) if known.is_none() && !is_uri_reference(text) => {
                broken(Rule::NotUriReference)
            }
            Self::String(text) if known.is_none() => check_text(name, text).map(|_| self),
            _ if known.is_none() => Ok(self),
            _ => {
                let text = self.canonical();
                check_text(name, &text).map(|kind| Self::of_kind(kind, &text))
            }
        }
    }
}

/// What the specification says about the text of an attribute it defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Version,
    UriReference,
    Uri,
    MediaType,
    Timestamp,
}

impl Kind {
    /// None for extensions.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "id" | "type" | "subject" => Self::Text,
            "specversion" => Self::Version,
            "source" => Self::UriReference,
            "dataschema" => Self::Uri,
            "datacontenttype" => Self::MediaType,
            "time" => Self::Timestamp,
            _ => return None,
        })
    }
}

/// Whether `text` may be the value of the attribute, and what it is then.
pub(crate) fn check_text(name: &str, text: &str) -> Result<Kind, Invalid> {
    let broken = |rule| Err(Invalid::new(name, rule));
    let Some(kind) = Kind::of(name) else {
        return if is_clean(text) { Ok(Kind::Text) } else { broken(Rule::Character) };
    };
    if text.is_empty() {
        return broken(Rule::Empty);
    }
    let (sound, rule) = match kind {
        Kind::Text => (is_clean(text), Rule::Character),
        Kind::Version => (text == SPEC_VERSION, Rule::Version),
        Kind::UriReference => (is_uri_reference(text), Rule::NotUriReference),
        Kind::Uri => (is_absolute_uri(text), Rule::NotUri),
        Kind::MediaType => {
            (text == JSON || MediaType::parse(text).is_some() && is_clean(text), Rule::NotMediaType)
        }
        Kind::Timestamp => (is_timestamp(text), Rule::NotTimestamp),
    };
    if sound { Ok(kind) } else { broken(rule) }
}

/// Lower-case letters and digits, and not the member that holds the payload.
pub(crate) fn check_name(name: &[u8]) -> Result<&str, Invalid> {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match std::str::from_utf8(name) {
        Ok("data") => Err(Invalid::new("data", Rule::Reserved)),
        Ok(text) if !name.is_empty() && name.iter().all(plain) => Ok(text),
        _ => Err(Invalid::bytes(name, Rule::Name)),
    }
}

/// No C0 or C1 control characters, no noncharacters. (Rust's text holds no lone surrogates.)
fn is_clean(text: &str) -> bool {
    let printable = |byte: u8| (0x20..0x7f).contains(&byte);
    text.bytes().fold(true, |clean, byte| clean & printable(byte))
        || text.chars().all(|c| {
            let noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || c as u32 & 0xfffe == 0xfffe;
            !c.is_control() && !noncharacter
        })
}

/// Names that need no allocation.
pub(crate) fn intern(name: &str) -> Cow<'static, str> {
    match WELL_KNOWN.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.to_owned()),
    }
}

/// The attributes of the specification and the extensions that are common.
const WELL_KNOWN: [&str; 14] = [
    "specversion",
    "id",
    "source",
    "type",
    "datacontenttype",
    "dataschema",
    "subject",
    "time",
    "partitionkey",
    "dataref",
    "sequence",
    "sequencetype",
    "traceparent",
    "tracestate",
];

/// The four that every event has, in the order in which we write them.
pub(crate) const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// The version of CloudEvents that this is.
pub(crate) const SPEC_VERSION: &str = "1.0";

/// What data without a content type is in the JSON format.
pub(crate) const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_letters_and_digits() {
        for name in ["a", "nlbrpnationaliteit", "x2", "0"] {
            assert!(check_name(name.as_bytes()).is_ok());
        }
        for name in ["", "nl-brp", "nlBrp", "data_base64", "data", "\u{e9}", "a b"] {
            assert!(check_name(name.as_bytes()).is_err(), "{name}");
        }
        assert!(check_name(b"\xff").is_err());
    }

    #[test]
    fn strings_hold_no_control_characters_and_no_noncharacters() {
        for text in ["", "Bergen (L)", "\u{e9}\u{1f600}", "\u{a0}"] {
            assert!(is_clean(text), "{text:?}");
        }
        for text in ["a\u{7}", "\n", "\u{7f}", "\u{80}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"] {
            assert!(!is_clean(text), "{text:?}");
        }
    }

    #[test]
    fn known_attributes_have_a_type_of_their_own() {
        let checked =
            |name, text: &str| Value::String(text.into()).checked(name).map_err(|e| e.rule);
        assert_eq!(checked("source", "/a"), Ok(Value::UriReference("/a".into())));
        assert!(matches!(checked("time", "2021-12-10T17:31:00Z"), Ok(Value::Timestamp(_))));
        assert_eq!(checked("dataschema", "urn:a:b"), Ok(Value::Uri("urn:a:b".into())));
        assert_eq!(checked("dataschema", "/schema/1"), Err(Rule::NotUri));
        assert_eq!(checked("datacontenttype", "xyz"), Err(Rule::NotMediaType));
        assert_eq!(checked("specversion", "1.0.1"), Err(Rule::Version));
        assert_eq!(checked("subject", ""), Err(Rule::Empty));
        assert_eq!(checked("anything", ""), Ok(Value::String(String::new())));
        assert_eq!(Value::Integer(1).checked("id").map_err(|e| e.rule), Err(Rule::NotString));
    }

    #[test]
    fn canonical_strings_are_those_of_the_specification() {
        assert_eq!(Value::Boolean(true).canonical(), "true");
        assert_eq!(Value::Integer(-7).canonical(), "-7");
        assert_eq!(Value::Binary(Bytes::from_static(b"\xff\x00")).canonical(), "/wA=");
    }
}
