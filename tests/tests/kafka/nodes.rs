//! What happens to the nodes: killed, started again, paused, out of room, away for long.

use std::time::Duration;

use kafka_node::{Cluster, Node, Setup};
use stories::{Dice, eventually, in_private_mounts, mount_small};

use crate::clients::user;
use crate::site::{COPY, SOURCE, Site, check, fill, load, login, network, running, times};

#[test]
fn a_node_that_is_killed_paused_and_started_again_under_load_costs_no_record() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    for _ in 0..times(1, 10) {
        dice.wait(1000, 4000);
        node.kill();
        dice.wait(100, 3000);
        node.restart();
        dice.wait(1000, 4000);
        node.pause();
        dice.wait(1000, 8000);
        node.resume();
        dice.wait(1000, 2000);
        node.terminate();
        node.restart();
    }
    running(&mut login(&host));
    check(&node.servers(), writer.stop());
}

#[test]
fn one_node_of_three_may_be_killed_and_nobody_notices() {
    let setup = Setup::default().property("min.insync.replicas", 2);
    let cluster = Cluster::start(3, setup);
    let site = Site::on(&cluster.servers(), "");
    let host = site.start();
    network(&mut login(&host), 3);
    let writer = load(&cluster.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    for round in 0..times(1, 9) {
        let node = cluster.node(round % 3);
        dice.wait(1000, 4000);
        node.kill();
        dice.wait(1000, 8000);
        node.restart();
    }
    running(&mut login(&host));
    check(&cluster.servers(), writer.stop());
}

#[test]
fn a_node_whose_disk_is_full_ends_and_goes_on_when_there_is_room() {
    if !in_private_mounts("nodes::a_node_whose_disk_is_full_ends_and_goes_on_when_there_is_room") {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    // What came in before is there in every round.
    mount_small(disk.path(), u32::try_from(times(256, 1024)).unwrap());
    let node = Node::start(Setup::default().under(disk.path()));
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    let filler = disk.path().join("filler");
    for _ in 0..times(1, 5) {
        std::thread::sleep(Duration::from_secs(2));
        fill(&filler);
        // A node whose only disk can no longer be written ends itself.
        eventually("the end of a node without room", || {
            node.has_ended().then_some(()).ok_or_else(|| node.log())
        });
        std::fs::remove_file(&filler).unwrap();
        node.restart();
    }
    running(&mut login(&host));
    check(&node.servers(), writer.stop());
}

/// How often the threads of the Kafka client may go to sleep in a second while their node is away: with pauses between two
/// tries it is some hundred times for all clients, without them 60,000 times.
const PATIENT: u64 = 2_000;

#[test]
fn a_node_that_is_away_is_not_tried_without_a_pause() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    let mut wire = login(&host);
    wire.ok(&format!("CREATE FLOW {SOURCE}"));
    wire.ok(&format!("CREATE FLOW {COPY}"));
    let event = r#"{"specversion":"1.0","id":"1","source":"/x","type":"t"}"#;
    user(&site, host.address()).ok_with(&["write", SOURCE], event);
    node.kill();
    let (seconds, before) = (5, sleeps(host.id()));
    std::thread::sleep(Duration::from_secs(seconds));
    let slept = sleeps(host.id()) - before;
    assert!(slept < PATIENT * seconds, "{slept} times in {seconds} s");
}

/// How often the threads of the Kafka client have gone to sleep.
fn sleeps(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let status = |task: std::io::Result<std::fs::DirEntry>| {
        // One may have ended since.
        std::fs::read_to_string(task.ok()?.path().join("status")).ok()
    };
    let client = |status: &String| status.starts_with("Name:\trdk:");
    let count = |status: String| {
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.filter_map(status).filter(client).map(count).sum()
}
