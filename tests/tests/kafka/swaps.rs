//! One version of a plugin after another, under load on a Kafka; and while that is away.
//!
//! `SWAPS` says how often versions follow each other.

use kafka_node::{Node, Setup};
use stories::{
    A, B, P, drop_in, events, eventually, eventually_described, eventually_holds, number,
    swap_under_load,
};

use crate::site::{Site, login};

/// Swaps of a run that nobody asked for more of.
const SWAPS: usize = 20;

#[test]
fn versions_follow_each_other_under_load_and_no_record_is_lost_repeated_or_reordered() {
    let swaps = number("SWAPS", SWAPS);
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    let seen = swap_under_load(|| login(&host), &site.dir().join("data/plugins"), swaps);
    println!("{swaps} swaps, {} events, pauses in ms: {}", seen.events, seen.pauses);
    assert!(seen.pauses["count"].as_u64() > Some(0), "{}", seen.pauses);
}

#[test]
fn a_broker_that_is_away_at_a_swap_is_held_against_nobody() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    let mut wire = login(&host);
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=2"));
    }
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..40));
    eventually_holds(&mut wire, B, 40);
    node.pause();
    let next = host_builtin::bridge_next();
    drop_in(&site.dir().join("data/plugins"), "bridge.wasm", next.component);
    eventually("the new version", || match wire.describe("PROCESSOR bridge")["version"].clone() {
        version if version == "0.2.0" => Ok(()),
        version => Err(version.to_string()),
    });
    node.resume();
    eventually_described(&mut wire, P, "the new version", |seen| {
        let runs = |shard: u32| seen[format!("shard.{shard}")]["version"] == "0.2.0";
        runs(0) && runs(1) && seen["state"] == "running"
    });
    wire.write(A, &events(40..80));
    eventually_holds(&mut wire, B, 80);
    let types = wire.json("GET PROCESSOR TYPES");
    assert!(types.iter().all(|found| found["health"] != "rejected"), "{types:?}");
}
