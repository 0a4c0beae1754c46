//! Brokers: the trait that every one of them implements, and the embedded one.
//!
//! Knows nothing of Wasm, of processors or of FNAP.

pub mod broker;
pub mod embedded;
#[cfg(feature = "faults")]
pub mod faulty;

pub use broker::*;
