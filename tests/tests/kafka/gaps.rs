//! What somebody else does to a source: partitions that come, records that go, another topic of its name.
//! Nothing is passed over in silence, and there is a way on.

use std::collections::BTreeSet;

use kafka_node::Node;
use serde_json::{Value, json};
use stories::{Wire, drop_in, eventually, eventually_described, eventually_holds, lying_guest};

use crate::flows::{produce, topic};
use crate::site::{Site, login};

const OUT: &str = "out.flows.unix.ar";
const P: &str = "p.flows.unix.ar";

/// A bridge from a topic of somebody else's to the embedded broker, that has carried so many records.
fn bridge(wire: &mut Wire, flow: &str, partitions: usize, records: usize, options: &str) {
    topic(flow, partitions, records);
    wire.ok(&format!("CREATE FLOW {flow} topic={flow}"));
    wire.ok(&format!("CREATE FLOW {OUT} broker=embedded partitions=4"));
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE bridge FROM {flow} TO {OUT} {options}"));
    eventually_holds(wire, OUT, records);
}

fn gap(seen: &Value) -> bool {
    seen["reason"].as_str().is_some_and(|why| why.starts_with("gap: "))
}

/// Deletes the topic and makes it again, with other records.
fn made_again(flow: &str, records: std::ops::Range<usize>) {
    let node = Node::shared();
    node.tool("TopicCommand", &["--delete", "--topic", flow]);
    while node.tool("TopicCommand", &["--list"]).lines().any(|line| line == flow) {}
    node.tool("TopicCommand", &["--create", "--topic", flow, "--partitions", "1"]);
    produce(flow, records);
}

#[test]
fn partitions_that_somebody_adds_are_read_from_their_beginning() {
    let site = Site::shared("growing");
    let host = site.start();
    let mut wire = login(&host);
    let flow = "growing.flows.unix.ar";
    bridge(&mut wire, flow, 1, 0, "START latest");
    produce(flow, 0..10);
    eventually_holds(&mut wire, OUT, 10);
    let args = ["--alter", "--topic", flow, "--partitions", "4"];
    Node::shared().tool("TopicCommand", &args);
    // Before anybody has noticed.
    produce(flow, 10..50);
    let events = eventually_holds(&mut wire, OUT, 50);
    let in_new = events.iter().filter(|event| event["flowpartition"].as_u64() > Some(0)).count();
    assert!(in_new > 0, "all in the first partition: {events:?}");
    assert_eq!(wire.describe(&format!("FLOW {flow}"))["partitions"], 4);
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert!(seen["shard.3"].is_object(), "{seen}");
}

#[test]
fn an_offset_beyond_the_end_of_a_topic_is_refused_at_the_creation_of_a_processor() {
    let site = Site::shared("beyond");
    let host = site.start();
    let mut wire = login(&host);
    let flow = "beyond.flows.unix.ar";
    topic(flow, 1, 10);
    wire.ok(&format!("CREATE FLOW {flow} topic={flow}"));
    wire.ok(&format!("CREATE FLOW {OUT} broker=embedded"));
    let create = format!("CREATE PROCESSOR {P} TYPE bridge FROM {flow} TO {OUT} START OFFSET");
    let refused = wire.refused(&format!("{create} 0:11"));
    let wanted = format!(
        "400 BAD_FORMAT gap: flow {flow} partition 0: position 11 is not in the log, earliest=0 latest=10"
    );
    assert_eq!(refused, wanted);
    wire.ok(&format!("{create} 0:7"));
    eventually_holds(&mut wire, OUT, 3);
}

#[test]
fn a_source_that_is_made_again_stops_its_processor_until_somebody_takes_the_new_one_over() {
    let site = Site::shared("again");
    let host = site.start();
    let mut wire = login(&host);
    let flow = "again.flows.unix.ar";
    bridge(&mut wire, flow, 1, 20, "");
    made_again(flow, 100..130);
    let seen = eventually_described(&mut wire, P, "the gap", gap);
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains(flow) && reason.contains("UPDATE FLOW"), "{reason}");
    assert!(wire.describe(&format!("FLOW {flow}"))["problem"].is_string());
    assert_eq!(wire.read(OUT).len(), 20);
    // The flow is another one now; the processor says so until somebody says where to go on.
    wire.ok(&format!("UPDATE FLOW {flow} topic={flow}"));
    eventually_holds(&mut wire, flow, 30);
    eventually_described(&mut wire, P, "the gap to the new one", |seen| {
        seen["reason"].as_str().is_some_and(|why| why.contains("incarnation"))
    });
    assert_eq!(wire.read(OUT).len(), 20);
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION earliest"));
    wire.ok(&format!("RESUME {P}"));
    eventually_holds(&mut wire, OUT, 50);
}

#[test]
fn a_source_that_is_made_again_is_gone_on_with_and_recorded_once_it_is_taken_over() {
    let site = Site::shared("recorded");
    let host = site.start();
    let mut wire = login(&host);
    let flow = "recorded.flows.unix.ar";
    bridge(&mut wire, flow, 1, 5, "on-gap=record");
    made_again(flow, 50..60);
    eventually_described(&mut wire, P, "the gap", gap);
    wire.ok(&format!("UPDATE FLOW {flow} topic={flow}"));
    eventually_holds(&mut wire, OUT, 15);
    let gap = eventually_holds(&mut wire, "p.dead.flows.unix.ar", 1).swap_remove(0);
    assert_eq!((&gap["type"], &gap["deadkind"]), (&json!("flow.processor.gap"), &json!("gap")));
    assert_eq!(gap["data"]["flow"], flow);
}

#[test]
fn records_that_were_deleted_before_they_were_read_stop_the_processor_with_the_figures() {
    let site = Site::shared("deleted");
    let host = site.start();
    let mut wire = login(&host);
    let flow = "deleted.flows.unix.ar";
    bridge(&mut wire, flow, 1, 10, "");
    wire.ok(&format!("PAUSE {P}"));
    produce(flow, 10..30);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("offsets.json");
    let offsets =
        json!({"version": 1, "partitions": [{"topic": flow, "partition": 0, "offset": 25}]});
    std::fs::write(&file, offsets.to_string()).unwrap();
    let args = ["--offset-json-file", file.to_str().unwrap()];
    Node::shared().tool("DeleteRecordsCommand", &args);
    assert!(wire.ask(&format!("RESUME {P}"))[0].starts_with("220"));
    let seen = eventually_described(&mut wire, P, "the gap", gap);
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("position 10") && reason.contains("earliest=25 latest=30"), "{reason}");
    assert_eq!(wire.read(OUT).len(), 10);
    wire.ok(&format!("UPDATE PROCESSOR {P} on-gap=record"));
    eventually_holds(&mut wire, OUT, 15);
}

#[test]
fn a_processor_that_keeps_state_by_key_is_held_when_somebody_adds_partitions_to_its_input() {
    let site = Site::shared("keyed");
    let mut host = site.start();
    let mut wire = login(&host);
    drop_in(&site.dir().join("data/plugins"), "guest.wasm", &lying_guest("keyed"));
    eventually("the type guest", || match wire.data("GET PROCESSOR TYPES") {
        types if types.iter().any(|line| line.starts_with("guest")) => Ok(()),
        types => Err(format!("{types:?}")),
    });
    let flow = "keyed.flows.unix.ar";
    topic(flow, 2, 10);
    wire.ok(&format!("CREATE FLOW {flow} topic={flow}"));
    wire.ok(&format!("CREATE FLOW {OUT} broker=embedded partitions=4"));
    wire.ok(&format!(
        "CREATE PROCESSOR {P} TYPE guest FROM {flow} TO {OUT} CONFIG {{\"act\":\"count\"}}"
    ));
    eventually_holds(&mut wire, OUT, 10);
    // By this host's own command nobody gets there.
    let refused = wire.refused(&format!("UPDATE FLOW {flow} partitions=4"));
    assert!(refused.starts_with("409 ") && refused.contains("keeps state by key"), "{refused}");
    let args = ["--alter", "--topic", flow, "--partitions", "4"];
    Node::shared().tool("TopicCommand", &args);
    produce(flow, 10..50);
    let held = |seen: &Value| {
        let words = format!("held: flow {flow} has 4 partitions and had 2");
        seen["reason"].as_str().is_some_and(|why| why.starts_with(&words))
    };
    eventually_described(&mut wire, P, "it is held", held);
    // Nothing of a new partition came through; who starts the host again changes nothing.
    let new =
        |events: &[Value]| events.iter().any(|event| event["flowpartition"].as_u64() > Some(1));
    assert!(!new(&wire.read(OUT)));
    host.kill();
    host = site.start();
    wire = login(&host);
    eventually_described(&mut wire, P, "it is still held", held);
    assert!(!new(&wire.read(OUT)));
    // There is a way on.
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION earliest STATE reset"));
    wire.ok(&format!("RESUME {P}"));
    eventually("every record", || {
        let values: BTreeSet<String> =
            wire.read(OUT).iter().map(|event| event["value_base64"].to_string()).collect();
        if values.len() == 50 { Ok(()) } else { Err(format!("{} of 50", values.len())) }
    });
}
