//! What many bridges on one Kafka cost while nothing happens: threads, memory, processor time.

use std::collections::BTreeMap;
use std::time::Duration;

use stories::{Fnaad, Wire};

use super::bridge;
use crate::idle;
use crate::process::{cpu_seconds, memory_mib, threads};
use crate::table::{Reach, Table};

/// Bridges, each between two flows of its own.
const BRIDGES: usize = 200;
/// How long the idle host is looked at.
const LOOK: Duration = Duration::from_secs(30);

pub fn measure(table: &mut Table) {
    let node = super::node();
    let (host, dir) = bridge::on_kafka(&node.servers());
    populate(|| host.login_as("test", "test"));
    assert!(host.end().success());
    // What making them took is over.
    let host = Fnaad::serve(dir.path(), &dir.path().join("fnaad.toml"));
    idle::settle(|| host.login_as("test", "test"), BRIDGES);
    // So is what starting took, and its threads have ended.
    std::thread::sleep(LOOK);
    let before = cpu_seconds(host.id());
    std::thread::sleep(LOOK);
    let share = (cpu_seconds(host.id()) - before) / LOOK.as_secs_f64() * 100.0;
    let names = threads(host.id());
    print(&names);
    let what = |part: &str| format!("{BRIDGES} bridges of 4 partitions: {part}");
    let count = names.values().sum::<usize>() as f64;
    table.figure(&what("threads"), count, "", None, Reach::AtMost(60.0));
    table.figure(&what("memory"), memory_mib(host.id()), "MiB", None, Reach::AtMost(200.0));
    table.figure(&what("idle CPU"), share, "% of a core", None, Reach::AtMost(3.0));
}

fn populate(login: impl Fn() -> Wire + Copy + Sync) {
    let flow = |number: usize| format!("f{number}.flows.unix.ar");
    let flows = (0..2 * BRIDGES)
        .map(|number| format!("CREATE FLOW {} broker=kafka partitions=4", flow(number)));
    idle::run(login, &flows.collect::<Vec<_>>());
    let bridges = (0..BRIDGES).map(|number| {
        let (from, to) = (flow(2 * number), flow(2 * number + 1));
        format!("REPLICATE {from} {to} AS p{number}.flows.unix.ar")
    });
    idle::run(login, &bridges.collect::<Vec<_>>());
}

fn print(names: &BTreeMap<String, usize>) {
    for (name, count) in names {
        eprintln!("  {count:4} {name}");
    }
}
