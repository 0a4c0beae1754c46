//! Streams between hosts: what follows on a connection once `STREAM` was accepted, as two state machines.
//!
//! [`Source`] has flows, [`Follower`] wants them. Octets go in ([`Follower::input`]), events come out
//! ([`Follower::next_event`]), and what has to be written lies in [`Follower::outgoing`], in pieces for a vectored write. They do
//! no I/O, measure no time, pack nothing and know no broker. `fnap/stream.proto` says what crosses the wire.
//!
//! ```text
//! loop {
//!     while let Some(event) = side.next_event()? { /* deal with it; say what follows from it */ }
//!     // write side.outgoing(); read into side.input() where side.wants_input(); side.passed(time)
//! }
//! ```
//!
//! Everything that a peer can do wrong ends the connection with a [`StreamError`] that names it, and the peer is told. What
//! a side holds is bounded ([`limits`](self#constants)): frames are looked at one by one as the caller takes events, what is sent
//! waits in a queue that refuses more ([`Refused::Full`]), and records come only as far as the stream's credit goes.

mod batch;
mod credit;
mod error;
mod follower;
mod frame;
mod limits;
mod link;
pub mod messages;
mod outgoing;
mod pack;
mod scan;
mod side;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::name::FlowName;

pub use batch::{Batch, Opened};
pub use credit::Room;
pub use error::{PackError, Refused, StreamError};
pub use follower::{Followed, Follower};
pub use frame::{FrameDecoder, decode, encode};
pub use limits::{
    FRAME_COST, MAX_BODY, MAX_CONNECTION_PARTITIONS, MAX_CONTROL, MAX_CREDIT, MAX_FRAME,
    MAX_FRAME_HEADERS, MAX_HEADERS, MAX_HOST_NAME, MAX_INCARNATION, MAX_OFFSET, MAX_PARTITIONS,
    MAX_QUEUED, MAX_RECORDS, MAX_STREAMS, MAX_TRACE, MAX_WORDS, PING_AFTER, SILENCE,
};
pub use link::{VERSION, ZSTD};
pub use messages::{Header, Partition, Record};
pub use outgoing::Outgoing;
pub use pack::{LARGE, Packed, Recorded};
pub use source::{Piece, Source, Sourced};

/// What a follower asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The flow, or a subscription `id.f`.
    pub flow: FlowName,
    /// The life of the flow that the positions belong to; empty where it is not known yet.
    pub incarnation: String,
    /// For each partition the offset of the next record.
    pub positions: BTreeMap<u32, u64>,
    /// Where partitions without a position begin.
    pub begin: Begin,
    /// Octets that may be under way: 1 to [`MAX_CREDIT`].
    pub credit: u64,
}

/// Where a partition without a position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest record.
    Earliest,
    /// With what comes next.
    Latest,
    /// With the first record that is not older than this, in milliseconds since 1970 UTC.
    Time(i64),
    /// Nowhere: it is not wanted. With no position at all, only what there is is asked.
    None,
}
