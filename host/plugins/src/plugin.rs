//! One compiled component and what it says about itself.

use std::fmt;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{CallError, LoadError};
use crate::instance::{self, Instance, Setup};
use crate::lines::Lines;
use crate::log::is_plain;
use crate::v1::Linked;
use crate::version::Optional;

/// A compiled component. Cloning shares it.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) component: Linked,
    pub(crate) digest: Arc<str>,
    pub(crate) info: Info,
    pub(crate) size: usize,
    pub(crate) lines: Arc<Lines>,
}

/// How many flows a processor takes on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly one.
    One,
    /// One or more.
    Many,
}

/// What a component says about itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The type's name: lower-case letters, digits, hyphens.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// Inputs it takes.
    pub inputs: Cardinality,
    /// Outputs it takes.
    pub outputs: Cardinality,
    /// A JSON Schema of the configuration.
    pub config_schema: String,
    /// Events that no action names are dropped.
    pub unnamed_dropped: bool,
    /// A JSON object for whatever may grow.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Plugin {
    /// SHA-256 of the component's bytes, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &Arc<str> {
        &self.0.digest
    }

    /// What it says about itself.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The version of the contract that it speaks.
    #[must_use]
    pub fn contract(&self) -> &'static str {
        self.0.component.version().name()
    }

    /// Whether it exports an optional interface.
    #[must_use]
    pub fn exports(&self, optional: Optional) -> bool {
        self.0.component.optional().any(|found| found == optional)
    }

    /// The names of the optional interfaces that it exports.
    #[must_use]
    pub fn interfaces(&self) -> Vec<&'static str> {
        self.0.component.optional().map(Optional::name).collect()
    }

    /// Bytes of the component.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Makes an instance and calls `init`.
    ///
    /// # Errors
    /// What `init` answered (`Fatal` names the wrong value of the configuration), or why it could
    /// not be called.
    pub async fn instantiate(&self, setup: Setup) -> Result<Instance, CallError> {
        Instance::start(self, setup).await
    }
}

impl Plugin {
    /// Asks the component again what it is, in another instance.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub async fn describe_again(&self) -> Result<Info, LoadError> {
        let limits = self.0.engine.describe_limits().clone();
        let lines = Arc::clone(&self.0.lines);
        instance::describe(&self.0.engine, self.0.component.clone(), lines, limits).await
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Info { name, version, .. } = &self.0.info;
        write!(out, "Plugin({name} {version} {})", self.0.digest)
    }
}

/// What a component says about itself, unchecked.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) inputs: Cardinality,
    pub(crate) outputs: Cardinality,
    pub(crate) config_schema: String,
    pub(crate) unnamed_dropped: bool,
    pub(crate) more: String,
}

impl Claim {
    /// Checks every field: names become parts of replies and paths.
    pub(crate) fn check(self) -> Result<Info, LoadError> {
        check_name(&self.name).map_err(|reason| wrong("name", reason))?;
        check_version(&self.version).map_err(|reason| wrong("version", reason))?;
        check_summary(&self.summary).map_err(|reason| wrong("summary", reason))?;
        object(&self.config_schema).map_err(|reason| wrong("config-schema", reason))?;
        let more = object(&self.more).map_err(|reason| wrong("more", reason))?;
        Ok(Info {
            name: self.name,
            version: self.version,
            summary: self.summary,
            inputs: self.inputs,
            outputs: self.outputs,
            config_schema: self.config_schema,
            unnamed_dropped: self.unnamed_dropped,
            more,
        })
    }
}

fn wrong(field: &'static str, reason: impl Into<String>) -> LoadError {
    LoadError::Info { field, reason: reason.into() }
}

/// Whether a type can be called that.
///
/// # Errors
/// With the rule that it breaks.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME {
        Err("must be 1 to 63 characters long")
    } else if !name.bytes().all(letter) || name.starts_with('-') || name.ends_with('-') {
        Err("must be lower-case letters, digits and inner hyphens")
    } else {
        Ok(())
    }
}

fn check_version(version: &str) -> Result<(), &'static str> {
    let (numbers, rest) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits && (text.len() == 1 || !text.starts_with('0'))
    };
    let three = numbers.split('.').count() == 3 && numbers.split('.').all(number);
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    if version.len() <= MAX_NAME && three && rest.bytes().all(tail) {
        Ok(())
    } else {
        Err("must be a semantic version")
    }
}

fn check_summary(summary: &str) -> Result<(), &'static str> {
    if summary.len() > MAX_SUMMARY {
        Err("must be at most 200 bytes long")
    } else if !summary.chars().all(is_plain) {
        Err("must be one line of visible text")
    } else {
        Ok(())
    }
}

fn object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    if text.len() > MAX_DOCUMENT {
        return Err(format!("limit passed: describe_bytes={MAX_DOCUMENT}"));
    }
    serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))
}

/// Bytes of a type's name or version: the name is a file's stem and a word of a command.
const MAX_NAME: usize = 63;

/// Bytes of the line for people.
const MAX_SUMMARY: usize = 200;

/// Bytes of a JSON document in `describe`; it is sent to whoever asks.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            name: "time-bridge2".to_owned(),
            version: "1.20.3-rc.1+b5".to_owned(),
            summary: "Forwards".to_owned(),
            inputs: Cardinality::One,
            outputs: Cardinality::Many,
            config_schema: "{}".to_owned(),
            unnamed_dropped: true,
            more: r#"{"keyed": true}"#.to_owned(),
        }
    }

    fn wrong_field(claim: Claim) -> &'static str {
        match claim.check() {
            Err(LoadError::Info { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_right_description_is_taken() {
        let info = claim().check().unwrap();
        assert_eq!(info.more.get("keyed"), Some(&serde_json::Value::Bool(true)));
    }

    #[test]
    fn each_wrong_field_is_named() {
        for name in ["", "Bridge", "a/b", "-a", "a-", "a b", &"a".repeat(64)] {
            assert_eq!(wrong_field(Claim { name: name.to_owned(), ..claim() }), "name");
        }
        for version in ["", "1", "1.2", "1.2.x", "01.2.3", "1.2.3 ", "1.2.3-ä"] {
            assert_eq!(wrong_field(Claim { version: version.to_owned(), ..claim() }), "version");
        }
        let summary = "two\r\nlines".to_owned();
        assert_eq!(wrong_field(Claim { summary, ..claim() }), "summary");
        let config_schema = "[]".to_owned();
        assert_eq!(wrong_field(Claim { config_schema, ..claim() }), "config-schema");
        assert_eq!(wrong_field(Claim { more: "no".to_owned(), ..claim() }), "more");
    }
}
