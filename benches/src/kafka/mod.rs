//! One Kafka topic copied to another on the same node, three ways by turns: a plain loop over
//! librdkafka, the host's bridge, and Apache Kafka's MirrorMaker 2.
//!
//! Each is a process of its own, so that its processor time and memory are its own; what the node uses
//! is shared, and so it is the same machine for all. What was copied is read back and counted.
//! `CONTENDERS="plain loop,bridge"` leaves others out: MirrorMaker takes most of the time.

mod bridge;
mod check;
mod contender;
mod copy;
mod idle;
mod mirror;
mod paced;
mod records;
mod report;
mod run;
mod streams;
mod takeover;
mod topics;

pub use bridge::on_kafka;
use contender::Mode;
pub use idle::measure as measure_idle;
use kafka_node::{Node, Setup};
pub use streams::measure as measure_streams;
pub use takeover::measure as measure_takeover;

use crate::table::Table;

/// The first argument of a process that is the plain loop.
pub const COPY_LOOP: &str = "copy-loop";
/// What the contenders are called.
const LOOP: &str = "plain loop";
const BRIDGE: &str = "bridge";
const MIRROR: &str = "MirrorMaker 2";
/// Partitions of all topics here.
const PARTITIONS: usize = 4;

/// The plain loop, in this process, until it is killed.
pub fn copy_loop(arguments: &[String]) {
    copy::run(arguments);
}

pub fn measure(table: &mut Table) {
    let node = node();
    records::preload(&node.servers());
    let mut contenders = vec![copy::contender(), bridge::contender(), mirror::contender()];
    if let Ok(names) = std::env::var("CONTENDERS") {
        contenders.retain(|contender| names.split(',').any(|name| name == contender.name));
    }
    let [at_least, exactly] = [Mode::AtLeastOnce, Mode::ExactlyOnce].map(|mode| {
        let figures = run::by_turns(&node, &contenders, mode);
        report::rows(table, mode, &figures);
        figures
    });
    report::price(table, &at_least, &exactly);
}

/// A node as for a server, that gives room back soon.
pub fn node() -> Node {
    let setup = Setup::default().tuned().java("-Xmx1g");
    Node::start(setup.property("log.segment.delete.delay.ms", 1_000))
}
