//! What stands in for the host, so that a plugin is tested with `cargo test` alone.
//!
//! [`Batches`] makes batches, [`Harness`] calls a plugin as the host would and refuses what the
//! host would refuse; state and log lines are kept by the thread. Not here: limits of time and
//! memory, and the checks a host makes on the events themselves.

mod batch;
mod harness;
pub(crate) mod log;
pub(crate) mod state;

pub use batch::Batches;
pub(crate) use batch::Handle;
pub use harness::{Harness, HarnessBuilder};
pub use log::{LogLine, take_log_lines};
