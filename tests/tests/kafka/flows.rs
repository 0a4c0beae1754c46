//! Flows on Kafka: made, taken over, released, and what is refused, with Kafka's own tools beside.

use kafka_node::Node;
use serde_json::Value;
use stories::{Wire, event, eventually, eventually_holds};

use crate::site::{Site, login};

/// A topic of somebody else's, with one partition's worth of records in it.
pub(crate) fn topic(name: &str, partitions: usize, records: usize) {
    let partitions = partitions.to_string();
    let args = ["--create", "--topic", name, "--partitions", &partitions];
    Node::shared().tool("TopicCommand", &args);
    produce(name, 0..records);
}

/// Plain records, as some other program writes them.
pub(crate) fn produce(topic: &str, numbers: std::ops::Range<usize>) {
    let lines: String = numbers.map(|n| format!("k{n}\tv{n}\n")).collect();
    // A topic that was just made has no leader for a moment.
    let patient = ["--message-send-max-retries", "200", "--request-timeout-ms", "60000"];
    let args = ["--topic", topic, "--sync", "--property", "parse.key=true"];
    let args = [&args[..], &patient].concat();
    let ran = Node::shared().try_tool("ConsoleProducer", &args, lines.as_bytes());
    assert!(ran.ok, "{ran:?}");
}

fn described(name: &str) -> String {
    Node::shared().tool("TopicCommand", &["--describe", "--topic", name])
}

fn keys(wire: &mut Wire, flow: &str) -> Value {
    wire.describe(&format!("FLOW {flow}"))
}

#[test]
fn a_topic_that_exists_is_taken_over_as_it_is_and_only_released() {
    let site = Site::shared("taking");
    let host = site.start();
    let mut wire = login(&host);
    topic("Taken_Orders", 3, 6);
    let flow = "orders.flows.unix.ar";
    wire.ok(&format!("CREATE FLOW {flow} topic=Taken_Orders"));
    let seen = keys(&mut wire, flow);
    assert_eq!((&seen["topic"], &seen["partitions"]), (&"Taken_Orders".into(), &3.into()));
    assert_eq!((&seen["taken-over"], &seen["replication"]), (&true.into(), &1.into()));
    assert_eq!(seen["config.protected"], "true");
    assert!(seen["topic-id"].is_string(), "{seen}");
    let lines = wire.data(&format!("DESCRIBE FLOW {flow}"));
    let first: Vec<&str> = lines.iter().filter_map(|line| line.split('=').next()).take(4).collect();
    assert_eq!(first, ["flow", "type", "topic", "server"]);
    eventually_holds(&mut wire, flow, 6);
    let refused = wire.refused("CREATE FLOW second.flows.unix.ar topic=Taken_Orders");
    assert_eq!(refused, format!("409 CONFLICT topic Taken_Orders belongs to flow {flow}"));
    // Somebody else's events are destroyed only when that is said in so many words.
    assert!(wire.refused(&format!("PURGE FLOW {flow} CONFIRM {flow}")).contains("protected"));
    wire.ok(&format!("DELETE FLOW {flow}"));
    assert!(described("Taken_Orders").contains("PartitionCount: 3"));
    wire.ok(&format!("CREATE FLOW {flow} topic=Taken_Orders"));
    eventually_holds(&mut wire, flow, 6);
    wire.ok(&format!("UPDATE FLOW {flow} protected=false"));
    wire.ok(&format!("PURGE FLOW {flow} CONFIRM {flow}"));
    eventually_holds(&mut wire, flow, 0);
}

#[test]
fn what_cannot_be_taken_over_or_made_is_refused_with_the_reason_and_nothing_is_left() {
    let site = Site::shared("refusing");
    let host = site.start();
    let mut wire = login(&host);
    let mut refused = |command: &str, code: &str, words: &str| {
        let line = wire.refused(command);
        assert!(line.starts_with(code) && line.contains(words), "{command}: {line}");
    };
    let flow = "refused.flows.unix.ar";
    refused(
        &format!("CREATE FLOW {flow} topic=none-such"),
        "404",
        "topic none-such on broker kafka",
    );
    for internal in ["__consumer_offsets", "_fnaa.refusing.positions"] {
        refused(&format!("CREATE FLOW {flow} topic={internal}"), "400", "internal");
    }
    topic("as-it-is", 1, 0);
    for setting in ["partitions=3", "replication=1", "retention.ms=1"] {
        refused(&format!("CREATE FLOW {flow} topic=as-it-is {setting}"), "400", "stays as it is");
    }
    refused(&format!("CREATE FLOW {flow} colour=red"), "400", "colour");
    refused(&format!("CREATE FLOW {flow} retention.ms=soon"), "400", "retention.ms");
    refused(&format!("CREATE FLOW {flow} replication=3"), "400", "replication");
    refused(&format!("CREATE FLOW {flow} replication=0"), "400", "replication");
    // A topic of the flow's name that holds somebody's records is nobody's to begin in.
    topic(flow, 1, 2);
    refused(&format!("CREATE FLOW {flow}"), "409", &format!("topic={flow} takes it over"));
    assert!(wire.data("GET FLOWS").is_empty());
    wire.ok(&format!("CREATE FLOW {flow} topic={flow}"));
    eventually_holds(&mut wire, flow, 2);
}

#[test]
fn a_flows_settings_are_its_topics_as_kafkas_own_tools_see_them() {
    let site = Site::shared("settings");
    let host = site.start();
    let mut wire = login(&host);
    let flow = "settings.flows.unix.ar";
    wire.ok(&format!("CREATE FLOW {flow} partitions=2 replication=1 segment.bytes=1048576"));
    let seen = described(flow);
    assert!(seen.contains("PartitionCount: 2") && seen.contains("segment.bytes=1048576"), "{seen}");
    wire.ok(&format!("UPDATE FLOW {flow} partitions=5 retention.ms=86400000"));
    let seen = described(flow);
    assert!(seen.contains("PartitionCount: 5") && seen.contains("retention.ms=86400000"), "{seen}");
    assert!(seen.contains("segment.bytes=1048576"), "what is not named stays: {seen}");
    let keys = keys(&mut wire, flow);
    assert_eq!(keys["config.retention.ms"], "86400000");
    assert_eq!(keys["log"].as_array().unwrap().len(), 5);
    for wrong in ["partitions=4", "replication=2", "broker=embedded", "retention.ms=soon"] {
        let line = wire.refused(&format!("UPDATE FLOW {flow} {wrong}"));
        assert!(line.starts_with("400 "), "{line}");
    }
    wire.write(flow, &(0..10).map(event).collect::<Vec<_>>());
    let group = ["--topic", flow, "--group", "readers", "--from-beginning", "--max-messages", "10"];
    Node::shared().tool("ConsoleConsumer", &group);
    eventually("the group in the description", || {
        let seen = wire.describe(&format!("FLOW {flow}"));
        let found = seen["consumers"].as_array().is_some_and(|consumers| {
            consumers.iter().any(|one| one["group"] == "readers" && one["lag"] == 0)
        });
        if found { Ok(()) } else { Err(seen.to_string()) }
    });
    wire.ok(&format!("DELETE FLOW {flow}"));
    assert!(!Node::shared().tool("TopicCommand", &["--list"]).contains(flow));
}
