//! Names of flows, namespaces, processors and subscriptions: DNS names of lower-case A-labels.
//!
//! Does not know what a name stands for, and never looks one up. Names in other scripts have to be
//! converted to A-labels (`xn--…`) by whoever talks to people.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;

/// Longest name in octets: `id.` and `_queue._flow._tcp.` in front of it must still fit into the
/// 253 octets of a DNS name.
pub const MAX_NAME: usize = 200;

/// Longest label in octets (RFC 1035).
pub const MAX_LABEL: usize = 63;

/// What the draft writes in front of a flow's name to make it a URI.
pub const SCHEME: &str = "flow://";

/// A checked, lower-cased name. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The name of a flow.
pub type FlowName = Name;
/// The name of a namespace.
pub type NamespaceName = Name;
/// The name of a processor.
pub type ProcessorName = Name;
/// The name of a subscription, `id.flow`.
pub type SubscriptionName = Name;

/// Why a text is no name, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("empty name")]
    Empty,
    /// More octets than [`MAX_NAME`].
    #[error("name of {len} octets, at most {MAX_NAME} allowed")]
    TooLong {
        /// Octets found.
        len: usize,
    },
    /// A `flow://` URI that says more than a name: only the name is one's flow, wherever its host listens.
    #[error("a flow uri has a name and nothing else, this one has a {part}")]
    Uri {
        /// What it has: a user, a port, a path, a query or a fragment.
        part: &'static str,
    },
    /// Another scheme than [`SCHEME`].
    #[error("scheme {scheme:?}: a name has none, or flow://")]
    Scheme {
        /// What stands before `://`, shortened.
        scheme: String,
    },
    /// Two dots in a row, or a dot at the start.
    #[error("empty label {label}")]
    EmptyLabel {
        /// Which label, counted from 1.
        label: usize,
    },
    /// More octets in a label than [`MAX_LABEL`].
    #[error("label {label} has {len} octets, at most {MAX_LABEL} allowed")]
    LabelTooLong {
        /// Which label, counted from 1.
        label: usize,
        /// Octets found.
        len: usize,
    },
    /// Neither letter, digit nor hyphen.
    #[error("character {found:?} at octet {at}: only a-z, 0-9, '-' and '.' are allowed")]
    Character {
        /// What stands there.
        found: char,
        /// Octet, counted from 1.
        at: usize,
    },
    /// A hyphen at the start or the end of a label.
    #[error("label {label} begins or ends with '-'")]
    Hyphen {
        /// Which label, counted from 1.
        label: usize,
    },
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, leftmost first.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name without its first label; none of a single label.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_once('.')?;
        Some(Self(rest.into()))
    }

    /// Whether this name lies below `namespace`. A name does not lie below itself.
    #[must_use]
    pub fn is_within(&self, namespace: &Self) -> bool {
        let front = self.0.strip_suffix(namespace.as_str());
        front.is_some_and(|front| front.ends_with('.'))
    }

    /// `label.self`, as an `id.flow` of a subscription is made.
    ///
    /// # Errors
    /// When the label, or the whole, is no name.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        format!("{label}.{self}").parse()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_bare(bare(text)?)
    }
}

impl Name {
    /// A name from which whatever people write around it was taken already.
    pub(crate) fn from_bare(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong { len: text.len() });
        }
        if let Some((at, found)) = text.char_indices().find(|(_, c)| !allowed(*c)) {
            return Err(NameError::Character { found, at: at + 1 });
        }
        for (index, label) in text.split('.').enumerate() {
            check_label(label, index + 1)?;
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// What is left of a name as people and other programs write it: without `flow://` and the slash that may
/// follow then, and without the dot of a complete DNS name.
pub(crate) fn bare(text: &str) -> Result<&str, NameError> {
    let name = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME_NAME) => authority(rest)?,
        Some((scheme, _)) => {
            let scheme = scheme.chars().take(SHOWN_SCHEME).collect();
            return Err(NameError::Scheme { scheme });
        }
        None => text,
    };
    match name.strip_suffix('.') {
        // The root alone is no name of anything.
        Some("") => Err(NameError::EmptyLabel { label: 1 }),
        Some(complete) => Ok(complete),
        None => Ok(name),
    }
}

/// The name of a URI that has nothing else (RFC 3986, section 3.2).
fn authority(rest: &str) -> Result<&str, NameError> {
    let name = rest.strip_suffix('/').unwrap_or(rest);
    let Some(found) = name.find(['/', '?', '#', '@', ':']) else { return Ok(name) };
    // A colon before an at sign belongs to the user.
    let part = match name.get(found..).and_then(|rest| rest.chars().next()) {
        Some('/') => "path",
        Some('?') => "query",
        Some('#') => "fragment",
        Some(':') if !name.contains('@') => "port",
        _ => "user",
    };
    Err(NameError::Uri { part })
}

/// [`SCHEME`] without its slashes.
const SCHEME_NAME: &str = "flow";

/// How much of a wrong scheme is repeated.
const SHOWN_SCHEME: usize = 20;

fn allowed(found: char) -> bool {
    found.is_ascii_alphanumeric() || found == '-' || found == '.'
}

fn check_label(text: &str, label: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::EmptyLabel { label });
    }
    if text.len() > MAX_LABEL {
        return Err(NameError::LabelTooLong { label, len: text.len() });
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Hyphen { label });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
