//! Processors: started, held, moved, changed and taken away by command.

use serde_json::Value;
use stories::{
    A, B, Fnaad, Hosted, P, Wire, by_partition, event, events, eventually_described,
    eventually_holds, host_with, ids,
};

/// Flows `a` and `b`, of two partitions.
fn host() -> Hosted {
    host_with(&[A, B], 2)
}

fn state(wire: &mut Wire) -> Value {
    wire.describe(&format!("PROCESSOR {P}"))["state"].clone()
}

#[test]
fn a_held_processor_takes_nothing_and_loses_nothing() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    let mut written = 0;
    for hold in ["PAUSE", "STOP", "PAUSE"] {
        wire.write(A, &events(written..written + 50));
        eventually_holds(&mut wire, B, written + 50);
        wire.ok(&format!("{hold} {P}"));
        wire.ok(&format!("{hold} {P}"));
        assert_eq!(state(&mut wire), if hold == "STOP" { "stopped" } else { "paused" });
        wire.write(A, &events(written + 50..written + 100));
        // A processor beside it has carried the same events meanwhile: it was time enough.
        let witness = format!("w{written}.flows.unix.ar");
        wire.ok(&format!("CREATE FLOW {witness} partitions=2"));
        wire.ok(&format!("REPLICATE {A} {witness}"));
        eventually_holds(&mut wire, &witness, written + 100);
        assert_eq!(wire.read(B).len(), written + 50);
        wire.ok(&format!("RESUME {P}"));
        written += 100;
        eventually_holds(&mut wire, B, written);
    }
    assert_eq!(by_partition(&wire.read(A)), by_partition(&wire.read(B)));
}

#[test]
fn a_held_processor_stays_held_over_a_restart() {
    let (mut wire, host, dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.ok(&format!("PAUSE {P}"));
    wire.write(A, &events(0..10));
    assert!(host.end().success());
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    assert_eq!(state(&mut wire), "paused");
    assert!(wire.read(B).is_empty());
    wire.ok(&format!("RESUME {P}"));
    eventually_holds(&mut wire, B, 10);
}

#[test]
fn a_processor_moved_to_the_beginning_reads_everything_again() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} POSITION earliest"));
    assert!(
        refused.starts_with("409 CONFLICT ") && refused.contains("pause it first"),
        "{refused}"
    );
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION earliest"));
    wire.ok(&format!("RESUME {P}"));
    eventually_holds(&mut wire, B, 40);
    wire.ok(&format!("PAUSE {P}"));
    wire.write(A, &events(20..30));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION latest STATE reset"));
    wire.ok(&format!("RESUME {P}"));
    wire.write(A, &[event(30)]);
    let read = eventually_holds(&mut wire, B, 41);
    assert!(ids(&read).contains(&"e30") && !ids(&read).contains(&"e25"));
}

#[test]
fn a_processor_from_latest_leaves_out_what_was_there() {
    let (mut wire, _host, _dir) = host();
    wire.write(A, &events(0..10));
    wire.ok(&format!("REPLICATE {A} {B} FROM latest"));
    wire.write(A, &events(10..15));
    let mut seen: Vec<String> =
        ids(&eventually_holds(&mut wire, B, 5)).into_iter().map(str::to_owned).collect();
    seen.sort();
    assert_eq!(seen, ["e10", "e11", "e12", "e13", "e14"]);
}

#[test]
fn a_position_is_one_of_a_partition_that_there_is_and_leaves_the_others_where_they_are() {
    let (mut wire, _host, _dir) = host();
    let refusal = format!(
        "400 BAD_FORMAT partition 7 does not exist: the inputs of processor {P} have 2, counted from 0"
    );
    let create = format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B}");
    assert_eq!(wire.refused(&format!("{create} START OFFSET 7:0")), refusal);
    wire.ok(&create);
    wire.write(A, &events(0..40));
    eventually_holds(&mut wire, B, 40);
    wire.ok(&format!("PAUSE {P}"));
    assert_eq!(wire.refused(&format!("UPDATE PROCESSOR {P} POSITION OFFSET 7:0")), refusal);
    let written = by_partition(&wire.read(A)).remove(&1).unwrap().len();
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION OFFSET 1:2"));
    wire.ok(&format!("RESUME {P}"));
    // What was refused has moved nothing either: partition 0 is read once.
    let read = eventually_holds(&mut wire, B, 40 + written - 2);
    let (carried, all) = (by_partition(&read), wire.read(A));
    assert_eq!(carried[&0], by_partition(&all)[&0]);
    assert_eq!(carried[&1].len(), 2 * written - 2);
}

#[test]
fn a_paused_processor_shows_where_it_was_put_and_is_behind_from_there() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    let behind = |lag: u64| move |seen: &Value| seen["lag-events"] == lag;
    eventually_described(&mut wire, P, "nothing behind", behind(0));
    wire.ok(&format!("PAUSE {P}"));
    let next = |wire: &mut Wire, shard: &str| {
        let seen = wire.describe(&format!("PROCESSOR {P}"));
        let positions = seen[shard]["positions"].as_str().unwrap().to_owned();
        positions.rsplit(':').next().unwrap().parse::<u64>().unwrap()
    };
    let ends = ["shard.0", "shard.1"].map(|shard| next(&mut wire, shard));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION OFFSET 0:2"));
    assert_eq!((next(&mut wire, "shard.0"), next(&mut wire, "shard.1")), (2, ends[1]));
    // It is behind now, and at no moment said not to be.
    assert_ne!(wire.describe(&format!("PROCESSOR {P}"))["lag-events"], 0);
    eventually_described(&mut wire, P, "one partition behind", behind(ends[0] - 2));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION earliest"));
    assert_eq!((next(&mut wire, "shard.0"), next(&mut wire, "shard.1")), (0, 0));
    let seen = eventually_described(&mut wire, P, "all behind", behind(20));
    assert_eq!(seen["state"], "paused");
    wire.ok(&format!("RESUME {P}"));
    eventually_holds(&mut wire, B, 40);
}

#[test]
fn a_position_that_the_log_does_not_have_is_refused_at_its_creation_too() {
    let (mut wire, _host, _dir) = host();
    wire.write(A, &events(0..20));
    let written = by_partition(&wire.read(A)).remove(&0).unwrap().len();
    let create = format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} START OFFSET");
    let refusal = format!(
        "400 BAD_FORMAT gap: flow {A} partition 0: position 999999999 is not in the log, earliest=0 latest={written}"
    );
    assert_eq!(wire.refused(&format!("{create} 0:999999999")), refusal);
    assert!(wire.data("GET PROCESSORS").is_empty());
    // The end is a place to begin at.
    wire.ok(&format!("{create} 0:{written}"));
    eventually_holds(&mut wire, B, 20 - written);
    wire.ok(&format!("PAUSE {P}"));
    let moved = wire.refused(&format!("UPDATE PROCESSOR {P} POSITION OFFSET 0:999999999"));
    assert_eq!(moved, refusal);
}

#[test]
fn a_processor_begins_at_an_offset_or_a_time() {
    let (mut wire, _host, _dir) = host();
    for flow in ["c.flows.unix.ar", "d.flows.unix.ar"] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.write("c.flows.unix.ar", &events(0..10));
    wire.ok(&format!(
        "CREATE PROCESSOR {P} TYPE bridge FROM c.flows.unix.ar TO {B} START OFFSET 0:7"
    ));
    assert_eq!(ids(&eventually_holds(&mut wire, B, 3)), ["e7", "e8", "e9"]);
    wire.ok("REPLICATE c.flows.unix.ar d.flows.unix.ar FROM TIME 2001-01-01T00:00:00Z");
    eventually_holds(&mut wire, "d.flows.unix.ar", 10);
}

#[test]
fn a_new_configuration_takes_effect_at_the_place_that_was_reached() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!(r#"REPLICATE {A} {B} AS {P} CONFIG {{"filter":"data.n < 5"}}"#));
    wire.write(A, &events(0..10));
    eventually_described(&mut wire, P, "ten events taken in", |seen| seen["events-in"] == 10);
    eventually_holds(&mut wire, B, 5);
    wire.ok(&format!(r#"UPDATE PROCESSOR {P} CONFIG {{"filter":"data.n >= 15"}}"#));
    wire.write(A, &events(10..20));
    eventually_holds(&mut wire, B, 10);
    let config = wire.describe(&format!("PROCESSOR {P}"))["config"].clone();
    assert!(config.as_str().unwrap().contains("data.n >= 15"), "{config}");
}

#[test]
fn a_wrong_configuration_is_400_with_the_path_and_changes_nothing() {
    let (mut wire, _host, _dir) = host();
    for (command, path) in [
        (format!(r#"REPLICATE {A} {B} CONFIG {{"filter":1}}"#), "filter: "),
        (format!(r#"REPLICATE {A} {B} CONFIG {{"filter":"typo("}}"#), "filter: "),
        (format!(r#"REPLICATE {A} {B} CONFIG {{"fliter":"true"}}"#), "fliter: "),
        (
            format!(r#"DISTRIBUTE {A} {B} CONFIG {{"rules":[{{"when":"true","to":"x"}}]}}"#),
            "rules[0].to: ",
        ),
        (format!("SIGNAL signal FROM {A} TO {B}"), "rules"),
        (format!("SIGNAL bridge FROM {A},{B} TO c.flows.unix.ar"), "flow c.flows.unix.ar"),
    ] {
        let refused = wire.refused(&command);
        assert!(refused.contains(path), "{command}: {refused}");
        let code = if path.starts_with("flow ") { "404" } else { "400" };
        assert!(refused.starts_with(code), "{command}: {refused}");
    }
    assert!(wire.refused(&format!("REPLICATE {A} {B} CONFIG {{")).starts_with("400 BAD_FORMAT "));
    assert!(wire.refused(&format!("REPLICATE {A} {A}")).starts_with("400 BAD_FORMAT "));
    assert!(wire.data("GET PROCESSORS").is_empty());
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    let refused = wire.refused(&format!(r#"UPDATE PROCESSOR {P} CONFIG {{"filter":"typo("}}"#));
    assert!(refused.starts_with("400 BAD_FORMAT ") && refused.contains("filter: "), "{refused}");
    wire.write(A, &events(0..3));
    eventually_holds(&mut wire, B, 3);
}

#[test]
fn a_deleted_processor_is_gone_and_its_flows_stay() {
    let (mut wire, _host, _dir) = host();
    let command = format!("REPLICATE {A} {B} AS {P}");
    wire.ok(&command);
    wire.write(A, &events(0..5));
    eventually_holds(&mut wire, B, 5);
    wire.ok(&format!("DELETE PROCESSOR {P}"));
    assert!(wire.data("GET PROCESSORS").is_empty());
    for command in ["DELETE PROCESSOR", "PAUSE", "UPDATE PROCESSOR", "RESUME"] {
        let rest = if command.starts_with("UPDATE") { " CONFIG {}" } else { "" };
        let refused = wire.refused(&format!("{command} {P}{rest}"));
        assert!(refused.starts_with("404 NOT_FOUND ") && refused.contains(P), "{refused}");
    }
    wire.write(A, &events(5..10));
    assert_eq!(wire.read(B).len(), 5);
    // Made again it is another one, which begins at the beginning.
    wire.ok(&command);
    eventually_holds(&mut wire, B, 15);
}

#[test]
fn more_partitions_of_an_input_are_carried_too() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    wire.ok(&format!("UPDATE FLOW {A} partitions=5"));
    wire.write(A, &events(20..100));
    eventually_holds(&mut wire, B, 100);
    let description = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!(description["state"], "running");
    assert!(description["shard.4"].is_object(), "{description}");
}

#[test]
fn a_partition_that_came_later_is_read_from_its_beginning_also_from_latest() {
    let (mut wire, _host, _dir) = host();
    wire.write(A, &events(0..10));
    wire.ok(&format!("REPLICATE {A} {B} AS {P} FROM latest"));
    wire.ok(&format!("UPDATE FLOW {A} partitions=5"));
    wire.write(A, &events(10..110));
    eventually_holds(&mut wire, B, 100);
}

#[test]
fn a_processor_tells_what_it_does() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..20));
    let seen = eventually_described(&mut wire, P, "all events", |seen| seen["events-out"] == 20);
    assert_eq!((&seen["state"], &seen["type"]), (&"running".into(), &"bridge".into()));
    assert_eq!((&seen["from"][0], &seen["to"][0]), (&A.into(), &B.into()));
    let types = wire.json("GET PROCESSOR TYPES");
    for shard in ["shard.0", "shard.1"] {
        assert_eq!(seen[shard]["version"], types[0]["version"]);
        let digest = seen[shard]["digest"].as_str().unwrap();
        assert!(types[0]["digest"].as_str().unwrap().starts_with(digest) && !digest.is_empty());
    }
    let listed = &wire.json("GET PROCESSORS")[0];
    assert_eq!((&listed["processor"], &listed["events-in"]), (&P.into(), &20.into()));
}

#[test]
fn what_is_not_there_says_so() {
    let (mut wire, _host, _dir) = host();
    let unknown = wire.refused(&format!("REPLICATE {A} {B} colour=red"));
    assert!(unknown.starts_with("400 BAD_FORMAT no option colour"), "{unknown}");
    let unknown = wire.refused(&format!("SIGNAL dreamer FROM {A} TO {B}"));
    assert!(unknown.starts_with("404 NOT_FOUND ") && unknown.contains("dreamer"), "{unknown}");
    wire.ok("NOOP");
}

#[test]
fn a_ring_is_refused_unless_it_is_asked_for() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW c.flows.unix.ar");
    wire.ok(&format!("REPLICATE {A} {B}"));
    wire.ok(&format!("REPLICATE {B} c.flows.unix.ar"));
    let refused = wire.refused(&format!("REPLICATE c.flows.unix.ar {A}"));
    assert!(refused.starts_with("409 CONFLICT events would come back to "), "{refused}");
    wire.ok(&format!("REPLICATE c.flows.unix.ar {A} ring=allow"));
}
