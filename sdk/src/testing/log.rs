//! Log lines, kept by the thread.

use std::cell::RefCell;

use crate::log::Level;

/// A line that a plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The message.
    pub message: String,
    /// What changes from line to line.
    pub fields: Vec<(String, String)>,
}

/// The lines written by this thread since the last call.
#[must_use]
pub fn take_log_lines() -> Vec<LogLine> {
    LINES.take()
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let fields = fields.iter().map(owned).collect();
    LINES.with_borrow_mut(|lines| {
        lines.push(LogLine { level, message: message.to_owned(), fields })
    });
}

thread_local! {
    static LINES: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
}
