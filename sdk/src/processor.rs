//! The contract: what a plugin says about itself, what it is told, and what it is called for.

use serde::de::DeserializeOwned;

use crate::{Action, Batch, Error};

/// A processor type. An instance serves one shard; the host may destroy it at any batch boundary
/// and make it again, so whatever has to last belongs into [`crate::state`].
pub trait Processor: 'static {
    /// Says what the type is. Runs before anything is granted: no state, no configuration.
    fn describe() -> Info
    where
        Self: Sized;

    /// Makes an instance. State can be read but not written.
    ///
    /// # Errors
    /// [`Error::Fatal`] with `path: reason` where the configuration is wrong.
    fn init(setup: &Setup) -> Result<Self, Error>
    where
        Self: Sized;

    /// Decides what becomes of each event of a batch. Every one must be named by an action unless
    /// [`Info::unnamed_dropped`] was said.
    ///
    /// # Errors
    /// Named by what the host shall do: see [`Error`]. State written by a call that fails is
    /// discarded, and so is the instance.
    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error>;

    /// No more batches until [`Processor::resume`].
    ///
    /// # Errors
    /// As in [`Processor::process`].
    fn pause(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Batches come again.
    ///
    /// # Errors
    /// As in [`Processor::process`].
    fn resume(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Called once, when the processor is deleted; not when an instance ends.
    ///
    /// # Errors
    /// As in [`Processor::process`].
    fn destroy(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// How many flows a processor takes on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly one.
    #[default]
    One,
    /// One or more.
    Many,
}

/// What a type says about itself. Starts as 1:1, without configuration, naming every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The type's name: lower-case letters, digits, hyphens.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// Flows it reads.
    pub inputs: Cardinality,
    /// Flows it writes.
    pub outputs: Cardinality,
    /// A JSON Schema (2020-12) of the configuration.
    pub config_schema: String,
    /// Events that no action names are dropped.
    pub unnamed_dropped: bool,
    /// State is kept by key, so that inputs must have equal partition counts.
    pub keyed: bool,
}

impl Info {
    /// A 1:1 type that takes no configuration.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: String::new(),
            inputs: Cardinality::One,
            outputs: Cardinality::One,
            config_schema: NO_CONFIG.to_owned(),
            unnamed_dropped: false,
            keyed: false,
        }
    }

    /// Sets the line for people.
    #[must_use]
    pub fn summary(self, summary: &str) -> Self {
        Self { summary: summary.to_owned(), ..self }
    }

    /// Takes any number of inputs.
    #[must_use]
    pub fn many_inputs(self) -> Self {
        Self { inputs: Cardinality::Many, ..self }
    }

    /// Takes any number of outputs.
    #[must_use]
    pub fn many_outputs(self) -> Self {
        Self { outputs: Cardinality::Many, ..self }
    }

    /// Declares the configuration, a JSON Schema (2020-12).
    #[must_use]
    pub fn config_schema(self, schema: &str) -> Self {
        Self { config_schema: schema.to_owned(), ..self }
    }

    /// Events that no action names are dropped.
    #[must_use]
    pub fn unnamed_dropped(self) -> Self {
        Self { unnamed_dropped: true, ..self }
    }

    /// State is kept by key.
    #[must_use]
    pub fn keyed(self) -> Self {
        Self { keyed: true, ..self }
    }

    /// The JSON document of whatever may grow, as it crosses to the host.
    #[must_use]
    pub fn more(&self) -> String {
        serde_json::json!({ "keyed": self.keyed }).to_string()
    }
}

/// What an instance is told when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The configuration, a JSON document; empty means `{}`.
    pub config: String,
    /// The names of the input flows, in order.
    pub inputs: Vec<String>,
    /// The names of the output flows, in order.
    pub outputs: Vec<String>,
    /// The processor's name.
    pub processor: String,
    /// The shard it serves.
    pub shard: u32,
    /// A JSON object for whatever may grow.
    pub more: String,
}

impl Setup {
    /// Reads the configuration. Put `#[serde(deny_unknown_fields)]` on `T`, so that a misspelt
    /// name is refused instead of ignored.
    ///
    /// # Errors
    /// [`Error::Fatal`] as `path: reason`, for example `rules[2].to: invalid type: integer`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let text = if self.config.trim().is_empty() { "{}" } else { &self.config };
        // By way of a document: its errors tell the path, not a column that nobody can see.
        let document: serde_json::Value =
            serde_json::from_str(text).map_err(|error| Error::config("", error))?;
        serde_path_to_error::deserialize(document)
            .map_err(|error| Error::config(&error.path().to_string(), error.inner()))
    }
}

/// The schema of a configuration that says nothing.
const NO_CONFIG: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        rules: Vec<Rule>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        to: u32,
    }

    fn refusal(config: &str) -> String {
        let setup = Setup { config: config.to_owned(), ..Setup::default() };
        setup.config::<Config>().unwrap_err().to_string()
    }

    #[test]
    fn a_configuration_comes_as_the_type_that_was_asked_for() {
        let setup = Setup { config: r#"{"rules":[{"to":1}]}"#.to_owned(), ..Setup::default() };
        assert_eq!(setup.config::<Config>().unwrap(), Config { rules: vec![Rule { to: 1 }] });
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_path() {
        let text = refusal(r#"{"rules":[{"to":1},{"to":"x"}]}"#);
        assert_eq!(text, "rules[1].to: invalid type: string \"x\", expected u32");
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_path() {
        let text = refusal(r#"{"rules":[{"to":1,"too":2}]}"#);
        assert_eq!(text, "rules[0].too: unknown field `too`, expected `to`");
    }

    #[test]
    fn a_missing_value_is_refused_where_it_belongs() {
        assert_eq!(refusal(r#"{"rules":[{}]}"#), "rules[0]: missing field `to`");
        assert_eq!(refusal(""), "config: missing field `rules`");
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        assert_eq!(refusal("{"), "config: EOF while parsing an object at line 1 column 1");
    }

    #[test]
    fn info_tells_what_may_grow_in_a_document() {
        let info = Info::new("x", "1.0.0").keyed();
        assert_eq!(info.more(), r#"{"keyed":true}"#);
    }
}
