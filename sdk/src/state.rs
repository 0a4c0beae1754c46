//! Bytes that belong to the processor's shard. Writes become durable in the same commit as the
//! outputs and positions of the batch, or not at all; only [`crate::Processor::process`] and [`crate::Timer::tick`] may write.
//!
//! In a native test, [`crate::testing`] keeps them in a map of the thread.

use std::fmt;

#[cfg(target_family = "wasm")]
use crate::guest::state as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::state as host;

/// The value of a key.
#[must_use]
pub fn get(key: &[u8]) -> Option<Vec<u8>> {
    host::get(key)
}

/// Sets a key.
///
/// # Errors
/// When the granted size is used up, or the write is not allowed.
pub fn set(key: &[u8], value: &[u8]) -> Result<(), StateError> {
    host::set(key, value)
}

/// Takes a key away; one that is absent is no error.
///
/// # Errors
/// When the write is not allowed.
pub fn delete(key: &[u8]) -> Result<(), StateError> {
    host::delete(key)
}

/// Entries whose key begins with `prefix` and sorts after `after`, in the order of their keys, at
/// most `limit`. The host may give fewer, but at least one where there is one.
#[must_use]
pub fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Vec<Entry> {
    host::scan(prefix, after, limit)
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Why state was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The granted size, in bytes, is used up.
    Full(u64),
    /// The key is empty or too long, or writing is not allowed here.
    Denied(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(limit) => write!(out, "state is full: limit passed: state_bytes={limit}"),
            Self::Denied(reason) => write!(out, "state is denied: {reason}"),
        }
    }
}

impl std::error::Error for StateError {}

/// A plugin that cannot write its state cannot go on; the host names what it was denied.
impl From<StateError> for crate::Error {
    fn from(error: StateError) -> Self {
        Self::Fatal(error.to_string())
    }
}
