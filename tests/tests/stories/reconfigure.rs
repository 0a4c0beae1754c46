//! Another configuration for a processor that runs: its instances keep what they remember, all shards take it or
//! none, and a host that is killed meanwhile begins with the one before or with this one.

use serde_json::{Value, json};
use stories::{A, B, Fnaad, P, Wire, by_partition, drop_in, events, eventually_typed, guest, ids};

/// Partitions of the flows, and so shards.
const SHARDS: usize = 2;

fn config(act: &str, times: u32) -> String {
    json!({ "act": act, "times": times }).to_string()
}

/// A guest that remembers how many events it has seen.
fn remembering(dir: &std::path::Path, host: &Fnaad) -> Wire {
    let mut wire = host.login();
    drop_in(&dir.join("plugins"), "guest.wasm", guest());
    eventually_typed(&mut wire, "guest", |_| true);
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions={SHARDS}"));
    }
    let config = config("recall", 1);
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} CONFIG {config}"));
    wire
}

fn reconfigured(act: &str, times: u32) -> String {
    format!("UPDATE PROCESSOR {P} CONFIG {}", config(act, times))
}

/// Writes 20 events more and gives all that came out.
fn after_more(wire: &mut Wire, before: usize) -> Vec<Value> {
    wire.write(A, &events(before..before + 20));
    stories::eventually_holds(wire, B, before + 20)
}

/// How manyth event each is in the memory of its shard, where nothing was ever forgotten.
fn is_remembered(all: &[Value]) {
    let mut seen = [0_u64; SHARDS];
    for event in all {
        let partition = usize::try_from(event["flowpartition"].as_u64().unwrap()).unwrap();
        seen[partition] += 1;
        assert_eq!(event["seen"], seen[partition].to_string(), "{event}");
    }
    assert!(seen.iter().all(|seen| *seen > 0), "a shard without events: {seen:?}");
}

fn times(all: &[Value]) -> Vec<&str> {
    all.iter().map(|event| event["times"].as_str().unwrap()).collect()
}

#[test]
fn memory_lives_on_through_another_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = remembering(dir.path(), &host);
    assert_eq!(times(&after_more(&mut wire, 0)), ["1"; 20]);
    wire.ok(&reconfigured("recall", 2));
    let all = after_more(&mut wire, 20);
    is_remembered(&all);
    assert_eq!(times(&all).iter().filter(|times| **times == "2").count(), 20);
    assert_eq!(wire.describe(&format!("PROCESSOR {P}"))["config"], config("recall", 2));
    // What cannot be taken by what runs is taken by a start.
    wire.ok(&format!("UPDATE PROCESSOR {P} on-gap=record"));
    let all = after_more(&mut wire, 40);
    assert!(all.iter().skip(40).any(|event| event["seen"] == "1"), "{all:?}");
    // One that is held takes it when it begins.
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&reconfigured("recall", 3));
    wire.ok(&format!("RESUME {P}"));
    let all = after_more(&mut wire, 60);
    assert_eq!(times(&all).iter().filter(|times| **times == "3").count(), 20);
}

#[test]
fn what_one_shard_refuses_no_shard_takes_and_the_old_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = remembering(dir.path(), &host);
    after_more(&mut wire, 0);
    let mut written = 20;
    for (act, words) in
        [("unwelcome", "act: is unwelcome"), ("unwelcome-at-1", "act: is unwelcome at shard 1")]
    {
        let refused = wire.refused(&reconfigured(act, 2));
        assert!(refused.starts_with("400") && refused.contains(words), "{refused}");
        let seen = wire.describe(&format!("PROCESSOR {P}"));
        assert_eq!(
            (&seen["config"], &seen["state"]),
            (&config("recall", 1).into(), &"running".into())
        );
        let all = after_more(&mut wire, written);
        written += 20;
        is_remembered(&all);
        assert_eq!(times(&all), vec!["1"; written]);
    }
    // A trap costs that shard its memory, and changes nothing else.
    let refused = wire.refused(&reconfigured("trap-in-reconfigure", 2));
    assert!(refused.starts_with("400") && refused.contains("trap"), "{refused}");
    assert_eq!(times(&after_more(&mut wire, written)), vec!["1"; written + 20]);
    // It can be taken afterwards.
    wire.ok(&reconfigured("recall", 5));
    assert_eq!(times(&after_more(&mut wire, written + 20)).last(), Some(&"5"));
}

#[test]
fn killed_when_all_have_answered_it_begins_with_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    Fnaad::arm(dir.path(), "");
    let mut host = Fnaad::mortal(dir.path()).expect("nothing ends it");
    let mut wire = remembering(dir.path(), &host);
    after_more(&mut wire, 0);
    Fnaad::arm(dir.path(), "processors.reconfigured:1");
    let none: [&str; 0] = [];
    assert_eq!(wire.try_ask(&reconfigured("recall", 2), &none), None);
    host.until_ended("processors.reconfigured");
    Fnaad::arm(dir.path(), "");
    let host = Fnaad::mortal(dir.path()).expect("nothing ends it");
    let mut wire = host.login();
    let all = after_more(&mut wire, 20);
    assert_eq!(by_partition(&all), by_partition(&wire.read(A)));
    assert_eq!(times(&all).iter().filter(|times| **times == "2").count(), 20);
    assert_eq!(ids(&all).len(), 40);
}
