//! The clock as records and rows have it: milliseconds since 1970 UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now; 0 where the clock stands before 1970.
#[must_use]
pub fn now() -> i64 {
    millis(SystemTime::now())
}

/// A moment; 0 for one before 1970.
#[must_use]
pub fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
