//! The JSON Schema of a plugin's configuration: whether it is one, and configurations made of it ([`made`]).
//!
//! Knows the words of 2020-12 that constrain or contain something; words that it does not know mean nothing, as the
//! standard says. Fetches nothing, and tries no pattern. A schema is a stranger's: it is gone through once, and what it
//! says wrong is told with the beginning of the place only.

mod made;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(crate) use made::{TooMuch, least, wrong_configurations};

/// Everything that is wrong with a schema, as `path: reason`; at most [`MOST`].
pub(crate) fn wrong_with(schema: &str) -> Vec<String> {
    match serde_json::from_str(schema) {
        Ok(schema) => {
            let mut look = Look { path: Vec::new(), wrong: Vec::new() };
            look.at(&schema);
            look.wrong
        }
        Err(error) => vec![format!("not JSON: {error}")],
    }
}

/// What is wrong with a schema is a list for people.
const MOST: usize = 20;

/// Characters of a place in a schema that are told: its names may be as long as the schema.
const MOST_PATH: usize = 200;

/// A look at a schema and those in it, as deep as JSON may be.
struct Look<'a> {
    path: Vec<Cow<'a, str>>,
    wrong: Vec<String>,
}

impl<'a> Look<'a> {
    fn at(&mut self, schema: &'a Value) {
        let object = match schema {
            Value::Bool(_) => return,
            Value::Object(object) => object,
            other => {
                return self
                    .say(&format!("a schema is an object or a boolean, not {}", kind(other)));
            }
        };
        for (word, value) in object {
            self.within(word.as_str(), |look| look.word(word, value));
        }
        for name in unknown_required(object) {
            let reason =
                format!("`{}` is required, and additionalProperties forbids it", cut(name));
            self.within("required", |look| look.say(&reason));
        }
    }

    fn word(&mut self, word: &str, value: &'a Value) {
        match word {
            "properties" | "patternProperties" | "$defs" | "dependentSchemas" => match value {
                Value::Object(all) => {
                    for (name, schema) in all {
                        self.within(name.as_str(), |look| look.at(schema));
                    }
                }
                other => self.say(&format!("an object of schemas, not {}", kind(other))),
            },
            "items"
            | "additionalProperties"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "unevaluatedProperties"
            | "unevaluatedItems" => self.at(value),
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                match value.as_array().filter(|all| !all.is_empty()) {
                    Some(all) => {
                        for (index, schema) in all.iter().enumerate() {
                            self.within(index.to_string(), |look| look.at(schema));
                        }
                    }
                    None => self.say("a list of schemas, at least one"),
                }
            }
            _ => {
                if let Some(reason) = wrong_value(word, value) {
                    self.say(reason);
                }
            }
        }
    }

    fn within(&mut self, name: impl Into<Cow<'a, str>>, look: impl FnOnce(&mut Self)) {
        if self.wrong.len() < MOST {
            self.path.push(name.into());
            look(self);
            self.path.pop();
        }
    }

    fn say(&mut self, reason: &str) {
        let mut path = String::new();
        for name in &self.path {
            if path.len() < MOST_PATH {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(cut(name));
            }
        }
        let path = cut(&path);
        let words = if path.is_empty() { reason.to_owned() } else { format!("{path}: {reason}") };
        if self.wrong.len() < MOST {
            self.wrong.push(words);
        }
    }
}

/// The beginning of a name.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MOST_PATH)).unwrap_or(name)
}

/// What is wrong with the value of a word that contains no schema.
fn wrong_value(word: &str, value: &Value) -> Option<&'static str> {
    let (fits, reason) = match word {
        "type" => (
            is_type(value),
            "one of array, boolean, integer, null, number, object, string, or a list of these",
        ),
        "required" => (is_names(value), "a list of names, each once"),
        "enum" => (value.is_array(), "a list of values"),
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
            (value.is_number(), "a number")
        }
        "multipleOf" => (value.as_f64().is_some_and(|number| number > 0.0), "a number above 0"),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minContains" | "maxContains" => (value.is_u64(), "a whole number, not negative"),
        "uniqueItems" => (value.is_boolean(), "a boolean"),
        "pattern" | "format" | "title" | "description" | "$id" | "$ref" | "$comment" => {
            (value.is_string(), "a text")
        }
        "$schema" => (
            value == DIALECT,
            "https://json-schema.org/draft/2020-12/schema is what the contract names",
        ),
        _ => return None,
    };
    (!fits).then_some(reason)
}

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

fn is_type(value: &Value) -> bool {
    let known = |value: &Value| {
        let name = value.as_str().unwrap_or_default();
        ["array", "boolean", "integer", "null", "number", "object", "string"].contains(&name)
    };
    known(value) || value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(known))
}

fn is_names(value: &Value) -> bool {
    let Some(names) = value.as_array() else { return false };
    let mut seen = BTreeSet::new();
    names.iter().all(|name| name.as_str().is_some_and(|name| seen.insert(name)))
}

fn unknown_required(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let closed = object.get("additionalProperties") == Some(&Value::Bool(false))
        && !object.contains_key("patternProperties");
    let known = object.get("properties").and_then(Value::as_object);
    let names = object.get("required").and_then(Value::as_array).into_iter().flatten();
    names
        .filter_map(Value::as_str)
        .filter(move |name| closed && !known.is_some_and(|known| known.contains_key(*name)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_schema_has_nothing_wrong() {
        let schema = r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["n"],
            "properties":{"n":{"type":["integer","null"],"minimum":1},"m":{"$ref":"#/$defs/m"},"x":true},
            "$defs":{"m":{"enum":[1,2],"x-own":"word"}},"additionalProperties":false}"##;
        assert_eq!(wrong_with(schema), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_word_is_named_with_its_path() {
        let wrong = |schema: &str| wrong_with(schema).join("; ");
        assert!(wrong("{").starts_with("not JSON"));
        assert!(wrong("7").contains("an object or a boolean"));
        assert!(
            wrong(r#"{"properties":{"n":{"type":"int"}}}"#)
                .starts_with("properties.n.type: one of")
        );
        assert!(wrong(r#"{"properties":[]}"#).starts_with("properties: an object of schemas"));
        assert!(wrong(r#"{"required":["a","a"]}"#).starts_with("required: a list of names"));
        assert!(wrong(r#"{"anyOf":[]}"#).starts_with("anyOf: "));
        assert!(wrong(r#"{"items":{"minLength":-1}}"#).starts_with("items.minLength: "));
        assert!(
            wrong(r#"{"required":["n"],"properties":{},"additionalProperties":false}"#)
                .contains("`n` is required")
        );
        assert!(
            wrong(r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#)
                .starts_with("$schema: ")
        );
    }

    #[test]
    fn what_is_wrong_a_hundred_thousand_times_is_told_in_a_few_words() {
        let long = "n".repeat(100_000);
        let all = vec![r#"{"type":7}"#; 10_000].join(",");
        let wrong = wrong_with(&format!(r#"{{"properties":{{"{long}":{{"anyOf":[{all}]}}}}}}"#));
        assert_eq!(wrong.len(), MOST);
        assert!(wrong.iter().all(|words| words.len() < 2 * MOST_PATH), "{wrong:?}");
        assert!(wrong[0].starts_with("properties.nnn"), "{}", wrong[0]);
        let wrong = wrong_with(&format!("[{}]", vec!["7"; 1_000].join(",")));
        assert_eq!(wrong, ["a schema is an object or a boolean, not a list"]);
    }

    #[test]
    fn a_schema_deeper_than_json_may_be_is_no_json() {
        let deep = format!("{}true{}", r#"{"not":"#.repeat(5_000), "}".repeat(5_000));
        assert!(wrong_with(&deep)[0].starts_with("not JSON: recursion limit"));
        let within = format!("{}7{}", r#"{"not":"#.repeat(100), "}".repeat(100));
        assert!(wrong_with(&within)[0].starts_with("not.not.not."));
    }
}
