//! Lines that plugins write: where they go, and how many.
//!
//! A plugin cannot flood: lines above the rate are counted and left out, long ones are cut.

use std::time::Instant;

/// Where the lines of one processor go. Called from inside a guest's call: must not block.
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn log(&self, line: LogLine);
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text, at most 8 KiB.
    pub message: String,
    /// Facts, at most 32.
    pub fields: Vec<(String, String)>,
}

/// A sink that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _: LogLine) {}
}
