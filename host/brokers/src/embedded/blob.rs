//! Records as one blob: how a row of `batches` holds them.
//!
//! Layout: a version byte, a CRC-32 of what follows (little-endian), the number of records, the first
//! timestamp, then for each its offset after the base, its
//! timestamp after the first, key, value and headers, each preceded by its length + 1 (0: absent).
//! Numbers are unsigned LEB128, timestamps zigzag. Decoding shares the blob's bytes and copies none.

use bytes::{BufMut, Bytes, BytesMut};
use host_events::record::{put_varint, split_varint};
use host_events::{Headers, Record, Stored};

/// The layout described above.
const VERSION: u8 = 1;

/// Version and checksum.
const HEAD: usize = 5;

/// Smallest encoding of a record: five numbers of one byte. Bounds what a damaged count can allocate.
const SMALLEST_RECORD: usize = 5;

/// The blob is not what the broker wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch is damaged: {0}")]
pub(crate) struct Damaged(&'static str);

/// Encodes records that lie one after another from a base offset on.
pub(crate) fn encode(records: &[Record]) -> Bytes {
    let size: usize = records.iter().map(|record| record.size() + 24).sum();
    let mut out = BytesMut::with_capacity(size + 8);
    out.put_u8(VERSION);
    out.put_u32_le(0);
    put_varint(&mut out, records.len() as u64);
    let first = records.first().map_or(0, |record| record.timestamp);
    put_varint(&mut out, zigzag(first));
    for (record, delta) in records.iter().zip(0_u64..) {
        put_varint(&mut out, delta);
        put_varint(&mut out, zigzag(record.timestamp.wrapping_sub(first)));
        put_bytes(&mut out, record.key.as_deref());
        put_bytes(&mut out, record.value.as_deref());
        put_bytes(&mut out, Some(record.headers.encoded()));
    }
    let sum = crc32fast::hash(out.get(HEAD..).unwrap_or_default());
    if let Some(slot) = out.get_mut(1..HEAD) {
        slot.copy_from_slice(&sum.to_le_bytes());
    }
    out.freeze()
}

/// The records of a blob, from an offset on.
pub(crate) fn decode(blob: &Bytes, base: u64, from: u64) -> Result<Vec<Stored>, Damaged> {
    let (head, rest) = blob.split_first_chunk::<HEAD>().ok_or(Damaged("too short"))?;
    let [version, sum @ ..] = *head;
    if version != VERSION {
        return Err(Damaged("unknown version"));
    }
    // SQLite has no checksums: without one a flipped bit of a payload would be passed on as an event.
    if u32::from_le_bytes(sum) != crc32fast::hash(rest) {
        return Err(Damaged("checksum does not match"));
    }
    let mut reader = Reader { blob, rest };
    let count = reader.number()?;
    let first = unzigzag(reader.number()?);
    if count > (blob.len() / SMALLEST_RECORD) as u64 {
        return Err(Damaged("more records than bytes"));
    }
    let mut records = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let stored = reader.stored(base, first)?;
        if stored.offset >= from {
            records.push(stored);
        }
    }
    if reader.rest.is_empty() { Ok(records) } else { Err(Damaged("bytes after the last record")) }
}

struct Reader<'a> {
    blob: &'a Bytes,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn stored(&mut self, base: u64, first: i64) -> Result<Stored, Damaged> {
        let offset = base.checked_add(self.number()?).ok_or(Damaged("offset too large"))?;
        let timestamp = first.wrapping_add(unzigzag(self.number()?));
        let key = self.bytes()?;
        let value = self.bytes()?;
        let headers = self.bytes()?.unwrap_or_default();
        let headers = Headers::decode(headers).map_err(|_| Damaged("headers"))?;
        Ok(Stored { offset, record: Record { key, value, headers, timestamp } })
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let (number, rest) = split_varint(self.rest).ok_or(Damaged("number"))?;
        self.rest = rest;
        Ok(number)
    }

    fn bytes(&mut self) -> Result<Option<Bytes>, Damaged> {
        let Some(len) = self.number()?.checked_sub(1) else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| Damaged("length"))?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Damaged("length"))?;
        self.rest = rest;
        Ok(Some(self.blob.slice_ref(bytes)))
    }
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(0, |bytes| bytes.len() as u64 + 1));
    out.put_slice(bytes.unwrap_or_default());
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
    }

    prop_compose! {
        fn record()(key in bytes(), value in bytes(), name in "[a-z]{0,5}", header in bytes(), timestamp: i64) -> Record {
            let headers = [(name.as_bytes(), header.as_deref())].into_iter().collect();
            Record { key, value, headers, timestamp }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(records in proptest::collection::vec(record(), 0..20), base in 0_u64..1 << 60) {
            let stored = decode(&encode(&records), base, 0).unwrap();
            prop_assert_eq!(stored.len(), records.len());
            for ((stored, record), offset) in stored.iter().zip(&records).zip(base..) {
                prop_assert_eq!(&stored.record, record);
                prop_assert_eq!(stored.offset, offset);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(content in proptest::collection::vec(any::<u8>(), 0..200), base: u64) {
            drop(decode(&Bytes::from(content.clone()), base, 0));
            drop(decode(&summed(&content), base, 0));
        }

        #[test]
        fn any_change_is_noticed(
            records in proptest::collection::vec(record(), 1..5),
            at: prop::sample::Index,
            change in 1..=255_u8,
        ) {
            let mut blob = encode(&records).to_vec();
            let at = at.index(blob.len());
            blob[at] ^= change;
            prop_assert!(decode(&Bytes::from(blob), 0, 0).is_err());
        }
    }

    /// Content with the version and sum that make it look sound.
    fn summed(content: &[u8]) -> Bytes {
        let sum = crc32fast::hash(content).to_le_bytes();
        [&[VERSION], &sum[..], content].concat().into()
    }

    #[test]
    fn records_before_the_wanted_offset_are_left_out() {
        let blob = encode(&[Record::default(), Record::default(), Record::default()]);
        let offsets: Vec<_> = decode(&blob, 10, 11).unwrap().iter().map(|s| s.offset).collect();
        assert_eq!(offsets, [11, 12]);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_allocates_nothing() {
        let blob = summed(&[0xff, 0xff, 0xff, 0xff, 0x7f, 0]);
        assert_eq!(decode(&blob, 0, 0), Err(Damaged("more records than bytes")));
    }
}
