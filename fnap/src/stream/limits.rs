//! What a peer may make this side hold, and why so much.

use std::time::Duration;

/// Most octets of a frame behind its length. The largest record of a broker (8 MiB by Kafka's habit, 1 MiB
/// by default) fits twice, and a frame that is nearly here costs no more than that.
pub const MAX_FRAME: usize = 16 << 20;

/// Most octets of a frame's records, once unpacked: what fits into a frame that is not packed.
pub const MAX_BODY: usize = MAX_FRAME - MAX_RECORDS_FIELDS;

/// Octets of a frame of records beside its body: eight fields of at most 11 octets, and what is around them.
pub(super) const MAX_RECORDS_FIELDS: usize = 128;

/// Most streams of a connection at a time. Two hosts share one connection for all subscriptions; a stream
/// that waits costs under 1 KiB.
pub const MAX_STREAMS: usize = 4_096;

/// Most partitions of a stream: four times as many as a host makes for a flow.
pub const MAX_PARTITIONS: usize = 4_096;

/// Most partitions of all streams of a connection together, some 3 MiB of positions: 4,096 streams with 4,096 partitions
/// each would be a gigabyte.
pub const MAX_CONNECTION_PARTITIONS: usize = 65_536;

/// Most records of a frame. A record without content takes two octets on the wire and a hundred in memory:
/// this bounds what is decoded to 2 MiB beside the frame.
pub const MAX_RECORDS: usize = 16_384;

/// Most headers of a record. Tracing and CloudEvents need some twenty.
pub const MAX_HEADERS: usize = 1_024;

/// Most headers of all records of a frame, for the same reason as [`MAX_RECORDS`]: 16 MiB decoded.
pub const MAX_FRAME_HEADERS: usize = 262_144;

/// Most hosts in a record's trace: whoever passes a record on a seventeenth time goes in a circle.
pub const MAX_TRACE: usize = 16;

/// Most octets of a host's name in a trace, as in DNS.
pub const MAX_HOST_NAME: usize = 253;

/// Most octets of an incarnation: a UUID has 36, Kafka's ids 22.
pub const MAX_INCARNATION: usize = 64;

/// Most words in a Hello, and most octets of one.
pub(super) const MAX_OFFERS: usize = 32;
/// Most octets of one word in a Hello.
pub(super) const MAX_OFFER: usize = 64;

/// Most octets of a code's name.
pub(super) const MAX_CODE_NAME: usize = 32;

/// Most octets of the words for people in Ended and Close.
pub const MAX_WORDS: usize = 1_024;

/// Most octets that a stream may have under way: what a path of 10 Gbit/s and 800 ms holds. It only keeps sums small:
/// the source holds nothing for it.
pub const MAX_CREDIT: u64 = 1 << 30;

/// What a frame of records costs beside its octets, so that frames without records are not free.
pub const FRAME_COST: u64 = 64;

/// The highest offset: brokers count in signed 64-bit numbers.
pub const MAX_OFFSET: u64 = i64::MAX as u64;

/// Records are taken while fewer octets than this wait to be sent, so at most this and one frame wait. A
/// round trip's worth on a fast path; streams take turns in pieces of this size on a slow one.
pub const MAX_QUEUED: usize = 1 << 20;

/// The same for all other frames, which are small: while so many octets of them wait, a source looks at nothing
/// that its peer sends, and a follower asks for nothing more.
pub const MAX_CONTROL: usize = 256 << 10;

/// After so much time in which nothing was heard, a Ping is sent: two may be lost before [`SILENCE`].
pub const PING_AFTER: Duration = Duration::from_secs(10);

/// After so much time in which nothing was heard, the connection ends.
pub const SILENCE: Duration = Duration::from_secs(30);
