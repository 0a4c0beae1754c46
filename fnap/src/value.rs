//! The smaller values of commands: words, settings and JSON texts.
//!
//! Each can stand in a command line as it is: none holds a line end. What a setting or a
//! configuration means is for others to say.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::IgnoredAny;

/// Longest word in octets: a token, a type, a broker. A UUID or a digest fits several times.
pub const MAX_WORD: usize = 128;

/// Most `key=value` pairs of one command. No operation knows more than a dozen keys.
pub const MAX_SETTINGS: usize = 64;

/// One word of visible ASCII: an identifier that is no name, such as a broker, a plugin type, a
/// write token, a request. Case is kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(Arc<str>);

/// Why a text is no word, setting or JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing there.
    #[error("empty word")]
    Empty,
    /// More octets than [`MAX_WORD`].
    #[error("word of {len} octets, at most {MAX_WORD} allowed")]
    TooLong {
        /// Octets found.
        len: usize,
    },
    /// A blank, a control character or anything beyond ASCII.
    #[error("character {found:?}: only visible ascii is allowed")]
    Character {
        /// What stands there.
        found: char,
    },
    /// A key that is not of letters, digits, '.', '_' and '-', or does not begin with a letter.
    #[error("key {key:?}: only a-z, 0-9, '.', '_' and '-' are allowed, beginning with a letter")]
    Key {
        /// The key, shortened.
        key: String,
    },
    /// The same key twice.
    #[error("key {key} given twice")]
    Repeated {
        /// The key.
        key: String,
    },
    /// More pairs than [`MAX_SETTINGS`].
    #[error("more than {MAX_SETTINGS} settings")]
    TooMany,
    /// Not JSON.
    #[error("no json: {why}")]
    Json {
        /// What the JSON parser says, with line and column.
        why: String,
    },
}

impl Word {
    /// The word as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Word {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError::Empty);
        }
        if let Some(found) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(ValueError::Character { found });
        }
        if text.len() > MAX_WORD {
            return Err(ValueError::TooLong { len: text.len() });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A JSON text, checked, on one line. Kept as it was written, so that no number loses digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parsed value.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        // The text was checked where it came in: null is never the answer to an error here.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl FromStr for Json {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| ValueError::Json { why: error.to_string() })?;
        // JSON allows line ends only between its tokens, where a blank says the same.
        Ok(Self(text.replace(['\r', '\n'], " ").into()))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

/// `key=value` pairs in the order given, no key twice. Keys are lower-cased. A value that is empty
/// of anything but visible characters is written as it is, any other as a JSON string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// No settings.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// When the key is none, is there already, or there are too many.
    pub fn insert(&mut self, key: &str, value: impl Into<String>) -> Result<(), ValueError> {
        let key = check_key(key)?;
        if self.get(&key).is_some() {
            return Err(ValueError::Repeated { key });
        }
        if self.0.len() >= MAX_SETTINGS {
            return Err(ValueError::TooMany);
        }
        self.0.push((key, value.into()));
        Ok(())
    }

    /// The value of a key, given in lower case.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(out, "{blank}{key}={}", Quoted(value))?;
        }
        Ok(())
    }
}

/// Writes a text so that it is one word: bare where it can be, else as a JSON string.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = |c: char| c.is_whitespace() || c.is_control();
        if self.0.is_empty() || self.0.starts_with('"') || self.0.contains(needs) {
            write!(out, "{}", serde_json::Value::from(self.0))
        } else {
            out.write_str(self.0)
        }
    }
}

fn check_key(key: &str) -> Result<String, ValueError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || key.len() > MAX_WORD || !key.chars().all(allowed) {
        let key = key.chars().take(32).collect();
        return Err(ValueError::Key { key });
    }
    Ok(key.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_visible_ascii_of_at_most_128_octets() {
        let word = |text: &str| text.parse::<Word>();
        assert_eq!(word("Kafka_local:1").unwrap().as_str(), "Kafka_local:1");
        assert_eq!(word(""), Err(ValueError::Empty));
        assert_eq!(word("a b"), Err(ValueError::Character { found: ' ' }));
        assert_eq!(word("a\u{7f}"), Err(ValueError::Character { found: '\u{7f}' }));
        assert!(word(&"x".repeat(MAX_WORD)).is_ok());
        assert_eq!(word(&"x".repeat(129)), Err(ValueError::TooLong { len: 129 }));
    }

    #[test]
    fn settings_have_lower_case_keys_once_and_quote_what_is_no_word() {
        let mut settings = Settings::new();
        settings.insert("Max-Age", "1d").unwrap();
        settings.insert("note", "two words").unwrap();
        settings.insert("none", "").unwrap();
        assert_eq!(settings.get("max-age"), Some("1d"));
        assert_eq!(settings.to_string(), r#"max-age=1d note="two words" none="""#);
        let twice = settings.insert("MAX-AGE", "2d");
        assert_eq!(twice, Err(ValueError::Repeated { key: "max-age".into() }));
        for key in ["", "1a", "-a", "a b", "\u{e4}", &"k".repeat(129)] {
            assert!(matches!(settings.insert(key, ""), Err(ValueError::Key { .. })), "{key}");
        }
    }

    #[test]
    fn json_is_checked_and_kept_as_it_was_written() {
        let json: Json = " {\"n\": 1.10000000000000000001}\n".parse().unwrap();
        assert_eq!(json.as_str(), "{\"n\": 1.10000000000000000001}");
        assert!(matches!("{} {}".parse::<Json>(), Err(ValueError::Json { .. })));
        assert!(matches!("\"a\nb\"".parse::<Json>(), Err(ValueError::Json { .. })));
    }
}
