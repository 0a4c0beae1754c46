//! Instances between batches: those that grow are made anew, those that have nothing to do are given back, and no
//! event knows of it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

use serde_json::{Value, json};
use stories::{
    Fnaad, Wire, drop_in, events, eventually, eventually_described, eventually_holds,
    eventually_typed, guest, lying_guest,
};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";
const B: &str = "b.flows.unix.ar";
const P: &str = "p.flows.unix.ar";

/// Two flows and a processor that does with each batch what `act` says.
fn acting(act: &str, times: u32, settings: &str) -> (Wire, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    eventually_typed(&mut wire, "guest", |_| true);
    wire.ok(&format!("CREATE FLOW {A}"));
    wire.ok(&format!("CREATE FLOW {B}"));
    let config = json!({"act": act, "times": times});
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} {settings} CONFIG {config}"));
    (wire, host, dir)
}

/// The output is the input: nothing lost, repeated or out of its order.
fn assert_carried(wire: &mut Wire, count: usize) {
    eventually_holds(wire, B, count);
    let ids = |events: Vec<Value>| -> Vec<Value> {
        events.into_iter().map(|event| event["id"].clone()).collect()
    };
    let (written, carried) = (ids(wire.read(A)), ids(wire.read(B)));
    assert_eq!(carried.len(), count);
    assert!(written == carried, "another order or other events");
}

#[test]
fn a_guest_that_gives_no_memory_back_is_made_anew_and_every_event_goes_through_once() {
    // Sixteen mebibytes, of which twenty-five hundred events would take forty.
    let settings = "limit.memory=16777216 limit.batch_events=100";
    let (mut wire, _host, _dir) = acting("leak", 16 * 1024, settings);
    let count = 2_500;
    for from in (0..count).step_by(250) {
        wire.write(A, &events(from..from + 250));
    }
    assert_carried(&mut wire, count);
    let counted = |seen: &Value| seen["events-out"] == count;
    let seen = eventually_described(&mut wire, P, "all events counted", counted);
    let usage = &seen["usage"];
    let recycled = usage["recycled"].as_u64().unwrap();
    assert!(recycled >= 2, "{seen}");
    assert_eq!(usage["instances"].as_u64(), Some(recycled + 1), "{seen}");
    assert_eq!((&usage["traps"], &usage["limits-passed"]), (&0.into(), &0.into()), "{seen}");
    assert_eq!((&seen["failures"], &seen["state"]), (&0.into(), &"running".into()), "{seen}");
    assert!(usage["memory-peak"].as_u64().unwrap() <= 16_777_216, "{seen}");
}

/// Numbers of a flow's events in the order in which they are read.
fn numbers(host: &Fnaad, flow: &str) -> Vec<u64> {
    let mut child = host.fnua().spawn(&["--quiet", "--format", "json", "read", flow]);
    let number = |line: std::io::Result<String>| {
        let line = line.unwrap();
        let (_, rest) = line.split_once("\"id\":\"").unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    let numbers = BufReader::new(child.stdout.take().unwrap()).lines().map(number).collect();
    assert!(child.wait().unwrap().success());
    numbers
}

#[test]
fn a_million_events_go_through_a_guest_that_loses_a_kibibyte_with_each() {
    const COUNT: u64 = 1_000_000;
    let (mut wire, host, dir) = acting("leak", 1024, "");
    let path = dir.path().join("events.jsonl");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for number in 0..COUNT {
        let event = r#"{"specversion":"1.0","source":"/s","type":"t","id":""#;
        writeln!(file, "{event}{number}\"}}").unwrap();
    }
    drop(file.into_inner().unwrap());
    let mut child = host.fnua().spawn(&["--quiet", "write", A, &path.to_string_lossy()]);
    assert!(child.wait().unwrap().success());
    let counted = |seen: &Value| seen["events-out"] == COUNT;
    let seen = eventually_described(&mut wire, P, "a million events", counted);
    let usage = &seen["usage"];
    assert!(usage["recycled"].as_u64() >= Some(8), "{seen}");
    assert_eq!((&usage["traps"], &usage["limits-passed"]), (&0.into(), &0.into()), "{seen}");
    assert_eq!(seen["failures"], 0, "{seen}");
    let mut carried = numbers(&host, B);
    assert!(carried == numbers(&host, A), "another order or other events");
    carried.sort_unstable();
    assert!(carried.into_iter().eq(0..COUNT), "lost or repeated");
}

#[test]
fn state_stays_when_an_instance_is_made_anew_and_one_batch_is_never_counted_twice() {
    // The mark is always passed, so it is the room that the first batch left that counts.
    let settings = "limit.memory=4194304 limit.batch_events=1 limit.recycle_bytes=1";
    let (mut wire, _host, _dir) = acting("count-and-leak", 512 * 1024, settings);
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    let events = wire.read(B).into_iter();
    let numbers = events.map(|event| event["counted"].as_str().unwrap().parse().unwrap());
    assert_eq!(numbers.collect::<Vec<u64>>(), (1..=20).collect::<Vec<_>>());
    let recycled = |seen: &Value| seen["usage"]["recycled"].as_u64() > Some(2);
    let seen = eventually_described(&mut wire, P, "recycled instances", recycled);
    assert_eq!(seen["failures"], 0, "{seen}");
}

#[test]
fn an_instance_without_work_is_given_back_and_made_again_for_the_next_batch() {
    let (mut wire, _host, _dir) = acting("count", 0, "limit.idle_ms=50");
    let idle = |seen: &Value| seen["usage"]["memory"] == 0 && seen["state"] == "running";
    let seen = eventually_described(&mut wire, P, "an instance given back at the start", idle);
    assert_eq!(seen["usage"]["instances"], 1, "{seen}");
    for written in [10, 20] {
        wire.write(A, &events(written - 10..written));
        eventually_holds(&mut wire, B, written);
        let counted = |seen: &Value| seen["events-out"] == written && idle(seen);
        eventually_described(&mut wire, P, "an instance given back", counted);
    }
    assert_carried(&mut wire, 20);
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert!(seen["usage"]["instances"].as_u64() >= Some(3), "{seen}");
    assert_eq!((&seen["failures"], &seen["usage"]["recycled"]), (&0.into(), &0.into()), "{seen}");
    // Who is not there can be held, told and taken away like any other.
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&format!("RESUME {P}"));
    wire.ok(&format!("DELETE PROCESSOR {P}"));
}

#[test]
fn a_shadow_that_gives_no_memory_back_is_made_anew_and_agrees_about_every_event() {
    // Of each event it keeps an eighth of its memory, and an event that finds none would be a difference.
    let settings = "upgrade=pinned limit.memory=4194304 limit.batch_events=1 limit.recycle_bytes=1";
    let (mut wire, host, dir) = acting("", 512 * 1024, settings);
    drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("act-leak"));
    let leaks = eventually("the version that leaks", || match wire.describe("PROCESSOR guest") {
        kind if kind["version"] == "0.2.0" => Ok(kind["digest"].as_str().unwrap().to_owned()),
        kind => Err(kind.to_string()),
    });
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {leaks}"));
    for number in 0..20 {
        wire.write(A, &events(number..number + 1));
        // Nothing waits for a shadow, so that it may be passed by; what it was shown it was shown.
        eventually_described(&mut wire, P, "the event in the shadow", |seen| {
            let count = |key: &str| seen[key].as_u64().unwrap_or(0);
            count("shadow.agree") + count("shadow.differ") == number as u64 + 1
        });
    }
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!((&seen["shadow.agree"], &seen["shadow.skipped"]), (&20.into(), &0.into()), "{seen}");
    assert_eq!(seen["usage"]["limits-passed"], 0, "{seen}");
    // So do two versions that are compared over past events.
    let said = host.fnua().run(&["replay", P, "--version", &leaks]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("events: 20 alike, 0 not\n"), "{said:?}");
}
