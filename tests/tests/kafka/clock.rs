//! Clocks of those who write records: their times pass, whatever they are.

use std::time::Duration;

use kafka_node::{Node, Setup, Writer};

use crate::site::{ALL, COPY, SOURCE, Site, check, login, network, running};

#[test]
fn records_of_the_distant_past_and_future_pass_as_they_are() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    let mut wire = login(&host);
    network(&mut wire, 1);
    // Without this a topic of Kafka takes nothing from more than an hour ahead.
    for flow in [SOURCE, COPY, ALL] {
        wire.ok(&format!(
            "UPDATE FLOW {flow} message.timestamp.after.max.ms={} retention.ms=-1",
            i64::MAX
        ));
    }
    let writer = Writer::start_wild(&node.servers(), SOURCE, 500);
    std::thread::sleep(Duration::from_secs(3));
    running(&mut wire);
    check(&node.servers(), writer.stop());
}
