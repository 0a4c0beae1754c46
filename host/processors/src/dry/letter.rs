//! A dead letter as tools of authors have it.

use host_events::{Record, Stored};

use crate::dead;

/// A dead letter, taken back to the event that it was.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The processor that could not take it.
    pub processor: String,
    /// Digest of the plugin that ran then.
    pub digest: String,
    /// Why, in one word.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// The flow it came from.
    pub flow: String,
    /// Its partition there.
    pub partition: u32,
    /// Only a part of it is in the letter.
    pub is_truncated: bool,
    /// The event, with its offset.
    pub stored: Stored,
}

impl Letter {
    /// Opens a letter; none where the record is no letter.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let opened = dead::open(record)?;
        let text = |name: &str| {
            let value = record.headers.get(name.as_bytes()).flatten().unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        Some(Self {
            processor: text("ce_deadprocessor"),
            digest: text("ce_deaddigest"),
            kind: text("ce_deadkind"),
            reason: text("ce_deadreason"),
            flow: opened.flow,
            partition: opened.partition,
            is_truncated: opened.truncated,
            stored: opened.stored,
        })
    }
}
