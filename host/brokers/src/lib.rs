//! Brokers: the trait that every one of them implements, and two of them: the embedded one
//! and Apache Kafka.
//!
//! Knows nothing of Wasm, of processors or of FNAP.

pub mod broker;
mod cut;
pub mod embedded;
#[cfg(feature = "faults")]
pub mod faulty;
pub mod kafka;

pub use broker::*;
