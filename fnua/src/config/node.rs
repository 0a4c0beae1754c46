//! A configuration as it was written, in either syntax: values, and the lines they stand on.
//!
//! Knows no keys. No error repeats a value, which might be a password, and texts are wiped when dropped.

use zeroize::Zeroizing;

use super::Fault;

/// A value and its line.
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What can be written.
pub(super) enum Value {
    Nothing,
    Text(Zeroizing<String>),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
    /// A kind of value that no key takes, by its name.
    Other(&'static str),
}

/// Keys and values, in the order written where the syntax keeps it.
pub(super) struct Table {
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) node: Node,
}

impl Table {
    /// Adds an entry; the same key twice is refused.
    pub(super) fn insert(&mut self, line: usize, key: String, node: Node) -> Result<(), Fault> {
        if self.entries.iter().any(|entry| entry.key == key) {
            return Err(fault(line, format!("key `{}` given twice", shortened(&key))));
        }
        self.entries.push(Entry { line, key, node });
        Ok(())
    }

    /// Refuses whatever is not one of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        match self.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            None => Ok(()),
            Some(entry) => Err(fault(
                entry.line,
                format!(
                    "unknown field `{}`, expected one of {}",
                    shortened(&entry.key),
                    known.join(", ")
                ),
            )),
        }
    }

    /// Takes a key's value away; none where it is absent or says nothing.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.swap_remove(at);
        (!matches!(entry.node.value, Value::Nothing)).then_some(entry.node)
    }

    /// A key that must be there.
    pub(super) fn need(&mut self, key: &str) -> Result<Node, Fault> {
        self.take(key).ok_or_else(|| fault(self.line, format!("missing field `{key}`")))
    }
}

impl Node {
    pub(super) fn text(self) -> Result<Zeroizing<String>, Fault> {
        match self.value {
            Value::Text(text) => Ok(text),
            other => Err(other.is_not(self.line, "a string")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, Fault> {
        match self.value {
            Value::Flag(flag) => Ok(flag),
            other => Err(other.is_not(self.line, "true or false")),
        }
    }

    pub(super) fn list(self) -> Result<Vec<Self>, Fault> {
        match self.value {
            Value::List(list) => Ok(list),
            Value::Nothing => Ok(Vec::new()),
            other => Err(other.is_not(self.line, "a list")),
        }
    }

    pub(super) fn table(self) -> Result<Table, Fault> {
        match self.value {
            Value::Table(table) => Ok(table),
            Value::Nothing => Ok(Table { line: self.line, entries: Vec::new() }),
            other => Err(other.is_not(self.line, "keys and values")),
        }
    }
}

impl Value {
    fn is_not(&self, line: usize, wanted: &str) -> Fault {
        let kind = match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "string",
            Self::Flag(_) => "boolean",
            Self::List(_) => "list",
            Self::Table(_) => "table",
            Self::Other(kind) => kind,
        };
        fault(line, format!("invalid type: {kind}, expected {wanted}"))
    }
}

pub(super) fn fault(line: usize, reason: impl Into<String>) -> Fault {
    Fault { line, reason: reason.into() }
}

/// Keys are repeated in errors, but not a whole file that lacks a colon.
fn shortened(key: &str) -> String {
    key.chars().take(MAX_KEY_SHOWN).collect()
}

const MAX_KEY_SHOWN: usize = 40;
