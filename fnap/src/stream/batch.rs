//! Records as a follower gets them: a frame's body, which is opened when somebody wants what is inside.

use bytes::Bytes;
use prost::Message as _;

use super::error::StreamError;
use super::limits::{FRAME_COST, MAX_BODY, MAX_RECORDS};
use super::messages::{Codec, Record, RecordSet, Records};
use super::scan;

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
        let malformed = |_| StreamError::Malformed { what: "records" };
        let records = RecordSet::decode(body).map_err(malformed)?.records;
        self.check(&records)?;
        Ok(records)
    }

    /// The records of a body that is not packed.
    ///
    /// # Errors
    /// As [`Self::open`]; also when it is packed.
    pub fn open_plain(&self) -> Result<Vec<Record>, StreamError> {
        self.open(|_, _| None)
    }

    fn check(&self, records: &[Record]) -> Result<(), StreamError> {
        let mut lowest = self.from;
        for Record { offset, trace, .. } in records {
            if *offset < lowest || *offset >= self.next {
                return Err(StreamError::RecordOrder { offset: *offset });
            }
            lowest = offset + 1;
            if trace.iter().any(String::is_empty) {
                return Err(StreamError::Malformed { what: "host in a trace" });
            }
        }
        Ok(())
    }
}
