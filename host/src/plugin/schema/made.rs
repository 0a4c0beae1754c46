//! Configurations made of a schema: the least that it asks for, and some that it forbids.
//!
//! What is made up is a guess, for want of somebody's own configuration. A stranger wrote the schema, which may refer to
//! itself, and ask in a line for more than a machine holds: what is made has at most [`MOST_VALUES`] values and
//! [`MOST_BYTES`] octets, and schemas are followed [`DEEPEST`] deep. Where that does not do, nothing is made.

use serde_json::{Map, Value, json};

/// A schema asks for more than is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "limit passed: {which}={limit}: the schema asks for more than is made up: give a configuration with --config"
)]
pub(crate) struct TooMuch {
    which: &'static str,
    limit: usize,
}

/// The least configuration that a schema asks for.
pub(crate) fn least(schema: &str) -> Result<String, TooMuch> {
    let Ok(root) = serde_json::from_str::<Value>(schema) else { return Ok("{}".to_owned()) };
    let mut maker = Maker { root: &root, values: MOST_VALUES, bytes: MOST_BYTES };
    let made = maker.make(&root, 0)?;
    Ok(if made.is_object() { made.to_string() } else { "{}".to_owned() })
}

/// Schemas inside each other that are followed: a configuration that people write has three or four levels.
const DEEPEST: usize = 16;

/// Values and schemas that are looked at. What a plugin asks for at least, somebody has to write.
const MOST_VALUES: usize = 10_000;

/// Octets of a configuration that is made up: below what a command's line holds.
const MOST_BYTES: usize = 64 * 1024;

/// Octets of a reference: it is walked whenever it is met.
const MOST_REF: usize = 1024;

/// What is left to spend.
struct Maker<'a> {
    root: &'a Value,
    values: usize,
    bytes: usize,
}

impl<'a> Maker<'a> {
    /// A value as a schema wants it, as far as that can be guessed.
    fn make(&mut self, schema: &'a Value, depth: usize) -> Result<Value, TooMuch> {
        if depth > DEEPEST {
            return Err(TooMuch { which: "made_depth", limit: DEEPEST });
        }
        self.spend(1, 0)?;
        let said = ["const", "default"].into_iter().find_map(|word| schema.get(word));
        let first = ["examples", "enum"].into_iter().find_map(|word| schema.get(word)?.get(0));
        if let Some(value) = said.or(first) {
            self.spend(1, size(value))?;
            return Ok(value.clone());
        }
        if let Some(meant) = self.referred(schema) {
            return self.make(meant, depth + 1);
        }
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
            kind => kind.and_then(Value::as_str),
        };
        let number = |word: &str| schema.get(word).and_then(Value::as_i64);
        Ok(match kind {
            Some("integer" | "number") => number("minimum")
                .or(number("exclusiveMinimum").map(|least| least.saturating_add(1)))
                .unwrap_or(1)
                .into(),
            Some("string") => {
                let length = number("minLength").map_or(1, |least| least.clamp(1, 1024) as usize);
                self.spend(1, length)?;
                "x".repeat(length).into()
            }
            Some("boolean") => false.into(),
            Some("null") => Value::Null,
            Some("array") => self.list(schema, number("minItems"), depth)?,
            Some("object") => self.required(schema, depth)?,
            _ if schema.get("properties").is_some() => self.required(schema, depth)?,
            _ => {
                let first = ["oneOf", "anyOf", "allOf"]
                    .into_iter()
                    .find_map(|word| schema.get(word)?.get(0));
                first.map_or(Ok(json!({})), |first| self.make(first, depth + 1))?
            }
        })
    }

    fn referred(&self, schema: &Value) -> Option<&'a Value> {
        let path = schema.get("$ref").and_then(Value::as_str)?.strip_prefix('#')?;
        self.root.pointer(path).filter(|_| path.len() <= MOST_REF)
    }

    fn list(
        &mut self,
        schema: &'a Value,
        least: Option<i64>,
        depth: usize,
    ) -> Result<Value, TooMuch> {
        let count = usize::try_from(least.unwrap_or(0).clamp(0, 64)).unwrap_or(0);
        if count == 0 {
            return Ok(json!([]));
        }
        let item = match schema.get("items") {
            Some(items) => self.make(items, depth + 1)?,
            None => Value::Null,
        };
        self.spend(count, count * size(&item))?;
        Ok(vec![item; count].into())
    }

    fn required(&mut self, schema: &'a Value, depth: usize) -> Result<Value, TooMuch> {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut members = Map::new();
        for name in names.filter_map(Value::as_str) {
            self.spend(1, name.len())?;
            let of = schema.get("properties").and_then(|all| all.get(name));
            let value = of.map_or(Ok(json!("x")), |of| self.make(of, depth + 1))?;
            members.insert(name.to_owned(), value);
        }
        Ok(Value::Object(members))
    }

    fn spend(&mut self, values: usize, bytes: usize) -> Result<(), TooMuch> {
        let too_much = |which, limit| TooMuch { which, limit };
        let left = self.values.checked_sub(values);
        self.values = left.ok_or(too_much("made_values", MOST_VALUES))?;
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or(too_much("made_bytes", MOST_BYTES))?;
        Ok(())
    }
}

/// Octets of a value as it is written.
fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// Configurations that a schema forbids, made of one that is right: the member that is to blame (empty: the whole), and
/// the text. At most [`MOST_WRONG`].
pub(crate) fn wrong_configurations(schema: &str, right: &str) -> Vec<(String, String)> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let right: Value = serde_json::from_str(right).unwrap_or_default();
    let Some(right) = right.as_object() else { return Vec::new() };
    let whole =
        (schema.get("type") == Some(&json!("object"))).then(|| (String::new(), "7".to_owned()));
    let with = |name: &str, value: Value| {
        let mut members = right.clone();
        members.insert(name.to_owned(), value);
        (name.to_owned(), Value::Object(members).to_string())
    };
    let unknown = (schema.get("additionalProperties") == Some(&Value::Bool(false)))
        .then(|| with(UNKNOWN, json!(true)));
    let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mistyped =
        members.filter_map(|(name, of)| Some(with(name, wrong_for(of.get("type")?.as_str()?)?)));
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let missing = required.filter_map(Value::as_str).map(|name| {
        let mut members = right.clone();
        members.remove(name);
        (String::new(), Value::Object(members).to_string())
    });
    let all = whole.into_iter().chain(unknown).chain(mistyped).chain(missing);
    all.take(MOST_WRONG).collect()
}

/// A value of another type.
fn wrong_for(kind: &str) -> Option<Value> {
    match kind {
        "object" => Some(json!(7)),
        "array" | "integer" | "number" | "string" | "boolean" => Some(json!({ "wrong": true })),
        _ => None,
    }
}

/// Wrong configurations that are tried; each costs an instance.
const MOST_WRONG: usize = 64;

/// A name that no schema has.
const UNKNOWN: &str = "no-such-member";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_configuration_has_what_is_required() {
        let schema = r##"{"type":"object","required":["n","s","o","e","r"],"properties":{"n":{"type":"integer","minimum":3},
            "s":{"type":"string"},"o":{"type":"object","required":["b"],"properties":{"b":{"type":"boolean"}}},
            "e":{"enum":["a","b"]},"r":{"$ref":"#/$defs/l"}},"$defs":{"l":{"type":"array","minItems":1,"items":{"type":"number"}}}}"##;
        assert_eq!(least(schema).unwrap(), r#"{"n":3,"s":"x","o":{"b":false},"e":"a","r":[1]}"#);
        assert_eq!(least("{}").unwrap(), "{}");
    }

    fn refused(schema: &str) -> &'static str {
        least(schema).unwrap_err().which
    }

    #[test]
    fn a_schema_without_end_or_measure_is_given_up() {
        let member = |name: &str| format!(r##""{name}":{{"$ref":"#"}}"##);
        let wide: Vec<_> = (0..50).map(|n| member(&format!("m{n}"))).collect();
        let names: Vec<_> = (0..50).map(|n| format!(r#""m{n}""#)).collect();
        let every =
            format!(r#"{{"required":[{}],"properties":{{{}}}}}"#, names.join(","), wide.join(","));
        let list = |inner: &str| format!(r#"{{"type":"array","minItems":64,"items":{inner}}}"#);
        let lists = (0..15).fold("{}".to_owned(), |inner, _| list(&inner));
        let value = format!(r#"{{"type":"object","const":{{"a":"{}"}}}}"#, "v".repeat(MOST_BYTES));
        let flat: Vec<_> = (0..MOST_VALUES).map(|n| format!(r#""{n}""#)).collect();
        assert_eq!(refused(r##"{"$ref":"#"}"##), "made_depth");
        assert_eq!(
            refused(&format!(r##"{{"required":["m"],"properties":{{{}}}}}"##, member("m"))),
            "made_depth"
        );
        assert_eq!(refused(&every), "made_depth");
        let of = |next: &str| {
            let members =
                names.iter().map(|name| format!(r##"{name}:{{"$ref":"#/$defs/{next}"}}"##));
            format!(
                r#"{{"required":[{}],"properties":{{{}}}}}"#,
                names.join(","),
                members.collect::<Vec<_>>().join(",")
            )
        };
        let (a, b, c) = (of("b"), of("c"), of("d"));
        let cube =
            format!(r##"{{"$ref":"#/$defs/a","$defs":{{"a":{a},"b":{b},"c":{c},"d":{{}}}}}}"##);
        assert_eq!(refused(&cube), "made_values");
        assert_eq!(refused(&lists), "made_bytes");
        assert_eq!(refused(&value), "made_bytes");
        assert_eq!(
            refused(&format!(r#"{{"type":"object","required":[{}]}}"#, flat.join(","))),
            "made_values"
        );
        let far = format!(r##"{{"$ref":"#{}"}}"##, "/a".repeat(MOST_REF));
        assert_eq!(least(&far).unwrap(), "{}", "a reference that leads nowhere");
    }

    #[test]
    fn huge_enums_patterns_and_texts_are_not_taken_whole() {
        let values: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
        let pattern = "(a+)+$".repeat(10_000);
        let schema = format!(
            r#"{{"type":"object","required":["e","p","l"],"properties":{{"e":{{"enum":[{}]}},
            "p":{{"type":"string","pattern":"{pattern}"}},"l":{{"type":"string","minLength":9000000000}}}}}}"#,
            values.join(",")
        );
        let made: Value = serde_json::from_str(&least(&schema).unwrap()).unwrap();
        assert_eq!((&made["e"], &made["p"]), (&json!(0), &json!("x")));
        assert_eq!(made["l"].as_str().unwrap().len(), 1024);
    }

    #[test]
    fn of_many_wrong_configurations_some_are_made() {
        let members: Vec<_> =
            (0..5_000).map(|n| format!(r#""m{n}":{{"type":"object"}}"#)).collect();
        let schema = format!(r#"{{"type":"object","properties":{{{}}}}}"#, members.join(","));
        let right = json!({ "long": "x".repeat(1 << 20) }).to_string();
        assert_eq!(wrong_configurations(&schema, &right).len(), MOST_WRONG);
    }

    #[test]
    fn wrong_configurations_blame_a_member_or_the_whole() {
        let schema = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"},"o":{"type":"object"}},"additionalProperties":false}"#;
        let wrong = wrong_configurations(schema, r#"{"n":1}"#);
        let blamed: Vec<_> = wrong.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(blamed, ["", UNKNOWN, "n", "o", ""]);
        assert_eq!(wrong[2].1, r#"{"n":{"wrong":true}}"#);
        assert_eq!(wrong[4].1, "{}");
    }
}
