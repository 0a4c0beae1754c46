//! What a decision about subscriptions comes to: the rows that change, and what the audit log says of them.

use crate::Name;
use crate::state::Row;

/// Rows that change, what the audit log says of them, and what is answered.
pub(crate) struct Settled<T> {
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<Note>,
    pub(crate) answer: T,
}

impl<T> Settled<T> {
    /// Nothing changes.
    pub(crate) const fn nothing(answer: T) -> Self {
        Self { rows: Vec::new(), notes: Vec::new(), answer }
    }
}

/// One line of the audit log.
pub(crate) struct Note {
    pub(super) subject: String,
    pub(super) change: &'static str,
    /// Why, where the host does it by itself.
    pub(super) words: String,
}

impl Note {
    pub(crate) fn new(subject: &Name, change: &'static str, words: String) -> Self {
        Self { subject: subject.to_string(), change, words }
    }
}
