//! Messages as records: copied once, all of a piece into one buffer that its records share.
//!
//! Copying frees librdkafka's buffers at once, and costs one allocation instead of one for each record.
//! Keys, values, header names and values are bytes here; nothing assumes UTF-8.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use host_events::record::put_varint;
use host_events::{Headers, Record, Stored};

use super::super::native::admin::Fault;
use super::super::native::consume::Message;

/// Where the parts of a record lie in the buffer.
struct Parts {
    offset: u64,
    timestamp: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Collects records.
#[derive(Default)]
pub(super) struct Arena {
    buffer: BytesMut,
    parts: Vec<Parts>,
}

impl Arena {
    /// With room for so many records and bytes.
    pub(super) fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(bytes), parts: Vec::with_capacity(records) }
    }

    /// Adds a record. An error where its headers cannot be understood.
    pub(super) fn push(&mut self, offset: u64, message: Message<'_>) -> Result<(), Fault> {
        let headers = message.headers()?;
        let parts = Parts {
            offset,
            timestamp: message.timestamp(),
            key: message.key().map(|key| self.put(key)),
            value: message.value().map(|value| self.put(value)),
            headers: self.put_headers(headers),
        };
        self.parts.push(parts);
        Ok(())
    }

    /// The records, and how many bytes they share.
    pub(super) fn finish(self) -> (Vec<Stored>, usize) {
        let buffer = self.buffer.freeze();
        let slice = |range: Option<Range<usize>>| range.map(|range| buffer.slice(range));
        let stored = |parts: Parts| {
            let headers = decoded(&buffer, parts.headers);
            let (key, value) = (slice(parts.key), slice(parts.value));
            let record = Record { key, value, headers, timestamp: parts.timestamp };
            Stored { offset: parts.offset, record }
        };
        (self.parts.into_iter().map(stored).collect(), buffer.len())
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.put_slice(bytes);
        start..self.buffer.len()
    }

    /// In the form that [`Headers`] have.
    fn put_headers<'a>(
        &mut self,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Range<usize> {
        let start = self.buffer.len();
        for (name, value) in headers {
            put_varint(&mut self.buffer, name.len() as u64);
            self.buffer.put_slice(name);
            put_varint(&mut self.buffer, value.map_or(0, |bytes| bytes.len() as u64 + 1));
            self.buffer.put_slice(value.unwrap_or_default());
        }
        start..self.buffer.len()
    }
}

fn decoded(buffer: &Bytes, range: Range<usize>) -> Headers {
    if range.is_empty() {
        return Headers::default();
    }
    // They were written a moment ago, by this file.
    Headers::decode(buffer.slice(range)).unwrap_or_default()
}
