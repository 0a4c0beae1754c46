//! What is said, as in `fnap/stream.proto`, which also says what each field means and when it may be sent.
//!
//! Written by hand, so that no compiler of Protocol Buffers is needed; a test compares it with that file.
//! Octets are slices of the frame that they came in: a record that is kept keeps its whole frame.

use bytes::Bytes;

/// The content of a frame.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Frame {
    /// Which message; none is one that this version does not know.
    #[prost(oneof = "Message", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub message: Option<Message>,
}

/// All messages.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Message {
    /// Both, at first.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Follower: begin.
    #[prost(message, tag = "2")]
    Attach(Attach),
    /// Source: it begins there.
    #[prost(message, tag = "3")]
    Attached(Attached),
    /// Source: records.
    #[prost(message, tag = "4")]
    Records(Records),
    /// Follower: more may come.
    #[prost(message, tag = "5")]
    Credit(Credit),
    /// Follower: safe so far.
    #[prost(message, tag = "6")]
    Ack(Ack),
    /// Follower: no more.
    #[prost(message, tag = "7")]
    Detach(Detach),
    /// Source: no more.
    #[prost(message, tag = "8")]
    Ended(Ended),
    /// Both: are you there?
    #[prost(message, tag = "9")]
    Ping(Ping),
    /// Both: yes.
    #[prost(message, tag = "10")]
    Pong(Pong),
    /// Both: the end of the connection.
    #[prost(message, tag = "11")]
    Close(Close),
}

/// Who speaks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// The highest version spoken.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// What is taken beyond it.
    #[prost(string, repeated, tag = "2")]
    pub offers: Vec<String>,
}

/// Send this flow from there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Attach {
    /// The follower's number, ascending from 1.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// The flow's name.
    #[prost(string, tag = "2")]
    pub flow: String,
    /// Whose positions these are.
    #[prost(string, tag = "3")]
    pub incarnation: String,
    /// Next offsets.
    #[prost(message, repeated, tag = "4")]
    pub positions: Vec<Position>,
    /// Where partitions without a position begin.
    #[prost(enumeration = "Start", tag = "5")]
    pub start: i32,
    /// Milliseconds since 1970 UTC, for [`Start::Time`].
    #[prost(sint64, tag = "6")]
    pub time: i64,
    /// Octets that may be under way.
    #[prost(uint64, tag = "7")]
    pub credit: u64,
}

/// Where a partition without a position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Start {
    /// With the oldest record.
    Earliest = 0,
    /// With what comes next.
    Latest = 1,
    /// With the first that is not older than a time.
    Time = 2,
    /// Nowhere: they are not wanted.
    None = 3,
}

/// The offset of the next record of a partition.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Position {
    /// The partition.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// The next offset.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
}

/// The stream begins.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Attached {
    /// Which one.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// The flow's life.
    #[prost(string, tag = "2")]
    pub incarnation: String,
    /// Its partitions.
    #[prost(message, repeated, tag = "3")]
    pub partitions: Vec<Partition>,
    /// Whether it is held, in one that names no partitions.
    #[prost(bool, tag = "4")]
    pub held: bool,
}

/// A partition as it is now.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Partition {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// The oldest offset that can be read.
    #[prost(uint64, tag = "2")]
    pub earliest: u64,
    /// The offset that the next record to come will have.
    #[prost(uint64, tag = "3")]
    pub latest: u64,
    /// Where the stream begins.
    #[prost(uint64, tag = "4")]
    pub next: u64,
}

/// Records of one partition.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Records {
    /// Of which stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// Of which partition.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// The position after them.
    #[prost(uint64, tag = "3")]
    pub next: u64,
    /// The end of the partition; 0 where it is not said.
    #[prost(uint64, tag = "4")]
    pub latest: u64,
    /// How many.
    #[prost(uint32, tag = "5")]
    pub count: u32,
    /// How the body is packed.
    #[prost(enumeration = "Codec", tag = "6")]
    pub codec: i32,
    /// Octets of the body once unpacked; 0 where it is not packed.
    #[prost(uint32, tag = "7")]
    pub unpacked: u32,
    /// A [`RecordSet`].
    #[prost(bytes = "bytes", tag = "8")]
    pub body: Bytes,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Codec {
    /// Not at all.
    Plain = 0,
    /// One Zstandard frame (RFC 8878).
    Zstd = 1,
}

/// The records of a frame.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RecordSet {
    /// In the order of their offsets.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
}

/// One record of a broker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    /// Where it lies.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// The key; absent is not empty.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub key: Option<Bytes>,
    /// The value; absent is not empty.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub value: Option<Bytes>,
    /// In order, with repeats and nulls.
    #[prost(message, repeated, tag = "4")]
    pub headers: Vec<Header>,
    /// Milliseconds since 1970 UTC.
    #[prost(sint64, tag = "5")]
    pub timestamp: i64,
    /// The hosts that passed it on, oldest first.
    #[prost(string, repeated, tag = "6")]
    pub trace: Vec<String>,
}

/// A header of a record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Header {
    /// Its name; names may repeat.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// Its value; absent is null, which is not empty.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
}

/// More may come.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Credit {
    /// Of which stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// How much.
    #[prost(uint64, tag = "2")]
    pub octets: u64,
}

/// Safe at the follower's broker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ack {
    /// Of which stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// Everything before these.
    #[prost(message, repeated, tag = "2")]
    pub positions: Vec<Position>,
}

/// No more, says the follower.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Detach {
    /// Of which stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
}

/// No more, says the source.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ended {
    /// Of which stream.
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    /// A code of the replies.
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// For people.
    #[prost(string, tag = "4")]
    pub words: String,
}

/// Are you there?
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ping {
    /// Comes back.
    #[prost(uint64, tag = "1")]
    pub token: u64,
}

/// Yes.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Pong {
    /// Of the latest Ping.
    #[prost(uint64, tag = "1")]
    pub token: u64,
}

/// The end of the connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Close {
    /// A code of the replies.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub words: String,
}
