//! Events: records as brokers keep them, positions, batches, and CloudEvents read out of records.
//!
//! The lowest part of the house: everything may use it, it uses nothing of ours. It does no I/O.

pub mod batch;
pub mod clock;
pub mod cloudevent;
pub mod line;
pub mod partitioner;
pub mod record;

/// The header of a record that names the hosts that have passed it on, oldest first, separated by commas.
pub const TRACE: &[u8] = b"fnaa-trace";

pub use batch::{Batch, Incarnation, Position, Stored};
pub use cloudevent::{CloudEvent, EventError, EventRef, Invalid, Rule, Timestamp, Value};
pub use cloudevent::{attribute_of, data_of, is_event, text_of};
pub use line::{WriteLine, from_write_line, write_read_line};
pub use partitioner::{murmur2, partition_for_key};
pub use record::{Headers, HeadersBuilder, Record};
