//! The users file: no text of it makes the host fail, or repeat a secret in an error.

use host_iam::{UserList, UsersError};
use toml::{Table, Value};

/// A users file's text.
pub fn users(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match UserList::parse(text, "users.toml") {
        Ok(list) => assert!(list.names().all(|name| !name.contains(char::is_whitespace))),
        Err(error) => {
            if let UsersError::Syntax { line, .. } = &error {
                assert!((1..=text.lines().count() + 1).contains(line), "line {line}");
            }
            let words = error.to_string();
            for secret in toml::from_str(text).map(secrets).unwrap_or_default() {
                assert!(!words.contains(&secret), "{words:?} holds {secret:?}");
            }
        }
    }
}

/// Every string that is marked as a secret and is no name.
fn secrets(table: Table) -> Vec<String> {
    let (mut found, mut left) = (Vec::new(), vec![(String::new(), Value::Table(table))]);
    while let Some((key, value)) = left.pop() {
        match value {
            Value::String(text) if text.contains(SECRET) && key != "name" => found.push(text),
            Value::Array(values) => left.extend(values.into_iter().map(|v| (key.clone(), v))),
            Value::Table(table) => left.extend(table),
            _ => {}
        }
    }
    found
}

/// Marks a value as a secret; the corpus has it in many places.
const SECRET: &str = "S3cr3t";
