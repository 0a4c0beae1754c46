//! Records as a follower gets them: a frame's body, which is opened when somebody wants what is inside.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::error::StreamError;
use super::limits::{FRAME_COST, MAX_BODY, MAX_RECORDS};
use super::messages::{Codec, Record, Records};
use super::scan;

/// Bodies under this size are copied out of the buffer that they were read into. That buffer has 64 KiB and lives as long
/// as any frame in it: whoever lets small frames wait among others would hold many times what their credit says.
const SHARED: usize = 16 << 10;

/// One contiguous piece of one partition of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The stream.
    pub stream: u32,
    /// The partition.
    pub partition: u32,
    /// The position before it.
    pub from: u64,
    /// The position after it.
    pub next: u64,
    /// The end of the partition as the source knew it; none where it did not say.
    pub latest: Option<u64>,
    /// How many records, as the source says; [`Self::open`] finds out whether that is so.
    pub count: usize,
    /// What it costs of the stream's credit, and what is to be given back with
    /// [`used`](super::Follower::used) once it is dealt with.
    pub cost: u64,
    codec: Codec,
    /// Octets of the body once unpacked.
    size: usize,
    body: Bytes,
}

impl Batch {
    /// Checks what can be seen without opening.
    pub(super) fn of(records: Records, from: u64, zstd: bool) -> Result<Self, StreamError> {
        let Records { stream, partition, next, latest, count, codec, unpacked, body } = records;
        let (count, unpacked) = (count as usize, unpacked as usize);
        let codec = Codec::try_from(codec).map_err(|_| StreamError::Codec)?;
        let size = match codec {
            Codec::Plain if unpacked != 0 => return Err(StreamError::Codec),
            Codec::Plain => body.len(),
            Codec::Zstd if !zstd => return Err(StreamError::Codec),
            Codec::Zstd => unpacked,
        };
        if size > MAX_BODY {
            return Err(StreamError::TooLong { what: "body once unpacked", most: MAX_BODY });
        }
        if count > MAX_RECORDS {
            return Err(StreamError::TooMany { what: "record", most: MAX_RECORDS });
        }
        let body = if body.len() < SHARED { Bytes::copy_from_slice(&body) } else { body };
        let (latest, cost) = ((latest > 0).then_some(latest), FRAME_COST + size as u64);
        Ok(Self { stream, partition, from, next, latest, count, cost, codec, size, body })
    }

    /// The records, checked. `unpack` gets a Zstandard frame and the octets it has to unpack to, at most
    /// [`MAX_BODY`]; it may not make more of it than that, and it is not asked where nothing is packed. Keys and
    /// values are slices of the frame that came, or of what `unpack` gave.
    ///
    /// # Errors
    /// When the body is not what the frame said. Give the error to [`fail`](super::Follower::fail).
    pub fn open(
        &self,
        unpack: impl FnOnce(&Bytes, usize) -> Option<Bytes>,
    ) -> Result<Vec<Record>, StreamError> {
        self.each(unpack)?.collect()
    }

    /// The same, one by one as they are asked for: a record takes two octets of a frame and a hundred in memory, so
    /// whoever does not take all of them at once holds octets.
    ///
    /// # Errors
    /// As [`Self::open`], for what is seen without making records; the rest comes with the records.
    pub fn each(
        &self,
        unpack: impl FnOnce(&Bytes, usize) -> Option<Bytes>,
    ) -> Result<Opened, StreamError> {
        let body = match self.codec {
            Codec::Plain => self.body.clone(),
            Codec::Zstd => unpack(&self.body, self.size)
                .filter(|body| body.len() == self.size)
                .ok_or(StreamError::Unpack { said: self.size })?,
        };
        let is = scan::records(&body)?;
        if is != self.count {
            return Err(StreamError::Count { said: self.count, is });
        }
        Ok(Opened { body, lowest: self.from, next: self.next })
    }

    /// The records of a body that is not packed.
    ///
    /// # Errors
    /// As [`Self::open`]; also when it is packed.
    pub fn open_plain(&self) -> Result<Vec<Record>, StreamError> {
        self.open(|_, _| None)
    }
}

/// The records of a batch, in their order. Nothing comes behind an error.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What was not looked at yet.
    body: Bytes,
    /// The lowest offset that may come.
    lowest: u64,
    /// The position behind all of them.
    next: u64,
}

/// The field of a set's records.
const RECORD: u32 = 1;

impl Opened {
    fn record(&mut self) -> Result<Option<Record>, StreamError> {
        let malformed = |_| StreamError::Malformed { what: "records" };
        while !self.body.is_empty() {
            let (field, wire) = decode_key(&mut self.body).map_err(malformed)?;
            if field != RECORD {
                let context = DecodeContext::default();
                skip_field(wire, field, &mut self.body, context).map_err(malformed)?;
                continue;
            }
            if wire != WireType::LengthDelimited {
                return Err(StreamError::Malformed { what: "records" });
            }
            let record = Record::decode_length_delimited(&mut self.body).map_err(malformed)?;
            return self.check(record).map(Some);
        }
        Ok(None)
    }

    fn check(&mut self, record: Record) -> Result<Record, StreamError> {
        let Record { offset, trace, .. } = &record;
        if !(self.lowest..self.next).contains(offset) {
            return Err(StreamError::RecordOrder { offset: *offset });
        }
        if trace.iter().any(String::is_empty) {
            return Err(StreamError::Malformed { what: "host in a trace" });
        }
        self.lowest = offset + 1;
        Ok(record)
    }
}

impl Iterator for Opened {
    type Item = Result<Record, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.record().transpose();
        if let Some(Err(_)) = record {
            self.body = Bytes::new();
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::stream::messages::RecordSet;

    fn batch(body: &Bytes, count: u32) -> Batch {
        let records =
            Records { stream: 1, next: 9, count, body: body.clone(), ..Records::default() };
        Batch::of(records, 0, false).unwrap()
    }

    #[test]
    fn a_small_frame_that_waits_does_not_hold_the_buffer_that_it_was_read_into() {
        let buffer = Bytes::from(vec![0; 64 << 10]);
        assert!(batch(&buffer.slice(..SHARED - 1), 0).body.is_unique());
        assert!(!batch(&buffer.slice(..SHARED), 0).body.is_unique());
    }

    #[test]
    fn records_come_one_by_one_up_to_the_first_that_is_wrong() {
        let at = |offset| Record { offset, ..Record::default() };
        let mut body = RecordSet { records: vec![at(3)] }.encode_to_vec();
        // A field that we do not know.
        body.extend([0x10, 7]);
        body.extend(RecordSet { records: vec![at(5), at(5), at(6)] }.encode_to_vec());
        let mut each = batch(&body.into(), 4).each(|_, _| None).unwrap();
        assert_eq!(each.next(), Some(Ok(at(3))));
        assert_eq!(each.next(), Some(Ok(at(5))));
        assert_eq!(each.next(), Some(Err(StreamError::RecordOrder { offset: 5 })));
        assert_eq!(each.next(), None);
    }
}
