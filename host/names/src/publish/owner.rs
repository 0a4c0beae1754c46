//! Names of DNS as zone files write them.
//!
//! Other than the names of flows these may have any octets: `_flow` has an underscore, and the instances of DNS-SD
//! have dots within a label.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use fnap::name::Name;
use serde::de::Error as _;

/// A complete name: lower-case, escaped as in zone files (RFC 1035, section 5.1), with the dot at its end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(String);

/// Why a text or some labels are no name of DNS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The root, or two dots in a row.
    #[error("empty label in a name of dns")]
    EmptyLabel,
    /// More than [`MAX_LABEL`] octets.
    #[error("label of {0} octets in a name of dns, at most {MAX_LABEL} allowed")]
    LabelTooLong(usize),
    /// More than [`MAX_WIRE`] octets.
    #[error("name of dns of {0} octets, at most {MAX_WIRE} allowed")]
    TooLong(usize),
    /// A backslash with neither three digits up to 255 nor a character after it, or something that has to be
    /// escaped and is not.
    #[error("name of dns with a wrong escape or an unescaped character")]
    Escape,
}

impl Owner {
    /// The name of these labels, leftmost first; not the root.
    ///
    /// # Errors
    /// See [`OwnerError`].
    pub fn from_labels<L: AsRef<[u8]>>(
        labels: impl IntoIterator<Item = L>,
    ) -> Result<Self, OwnerError> {
        let mut text = String::new();
        // The root's empty label.
        let mut wire = 1;
        for label in labels {
            let label = label.as_ref();
            match label.len() {
                0 => return Err(OwnerError::EmptyLabel),
                len if len > MAX_LABEL => return Err(OwnerError::LabelTooLong(len)),
                len => wire += 1 + len,
            }
            escape(label, &mut text);
            text.push('.');
        }
        match wire {
            1 => Err(OwnerError::EmptyLabel),
            wire if wire > MAX_WIRE => Err(OwnerError::TooLong(wire)),
            _ => Ok(Self(text)),
        }
    }

    /// `service.name`, where the service is of our own making: short, and nothing to escape.
    pub(crate) fn under(service: &'static str, name: &Name) -> Self {
        Self(format!("{service}.{name}."))
    }

    /// As text, with the dot at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its labels without escapes, leftmost first.
    #[must_use]
    pub fn labels(&self) -> Vec<Vec<u8>> {
        // Made by `from_labels`, so it can be read.
        read(&self.0).unwrap_or_default()
    }

    /// Whether this is `zone` or lies below it.
    #[must_use]
    pub fn is_in(&self, zone: &Name) -> bool {
        let front = self.0.strip_suffix('.').and_then(|name| name.strip_suffix(zone.as_str()));
        // An escaped dot parts no labels; a backslash before it may be escaped itself.
        front.is_some_and(|front| {
            front.is_empty() || front.strip_suffix('.').is_some_and(|front| !is_escaping(front))
        })
    }

    /// Whether its first label is an asterisk, which answers for names that are not there (RFC 4592).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }
}

impl From<&Name> for Owner {
    fn from(name: &Name) -> Self {
        Self(format!("{name}."))
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    /// A name as zone files write it; the dot at its end may be missing.
    fn from_str(text: &str) -> Result<Self, OwnerError> {
        Self::from_labels(read(text)?)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl serde::Serialize for Owner {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Owner {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Longest label in octets (RFC 1035, section 2.3.4).
pub(crate) const MAX_LABEL: usize = 63;

/// Longest name in octets as it travels: a length before each label and the root's zero (RFC 1035, section 2.3.4).
pub(crate) const MAX_WIRE: usize = 255;

fn escape(label: &[u8], out: &mut String) {
    for octet in label {
        match octet.to_ascii_lowercase() {
            special if b".\\".contains(&special) || NEVER_PLAIN.contains(&special) => {
                out.push('\\');
                out.push(special.into());
            }
            // Nothing else: to BIND, `\[` begins a label of bits.
            plain @ b'!'..=b'~' => out.push(plain.into()),
            other => {
                // Writing to a String cannot fail.
                write!(out, "\\{other:03}").ok();
            }
        }
    }
}

fn is_escaping(front: &str) -> bool {
    front.bytes().rev().take_while(|octet| *octet == b'\\').count() % 2 == 1
}

fn read(text: &str) -> Result<Vec<Vec<u8>>, OwnerError> {
    let mut labels = Vec::new();
    let mut label = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => label.push(escaped(&mut octets)?),
            b'!'..=b'~' if !NEVER_PLAIN.contains(&octet) => label.push(octet),
            _ => return Err(OwnerError::Escape),
        }
    }
    if !label.is_empty() {
        labels.push(label);
    }
    Ok(labels)
}

fn escaped(octets: &mut impl Iterator<Item = u8>) -> Result<u8, OwnerError> {
    let mut next = || octets.next().ok_or(OwnerError::Escape);
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Ok(u16::from(octet - b'0')),
        _ => Err(OwnerError::Escape),
    };
    match next()? {
        first @ b'0'..=b'9' => {
            let value = digit(first)? * 100 + digit(next()?)? * 10 + digit(next()?)?;
            u8::try_from(value).map_err(|_| OwnerError::Escape)
        }
        printable @ b'!'..=b'~' => Ok(printable),
        _ => Err(OwnerError::Escape),
    }
}

/// What means something else in zone files.
const NEVER_PLAIN: &[u8] = b"\"();@$";

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(text: &str) -> Owner {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_lower_cased_escaped_and_complete() {
        assert_eq!(owner("_Flow._tcp.Example.ORG").as_str(), "_flow._tcp.example.org.");
        assert_eq!(owner("a.b."), owner("a.b"));
        let odd = Owner::from_labels([&b"a.b"[..], b"\\ \"(;)@$\x00\xff", b"org"]).unwrap();
        assert_eq!(odd.as_str(), "a\\.b.\\\\\\032\\\"\\(\\;\\)\\@\\$\\000\\255.org.");
        assert_eq!(odd, owner(odd.as_str()));
        assert_eq!(odd.labels()[0], b"a.b");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ".", "a..b", ".a"] {
            assert_eq!(text.parse::<Owner>(), Err(OwnerError::EmptyLabel), "{text:?}");
        }
        for text in ["a b", "a\\", "a\\25", "a\\256", "a\\1x2", "é", "a\n", "@", "a\\\n"] {
            assert_eq!(text.parse::<Owner>(), Err(OwnerError::Escape), "{text:?}");
        }
        let label = "a".repeat(MAX_LABEL);
        assert_eq!(format!("{label}a").parse::<Owner>(), Err(OwnerError::LabelTooLong(64)));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert!(longest.parse::<Owner>().is_ok());
        assert_eq!(format!("{longest}a").parse::<Owner>(), Err(OwnerError::TooLong(256)));
    }

    #[test]
    fn a_name_is_in_a_zone_at_a_dot_that_parts_labels() {
        let zone: Name = "example.org".parse().unwrap();
        for (name, is_in) in [
            ("example.org", true),
            ("_flow._tcp.example.org", true),
            ("a\\.b.example.org", true),
            ("a\\\\.example.org", true),
            ("a\\.example.org", false),
            ("badexample.org", false),
            ("org", false),
        ] {
            assert_eq!(owner(name).is_in(&zone), is_in, "{name}");
        }
        assert!(owner("*.example.org").is_wildcard());
        assert!(!owner("a.*.example.org").is_wildcard());
    }
}
