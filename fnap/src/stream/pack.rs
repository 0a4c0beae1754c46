//! Records into the body of a frame: once, for however many streams it then goes to.
//!
//! What says where things begin is written into small buffers; keys and values of some size are not copied, but
//! handed over as they are, to be written with one vectored write.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, key_len, sint64, uint64,
};

use super::credit::Room;
use super::error::PackError;
use super::limits::{
    FRAME_COST, MAX_BODY, MAX_FRAME_HEADERS, MAX_HEADERS, MAX_HOST_NAME, MAX_RECORDS, MAX_TRACE,
};
use super::messages::{Codec, Record};

/// Keys and values from this size on are not copied. Below it, a copy costs less than a piece of its own in a
/// vectored write; `make bench PARTS=stream` shows both.
pub const LARGE: usize = 8 << 10;

/// What can be sent as a record: whatever a broker's own type is.
pub trait Recorded {
    /// Where it lies.
    fn offset(&self) -> u64;
    /// The key; absent is not empty.
    fn key(&self) -> Option<&Bytes>;
    /// The value; absent is not empty.
    fn value(&self) -> Option<&Bytes>;
    /// Milliseconds since 1970 UTC.
    fn timestamp(&self) -> i64;
    /// Name and value of each header, in order; the same each time.
    fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)>;
    /// The hosts that have passed it on before this one, oldest first; the same each time.
    fn trace(&self) -> impl Iterator<Item = &str>;
}

impl Recorded for Record {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    fn timestamp(&self) -> i64 {
        self.timestamp
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.headers.iter().map(|header| (&*header.name, header.value.as_deref()))
    }

    fn trace(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().map(String::as_str)
    }
}

/// The body of a frame of records. Cloning shares the octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    pub(super) chunks: Vec<Bytes>,
    /// Octets in the chunks.
    pub(super) len: usize,
    /// Octets before any codec.
    pub(super) size: usize,
    pub(super) count: usize,
    pub(super) codec: Option<Codec>,
    /// Offsets of the first and the last record.
    pub(super) span: Option<(u64, u64)>,
}

impl Packed {
    /// Packs as many records from the front as the room, and the limits of a frame, allow: at least one where
    /// nothing is under way, none where the first does not fit now. Gives how many.
    ///
    /// # Errors
    /// When the first record is one that no frame can carry; one behind others ends the body before it.
    pub fn of<R: Recorded>(records: &[R], room: Room) -> Result<(Self, usize), PackError> {
        Self::with(records, room, LARGE)
    }

    /// The same with another bound for what is copied, for measuring it.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn with<R: Recorded>(
        records: &[R],
        room: Room,
        large: usize,
    ) -> Result<(Self, usize), PackError> {
        let mut packer = Packer { large, ..Packer::default() };
        let limit = usize::try_from(room.octets.saturating_sub(FRAME_COST)).unwrap_or(usize::MAX);
        for record in records.iter().take(MAX_RECORDS) {
            let sizes = match packer.sizes(record) {
                Ok(sizes) => sizes,
                Err(error) if packer.packed.count == 0 => return Err(error),
                Err(_) => break,
            };
            let alone = room.idle && packer.packed.count == 0;
            let len = packer.packed.size + sizes.whole;
            if len > MAX_BODY || (len > limit && !alone) || !packer.has_room_for(&sizes) {
                break;
            }
            packer.push(record, &sizes);
        }
        let packed = packer.finish();
        let count = packed.count;
        Ok((packed, count))
    }

    /// The same records in one Zstandard frame.
    #[must_use]
    pub fn compressed(&self, body: Bytes) -> Self {
        let (len, chunks) = (body.len(), vec![body]);
        Self { chunks, len, codec: Some(Codec::Zstd), ..self.clone() }
    }

    /// How many records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Octets as they are sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What a frame with this body costs of the credit.
    #[must_use]
    pub fn cost(&self) -> u64 {
        FRAME_COST + self.size as u64
    }

    /// The octets in pieces, for packing them with a codec.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter()
    }
}

/// Lengths of a record's parts.
#[derive(Default)]
struct Sizes {
    /// The record without what is around it.
    record: usize,
    /// With that.
    whole: usize,
    headers: usize,
    hosts: usize,
}

#[derive(Default)]
struct Packer {
    large: usize,
    packed: Packed,
    small: BytesMut,
    headers: usize,
    hosts: usize,
}

impl Packer {
    fn sizes(&self, record: &impl Recorded) -> Result<Sizes, PackError> {
        let offset = record.offset();
        if self.packed.span.is_some_and(|(_, last)| last >= offset) {
            return Err(PackError::Order { offset });
        }
        let mut sizes = Sizes::default();
        let key = record.key().map_or(0, |key| field_len(key.len()));
        let value = record.value().map_or(0, |value| field_len(value.len()));
        sizes.record = key + value + number_len(offset) + time_len(record.timestamp());
        for (name, value) in record.headers() {
            sizes.headers += 1;
            sizes.record += field_len(header_len(name, value));
        }
        for host in record.trace() {
            sizes.hosts += 1;
            sizes.record += field_len(host.len());
            if host.is_empty() || host.len() > MAX_HOST_NAME {
                return Err(PackError::Trace { offset });
            }
        }
        sizes.whole = field_len(sizes.record);
        match sizes {
            Sizes { headers, .. } if headers > MAX_HEADERS => Err(PackError::Headers { offset }),
            Sizes { hosts, .. } if hosts > MAX_TRACE => Err(PackError::Trace { offset }),
            Sizes { whole, .. } if whole > MAX_BODY => {
                Err(PackError::TooLong { offset, octets: whole })
            }
            sizes => Ok(sizes),
        }
    }

    fn has_room_for(&self, sizes: &Sizes) -> bool {
        self.headers + sizes.headers <= MAX_FRAME_HEADERS
            && self.hosts + sizes.hosts <= MAX_FRAME_HEADERS
    }

    fn push(&mut self, record: &impl Recorded, sizes: &Sizes) {
        put_start(1, sizes.record, &mut self.small);
        if record.offset() != 0 {
            uint64::encode(1, &record.offset(), &mut self.small);
        }
        self.payload(2, record.key());
        self.payload(3, record.value());
        for (name, value) in record.headers() {
            put_start(4, header_len(name, value), &mut self.small);
            if !name.is_empty() {
                put_start(1, name.len(), &mut self.small);
                self.small.put_slice(name);
            }
            if let Some(value) = value {
                put_start(2, value.len(), &mut self.small);
                self.small.put_slice(value);
            }
        }
        if record.timestamp() != 0 {
            sint64::encode(5, &record.timestamp(), &mut self.small);
        }
        for host in record.trace() {
            put_start(6, host.len(), &mut self.small);
            self.small.put_slice(host.as_bytes());
        }
        let packed = &mut self.packed;
        let first = packed.span.map_or(record.offset(), |(first, _)| first);
        packed.span = Some((first, record.offset()));
        packed.count += 1;
        packed.size += sizes.whole;
        self.headers += sizes.headers;
        self.hosts += sizes.hosts;
    }

    fn payload(&mut self, field: u32, bytes: Option<&Bytes>) {
        let Some(bytes) = bytes else { return };
        put_start(field, bytes.len(), &mut self.small);
        if bytes.len() < self.large {
            self.small.put_slice(bytes);
        } else {
            self.packed.chunks.push(self.small.split().freeze());
            self.packed.chunks.push(bytes.clone());
        }
    }

    fn finish(mut self) -> Packed {
        if !self.small.is_empty() {
            self.packed.chunks.push(self.small.freeze());
        }
        self.packed.len = self.packed.size;
        self.packed
    }
}

/// What stands before octets that have a length.
pub(super) fn put_start(field: u32, len: usize, out: &mut BytesMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

/// A field of the numbers 1 to 15 that holds so many octets.
fn field_len(len: usize) -> usize {
    key_len(1) + encoded_len_varint(len as u64) + len
}

fn header_len(name: &[u8], value: Option<&[u8]>) -> usize {
    let name = if name.is_empty() { 0 } else { field_len(name.len()) };
    name + value.map_or(0, |value| field_len(value.len()))
}

fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { uint64::encoded_len(1, &number) }
}

fn time_len(time: i64) -> usize {
    if time == 0 { 0 } else { sint64::encoded_len(5, &time) }
}
