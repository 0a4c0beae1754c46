//! The binary `fnua` against a scripted host.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute, and these helpers have none"
)]

mod commands;
mod fake;
mod read;
mod write;
