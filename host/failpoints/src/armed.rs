//! What a debug build does at a place. Without the variable in its environment: nothing.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Names the file.
const VARIABLE: &str = "FNAAD_FAILPOINTS";

/// What the file says, and how often it was passed since.
#[derive(Default)]
struct Armed {
    order: String,
    passed: u32,
}

/// Called at a place.
#[doc(hidden)]
pub fn pass(name: &str) {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    static ARMED: Mutex<Armed> = Mutex::new(Armed { order: String::new(), passed: 0 });
    let file = FILE.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let Some(file) = file else { return };
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    // One write, so that lines of two threads do not mix. A stderr that is gone is no reason to fail.
    drop(std::io::stderr().write_all(format!("failpoint {name}\n").as_bytes()));
    if armed.is_the_place(std::fs::read_to_string(file).unwrap_or_default(), name) {
        std::process::abort();
    }
}

impl Armed {
    fn is_the_place(&mut self, order: String, name: &str) -> bool {
        if order != self.order {
            *self = Self { order, passed: 0 };
        }
        let Some((place, count)) = self.order.trim().split_once(':') else { return false };
        if place != name {
            return false;
        }
        self.passed += 1;
        count.parse() == Ok(self.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counted_passing_of_the_named_place_is_it() {
        let mut armed = Armed::default();
        assert!(!armed.is_the_place(String::new(), "a"));
        let order = || "a:2\n".to_owned();
        assert!(!armed.is_the_place(order(), "a"));
        assert!(!armed.is_the_place(order(), "b"));
        assert!(armed.is_the_place(order(), "a"));
        assert!(!armed.is_the_place(order(), "a"));
    }

    #[test]
    fn another_order_counts_anew() {
        let mut armed = Armed::default();
        assert!(!armed.is_the_place("a:2".to_owned(), "a"));
        assert!(!armed.is_the_place("a:3".to_owned(), "a"));
        assert!(armed.is_the_place("a:1".to_owned(), "a"));
    }
}
