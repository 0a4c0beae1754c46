//! Waiting for what comes in its own time: looks again and again, and fails with the last look when patience ends.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{PATIENCE, Wire};

/// Asks until the answer is there; panics with the last look when patience ends.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same for what takes longer than anything else.
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if began.elapsed() > patience => {
                panic!("waited for {what}, last saw: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Waits until the description of a processor is as `wanted`, and gives it.
pub fn eventually_described(
    wire: &mut Wire,
    processor: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    eventually(what, || {
        let description = wire.describe(&format!("PROCESSOR {processor}"));
        if wanted(&description) { Ok(description) } else { Err(description.to_string()) }
    })
}

/// Waits until a flow holds so many events; more is a failure.
pub fn eventually_holds(wire: &mut Wire, flow: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} events in {flow}"), || {
        let events = wire.read(flow);
        assert!(events.len() <= count, "{} events in {flow}, not {count}", events.len());
        if events.len() == count { Ok(events) } else { Err(format!("{} events", events.len())) }
    })
}

/// Waits until a processor type is there and as `wanted`, and gives what is listed of it.
pub fn eventually_typed(wire: &mut Wire, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("the type {kind}"), || {
        let types = wire.json("GET PROCESSOR TYPES");
        let found = types.iter().find(|found| found["type"] == kind && wanted(found));
        found.cloned().ok_or_else(|| format!("{types:?}"))
    })
}
