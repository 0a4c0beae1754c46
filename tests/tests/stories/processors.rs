//! The four processors: what they carry, in which order, and under which names.

use serde_json::{Value, json};
use stories::{
    Fnaad, Hosted, by_partition, event, events, eventually_holds, host_with, ids, unplaced,
};

/// Flows `a b c d`, four partitions each.
fn host() -> Hosted {
    host_with(&["a", "b", "c", "d"].map(on).each_ref().map(String::as_str), 4)
}

fn on(flow: &str) -> String {
    format!("{flow}.flows.unix.ar")
}

/// An event with a magnitude, in one partition.
fn quake(n: usize, magnitude: f64) -> String {
    json!({"specversion": "1.0", "id": format!("q{n}"), "source": "/quakes", "type": "quake",
        "subject": format!("place {n}"), "partitionkey": "k", "data": {"mag": magnitude}})
    .to_string()
}

#[test]
fn replicate_copies_everything_byte_for_byte_and_partition_by_partition() {
    let (mut wire, _host, _dir) = host();
    wire.write(&on("a"), &events(0..100));
    let name = wire.ok(&format!("REPLICATE {} {}", on("a"), on("b")));
    let hash = name.strip_prefix("bridge-").and_then(|rest| rest.strip_suffix(".flows.unix.ar"));
    let hash = hash.unwrap_or_else(|| panic!("{name}"));
    assert!(!hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    wire.write(&on("a"), &events(100..300));
    let foreign = r#"{"key_base64":"AAE=","value_base64":"/w==","headers":[["h",null]]}"#;
    wire.write(&on("c"), &[foreign]);
    wire.ok(&format!("REPLICATE {} {}", on("c"), on("d")));
    let (from, to) = (wire.read(&on("a")), eventually_holds(&mut wire, &on("b"), 300));
    assert_eq!(by_partition(&from), by_partition(&to));
    let sorted = |events: &[Value]| {
        let mut lines: Vec<String> =
            events.iter().map(|event| unplaced(event).to_string()).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&from), sorted(&to));
    let copied = eventually_holds(&mut wire, &on("d"), 1);
    assert_eq!(unplaced(&copied[0]), serde_json::from_str::<Value>(foreign).unwrap());
}

#[test]
fn replicate_with_a_filter_lets_through_what_it_is_true_for() {
    let (mut wire, _host, _dir) = host();
    let config = r#"{"filter":"data.mag >= 5.0 && subject != 'place 6'"}"#;
    wire.ok(&format!("REPLICATE {} {} CONFIG {config}", on("a"), on("b")));
    let quakes: Vec<String> = (0..10).map(|n| quake(n, n as f64)).collect();
    wire.write(&on("a"), &quakes);
    let passed = eventually_holds(&mut wire, &on("b"), 4);
    assert_eq!(ids(&passed), ["q5", "q7", "q8", "q9"]);
}

#[test]
fn collect_brings_flows_together_and_says_where_each_event_came_from() {
    let (mut wire, _host, _dir) = host();
    wire.write(&on("a"), &events(0..60));
    wire.write(&on("b"), &events(100..160));
    let name = wire.ok(&format!("COLLECT {},{} {}", on("a"), on("b"), on("c")));
    assert!(name.starts_with("collector-"), "{name}");
    wire.write(&on("a"), &events(60..100));
    let collected = eventually_holds(&mut wire, &on("c"), 160);
    for (flow, count) in [("a", 100), ("b", 60)] {
        let from = |event: &&Value| event["sourceflow"] == on(flow);
        let mut part: Vec<Value> = collected.iter().filter(from).cloned().collect();
        assert_eq!(part.len(), count);
        for event in &mut part {
            event.as_object_mut().unwrap().remove("sourceflow");
        }
        let source = wire.read(&on(flow));
        assert_eq!(by_partition(&part), by_partition(&source));
    }
}

#[test]
fn distribute_copies_to_all_or_follows_its_rules() {
    let (mut wire, _host, _dir) = host();
    let quakes: Vec<String> = (0..10).map(|n| quake(n, n as f64)).collect();
    wire.write(&on("a"), &quakes);
    let all = wire.ok(&format!("DISTRIBUTE {} {},{}", on("a"), on("b"), on("c")));
    assert!(all.starts_with("distributor-"), "{all}");
    for flow in ["b", "c"] {
        let copied = eventually_holds(&mut wire, &on(flow), 10);
        assert_eq!(by_partition(&copied), by_partition(&wire.read(&on("a"))));
    }
    for flow in ["e", "f", "g"] {
        wire.ok(&format!("CREATE FLOW {}", on(flow)));
    }
    let (e, f, g) = (on("e"), on("f"), on("g"));
    let config = json!({"rules": [{"when": "data.mag >= 7.0", "to": [e]}, {"when": "data.mag >= 4.0", "to": f}],
        "otherwise": [g]});
    wire.ok(&format!("DISTRIBUTE {} {e},{f},{g} CONFIG {config}", on("a")));
    for (flow, wanted) in
        [(&e, &["q7", "q8", "q9"][..]), (&f, &["q4", "q5", "q6"]), (&g, &["q0", "q1", "q2", "q3"])]
    {
        assert_eq!(ids(&eventually_holds(&mut wire, flow, wanted.len())), wanted);
    }
}

#[test]
fn signal_makes_new_events_where_its_rules_fire() {
    let (mut wire, _host, _dir) = host();
    let config = json!({"rules": [
        {"name": "strong", "when": "data.mag >= 8.0",
            "emit": {"type": "alert.quake", "to": on("c"), "data": {"magnitude": "data.mag"}}},
        {"name": "swarm", "when": "data.mag >= 1.0", "count": {"at-least": 3, "within": 5},
            "emit": {"type": "alert.swarm", "to": on("d")}},
    ]});
    let name = wire.ok(&format!(
        "SIGNAL signal FROM {},{} TO {},{} CONFIG {config}",
        on("a"),
        on("b"),
        on("c"),
        on("d")
    ));
    assert!(name.starts_with("signal-"), "{name}");
    let quakes: Vec<String> = (0..10).map(|n| quake(n, n as f64)).collect();
    wire.write(&on("a"), &quakes);
    let alerts = eventually_holds(&mut wire, &on("c"), 2);
    let causes: Vec<_> = alerts.iter().map(|alert| alert["causeid"].as_str().unwrap()).collect();
    assert_eq!(causes, ["q8", "q9"]);
    assert_eq!(alerts[0]["type"], "alert.quake");
    assert_eq!(alerts[0]["subject"], "place 8");
    assert_eq!(alerts[0]["data"], json!({"rule": "strong", "data": {"magnitude": 8.0}}));
    assert_eq!(alerts[0]["source"], format!("flow://{name}"));
    // Nine matches in a row are three times three.
    let swarms = eventually_holds(&mut wire, &on("d"), 3);
    let causes: Vec<_> = swarms.iter().map(|swarm| swarm["causeid"].as_str().unwrap()).collect();
    assert_eq!(causes, ["q3", "q6", "q9"]);
    wire.write(&on("b"), &[quake(20, 8.5)]);
    assert_eq!(eventually_holds(&mut wire, &on("c"), 3)[2]["causeid"], "q20");
}

#[test]
fn what_a_signal_counts_is_remembered_over_a_crash() {
    let (mut wire, host, dir) = host();
    let config = r#"{"rules":[{"name":"three","when":"true","count":{"at-least":3,"within":10},"emit":{"type":"three"}}]}"#;
    let name = wire.ok(&format!("SIGNAL signal FROM {} TO {} CONFIG {config}", on("a"), on("b")));
    wire.write(&on("a"), &[quake(0, 1.0), quake(1, 1.0)]);
    stories::eventually_described(&mut wire, &name, "two events taken in", |seen| {
        seen["events-in"] == 2
    });
    host.kill();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.write(&on("a"), &[quake(2, 1.0)]);
    assert_eq!(eventually_holds(&mut wire, &on("b"), 1)[0]["causeid"], "q2");
}

#[test]
fn the_same_command_twice_is_409_and_a_given_name_is_taken() {
    let (mut wire, _host, _dir) = host();
    let command = format!("REPLICATE {} {}", on("a"), on("b"));
    let name = wire.ok(&command);
    let again = wire.refused(&command);
    assert!(again.starts_with("409 CONFLICT ") && again.contains(&name), "{again}");
    // With another name it is another processor, and every event is there twice.
    assert_eq!(wire.ok(&format!("{command} AS second.flows.unix.ar")), "second.flows.unix.ar");
    assert_eq!(wire.data("GET PROCESSORS"), [name.as_str(), "second.flows.unix.ar"]);
    let taken = wire.refused(&format!("REPLICATE {} {} AS {}", on("c"), on("d"), on("a")));
    assert!(taken.starts_with("409 CONFLICT "), "{taken}");
    wire.write(&on("a"), &[event(0)]);
    assert_eq!(ids(&eventually_holds(&mut wire, &on("b"), 2)), ["e0", "e0"]);
}

#[test]
fn a_chain_of_processors_carries_events_to_its_end() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {} {}", on("a"), on("b")));
    wire.ok(&format!(
        "CREATE PROCESSOR p.flows.unix.ar TYPE bridge FROM {} TO {}",
        on("b"),
        on("c")
    ));
    wire.ok(&format!("COLLECT {},{} {}", on("b"), on("c"), on("d")));
    wire.write(&on("a"), &events(0..50));
    assert_eq!(eventually_holds(&mut wire, &on("c"), 50).len(), 50);
    assert_eq!(eventually_holds(&mut wire, &on("d"), 100).len(), 100);
}

#[test]
fn between_flows_of_different_sizes_each_key_keeps_its_order() {
    let (mut wire, _host, _dir) = host();
    for (flow, partitions) in [("two", 2), ("seven", 7)] {
        wire.ok(&format!("CREATE FLOW {} partitions={partitions}", on(flow)));
        wire.ok(&format!("REPLICATE {} {}", on("a"), on(flow)));
    }
    wire.ok(&format!("COLLECT {},{} {}", on("two"), on("seven"), on("b")));
    for from in (0..400).step_by(40) {
        wire.write(&on("a"), &events(from..from + 40));
    }
    for (flow, times) in [("two", 1), ("seven", 1), ("b", 2)] {
        let read = eventually_holds(&mut wire, &on(flow), 400 * times);
        for key in 0..16 {
            let of = |event: &&Value, from: &str| {
                event["partitionkey"] == format!("k{key}")
                    && (times == 1 || event["sourceflow"] == on(from))
            };
            for from in ["two", "seven"] {
                let own = read.iter().filter(|event| of(event, from));
                let numbers: Vec<_> =
                    own.map(|event| event["data"]["n"].as_u64().unwrap()).collect();
                assert_eq!(numbers, (key..400).step_by(16).collect::<Vec<u64>>(), "{flow}");
            }
        }
    }
}
