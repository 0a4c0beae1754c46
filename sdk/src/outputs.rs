//! Outputs as a configuration names them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use crate::{Error, Setup};

/// One or more outputs in a configuration: a flow's name, a number counted from 0, or a list of
/// those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputNames(Vec<OutputName>);

impl OutputNames {
    /// The outputs' numbers, each once, in order; `path` says where in the configuration they stand.
    ///
    /// # Errors
    /// [`Error::Fatal`] as `path: reason` where there is no such output.
    pub fn resolve(&self, setup: &Setup, path: &str) -> Result<Vec<u32>, Error> {
        let number = |name: &OutputName| name.resolve(&setup.outputs);
        let numbers: Result<Vec<u32>, String> = self.0.iter().map(number).collect();
        let mut numbers = numbers.map_err(|reason| Error::config(path, reason))?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Whether this is one word that means something else than an output.
    #[must_use]
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self.0.as_slice(), [OutputName::Flow(name)] if name == word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OutputName {
    Flow(String),
    Number(u64),
}

impl OutputName {
    fn resolve(&self, outputs: &[String]) -> Result<u32, String> {
        let position = match self {
            Self::Flow(name) => outputs.iter().position(|output| output == name),
            Self::Number(number) => usize::try_from(*number).ok().filter(|n| *n < outputs.len()),
        };
        position
            .and_then(|position| u32::try_from(position).ok())
            .ok_or_else(|| format!("no such output: {self}, outputs are {}", outputs.join(", ")))
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(name) => name.fmt(out),
            Self::Number(number) => number.fmt(out),
        }
    }
}

impl<'de> Deserialize<'de> for OutputNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ManyVisitor)
    }
}

impl<'de> Deserialize<'de> for OutputName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor)
    }
}

struct OneVisitor;

impl Visitor<'_> for OneVisitor {
    type Value = OutputName;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name or number of an output")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(OutputName::Flow(name.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(OutputName::Number(number))
    }
}

struct ManyVisitor;

impl<'de> Visitor<'de> for ManyVisitor {
    type Value = OutputNames;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name or number of an output, or a list of those")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(OutputNames(vec![OutputName::Flow(name.to_owned())]))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(OutputNames(vec![OutputName::Number(number)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
        let mut outputs = Vec::new();
        while let Some(name) = names.next_element()? {
            outputs.push(name);
        }
        if outputs.is_empty() {
            return Err(A::Error::custom("names no output"));
        }
        Ok(OutputNames(outputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Config {
        to: OutputNames,
    }

    fn resolve(to: &str) -> Result<Vec<u32>, String> {
        let outputs = vec!["a.example".to_owned(), "b.example".to_owned()];
        let config = format!(r#"{{"to":{to}}}"#);
        let setup = Setup { config, outputs, ..Setup::default() };
        let config: Config = setup.config().map_err(|error| error.to_string())?;
        config.to.resolve(&setup, "to").map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_are_named_by_flow_or_number_each_once() {
        assert_eq!(resolve(r#""b.example""#).unwrap(), [1]);
        assert_eq!(resolve("0").unwrap(), [0]);
        assert_eq!(resolve(r#"[1,"a.example","b.example"]"#).unwrap(), [0, 1]);
    }

    #[test]
    fn an_output_that_is_not_there_is_refused_with_those_that_are() {
        let text = resolve(r#""c.example""#).unwrap_err();
        assert_eq!(text, "to: no such output: c.example, outputs are a.example, b.example");
        assert!(resolve("2").unwrap_err().starts_with("to: no such output: 2"));
    }

    #[test]
    fn what_is_no_output_is_refused_with_its_path() {
        let text = "the name or number of an output";
        assert_eq!(
            resolve("[1,true]").unwrap_err(),
            format!("to[1]: invalid type: boolean `true`, expected {text}")
        );
        assert!(resolve("-1").unwrap_err().starts_with("to: invalid type: integer `-1`"));
        assert_eq!(resolve("[]").unwrap_err(), "to: names no output");
    }
}
