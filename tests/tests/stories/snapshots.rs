//! Snapshots of a processor's state: taken while it runs, kept over a kill, and where a comparison begins.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use stories::{
    A, B, Fnaad, P, Wire, age_snapshots, drop_in, events, eventually, eventually_described,
    eventually_holds, eventually_typed, guest, lying_guest,
};

/// Steps of taking one, at which it is killed here.
pub(crate) const PLACES: [&str; 2] = ["snapshots.written", "snapshots.kept"];

/// A mortal host with a processor that counts, which stays with its version, and another version; its digest.
fn house(dir: &std::path::Path) -> (Fnaad, Wire, String) {
    Fnaad::arm(dir, "");
    let host = Fnaad::mortal(dir).expect("nothing ends it");
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    let plugins = dir.join("plugins");
    drop_in(&plugins, "guest.wasm", guest());
    version(&mut wire, "0.1.0");
    let rest = r#"upgrade=pinned CONFIG {"act":"count"}"#;
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} {rest}"));
    drop_in(&plugins, "guest.wasm", &lying_guest("patch-9"));
    let other = version(&mut wire, "0.1.9");
    (host, wire, other)
}

/// The digest of a version of the guest, once it is installed.
fn version(wire: &mut Wire, version: &str) -> String {
    let found = eventually_typed(wire, "guest", |found| found["version"] == version);
    found["digest"].as_str().unwrap().to_owned()
}

fn snapshots(wire: &mut Wire) -> Vec<(String, Value)> {
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    let all = seen.as_object().unwrap().iter();
    let kept = all.filter_map(|(key, value)| Some((key.strip_prefix("snapshot.")?, value)));
    kept.map(|(number, value)| (number.to_owned(), value.clone())).collect()
}

/// What a comparison found, by the protocol.
fn compared(wire: &mut Wire, rest: &str) -> Value {
    wire.ok(&format!("COMPARE {P} {rest}"));
    let seen = eventually_described(wire, P, "the end", |seen| seen["comparison.state"] == "done");
    wire.ok(&format!("COMPARE {P} STOP"));
    seen
}

#[test]
fn a_comparison_begins_with_the_state_and_the_positions_of_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire, other) = house(dir.path());
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    assert_eq!(wire.ok(&format!("SNAPSHOT {P}")), "1");
    wire.write(A, &events(20..50));
    eventually_holds(&mut wire, B, 50);
    let kept = snapshots(&mut wire);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((&*kept[0].0, &kept[0].1["version"]), ("1", &"0.1.0".into()));
    assert_ne!(kept[0].1["entries"], 0, "{kept:?}");
    assert!(kept[0].1["positions"].as_str().unwrap().ends_with(":0:20"), "{kept:?}");
    let host = Fnaad::dev(&host.kill());
    let mut wire = host.login();
    let seen = compared(&mut wire, &format!("VERSION {other} SNAPSHOT 1"));
    for (key, count) in [("agree", 30), ("differ", 0), ("state-differ", 0), ("all", 30)] {
        assert_eq!(seen[format!("comparison.{key}")], count, "{key}: {seen}");
    }
    let said = host.fnua().run(&["replay", P, "--version", &other, "--from-snapshot", "1"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("events: 30 alike, 0 not\n"), "{said:?}");
    assert_eq!(said.stderr, "", "{said:?}");
    // Without one it begins with an empty state, and says what there is.
    let said = host.fnua().run(&["replay", P, "--version", &other, "--from", "0:20"]);
    assert!(said.stdout.starts_with("events: 30 alike, 0 not\n"), "{said:?}");
    assert!(
        said.stderr.contains("empty state; --from-snapshot 1 begins with that of "),
        "{said:?}"
    );
    let said = host.fnua().run(&["replay", P, "--version", &other, "--from", "0:19"]);
    assert!(said.stdout.starts_with("events: 31 alike, 0 not\n"), "{said:?}");
    assert_eq!(said.stderr, "", "{said:?}");
    let refused = wire.refused(&format!("COMPARE {P} VERSION {other} SNAPSHOT 9"));
    assert_eq!(refused, format!("404 NOT_FOUND snapshot 9 of processor {P}"));
    // It is not given to anybody else, and may be forgotten.
    assert_eq!(host.fnua().ok(&["snapshot", P]).trim(), "2");
    host.fnua().ok(&["snapshot", P, "--forget", "1"]);
    let refused = wire.refused(&format!("SNAPSHOT {P} FORGET 1"));
    assert_eq!(refused, format!("404 NOT_FOUND snapshot 1 of processor {P}"));
    assert_eq!(snapshots(&mut wire).len(), 1);
    wire.ok(&format!("PAUSE {P}"));
    let refused = wire.refused(&format!("SNAPSHOT {P}"));
    assert!(
        refused.starts_with(&format!("409 CONFLICT processor {P} is not running")),
        "{refused}"
    );
}

#[test]
fn a_version_that_reads_the_state_otherwise_begins_with_that_of_the_snapshot_too() {
    let dir = tempfile::tempdir().unwrap();
    let (_host, mut wire, other) = house(dir.path());
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    assert_eq!(wire.ok(&format!("SNAPSHOT {P}")), "1");
    wire.write(A, &events(20..30));
    eventually_holds(&mut wire, B, 30);
    drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("cannot-migrate"));
    let refused = eventually("another version", || match wire.describe("PROCESSOR guest") {
        seen if seen["digest"] != *other => Ok(seen["digest"].as_str().unwrap().to_owned()),
        seen => Err(seen.to_string()),
    });
    wire.ok(&format!("COMPARE {P} VERSION {refused} SNAPSHOT 1"));
    eventually_described(&mut wire, P, "the failure", |seen| seen["comparison.state"] == "failed");
}

#[test]
fn killed_while_a_snapshot_is_taken_it_is_whole_or_none_and_those_of_before_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut host, mut wire, other) = house(dir);
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    assert_eq!(wire.ok(&format!("SNAPSHOT {P}")), "1");
    for place in PLACES {
        let before = snapshots(&mut wire).len();
        Fnaad::arm(dir, &format!("{place}:1"));
        wire.send(format!("SNAPSHOT {P}\r\n").as_bytes());
        host.until_ended(place);
        Fnaad::arm(dir, "");
        drop(host);
        host = Fnaad::mortal(dir).expect("nothing ends it");
        wire = host.login();
        let kept = snapshots(&mut wire);
        assert_eq!(
            kept.len(),
            before + usize::from(place == "snapshots.kept"),
            "{place}: {kept:?}"
        );
        for (number, _) in kept {
            let seen = compared(&mut wire, &format!("VERSION {other} SNAPSHOT {number}"));
            assert_eq!(seen["comparison.state"], "done");
        }
    }
    let taken = wire.ask(&format!("SNAPSHOT {P}"));
    assert_eq!(taken, ["220 OK 3"]);
    wire.ok(&format!("DELETE PROCESSOR {P}"));
    let folder = dir.join("data/snapshots");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn snapshots_at_once_under_load_and_swaps_end_and_each_goes_on_as_the_live_run_did() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let plugins = dir.path().join("plugins");
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    drop_in(&plugins, "guest.wasm", guest());
    version(&mut wire, "0.1.0");
    let config = r#"CONFIG {"act":"count-and-leak"}"#;
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} {config}"));
    let (enough, host) = (AtomicBool::new(false), &host);
    let (taken, written) = std::thread::scope(|scope| {
        let write = || write_until(&mut host.login(), &enough);
        let writing = scope.spawn(write);
        let take = || -> Vec<String> {
            let mut wire = host.login();
            (0..4).map(|_| wire.ask(&format!("SNAPSHOT {P}")).join(" ")).collect()
        };
        let taking: Vec<_> = (0..2).map(|_| scope.spawn(take)).collect();
        for patch in 1..=6 {
            drop_in(&plugins, "guest.wasm", &lying_guest(&format!("patch-{patch}")));
            eventually_described(&mut wire, P, "the version", |seen| {
                seen["shard.0"]["version"] == format!("0.1.{patch}")
            });
        }
        let taken: Vec<_> = taking.into_iter().flat_map(|taking| taking.join().unwrap()).collect();
        enough.store(true, Ordering::Relaxed);
        (taken, writing.join().unwrap())
    });
    let mut numbers: Vec<_> = taken.iter().map(|taken| taken.strip_prefix("220 OK ")).collect();
    numbers.sort_unstable();
    let expected = ["1", "2", "3", "4", "5", "6", "7", "8"];
    assert_eq!(numbers, expected.map(Some), "{taken:?}");
    // Something for the last of them to go on with.
    wire.write(A, &events(written..written + 10));
    let live = eventually_holds(&mut wire, B, written + 10);
    // One that numbers nothing differs in every event, so that what the processor does is shown.
    wire.ok(&format!("UPDATE PROCESSOR {P} upgrade=pinned"));
    drop_in(&plugins, "guest.wasm", &lying_guest("act-mask"));
    let other = version(&mut wire, "0.2.0");
    for number in expected {
        let seen = compared(&mut wire, &format!("VERSION {other} SNAPSHOT {number}"));
        let examples = seen["comparison.example"].as_array().unwrap();
        assert!(!examples.is_empty(), "{seen}");
        for example in examples {
            let offset = example["event"].as_str().unwrap().rsplit(':').next().unwrap();
            let event = &live[offset.parse::<usize>().unwrap()];
            let counted = format!(" counted={} ", event["counted"].as_str().unwrap());
            assert!(example["counts"].as_str().unwrap().contains(&counted), "{number}: {example}");
        }
    }
}

fn write_until(wire: &mut Wire, enough: &AtomicBool) -> usize {
    let mut written = 0;
    while !enough.load(Ordering::Relaxed) {
        wire.write(A, &events(written..written + 10));
        written += 10;
    }
    written
}

#[test]
fn by_rule_the_first_is_taken_soon_and_the_next_when_its_time_has_passed() {
    const DAILY: &str = "daily.flows.unix.ar";
    const ELSEWHERE: &str = "elsewhere.flows.unix.ar";
    let dir = tempfile::tempdir().unwrap();
    let (mut host, mut wire, _) = house(dir.path());
    wire.ok(&format!("CREATE FLOW {ELSEWHERE}"));
    wire.ok(&format!(
        "CREATE PROCESSOR {DAILY} TYPE guest FROM {A} TO {ELSEWHERE} snapshots=daily"
    ));
    wire.ok(&format!("UPDATE PROCESSOR {P} snapshots=hourly"));
    for (hours, daily, hourly) in [(2, 1, 1), (23, 1, 2), (0, 2, 3)] {
        for (processor, count) in [(DAILY, daily), (P, hourly)] {
            eventually_described(&mut wire, processor, "snapshots", |seen| {
                let keys = seen.as_object().unwrap().keys();
                let kept = keys.filter(|key| key.starts_with("snapshot.")).count();
                assert!(kept <= count, "{seen}");
                kept == count
            });
        }
        if hours > 0 {
            let dir = host.kill();
            age_snapshots(&dir.join("data"), hours);
            host = Fnaad::dev(&dir);
            wire = host.login();
        }
    }
}
