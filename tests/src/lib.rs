//! What the stories need: the programs as processes, and sockets to talk to them as strangers do.
//!
//! Nothing here sleeps to hope: it waits for lines, for answers, or for ends, each with a limit after
//! which the test fails and says what it waited for.

mod fnaad;
mod fnua;
mod wire;

pub use fnaad::Fnaad;
pub use fnua::{Fnua, Said};
pub use wire::Wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for anything. Reached only when a test fails; generous because CI compiles beside.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A program of this workspace, built before the stories run.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().expect("own path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    assert!(path.is_file(), "{} is not built: `make stories` builds it first", path.display());
    path
}

/// Asks until the answer is there; panics with the last look when patience ends.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if began.elapsed() > PATIENCE => {
                panic!("waited for {what}, last saw: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A CloudEvent as a JSON line.
#[must_use]
pub fn event(id: impl std::fmt::Display, data: &serde_json::Value) -> String {
    let event = serde_json::json!({
        "specversion": "1.0", "id": id.to_string(), "source": "/stories", "type": "com.example.told",
        "data": data,
    });
    event.to_string()
}

/// The ids of events that were read.
#[must_use]
pub fn ids(lines: &str) -> Vec<String> {
    let id = |line: &str| -> String {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        event["id"].as_str().expect("an id").to_owned()
    };
    lines.lines().map(id).collect()
}
