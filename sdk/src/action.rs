//! What a plugin answers: what becomes of each event, or why a call did not succeed.

use std::fmt;

use crate::{Event, Value};

/// What becomes of an event. Indexes and outputs are counted from 0; actions take effect in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To an output, byte for byte.
    Forward {
        /// The event.
        index: u32,
        /// The output.
        output: u32,
    },
    /// Every event of the batch to an output, byte for byte.
    ForwardAll {
        /// The output.
        output: u32,
    },
    /// A new event.
    Emit {
        /// The output.
        output: u32,
        /// The record's key; absent means `partitionkey`, and without one the batch's partition.
        key: Option<Vec<u8>>,
        /// The event.
        event: Event,
    },
    /// Forwarded with changes.
    Rewrite(Rewrite),
    /// Dropped.
    Drop {
        /// The event.
        index: u32,
    },
    /// To the processor's dead-letter flow.
    DeadLetter {
        /// The event.
        index: u32,
        /// Why.
        reason: String,
    },
}

impl Action {
    /// Sends event `index` to `output`, unchanged.
    #[must_use]
    pub const fn forward(index: u32, output: u32) -> Self {
        Self::Forward { index, output }
    }

    /// Sends the whole batch to `output`, unchanged.
    #[must_use]
    pub const fn forward_all(output: u32) -> Self {
        Self::ForwardAll { output }
    }

    /// Sends a new event to `output`; [`Action::Emit`] has a key as well.
    #[must_use]
    pub const fn emit(output: u32, event: Event) -> Self {
        Self::Emit { output, key: None, event }
    }

    /// Sends event `index` to `output` with the changes that are set on what this returns.
    #[must_use]
    pub fn rewrite(index: u32, output: u32) -> Rewrite {
        Rewrite { index, output, set: Vec::new(), unset: Vec::new(), data: DataChange::Keep }
    }

    /// Drops event `index`.
    #[must_use]
    pub const fn drop(index: u32) -> Self {
        Self::Drop { index }
    }

    /// Sends event `index` to the dead-letter flow.
    #[must_use]
    pub fn dead_letter(index: u32, reason: impl Into<String>) -> Self {
        Self::DeadLetter { index, reason: reason.into() }
    }
}

impl From<Rewrite> for Action {
    fn from(rewrite: Rewrite) -> Self {
        Self::Rewrite(rewrite)
    }
}

/// A change to an event that is forwarded. Only CloudEvents can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The event.
    pub index: u32,
    /// The output.
    pub output: u32,
    /// Attributes to set.
    pub set: Vec<(String, Value)>,
    /// Attributes to take away; a required one cannot be.
    pub unset: Vec<String>,
    /// What becomes of the data.
    pub data: DataChange,
}

impl Rewrite {
    /// Sets an attribute. `partitionkey` is the record's key, too, and the event goes to the partition of that key.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set.push((name.to_owned(), value.into()));
        self
    }

    /// Takes an attribute away.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.unset.push(name.to_owned());
        self
    }

    /// Replaces the data.
    #[must_use]
    pub fn data(self, data: impl Into<Vec<u8>>) -> Self {
        Self { data: DataChange::Replace(data.into()), ..self }
    }

    /// Takes the data away.
    #[must_use]
    pub fn without_data(self) -> Self {
        Self { data: DataChange::Remove, ..self }
    }
}

/// What a rewrite does to the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataChange {
    /// As it is.
    Keep,
    /// Other bytes.
    Replace(Vec<u8>),
    /// None, which is not empty.
    Remove,
}

/// Why a call did not succeed, named by what the host shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The same batch again, later, in a fresh instance.
    Retry(String),
    /// This event can never work; the host sends it to the dead-letter flow.
    Reject {
        /// The event.
        index: u32,
        /// Why.
        reason: String,
    },
    /// Stop the processor.
    Fatal(String),
}

impl Error {
    /// The same batch again, later.
    #[must_use]
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(reason.into())
    }

    /// Event `index` can never work.
    #[must_use]
    pub fn reject(index: u32, reason: impl Into<String>) -> Self {
        Self::Reject { index, reason: reason.into() }
    }

    /// Stop the processor.
    #[must_use]
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self::Fatal(reason.into())
    }

    /// The configuration is wrong at `path`; an empty path is the document itself.
    #[must_use]
    pub fn config(path: &str, reason: impl fmt::Display) -> Self {
        let path = if path.is_empty() || path == "." { "config" } else { path };
        Self::Fatal(format!("{path}: {reason}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reject { index, reason } => write!(out, "event {index}: {reason}"),
            Self::Retry(reason) | Self::Fatal(reason) => out.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}
