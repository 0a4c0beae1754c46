//! Batches: the lines of one WRITE, ready for the wire, and where each came from.

use std::sync::Arc;

use super::report::Span;

/// Lines in one WRITE, as many as the protocol takes. Together with [`BATCH_BYTES`] this decides where
/// batches end, and so what a repeated run calls its batches: changing either breaks `--run-id`
/// across versions.
pub(super) const BATCH_LINES: u32 = 512;

/// Bytes in one WRITE, line ends included, a little under the protocol's 1 MiB. A longer line goes alone.
pub(super) const BATCH_BYTES: usize = 1_000_000;

/// A line of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which input, from 0.
    pub(super) source: usize,
    /// Line in it, from 1.
    pub(super) line: u64,
}

/// What one WRITE sends.
#[derive(Debug)]
pub(super) struct Batch {
    /// Number in the run, from 1.
    pub(super) number: u64,
    /// Lines, each ended by CRLF.
    pub(super) body: Vec<u8>,
    /// How many lines.
    pub(super) lines: u32,
    /// Whether it was sent and a connection ended before its answer: it may be written.
    pub(super) doubtful: bool,
    names: Arc<[String]>,
    // (index in the batch from 1, place), for the first line and wherever a line does not follow the one
    // before in its input.
    leaps: Vec<(u32, Place)>,
}

impl Batch {
    /// The input's name and the line in it of a line of the batch, from 1.
    pub(super) fn origin(&self, index: u32) -> Option<(&str, u64)> {
        if index == 0 || index > self.lines {
            return None;
        }
        let at = self.leaps.partition_point(|(first, _)| *first <= index);
        let (first, place) = self.leaps.get(at.checked_sub(1)?)?;
        let name = self.names.get(place.source)?;
        Some((name, place.line + u64::from(index - first)))
    }

    /// From where to where the batch reaches in the input.
    pub(super) fn span(&self) -> Span {
        let end = |index| {
            self.origin(index).map(|(name, line)| (name.to_owned(), line)).unwrap_or_default()
        };
        Span { first: end(1), last: end(self.lines) }
    }
}

/// Gathers lines into a batch.
#[derive(Debug)]
pub(super) struct Builder {
    names: Arc<[String]>,
    number: u64,
    body: Vec<u8>,
    lines: u32,
    leaps: Vec<(u32, Place)>,
    last: Option<Place>,
}

impl Builder {
    /// For inputs of these names.
    pub(super) fn new(names: Arc<[String]>) -> Self {
        Self { names, number: 1, body: Vec::new(), lines: 0, leaps: Vec::new(), last: None }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Whether a line of this length has to wait for the next batch.
    pub(super) const fn is_full_for(&self, length: usize) -> bool {
        self.lines > 0 && (self.lines >= BATCH_LINES || self.body.len() + length + 2 > BATCH_BYTES)
    }

    /// Adds a line that `write` puts into the body without its end.
    pub(super) fn push(&mut self, place: Place, line: &[u8]) {
        if self.body.capacity() == 0 {
            self.body.reserve(line.len().saturating_add(2).saturating_mul(8).min(BATCH_BYTES));
        }
        self.body.extend_from_slice(line);
        self.body.extend_from_slice(b"\r\n");
        self.lines += 1;
        let follows = |last: Place| last.source == place.source && last.line + 1 == place.line;
        if !self.last.is_some_and(follows) || self.leaps.is_empty() {
            self.leaps.push((self.lines, place));
        }
        self.last = Some(place);
    }

    /// The batch so far; the next one is begun.
    pub(super) fn take(&mut self) -> Batch {
        let batch = Batch {
            number: self.number,
            body: std::mem::take(&mut self.body),
            lines: std::mem::take(&mut self.lines),
            doubtful: false,
            names: Arc::clone(&self.names),
            leaps: std::mem::take(&mut self.leaps),
        };
        self.number += 1;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> Builder {
        Builder::new(["a.jsonl".to_owned(), "b.jsonl".to_owned()].into())
    }

    #[test]
    fn a_line_of_a_batch_is_found_in_its_input() {
        let mut builder = builder();
        for (source, line) in [(0, 1), (0, 2), (0, 5), (1, 1), (1, 2)] {
            builder.push(Place { source, line }, b"{}");
        }
        let batch = builder.take();
        let origins: Vec<_> = (1..=5).filter_map(|index| batch.origin(index)).collect();
        assert_eq!(
            origins,
            [("a.jsonl", 1), ("a.jsonl", 2), ("a.jsonl", 5), ("b.jsonl", 1), ("b.jsonl", 2)]
        );
        assert_eq!((batch.origin(0), batch.origin(6)), (None, None));
        builder.push(Place { source: 1, line: 3 }, b"{}");
        assert_eq!(builder.take().origin(1), Some(("b.jsonl", 3)));
    }

    #[test]
    fn a_batch_has_at_most_512_lines_and_a_megabyte_unless_one_line_is_longer() {
        let mut builder = builder();
        assert!(!builder.is_full_for(BATCH_BYTES * 2));
        for line in 1..=u64::from(BATCH_LINES) {
            assert!(!builder.is_full_for(2));
            builder.push(Place { source: 0, line }, b"{}");
        }
        assert!(builder.is_full_for(2));
        assert_eq!(builder.take().lines, BATCH_LINES);
        builder.push(Place { source: 0, line: 1 }, &vec![b'x'; BATCH_BYTES - 4]);
        assert!(!builder.is_full_for(0));
        assert!(builder.is_full_for(1));
    }
}
