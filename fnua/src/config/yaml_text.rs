//! YAML text to [`Node`]s: the part of YAML that a configuration needs.
//!
//! Refuses anchors and aliases, with which a small file can mean gigabytes, and tags; a scalar is a text,
//! but for `true`, `false` and nothing at all. Recursion is as deep as the file, which [`MAX_DEPTH`] limits.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use zeroize::Zeroizing;

use super::Fault;
use super::node::{Node, Table, Value, fault};

/// Levels of lists and tables; the configuration has five.
pub(super) const MAX_DEPTH: usize = 16;

/// Values, keys included. 2,000 agents with every key fit.
pub(super) const MAX_NODES: usize = 100_000;

pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text), nodes: 0 };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing,
                _,
            ) => {}
            (_, line) if root.is_some() => return Err(fault(line, "a second document")),
            (event, line) => root = Some(reader.node(event, line, 0)?),
        }
    }
    Ok(root.unwrap_or(Node { line: 1, value: Value::Nothing }))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Fault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, line(&span))),
            Some(Err(error)) => Err(broken(&error)),
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(fault(line, format!("more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(fault(line, format!("more than {MAX_DEPTH} levels")));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(line, anchor, tag.is_some())?;
                scalar(&text, style)
            }
            Event::SequenceStart(anchor, tag) => {
                plain(line, anchor, tag.is_some())?;
                Value::List(self.list(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                plain(line, anchor, tag.is_some())?;
                Value::Table(self.table(line, depth)?)
            }
            Event::Alias(_) => return Err(fault(line, "aliases are not taken")),
            _ => return Err(fault(line, "a value is missing")),
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(list),
                (event, line) => list.push(self.node(event, line, depth + 1)?),
            }
        }
    }

    fn table(&mut self, line: usize, depth: usize) -> Result<Table, Fault> {
        let mut table = Table { line, entries: Vec::new() };
        loop {
            let (event, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(table),
                next => next,
            };
            let key = match self.node(event, line, depth + 1)?.value {
                Value::Text(key) => key.to_string(),
                _ => return Err(fault(line, "a key must be a text")),
            };
            let (event, value_line) = self.next()?;
            let node = self.node(event, value_line, depth + 1)?;
            table.insert(line, key, node)?;
        }
    }
}

fn plain(line: usize, anchor: usize, tagged: bool) -> Result<(), Fault> {
    match (anchor, tagged) {
        (0, false) => Ok(()),
        (0, true) => Err(fault(line, "tags are not taken")),
        _ => Err(fault(line, "anchors are not taken")),
    }
}

/// What looks like a number stays the text it is: it may be a password.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null") => Value::Nothing,
        (ScalarStyle::Plain, "true") => Value::Flag(true),
        (ScalarStyle::Plain, "false") => Value::Flag(false),
        _ => Value::Text(Zeroizing::new(text.to_owned())),
    }
}

fn line(span: &Span) -> usize {
    span.start.line().max(1)
}

/// The parser's words are about the syntax and repeat characters at most, but not whole values.
fn broken(error: &ScanError) -> Fault {
    let words = error.info().lines().next().unwrap_or_default();
    fault(error.marker().line().max(1), words)
}
