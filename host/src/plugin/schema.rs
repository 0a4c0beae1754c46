//! The JSON Schema of a plugin's configuration: whether it is one, and configurations made of it.
//!
//! Knows the words of 2020-12 that constrain or contain something; words that it does not know mean nothing, as the
//! standard says. Fetches nothing. What it makes up is a guess, for want of somebody's own configuration.

use serde_json::{Map, Value, json};

/// Everything that is wrong with a schema, as `path: reason`; at most [`MOST`].
pub(crate) fn wrong_with(schema: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    match serde_json::from_str(schema) {
        Ok(schema) => look(&schema, "", &mut wrong),
        Err(error) => wrong.push(format!("not JSON: {error}")),
    }
    wrong.truncate(MOST);
    wrong
}

/// What is wrong with a schema is a list for people.
const MOST: usize = 20;

fn look(schema: &Value, path: &str, wrong: &mut Vec<String>) {
    let object = match schema {
        Value::Bool(_) => return,
        Value::Object(object) => object,
        other => {
            return wrong.push(said(
                path,
                &format!("a schema is an object or a boolean, not {}", kind(other)),
            ));
        }
    };
    for (word, value) in object {
        let path = join(path, word);
        match word.as_str() {
            "properties" | "patternProperties" | "$defs" | "dependentSchemas" => match value {
                Value::Object(all) => {
                    all.iter().for_each(|(name, schema)| look(schema, &join(&path, name), wrong))
                }
                other => {
                    wrong.push(said(&path, &format!("an object of schemas, not {}", kind(other))))
                }
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
            | "unevaluatedItems" => look(value, &path, wrong),
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                match value.as_array().filter(|all| !all.is_empty()) {
                    Some(all) => {
                        for (index, schema) in all.iter().enumerate() {
                            look(schema, &join(&path, &index.to_string()), wrong);
                        }
                    }
                    None => wrong.push(said(&path, "a list of schemas, at least one")),
                }
            }
            _ => wrong.extend(wrong_value(word, value).map(|reason| said(&path, reason))),
        }
    }
    wrong.extend(unknown_required(object).map(|name| {
        said(
            &join(path, "required"),
            &format!("`{name}` is required, and additionalProperties forbids it"),
        )
    }));
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
    let once = |(index, name): (usize, &Value)| {
        name.is_string() && !names.iter().take(index).any(|other| other == name)
    };
    names.iter().enumerate().all(once)
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

fn said(path: &str, reason: &str) -> String {
    if path.is_empty() { reason.to_owned() } else { format!("{path}: {reason}") }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
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

/// The least configuration that a schema asks for.
pub(crate) fn least(schema: &str) -> String {
    let Ok(root) = serde_json::from_str::<Value>(schema) else { return "{}".to_owned() };
    let made = make(&root, &root, 0);
    if made.is_object() { made.to_string() } else { "{}".to_owned() }
}

/// A value as a schema wants it, as far as that can be guessed.
fn make(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    let said = ["const", "default"].into_iter().find_map(|word| schema.get(word));
    let first = ["examples", "enum"].into_iter().find_map(|word| schema.get(word)?.get(0));
    if let Some(value) = said.or(first) {
        return value.clone();
    }
    let reference =
        schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
    if let Some(meant) = reference.and_then(|path| root.pointer(path)) {
        return make(meant, root, depth + 1);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    let number = |word: &str| schema.get(word).and_then(Value::as_i64);
    match kind {
        Some("integer" | "number") => number("minimum")
            .or(number("exclusiveMinimum").map(|least| least + 1))
            .unwrap_or(1)
            .into(),
        Some("string") => {
            "x".repeat(number("minLength").map_or(1, |least| least.clamp(1, 1024) as usize)).into()
        }
        Some("boolean") => false.into(),
        Some("null") => Value::Null,
        Some("array") => {
            let count = number("minItems").unwrap_or(0).clamp(0, 64);
            let item =
                schema.get("items").map_or(Value::Null, |items| make(items, root, depth + 1));
            (0..count).map(|_| item.clone()).collect()
        }
        Some("object") => required(schema, root, depth),
        _ if schema.get("properties").is_some() => required(schema, root, depth),
        _ => {
            let one_of =
                ["oneOf", "anyOf", "allOf"].into_iter().find_map(|word| schema.get(word)?.get(0));
            one_of.map_or(json!({}), |first| make(first, root, depth + 1))
        }
    }
}

fn required(schema: &Value, root: &Value, depth: usize) -> Value {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let member = |name: &str| {
        let of = schema.get("properties").and_then(|all| all.get(name));
        (name.to_owned(), of.map_or(json!("x"), |of| make(of, root, depth + 1)))
    };
    Value::Object(names.filter_map(Value::as_str).map(member).collect())
}

/// Schemas inside each other that are followed.
const DEEPEST: usize = 16;

/// Configurations that a schema forbids, made of one that is right: the member that is to blame (empty: the whole), and
/// the text. At most [`MOST_WRONG`].
pub(crate) fn wrong_configurations(schema: &str, right: &str) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let right: Value = serde_json::from_str(right).unwrap_or_default();
    let Some(right) = right.as_object() else { return wrong };
    if schema.get("type") == Some(&json!("object")) {
        wrong.push((String::new(), "7".to_owned()));
    }
    let mut with = |name: &str, value: Value| {
        let mut members = right.clone();
        members.insert(name.to_owned(), value);
        wrong.push((name.to_owned(), Value::Object(members).to_string()));
    };
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        with(UNKNOWN, json!(true));
    }
    for (name, of) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match of.get("type").and_then(Value::as_str) {
            Some("object") => with(name, json!(7)),
            Some("array" | "integer" | "number" | "string" | "boolean") => {
                with(name, json!({ "wrong": true }))
            }
            _ => {}
        }
    }
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let mut members = right.clone();
        members.remove(name);
        wrong.push((String::new(), Value::Object(members).to_string()));
    }
    wrong.truncate(MOST_WRONG);
    wrong
}

/// Wrong configurations that are tried; each costs an instance.
const MOST_WRONG: usize = 64;

/// A name that no schema has.
const UNKNOWN: &str = "no-such-member";

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
    fn the_least_configuration_has_what_is_required() {
        let schema = r##"{"type":"object","required":["n","s","o","e","r"],"properties":{"n":{"type":"integer","minimum":3},
            "s":{"type":"string"},"o":{"type":"object","required":["b"],"properties":{"b":{"type":"boolean"}}},
            "e":{"enum":["a","b"]},"r":{"$ref":"#/$defs/l"}},"$defs":{"l":{"type":"array","minItems":1,"items":{"type":"number"}}}}"##;
        assert_eq!(least(schema), r#"{"n":3,"s":"x","o":{"b":false},"e":"a","r":[1]}"#);
        assert_eq!(least("{}"), "{}");
        assert_eq!(least(r##"{"$ref":"#"}"##), "{}");
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
