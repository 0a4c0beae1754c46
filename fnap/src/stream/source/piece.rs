//! Records of one partition as they go out: checked against what the stream may carry, and put into frames.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use crate::stream::error::Refused;
use crate::stream::frame::PREFIX;
use crate::stream::limits::{MAX_OFFSET, MAX_RECORDS_FIELDS};
use crate::stream::messages::{Codec, Records};
use crate::stream::pack::{Packed, put_start};

/// Records of one partition, to be sent to a stream.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The partition.
    pub partition: u32,
    /// The position after it: everything before was sent, or is left out for good.
    pub next: u64,
    /// The end of the partition, where it is known.
    pub latest: Option<u64>,
    /// The records; none where the position only moves.
    pub records: &'a Packed,
}

impl Piece<'_> {
    pub(super) fn check(&self, position: u64, zstd: bool) -> Result<(), Refused> {
        if self.next < position || self.next > MAX_OFFSET {
            return Err(Refused::Invalid { what: "position" });
        }
        if self.records.span.is_some_and(|(first, last)| first < position || last >= self.next) {
            return Err(Refused::Invalid { what: "offset of a record" });
        }
        if self.records.codec.is_some() && !zstd {
            return Err(Refused::Invalid { what: "codec" });
        }
        Ok(())
    }

    /// The frame: what stands before the body in one piece, then the body's.
    pub(super) fn encode(&self, stream: u32) -> VecDeque<Bytes> {
        let Packed { chunks, len, size, count, codec, .. } = self.records;
        let number = |number: &usize| u32::try_from(*number).unwrap_or(u32::MAX);
        let records = Records {
            stream,
            partition: self.partition,
            next: self.next,
            latest: self.latest.unwrap_or_default(),
            count: number(count),
            codec: codec.unwrap_or(Codec::Plain).into(),
            unpacked: codec.map_or(0, |_| number(size)),
            body: Bytes::new(),
        };
        let mut fields = BytesMut::with_capacity(MAX_RECORDS_FIELDS);
        records.encode_raw(&mut fields);
        if *len > 0 {
            put_start(8, *len, &mut fields);
        }
        let mut before = BytesMut::with_capacity(MAX_RECORDS_FIELDS);
        before.put_bytes(0, PREFIX);
        put_start(4, fields.len() + len, &mut before);
        before.put_slice(&fields);
        let frame = before.len() - PREFIX + len;
        if let Some(prefix) = before.first_chunk_mut::<PREFIX>() {
            *prefix = number(&frame).to_be_bytes();
        }
        std::iter::once(before.freeze()).chain(chunks.iter().cloned()).collect()
    }
}
