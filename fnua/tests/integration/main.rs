//! The binary `fnua` against a scripted host.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows tests by their attribute, and these helpers have none"
)]

mod authority;
mod commands;
mod deadletters;
mod fake;
mod identity;
mod library;
mod login;
mod logs;
mod read;
mod replay;
mod tls;
mod uris;
mod waits;
mod write;
mod yaml;
