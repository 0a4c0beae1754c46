//! What ends a connection, and what a caller is refused.

use super::limits::{MAX_BODY, MAX_CONNECTION_PARTITIONS, MAX_CREDIT, MAX_FRAME, MAX_STREAMS};
use crate::reply::{Code, Failure};

/// What the peer did that nobody may do. The connection ends with it; [`StreamError::failure`] is what the
/// peer is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A frame of length 0.
    #[error("empty frame")]
    EmptyFrame,
    /// A frame over [`MAX_FRAME`].
    #[error("frame of {len} octets, at most {MAX_FRAME} allowed")]
    FrameTooLong {
        /// Octets announced.
        len: usize,
    },
    /// No message in the encoding of Protocol Buffers.
    #[error("malformed {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
    },
    /// More of something than allowed, or a second one where there is one.
    #[error("more than {most} times {what}")]
    TooMany {
        /// What of.
        what: &'static str,
        /// How many may be.
        most: usize,
    },
    /// Longer than allowed.
    #[error("{what} over {most} octets")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Octets allowed.
        most: usize,
    },
    /// A kind of message that was never offered.
    #[error("unknown message")]
    UnknownMessage,
    /// Something before Hello.
    #[error("hello has to be first")]
    NoHello,
    /// A second Hello.
    #[error("second hello")]
    SecondHello,
    /// A version below the first.
    #[error("version 0")]
    Version,
    /// What only the other side says.
    #[error("{message} from the wrong side")]
    WrongSide {
        /// Which message.
        message: &'static str,
    },
    /// A stream's number is 0 or not above those before it.
    #[error("number {stream} of a stream after {last}")]
    StreamNumber {
        /// The number.
        stream: u32,
        /// The highest before it.
        last: u32,
    },
    /// More streams than [`MAX_STREAMS`] at a time.
    #[error("more than {MAX_STREAMS} streams")]
    TooManyStreams,
    /// More partitions than [`MAX_CONNECTION_PARTITIONS`] at a time.
    #[error("more than {MAX_CONNECTION_PARTITIONS} partitions in all streams")]
    TooManyPartitions,
    /// About a stream that was never attached.
    #[error("{message} for stream {stream}, which was never attached")]
    NeverAttached {
        /// The number.
        stream: u32,
        /// Which message.
        message: &'static str,
    },
    /// The source speaks of a stream that it has ended.
    #[error("{message} for stream {stream}, which has ended")]
    HasEnded {
        /// The number.
        stream: u32,
        /// Which message.
        message: &'static str,
    },
    /// Before Attached was sent.
    #[error("{message} for stream {stream}, which has not begun")]
    NotBegun {
        /// The number.
        stream: u32,
        /// Which message.
        message: &'static str,
    },
    /// A partition that Attached did not name.
    #[error("unknown partition {partition} of stream {stream}")]
    UnknownPartition {
        /// The stream.
        stream: u32,
        /// The partition.
        partition: u32,
    },
    /// A partition is named twice.
    #[error("partition {partition} of stream {stream} named twice")]
    PartitionTwice {
        /// The stream.
        stream: u32,
        /// The partition.
        partition: u32,
    },
    /// A stream begins elsewhere than it was asked to, or outside of what there is.
    #[error("partition {partition} of stream {stream} begins at the wrong place {next}")]
    WrongStart {
        /// The stream.
        stream: u32,
        /// The partition.
        partition: u32,
        /// Where it is said to begin.
        next: u64,
    },
    /// A position is less than the one before.
    #[error("partition {partition} of stream {stream} runs backwards from {from} to {to}")]
    Backwards {
        /// The stream.
        stream: u32,
        /// The partition.
        partition: u32,
        /// Where it was.
        from: u64,
        /// Where it is said to be.
        to: u64,
    },
    /// An Ack of what was not sent.
    #[error("partition {partition} of stream {stream} acknowledged beyond what was sent")]
    BeyondSent {
        /// The stream.
        stream: u32,
        /// The partition.
        partition: u32,
    },
    /// An offset over the highest that brokers have.
    #[error("offset {offset} is too high")]
    OffsetTooHigh {
        /// The offset.
        offset: u64,
    },
    /// A record's offset is outside of its frame's piece, or not above the one before.
    #[error("offset {offset} of a record out of order")]
    RecordOrder {
        /// The offset.
        offset: u64,
    },
    /// No credit, or a sum over [`MAX_CREDIT`].
    #[error("credit of stream {stream} is 0 or over {MAX_CREDIT} octets")]
    Credit {
        /// The stream.
        stream: u32,
    },
    /// Records beyond the credit.
    #[error("{cost} octets sent to stream {stream} beyond its credit of {left}")]
    BeyondCredit {
        /// The stream.
        stream: u32,
        /// What the frame costs.
        cost: u64,
        /// What was left; below zero after a record larger than the credit.
        left: i64,
    },
    /// A codec that was not agreed on.
    #[error("body packed by a codec that was not offered")]
    Codec,
    /// A body that cannot be unpacked to what was said: at most [`MAX_BODY`].
    #[error("body does not unpack to {said} octets")]
    Unpack {
        /// Octets that were said.
        said: usize,
    },
    /// Another number of records than was said.
    #[error("{is} records instead of {said}")]
    Count {
        /// How many were said.
        said: usize,
        /// How many there are.
        is: usize,
    },
    /// Nothing was heard for [`SILENCE`](super::SILENCE).
    #[error("nothing heard for too long")]
    Silent,
}

impl StreamError {
    /// What the peer is told in Close.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let code = match self {
            Self::FrameTooLong { .. } | Self::TooLong { .. } => Code::TooLarge,
            Self::TooMany { .. } | Self::TooManyStreams | Self::TooManyPartitions => Code::TooLarge,
            Self::Silent => Code::Timeout,
            _ => Code::BadFormat,
        };
        Failure::new(code, self.to_string())
    }
}

/// Why a caller may not say something now. Nothing is sent then, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much waits to be sent: take some of it first.
    #[error("too much waits to be sent")]
    Full,
    /// The stream's credit does not cover it: wait for an event that says there is more.
    #[error("not covered by the stream's credit")]
    NoCredit,
    /// No such stream any more, or not in a state for this.
    #[error("no such stream")]
    Gone,
    /// As many streams as a connection may have, or all their numbers are used up: take another connection.
    #[error("no more streams in this connection")]
    TooManyStreams,
    /// As many partitions as a connection may have.
    #[error("no more partitions in this connection")]
    TooManyPartitions,
    /// The connection is over.
    #[error("the connection is over")]
    Over,
    /// What is to be sent would break a rule of the protocol.
    #[error("against the rules: {what}")]
    Invalid {
        /// Which rule.
        what: &'static str,
    },
}

/// A record that no stream can carry. Its stream has to end with it (413).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Longer than [`MAX_BODY`].
    #[error("record at {offset} has {octets} octets, at most {MAX_BODY} allowed")]
    TooLong {
        /// Its offset.
        offset: u64,
        /// Its size as it would be sent.
        octets: usize,
    },
    /// More headers than [`MAX_HEADERS`](super::MAX_HEADERS).
    #[error("record at {offset} has too many headers")]
    Headers {
        /// Its offset.
        offset: u64,
    },
    /// More hosts than [`MAX_TRACE`](super::MAX_TRACE), or a name that is none.
    #[error("record at {offset} has too many hosts in its trace, or one without a proper name")]
    Trace {
        /// Its offset.
        offset: u64,
    },
    /// Not above the offset before it.
    #[error("record at {offset} is out of order")]
    Order {
        /// Its offset.
        offset: u64,
    },
}
