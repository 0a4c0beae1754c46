//! A target without room: an embedded log whose disk is full takes what is on Kafka when there is room again.

use kafka_node::{Node, Setup};
use stories::{event, eventually, in_private_mounts, mount_small};

use crate::delivery::{all_there, once};
use crate::site::{Site, fill, login, times};

const FROM: &str = "from.flows.unix.ar";
const TO: &str = "to.flows.unix.ar";
const BRIDGE: &str = "p.flows.unix.ar";

/// Megabytes of the file system with the data.
const SMALL: u32 = 48;

#[test]
fn from_kafka_to_an_embedded_log_whose_disk_is_full_each_event_comes_once_when_there_is_room() {
    if !in_private_mounts(
        "room::from_kafka_to_an_embedded_log_whose_disk_is_full_each_event_comes_once_when_there_is_room",
    ) {
        return;
    }
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "\n[[brokers]]\nname = \"embedded\"\ntype = \"embedded\"");
    let (data, filler) = (site.dir().join("data"), site.dir().join("data/filler"));
    mount_small(&data, SMALL);
    let host = site.start();
    let mut wire = login(&host);
    wire.ok(&format!("CREATE FLOW {FROM} partitions=2"));
    wire.ok(&format!("CREATE FLOW {TO} broker=embedded partitions=2"));
    wire.ok(&format!("REPLICATE {FROM} {TO} AS {BRIDGE}"));
    let mut written = 0;
    let mut write = |wire: &mut stories::Wire, count: usize| {
        let events: Vec<String> = (written..written + count).map(event).collect();
        assert_eq!(wire.write(FROM, &events), format!("220 OK {count} events"));
        written += count;
        written
    };
    for _ in 0..times(1, 10) {
        let so_far = write(&mut wire, 100);
        all_there(&mut wire, TO, so_far, &once);
        fill(&filler);
        // Until nothing of what a log has in reserve is left.
        eventually("that there is no room", || {
            write(&mut wire, 100);
            let seen = wire.describe(&format!("PROCESSOR {BRIDGE}")).to_string();
            if seen.contains("full") { Ok(()) } else { Err(seen) }
        });
        std::fs::remove_file(&filler).unwrap();
        let all = write(&mut wire, 100);
        all_there(&mut wire, TO, all, &once);
    }
    println!("{} events, each once", write(&mut wire, 0));
}
