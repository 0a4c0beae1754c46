//! TOML text to [`Node`]s.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::Fault;
use super::node::{Node, Table, Value, fault};

pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let root = DeTable::parse(text).map_err(|error| {
        // Only the message: the error's own Display repeats the line, which may hold a password.
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        fault(error.span().map_or(1, |span| line_of(text, &span)), message)
    })?;
    let table = table(text, 1, root.into_inner())?;
    Ok(Node { line: 1, value: Value::Table(table) })
}

fn table(text: &str, line: usize, entries: DeTable<'_>) -> Result<Table, Fault> {
    let mut table = Table { line, entries: Vec::new() };
    for (key, value) in entries {
        let line = line_of(text, &key.span());
        table.insert(line, key.into_inner().into_owned(), node(text, value)?)?;
    }
    Ok(table)
}

fn node(text: &str, spanned: Spanned<DeValue<'_>>) -> Result<Node, Fault> {
    let line = line_of(text, &spanned.span());
    let value = match spanned.into_inner() {
        DeValue::String(string) => Value::Text(Zeroizing::new(string.into_owned())),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Array(list) => {
            Value::List(list.into_iter().map(|value| node(text, value)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(entries) => Value::Table(table(text, line, entries)?),
        DeValue::Integer(_) => Value::Other("integer"),
        DeValue::Float(_) => Value::Other("float"),
        DeValue::Datetime(_) => Value::Other("datetime"),
    };
    Ok(Node { line, value })
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    before.matches('\n').count() + 1
}
