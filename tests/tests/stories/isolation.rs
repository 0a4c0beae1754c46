//! A processor that misbehaves disturbs nobody but itself.
//!
//! No hostile plugin is needed: an expression of a few nested loops makes an honest one run for ever,
//! eat its memory, or end with a limit.

use stories::{A, Hosted, events, eventually_described, eventually_holds, host_with};

const BAD: &str = "bad.flows.unix.ar";

/// Flows `a`, `good` and `out`; everything in `a` goes to `good`.
fn host() -> Hosted {
    let (mut wire, host, dir) = host_with(&[A, "good.flows.unix.ar", "out.flows.unix.ar"], 1);
    wire.ok(&format!("REPLICATE {A} good.flows.unix.ar"));
    (wire, host, dir)
}

/// `[0,0,…]`, as long as an expression may be with a few of them.
fn list() -> String {
    format!("[{}]", vec!["0"; 60].join(","))
}

/// Lets a bridge with this filter meet events, beside one that has none.
fn beside(filter: &str, limit: &str) {
    let (mut wire, _host, _dir) = host();
    let config = serde_json::json!({"filter": filter});
    // Its events wait: nothing of it shall be given up.
    wire.ok(&format!("REPLICATE {A} out.flows.unix.ar AS {BAD} dead-letters=off CONFIG {config}"));
    wire.write(A, &events(0..20));
    let seen =
        eventually_described(&mut wire, BAD, "its failure", |seen| seen["state"] == "failed");
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains(limit), "{reason}");
    for from in (20..200).step_by(20) {
        assert_eq!(wire.write(A, &events(from..from + 20)), "220 OK 20 events");
        eventually_holds(&mut wire, "good.flows.unix.ar", from + 20);
    }
    assert!(wire.read("out.flows.unix.ar").is_empty());
    // It can be put right, and goes on where it stood.
    wire.ok(&format!("UPDATE PROCESSOR {BAD} CONFIG {{}}"));
    eventually_holds(&mut wire, "out.flows.unix.ar", 200);
}

#[test]
fn a_processor_that_runs_for_ever_is_stopped_and_its_neighbour_goes_on() {
    let list = list();
    // 60 to the seventh: hours.
    let mut filter = "true".to_owned();
    for depth in 0..7 {
        filter = format!("{list}.all(x{depth}, {filter})");
    }
    beside(&filter, "call_ms");
}

#[test]
fn a_processor_that_eats_memory_is_stopped_and_its_neighbour_goes_on() {
    // 64 characters, 14 times four times as long: gigabytes.
    let mut filter = format!("['{}']", "x".repeat(64));
    for _ in 0..14 {
        filter += ".map(x, x + x + x + x)";
    }
    beside(&format!("{filter}.size() > 0"), "memory");
}
