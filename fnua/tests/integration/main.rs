//! The binary `fnua` against a scripted host.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows tests by their attribute, and these helpers have none"
)]

mod commands;
mod deadletters;
mod fake;
mod library;
mod logs;
mod read;
mod waits;
mod write;
