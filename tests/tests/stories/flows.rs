//! Flows: made, looked at, changed, emptied, taken away, and what is refused meanwhile.

use stories::{Hosted, Wire, events, eventually_holds, host_after};

fn host() -> Hosted {
    host_after(&[])
}

#[test]
fn a_flow_is_there_from_its_creation_to_its_deletion() {
    let (mut wire, _host, _dir) = host();
    assert_eq!(wire.ok("CREATE FLOW time.flows.unix.ar partitions=3"), "time.flows.unix.ar");
    assert_eq!(wire.data("GET FLOWS flows.unix.ar"), ["time.flows.unix.ar"]);
    let lines = wire.data("DESCRIBE FLOW time.flows.unix.ar");
    let keys: Vec<_> = lines.iter().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(keys[0], ("flow", "time.flows.unix.ar"));
    assert_eq!(keys[1], ("type", "embedded"));
    assert_eq!(keys[2], ("topic", "time.flows.unix.ar"));
    assert_eq!(keys[3].0, "server");
    assert!(keys.contains(&("partitions", "3")) && keys.contains(&("status", "active")));
    assert!(keys.contains(&("isolation", "read_committed")));
    assert_eq!(wire.ok("DELETE FLOW time.flows.unix.ar"), "time.flows.unix.ar");
    let gone = "404 NOT_FOUND flow time.flows.unix.ar";
    for command in ["DESCRIBE FLOW", "DELETE FLOW", "READ"] {
        assert_eq!(wire.refused(&format!("{command} time.flows.unix.ar")), gone);
    }
    assert_eq!(wire.write("time.flows.unix.ar", &events(0..1)), gone);
    assert!(wire.data("GET FLOWS").is_empty());
}

#[test]
fn a_flow_that_is_made_again_is_another_one() {
    let (mut wire, _host, _dir) = host();
    let mut lives = Vec::new();
    for _ in 0..2 {
        wire.ok("CREATE FLOW a.flows.unix.ar");
        assert!(wire.read("a.flows.unix.ar").is_empty());
        assert_eq!(wire.write("a.flows.unix.ar ID once", &events(0..2)), "220 OK 2 events");
        assert_eq!(wire.read("a.flows.unix.ar").len(), 2);
        let description = wire.describe("FLOW a.flows.unix.ar");
        lives.push(description["incarnation"].as_str().unwrap().to_owned());
        wire.ok("DELETE FLOW a.flows.unix.ar");
    }
    assert_ne!(lives[0], lives[1]);
}

#[test]
fn what_exists_is_409_and_what_has_no_namespace_is_404() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    let again = wire.refused("CREATE FLOW a.flows.unix.ar");
    assert!(again.starts_with("409 CONFLICT ") && again.contains("a.flows.unix.ar"), "{again}");
    assert_eq!(
        wire.refused("CREATE FLOW a.flows.elsewhere.example"),
        "404 NOT_FOUND no namespace of this host holds a.flows.elsewhere.example"
    );
    let unknown = wire.refused("GET FLOWS nowhere.example");
    assert_eq!(unknown, "404 NOT_FOUND namespace nowhere.example");
    assert_eq!(wire.data("GET FLOWS"), ["a.flows.unix.ar"]);
}

#[test]
fn what_cannot_be_parsed_is_400_and_names_the_word() {
    let (mut wire, _host, _dir) = host();
    assert_eq!(wire.refused("FLY"), "404 NOT_FOUND command FLY");
    for (command, words) in [
        ("CREATE", "expected NAMESPACE, FLOW or PROCESSOR at word 2"),
        ("CREATE FLOW", "expected a flow at word 3"),
        ("DESCRIBE FLOW a.flows.unix.ar FORMAT xml", "expected json or text at word 5"),
        ("READ a.flows.unix.ar LIMIT many", "no number for LIMIT at word 4"),
        ("UPDATE FLOW a.flows.unix.ar", "expected key=value at word 4"),
        ("NOOP NOOP", "nothing more expected at word 2"),
    ] {
        assert_eq!(wire.refused(command), format!("400 BAD_FORMAT {words}"));
    }
    assert!(wire.refused("CREATE FLOW a..b").ends_with(" at word 3"));
    let long = format!("CREATE FLOW {}", "a".repeat(9000));
    assert!(wire.refused(&long).starts_with("413 TOO_LARGE "));
    wire.ok("NOOP");
}

#[test]
fn partitions_only_grow_and_events_stay_where_they_are() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar partitions=2");
    wire.write("a.flows.unix.ar", &events(0..20));
    let before = wire.read("a.flows.unix.ar");
    wire.ok("UPDATE FLOW a.flows.unix.ar partitions=5");
    assert_eq!(wire.describe("FLOW a.flows.unix.ar")["partitions"], 5);
    assert_eq!(wire.describe("FLOW a.flows.unix.ar")["log"].as_array().unwrap().len(), 5);
    let fewer = wire.refused("UPDATE FLOW a.flows.unix.ar partitions=4");
    assert_eq!(fewer, "400 BAD_FORMAT flow a.flows.unix.ar has 5 partitions: never fewer");
    for wrong in ["0", "99999", "-1", "two"] {
        let refused = wire.refused(&format!("UPDATE FLOW a.flows.unix.ar partitions={wrong}"));
        assert!(refused.starts_with("400 BAD_FORMAT "), "{refused}");
    }
    wire.write("a.flows.unix.ar", &events(20..100));
    let after = eventually_holds(&mut wire, "a.flows.unix.ar", 100);
    assert!(before.iter().all(|event| after.contains(event)));
    assert!(after.iter().any(|event| event["flowpartition"].as_u64() >= Some(2)));
}

#[test]
fn settings_are_taken_over_and_unknown_ones_are_refused() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar retention.ms=86400000");
    let setting = |wire: &mut Wire, key: &str| {
        wire.describe("FLOW a.flows.unix.ar")[format!("config.{key}")].clone()
    };
    assert_eq!(setting(&mut wire, "retention.ms"), "86400000");
    wire.ok("UPDATE FLOW a.flows.unix.ar retention.bytes=1000000");
    assert_eq!(setting(&mut wire, "retention.bytes"), "1000000");
    for (command, name) in [("UPDATE FLOW a", "colour"), ("CREATE FLOW b", "colour")] {
        let refused = wire.refused(&format!("{command}.flows.unix.ar {name}=red"));
        assert!(refused.starts_with("400 BAD_FORMAT ") && refused.contains(name), "{refused}");
    }
    let wrong = wire.refused("UPDATE FLOW a.flows.unix.ar retention.ms=soon");
    assert!(wrong.starts_with("400 BAD_FORMAT ") && wrong.contains("retention.ms"), "{wrong}");
    assert_eq!(setting(&mut wire, "retention.ms"), "86400000");
    assert_eq!(setting(&mut wire, "colour"), serde_json::Value::Null);
    assert_eq!(wire.data("GET FLOWS"), ["a.flows.unix.ar"]);
    wire.ok("CREATE FLOW b.flows.unix.ar");
}

#[test]
fn a_purge_destroys_the_events_and_wants_the_name_twice() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.write("a.flows.unix.ar", &events(0..3));
    for command in ["", " CONFIRM", " CONFIRM b.flows.unix.ar"] {
        let refused = wire.refused(&format!("PURGE FLOW a.flows.unix.ar{command}"));
        assert!(refused.starts_with("400 BAD_FORMAT "), "{refused}");
    }
    assert_eq!(wire.read("a.flows.unix.ar").len(), 3);
    wire.ok("PURGE FLOW a.flows.unix.ar CONFIRM a.flows.unix.ar");
    assert!(wire.read("a.flows.unix.ar").is_empty());
    // Offsets go on: a position from before the purge never means another event.
    wire.write("a.flows.unix.ar", &events(3..4));
    assert_eq!(wire.read("a.flows.unix.ar")[0]["flowoffset"], "3");
}

#[test]
fn the_events_of_a_protected_flow_are_not_destroyed() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar protected=true");
    wire.write("a.flows.unix.ar", &events(0..1));
    for command in
        ["PURGE FLOW a.flows.unix.ar CONFIRM a.flows.unix.ar", "DELETE FLOW a.flows.unix.ar"]
    {
        let refused = wire.refused(command);
        assert!(refused.starts_with("409 CONFLICT ") && refused.contains("protected"), "{refused}");
    }
    assert_eq!(wire.read("a.flows.unix.ar").len(), 1);
    wire.ok("UPDATE FLOW a.flows.unix.ar protected=false");
    wire.ok("DELETE FLOW a.flows.unix.ar");
}

#[test]
fn a_flow_in_use_is_not_deleted_and_its_users_are_named() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.ok("CREATE FLOW b.flows.unix.ar");
    wire.ok("REPLICATE a.flows.unix.ar b.flows.unix.ar AS copy.flows.unix.ar");
    for flow in ["a.flows.unix.ar", "b.flows.unix.ar"] {
        let refused = wire.refused(&format!("DELETE FLOW {flow}"));
        assert_eq!(refused, format!("409 CONFLICT flow {flow} is used by copy.flows.unix.ar"));
        let users = &wire.describe(&format!("FLOW {flow}"))["used-by"];
        assert_eq!(users[0], "copy.flows.unix.ar");
    }
    wire.ok("DELETE PROCESSOR copy.flows.unix.ar");
    wire.ok("DELETE FLOW a.flows.unix.ar");
}
