//! Events: records as brokers keep them, positions, batches, and CloudEvents read out of records.
//!
//! The lowest part of the house: everything may use it, it uses nothing of ours. It does no I/O.

pub mod batch;
pub mod record;

pub use batch::{Batch, Incarnation, Position, Stored};
pub use record::{Headers, HeadersBuilder, Record};
