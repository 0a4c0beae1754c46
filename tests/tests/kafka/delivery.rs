//! From broker to broker: once wherever the inputs lie, over kills of the host; at least once where it
//! cannot be otherwise, and then it says so.

use std::collections::BTreeSet;

use kafka_node::{Node, Setup};
use serde_json::Value;
use stories::{Fnaad, Wire, event, eventually, eventually_described};

use crate::site::{Site, login, times};

/// Writes events to one flow, and kills the host in the middle of it, again and again; then everything is
/// in the other one.
fn killed(site: &Site, input: &str, outputs: &[&str], after: impl Fn(&[Value])) -> Fnaad {
    let kills = times(3, 20);
    let mut host = site.start();
    for kill in 0..kills {
        let mut wire = login(&host);
        let numbers = kill * 100..kill * 100 + 100;
        for part in numbers.collect::<Vec<_>>().chunks(20) {
            let events: Vec<String> = part.iter().copied().map(event).collect();
            assert_eq!(wire.write(input, &events), "220 OK 20 events");
        }
        host.kill();
        host = site.start();
    }
    let mut wire = login(&host);
    for output in outputs {
        all_there(&mut wire, output, kills * 100, &after);
    }
    host
}

pub(crate) fn all_there(wire: &mut Wire, flow: &str, count: usize, after: &impl Fn(&[Value])) {
    let events = eventually(&format!("{count} events in {flow}"), || {
        let events = wire.read(flow);
        let distinct: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
        if distinct.len() == count { Ok(events) } else { Err(format!("{}", distinct.len())) }
    });
    after(&events);
}

/// No event came twice.
pub(crate) fn once(events: &[Value]) {
    let distinct: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(distinct.len(), events.len(), "some came twice");
}

#[test]
fn from_the_embedded_log_to_kafka_each_event_comes_once_however_often_the_host_is_killed() {
    let site = Site::shared("tokafka");
    let host = site.start();
    let mut wire = login(&host);
    wire.ok("CREATE FLOW here.flows.unix.ar broker=embedded partitions=2");
    wire.ok("CREATE FLOW there.flows.unix.ar partitions=2");
    wire.ok("REPLICATE here.flows.unix.ar there.flows.unix.ar AS p.flows.unix.ar");
    assert_eq!(wire.describe("PROCESSOR p.flows.unix.ar")["delivery"], "exactly-once");
    drop(host);
    killed(&site, "here.flows.unix.ar", &["there.flows.unix.ar"], once);
}

#[test]
fn from_kafka_to_the_embedded_log_each_event_comes_once_however_often_the_host_is_killed() {
    let site = Site::shared("fromkafka");
    let host = site.start();
    let mut wire = login(&host);
    wire.ok("CREATE FLOW from.flows.unix.ar partitions=2");
    wire.ok("CREATE FLOW to.flows.unix.ar broker=embedded partitions=2");
    wire.ok("REPLICATE from.flows.unix.ar to.flows.unix.ar");
    drop(host);
    killed(&site, "from.flows.unix.ar", &["to.flows.unix.ar"], once);
}

#[test]
fn from_one_kafka_to_another_each_event_comes_once_however_often_the_host_is_killed() {
    let other = Node::start(Setup::default());
    let second = format!(
        "identity = \"ab\"\n\n[[brokers]]\nname = \"b\"\ntype = \"kafka\"\nservers = \"{}\"",
        other.servers()
    );
    let site = Site::on(&Node::shared().servers(), &second);
    let host = site.start();
    let mut wire = login(&host);
    wire.ok("CREATE FLOW a.flows.unix.ar partitions=2");
    wire.ok("CREATE FLOW b.flows.unix.ar broker=b partitions=2");
    wire.ok("REPLICATE a.flows.unix.ar b.flows.unix.ar");
    drop(host);
    killed(&site, "a.flows.unix.ar", &["b.flows.unix.ar"], once);
}

#[test]
fn outputs_on_two_brokers_get_every_event_and_the_description_says_at_least_once() {
    let site = Site::shared("both");
    let host = site.start();
    let mut wire = login(&host);
    wire.ok("CREATE FLOW both-in.flows.unix.ar partitions=2");
    wire.ok("CREATE FLOW both-k.flows.unix.ar partitions=2");
    wire.ok("CREATE FLOW both-e.flows.unix.ar broker=embedded partitions=2");
    let outputs = ["both-k.flows.unix.ar", "both-e.flows.unix.ar"];
    let command = format!("DISTRIBUTE both-in.flows.unix.ar {}", outputs.join(","));
    let refused = wire.refused(&format!("{command} delivery=exactly-once"));
    assert!(refused.starts_with("409 ") && refused.contains("kafka, embedded"), "{refused}");
    wire.ok(&format!("{command} AS both.flows.unix.ar"));
    let seen = eventually_described(&mut wire, "both.flows.unix.ar", "it runs", |seen| {
        seen["state"] == "running"
    });
    assert_eq!(seen["delivery"], "at-least-once");
    assert!(seen["delivery-reason"].as_str().unwrap().contains("kafka and embedded"), "{seen}");
    let refused = wire.refused("UPDATE PROCESSOR both.flows.unix.ar delivery=exactly-once");
    assert!(refused.starts_with("409 "), "{refused}");
    drop(host);
    let host = killed(&site, "both-in.flows.unix.ar", &outputs, |_| {});
    // What is in the commit comes once all the same.
    let mut wire = login(&host);
    once(&wire.read("both-k.flows.unix.ar"));
}
