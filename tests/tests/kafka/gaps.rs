//! What somebody else does to a source: partitions that come, records that go, another topic of its name.
//! Nothing is passed over in silence, and there is a way on.

use kafka_node::Node;
use serde_json::{Value, json};
use stories::{Wire, eventually_described, eventually_holds};

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
