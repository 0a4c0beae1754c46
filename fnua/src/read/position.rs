//! Where an event stood: the attributes `flowpartition` and `flowoffset` of a line that READ sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem::{Finder, find};
use serde::Deserialize;

const PARTITION: &[u8] = b"\"flowpartition\":";
const OFFSET: &[u8] = b"\"flowoffset\":\"";

/// The next offset wanted of each partition.
#[derive(Debug)]
pub(super) struct Positions {
    next: BTreeMap<u32, u64>,
    partition: Finder<'static>,
    offset: Finder<'static>,
}

impl Positions {
    pub(super) fn new() -> Self {
        Self {
            next: BTreeMap::new(),
            partition: Finder::new(PARTITION),
            offset: Finder::new(OFFSET),
        }
    }

    /// Nothing before these offsets is wanted.
    pub(super) fn begin_at(&mut self, next: &BTreeMap<u32, u64>) {
        self.next.clone_from(next);
    }

    /// Notes a line; `false` when it came before. A line that does not say where it stood is new.
    pub(super) fn advance(&mut self, line: &[u8]) -> bool {
        let Some((partition, offset)) = self.of(line) else {
            return true;
        };
        let next = self.next.entry(partition).or_default();
        if offset < *next {
            return false;
        }
        *next = offset.saturating_add(1);
        true
    }

    /// The partition and its next offset, if only one partition was seen.
    pub(super) fn only(&self) -> Option<(u32, u64)> {
        let mut seen = self.next.iter();
        match (seen.next(), seen.next()) {
            (Some((partition, next)), None) => Some((*partition, *next)),
            _ => None,
        }
    }

    /// The next offset of a partition, if it is known.
    pub(super) fn next(&self, partition: u32) -> Option<u64> {
        self.next.get(&partition).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    fn of(&self, line: &[u8]) -> Option<(u32, u64)> {
        // Each name once: then it is the host's own. More often: somebody's data has it too.
        let partition = once(&self.partition, line, PARTITION).and_then(number);
        let offset = once(&self.offset, line, OFFSET).and_then(number);
        match (partition, offset) {
            (Some(partition), Some(offset)) => Some((u32::try_from(partition).ok()?, offset)),
            _ => parsed(line),
        }
    }
}

/// What follows the needle, if the line has it once.
fn once<'a>(finder: &Finder<'_>, line: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let after = line.get(finder.find(line)? + needle.len()..)?;
    find(after, needle).is_none().then_some(after)
}

fn number(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()
}

fn parsed(line: &[u8]) -> Option<(u32, u64)> {
    #[derive(Deserialize)]
    struct Standing<'a> {
        flowpartition: u32,
        #[serde(borrow)]
        flowoffset: Cow<'a, str>,
    }
    let standing: Standing<'_> = serde_json::from_slice(line).ok()?;
    Some((standing.flowpartition, standing.flowoffset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &str) -> Option<(u32, u64)> {
        Positions::new().of(line.as_bytes())
    }

    #[test]
    fn a_place_is_found_without_and_with_parsing() {
        assert_eq!(
            place(r#"{"id":"a","flowpartition":3,"flowoffset":"12","data":1}"#),
            Some((3, 12))
        );
        assert_eq!(place(r#"{"flowpartition": 3, "flowoffset": "12"}"#), Some((3, 12)));
        assert_eq!(place(r#"{"id":"a"}"#), None);
    }

    #[test]
    fn an_event_cannot_pretend_to_stand_elsewhere() {
        let nested =
            r#"{"data":{"flowpartition":9,"flowoffset":"99"},"flowpartition":3,"flowoffset":"12"}"#;
        assert_eq!(place(nested), Some((3, 12)));
        let quoted = r#"{"data":"\"flowpartition\":9,\"flowoffset\":\"99\"","flowpartition":3,"flowoffset":"12"}"#;
        assert_eq!(place(quoted), Some((3, 12)));
    }

    #[test]
    fn what_came_before_is_known_for_each_partition() {
        let mut positions = Positions::new();
        let line = |partition: u32, offset: u64| {
            format!(r#"{{"flowpartition":{partition},"flowoffset":"{offset}"}}"#)
        };
        assert!(positions.advance(line(0, 5).as_bytes()));
        assert_eq!(positions.only(), Some((0, 6)));
        assert!(positions.advance(line(1, 0).as_bytes()));
        assert_eq!(positions.only(), None);
        assert!(!positions.advance(line(0, 5).as_bytes()));
        assert!(positions.advance(line(0, 9).as_bytes()));
        assert!(positions.advance(b"{}"));
    }
}
