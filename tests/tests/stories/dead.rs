//! Events that cannot get through, gaps, and versions that stay: what a user sees of them.
//!
//! A filter that runs for ever on some events stands for a plugin with a fault: the limit of a call is
//! low, and everything else about it is sound.

use serde_json::{Value, json};
use stories::{
    Fnaad, Wire, by_partition, drop_in, event, events, eventually_described, eventually_holds, ids,
};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";
const B: &str = "b.flows.unix.ar";
const P: &str = "p.flows.unix.ar";
const DEAD: &str = "p.dead.flows.unix.ar";

/// Flows `a` and `b` of so many partitions.
fn host(partitions: u32) -> (Wire, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions={partitions}"));
    }
    (wire, host, dir)
}

/// A filter that never ends for some events.
fn loops_on(which: &str) -> Value {
    let list = format!("[{}]", vec!["0"; 60].join(","));
    let forever =
        (0..7).fold("true".to_owned(), |inner, depth| format!("{list}.all(x{depth}, {inner})"));
    json!({ "filter": format!("!({which}) || {forever}") })
}

fn start(wire: &mut Wire, options: &str, which: &str) {
    let config = loops_on(which);
    wire.ok(&format!(
        "CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} limit.call_ms=40 {options} CONFIG {config}"
    ));
}

fn mend(wire: &mut Wire) {
    wire.ok(&format!("UPDATE PROCESSOR {P} CONFIG {{}}"));
}

#[test]
fn events_that_fail_alone_become_dead_letters_and_the_rest_goes_on_in_order() {
    let (mut wire, host, _dir) = host(4);
    let from = wire.write(A, &events(0..200));
    assert_eq!(from, "220 OK 200 events");
    start(&mut wire, "", "id in ['e5','e6','e100','e199']");
    let through = eventually_holds(&mut wire, B, 196);
    let bad = ["e5", "e6", "e100", "e199"];
    let mut expected = wire.read(A);
    let sources: Vec<Value> = expected
        .iter()
        .filter(|event| bad.contains(&event["id"].as_str().unwrap()))
        .cloned()
        .collect();
    expected.retain(|event| !bad.contains(&event["id"].as_str().unwrap()));
    assert_eq!(by_partition(&through), by_partition(&expected));
    let letters = eventually_holds(&mut wire, DEAD, 4);
    for letter in &letters {
        let source = sources.iter().find(|source| source["id"] == letter["id"]).unwrap();
        assert_eq!(letter["deadprocessor"], P);
        assert_eq!(
            (&letter["deadtype"], &letter["deadversion"]),
            (&json!("bridge"), &json!("0.1.0"))
        );
        assert_eq!(letter["deaddigest"].as_str().unwrap().len(), 64);
        assert_eq!(letter["deadflow"], A);
        assert_eq!(letter["deadpartition"], source["flowpartition"].to_string());
        assert_eq!(letter["deadoffset"], source["flowoffset"]);
        assert_eq!(letter["deadkind"], "limit");
        assert!(letter["deadreason"].as_str().unwrap().contains("call_ms"), "{letter}");
        assert_eq!(
            (&letter["data"], &letter["partitionkey"]),
            (&source["data"], &source["partitionkey"])
        );
    }
    let counted = |seen: &Value| seen["events-out"] == 196;
    let seen = eventually_described(&mut wire, P, "all counted", counted);
    assert_eq!(seen["state"], "running");
    assert_eq!(
        (&seen["dead-letters"]["flow"], &seen["dead-letters"]["open"]),
        (&json!(DEAD), &json!(4))
    );
    let listed = wire.json("GET PROCESSORS");
    assert_eq!(listed[0]["dead-letters"], 4);
    // What is committed stays so.
    let dir = host.kill();
    let host = Fnaad::dev(&dir);
    let mut wire = host.login();
    wire.write(A, &events(200..240));
    eventually_holds(&mut wire, B, 236);
    eventually_holds(&mut wire, DEAD, 4);
}

#[test]
fn a_plugin_that_fails_on_everything_is_held_with_its_position_and_says_why() {
    let (mut wire, _host, _dir) = host(1);
    wire.write(A, &events(0..100));
    start(&mut wire, "", "true");
    let seen = eventually_described(&mut wire, P, "held", |seen| {
        seen["state"] == "failed"
            && seen["reason"].as_str().is_some_and(|why| why.contains("every"))
    });
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("16 in a row") && reason.contains("call_ms"), "{reason}");
    assert!(seen["shard.0"]["positions"].as_str().unwrap().ends_with(":0:16"), "{seen}");
    assert_eq!(wire.read(DEAD).len(), 16);
    assert!(wire.read(B).is_empty());
    mend(&mut wire);
    assert_eq!(ids(&eventually_holds(&mut wire, B, 84))[0], "e16");
    // Nothing is lost: the letters can go through now.
    wire.ok(&format!("REPLAY {P}"));
    let all = eventually_holds(&mut wire, B, 100);
    let mut found = ids(&all);
    found.sort_by_key(|id| id[1..].parse::<u32>().unwrap());
    assert_eq!(found, (0..100).map(|n| format!("e{n}")).collect::<Vec<_>>());
    let open = |seen: &Value| seen["dead-letters"]["open"] == 0;
    let seen = eventually_described(&mut wire, P, "all handled", open);
    assert_eq!(seen["dead-letters"]["handled"], json!({"0": [[0, 16]]}));
    // Counts go on over changes of the processor.
    assert_eq!(seen["events-out"], 100);
    let used = wire.refused(&format!("DELETE FLOW {DEAD}"));
    assert!(used.starts_with("409") && used.contains(P), "{used}");
}

#[test]
fn an_operator_may_want_all_dead_letters_or_none() {
    let (mut wire, _host, _dir) = host(1);
    wire.write(A, &events(0..30));
    start(&mut wire, "dead-letters=off", "id == 'e3'");
    let failed = |seen: &Value| seen["state"] == "failed";
    let seen = eventually_described(&mut wire, P, "its failure", failed);
    assert!(seen["reason"].as_str().unwrap().contains("call_ms"), "{seen}");
    // What came before the event is through, and nothing behind it.
    assert_eq!(ids(&eventually_holds(&mut wire, B, 3)), ["e0", "e1", "e2"]);
    assert!(wire.refused(&format!("READ {DEAD}")).starts_with("404"));
    wire.ok(&format!("UPDATE PROCESSOR {P} dead-letters=all"));
    eventually_holds(&mut wire, B, 29);
    wire.ok(&format!("UPDATE PROCESSOR {P} CONFIG {}", loops_on("true")));
    wire.write(A, &events(30..50));
    eventually_holds(&mut wire, DEAD, 21);
}

#[test]
fn a_letter_that_fails_again_is_a_new_one_and_discarded_ones_are_closed() {
    let (mut wire, host, _dir) = host(4);
    wire.write(A, &events(0..64));
    assert!(wire.refused(&format!("REPLAY {P}")).starts_with("404"));
    start(&mut wire, "", "partitionkey == 'k3'");
    // Keys repeat every 16: all the bad ones lie in one partition.
    eventually_described(&mut wire, P, "four letters", |seen| seen["dead-letters"]["open"] == 4);
    let letters = eventually_holds(&mut wire, DEAD, 4);
    let partition = letters[0]["flowpartition"].as_u64().unwrap();
    assert!(wire.refused(&format!("REPLAY {P} OFFSET {partition}:4")).starts_with("416"));
    wire.ok(&format!("DISCARD {P} OFFSET {partition}:0"));
    assert!(wire.refused(&format!("DISCARD {P} OFFSET {partition}:0")).starts_with("409"));
    wire.ok(&format!("REPLAY {P} OFFSET {partition}:2"));
    let again = eventually_holds(&mut wire, DEAD, 5);
    let new = again.iter().find(|letter| letter["flowoffset"] == "4").unwrap();
    assert_eq!((&new["id"], &new["deadflow"]), (&letters[2]["id"], &json!(A)));
    let handled = json!({ partition.to_string(): [[0, 1], [2, 3]] });
    let seen = eventually_described(&mut wire, P, "the replay's end", |seen| {
        seen["dead-letters"]["handled"] == handled
    });
    assert_eq!(seen["dead-letters"]["open"], 3);
    // Paused, mended, asked for, killed: it goes on where it was.
    wire.ok(&format!("PAUSE {P}"));
    mend(&mut wire);
    wire.ok(&format!("REPLAY {P}"));
    assert!(wire.refused(&format!("REPLAY {P}")).starts_with("409"));
    let dir = host.kill();
    let host = Fnaad::dev(&dir);
    let mut wire = host.login();
    assert_eq!(wire.read(B).len(), 60);
    wire.ok(&format!("RESUME {P}"));
    eventually_holds(&mut wire, B, 63);
    eventually_described(&mut wire, P, "none open", |seen| seen["dead-letters"]["open"] == 0);
    assert!(wire.refused(&format!("REPLAY {P}")).starts_with("409"));
}

#[test]
fn a_record_that_is_no_event_keeps_its_bytes_as_a_dead_letter() {
    let (mut wire, _host, _dir) = host(1);
    let foreign =
        r#"{"key_base64":"AAE=","value_base64":"/w==","headers":[["h",null],["h","AA=="]]}"#;
    wire.write(A, &[foreign, &event(1)]);
    start(&mut wire, "", "type == null");
    eventually_holds(&mut wire, B, 1);
    let letter = eventually_holds(&mut wire, DEAD, 1).swap_remove(0);
    assert_eq!((&letter["key_base64"], &letter["value_base64"]), (&json!("AAE="), &json!("/w==")));
    let headers = letter["headers"].as_array().unwrap();
    assert_eq!(headers[..2], [json!(["h", null]), json!(["h", "AA=="])]);
    let names: Vec<&str> = headers[2..].iter().map(|header| header[0].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with("ce_dead")), "{names:?}");
    mend(&mut wire);
    wire.ok(&format!("REPLAY {P}"));
    let through = eventually_holds(&mut wire, B, 2);
    let back = stories::unplaced(&through[1]);
    assert_eq!(back, serde_json::from_str::<Value>(foreign).unwrap());
}

/// Lets a purge take away what a held bridge has not read: its position is older than the log.
fn fall_behind(wire: &mut Wire, options: &str) {
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} {options}"));
    wire.write(A, &events(0..10));
    eventually_holds(wire, B, 10);
    wire.ok(&format!("PAUSE {P}"));
    wire.write(A, &events(10..30));
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    wire.write(A, &events(30..40));
    assert_eq!(wire.ask(&format!("RESUME {P}")), [format!("220 OK {P}")]);
}

#[test]
fn a_gap_stops_a_processor_with_the_figures_until_somebody_says_where_to_go_on() {
    let (mut wire, _host, _dir) = host(1);
    fall_behind(&mut wire, "");
    let gap = |seen: &Value| seen["reason"].as_str().is_some_and(|why| why.starts_with("gap"));
    let seen = eventually_described(&mut wire, P, "the gap", gap);
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("position 10") && reason.contains("earliest=30 latest=40"), "{reason}");
    assert!(wire.refused(&format!("READ {A} FROM OFFSET 0:10")).contains("earliest=30 latest=40"));
    wire.write(A, &events(40..45));
    assert_eq!(wire.read(B).len(), 10);
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION OFFSET 0:35"));
    wire.ok(&format!("RESUME {P}"));
    assert_eq!(
        ids(&eventually_holds(&mut wire, B, 20))[10..],
        ["e35", "e36", "e37", "e38", "e39", "e40", "e41", "e42", "e43", "e44"]
    );
}

#[test]
fn a_gap_is_recorded_where_the_processor_shall_go_on() {
    let (mut wire, _host, _dir) = host(1);
    fall_behind(&mut wire, "on-gap=record");
    eventually_holds(&mut wire, B, 20);
    let gap = eventually_holds(&mut wire, DEAD, 1).swap_remove(0);
    assert_eq!((&gap["type"], &gap["deadkind"]), (&json!("flow.processor.gap"), &json!("gap")));
    assert!(gap["deadreason"].as_str().unwrap().starts_with("gap: flow"), "{gap}");
    assert!(gap["deadtime"].is_string(), "{gap}");
    let data = &gap["data"];
    assert_eq!((&data["flow"], &data["partition"]), (&json!(A), &json!(0)));
    assert_eq!(
        (&data["position"], &data["next"], &data["missed"]),
        (&json!(10), &json!(30), &json!(20))
    );
}

#[test]
fn who_records_gaps_may_begin_at_an_offset_that_is_gone_and_nobody_else_may() {
    let (mut wire, _host, _dir) = host(1);
    wire.write(A, &events(0..30));
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    wire.write(A, &events(30..40));
    let create = format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} START OFFSET 0:10");
    let refused = wire.refused(&create);
    assert!(refused.ends_with("position 10 is not in the log, earliest=30 latest=40"), "{refused}");
    wire.ok(&format!("{create} on-gap=record"));
    assert_eq!(ids(&eventually_holds(&mut wire, B, 10))[0], "e30");
    let gap = eventually_holds(&mut wire, DEAD, 1).swap_remove(0);
    assert_eq!((&gap["data"]["position"], &gap["data"]["next"]), (&json!(10), &json!(30)));
}

#[test]
fn a_pinned_processor_stays_with_its_version_until_it_is_told_otherwise() {
    let (mut wire, host, _dir) = host(1);
    let plugins = host.dir().join("plugins");
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} upgrade=pinned"));
    wire.ok("CREATE FLOW c.flows.unix.ar");
    let other = wire.ok(&format!("REPLICATE {A} c.flows.unix.ar"));
    let pinned = wire.describe(&format!("PROCESSOR {P}"))["pinned"].clone();
    drop_in(&plugins, "bridge.wasm", host_builtin::bridge_next().component);
    let runs = |version: &'static str| move |seen: &Value| seen["shard.0"]["version"] == version;
    eventually_described(&mut wire, &other, "the new version", runs("0.2.0"));
    let seen = eventually_described(&mut wire, P, "the old version", runs("0.1.0"));
    assert_eq!(seen["pinned"], pinned);
    assert!(pinned.as_str().unwrap().starts_with(seen["shard.0"]["digest"].as_str().unwrap()));
    // Also after a crash, and when its file is gone.
    std::fs::remove_file(plugins.join("bridge.wasm")).unwrap();
    let dir = host.kill();
    let host = Fnaad::dev(&dir);
    let mut wire = host.login();
    eventually_described(&mut wire, P, "the old version again", runs("0.1.0"));
    wire.write(A, &events(0..5));
    eventually_holds(&mut wire, B, 5);
    wire.ok(&format!("UPDATE PROCESSOR {P} upgrade=auto"));
    let seen = eventually_described(&mut wire, P, "the version of the others", |seen| {
        seen["shard.0"]["version"].is_string() && seen["shard.0"]["version"] != "0.1.0"
    });
    assert_eq!(seen.get("pinned"), None);
}
