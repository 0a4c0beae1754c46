//! Lines kept for each processor. The host limits their rate.
//!
//! Messages are constant, lower case and without a full stop; what changes goes into fields.

#[cfg(target_family = "wasm")]
use crate::guest::log as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::log as host;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For the operator, when asked.
    Info,
    /// Something to look at.
    Warn,
    /// Something is broken.
    Error,
}

/// Writes a line.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    host::log(level, message, fields);
}

/// Writes a line for the plugin's author.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    log(Level::Debug, message, fields);
}

/// Writes a line for the operator.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    log(Level::Info, message, fields);
}

/// Writes a line about something to look at.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    log(Level::Warn, message, fields);
}

/// Writes a line about something broken.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    log(Level::Error, message, fields);
}
