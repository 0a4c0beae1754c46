//! The rules of CloudEvents 1.0.2 that one event can break, each with a name of its own.

use std::fmt;

/// Which attribute breaks which rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute {attribute}: {rule}")]
pub struct Invalid {
    /// The attribute (or `data`), made safe to show: names come from strangers.
    pub attribute: Shown,
    /// What it breaks.
    pub rule: Rule,
}

impl Invalid {
    pub(crate) fn new(attribute: &str, rule: Rule) -> Self {
        Self { attribute: Shown::new(attribute.as_bytes()), rule }
    }

    pub(crate) fn bytes(attribute: &[u8], rule: Rule) -> Self {
        Self { attribute: Shown::new(attribute), rule }
    }
}

/// A stranger's word: escaped, so that it cannot forge lines of a log or of a protocol, and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub(crate) fn new(word: &[u8]) -> Self {
        let (head, cut) = match word.split_at_checked(SHOWN) {
            Some((head, rest)) => (head, !rest.is_empty()),
            None => (word, false),
        };
        let tail = if cut { "…" } else { "" };
        Self(format!("{}{tail}", head.escape_ascii()))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl PartialEq<&str> for Shown {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// What an attribute can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// One of `id`, `source`, `specversion`, `type` is missing.
    #[error("is required")]
    Required,
    /// Present, and empty where that is not allowed.
    #[error("must not be empty")]
    Empty,
    /// A name other than lower-case letters and digits.
    #[error("names of attributes are lower-case letters a-z and digits")]
    Name,
    /// `data` is no attribute.
    #[error("is not an attribute")]
    Reserved,
    /// The same attribute twice.
    #[error("occurs more than once")]
    Twice,
    /// More attributes than [`super::MAX_ATTRIBUTES`].
    #[error("is one attribute too many")]
    TooMany,
    /// Not of the attribute's type.
    #[error("must be a string")]
    NotString,
    /// None of the types of CloudEvents.
    #[error("must be a boolean, an integer or a string")]
    NotSimple,
    /// Not a whole number from -2147483648 to 2147483647.
    #[error("must be an integer from -2147483648 to 2147483647")]
    NotInteger,
    /// Bytes that are no UTF-8.
    #[error("must be UTF-8")]
    NotUtf8,
    /// A control character or a noncharacter of Unicode.
    #[error("must not hold control characters or noncharacters")]
    Character,
    /// No URI-reference of RFC 3986.
    #[error("must be a URI-reference")]
    NotUriReference,
    /// No absolute URI of RFC 3986 section 4.3.
    #[error("must be an absolute URI")]
    NotUri,
    /// No date-time of RFC 3339.
    #[error("must be an RFC 3339 date-time")]
    NotTimestamp,
    /// No media type of RFC 2046.
    #[error("must be a media type")]
    NotMediaType,
    /// Another version of CloudEvents.
    #[error("must be 1.0")]
    Version,
    /// `data` beside a content type that is not JSON.
    #[error("must be a string because datacontenttype is not JSON")]
    DataNotString,
    /// `data` cannot be encoded as the content type's charset asks.
    #[error("text in a charset other than UTF-8 must be given as data_base64")]
    Charset,
    /// `data_base64` is no base64.
    #[error("must be base64")]
    NotBase64,
    /// Both `data` and `data_base64`.
    #[error("data and data_base64 exclude each other")]
    BothData,
}

/// Bytes of a stranger's word that are shown.
const SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_forge_a_line() {
        let error = Invalid::new("a\r\n220 OK", Rule::Name).to_string();
        assert!(error.starts_with(r"attribute a\r\n220 OK: names"), "{error}");
        assert!(Invalid::new(&"x".repeat(9000), Rule::Name).to_string().len() < 200);
    }
}
