//! Positions that the log no longer holds stop a processor, with the figures; nothing resets by itself.

use std::collections::BTreeMap;

use host_brokers::TopicSpec;
use host_brokers::faulty::{Fault, Op};
use host_processors::Phase;
use host_registry::{Desired, Name, Start};

use crate::house::{House, assert_same, ids};

/// A bridge that has carried 20 events.
async fn carried() -> (House, Name) {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
    house.write("in.n.test", 0, 0..20).await;
    house.holds("out.n.test", 20).await;
    (house, bridge)
}

async fn turn(house: &House, bridge: &Name, desired: Desired) {
    house.carried_out(house.registry.set_desired(bridge, desired).await).await;
}

/// It stops, and stays so however often it is tried again.
async fn stops(house: &House, bridge: &Name, figures: &str) {
    let says = |phase: Phase| matches!(phase, Phase::Failed(words) if words.contains(figures));
    house.until(bridge, |report| says(report.phase())).await;
    let failures = house.report(bridge).await.shards[0].failures;
    house.until(bridge, |report| report.shards[0].failures > failures + 2).await;
    assert_same(&house.read("out.n.test", 0, "id").await, &ids("in.n.test", 0, 0..20), "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_retention_overtook_stops_with_the_figures_and_goes_on_when_moved() {
    let (house, bridge) = carried().await;
    turn(&house, &bridge, Desired::Paused).await;
    house.write("in.n.test", 0, 20..30).await;
    house.faulty.sound().purge(&house.topic("in.n.test").await).await.unwrap();
    house.write("in.n.test", 0, 30..40).await;
    turn(&house, &bridge, Desired::Running).await;
    let figures =
        "gap: flow in.n.test partition 0: position 20 is not in the log, earliest=30 latest=40";
    stops(&house, &bridge, figures).await;
    turn(&house, &bridge, Desired::Paused).await;
    let moved = house.registry.move_processor(&bridge, Start::Earliest, true).await;
    house.carried_out(moved).await;
    turn(&house, &bridge, Desired::Running).await;
    house.holds("out.n.test", 30).await;
    house.end().await;
    let expected = [ids("in.n.test", 0, 0..20), ids("in.n.test", 0, 30..40)].concat();
    assert_same(&house.read("out.n.test", 0, "id").await, &expected, "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_was_overtaken_while_it_read_carries_what_it_has_and_stops() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
    house.until(&bridge, |report| report.phase() == Phase::Running).await;
    // Its commit is held, so it reads ahead and then waits.
    house.faulty.script(Op::Commit, [Some(Fault::Slow)]);
    house.write("in.n.test", 0, 0..400).await;
    house.happened(|record| record.held == 1 && record.asked[&Op::Next] > 8).await;
    house.faulty.sound().purge(&house.topic("in.n.test").await).await.unwrap();
    house.faulty.release();
    let figures = "earliest=400 latest=400";
    let says = |phase: Phase| matches!(phase, Phase::Failed(words) if words.contains(figures));
    house.until(&bridge, |report| says(report.phase())).await;
    house.write("in.n.test", 0, 400..410).await;
    let failures = house.report(&bridge).await.shards[0].failures;
    house.until(&bridge, |report| report.shards[0].failures > failures + 2).await;
    house.end().await;
    // Without a hole, as far as it came.
    let seen = house.read("out.n.test", 0, "id").await;
    assert!(seen.len() < 400, "{}", seen.len());
    assert_same(&seen, &ids("in.n.test", 0, 0..seen.len() as u32), "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_whose_log_was_cut_stops_with_the_figures() {
    let (house, bridge) = carried().await;
    turn(&house, &bridge, Desired::Paused).await;
    let topic = house.topic("in.n.test").await;
    // The same life made again, as from an old copy of the disk.
    house.faulty.sound().delete(&topic).await.unwrap();
    let spec = TopicSpec { topic, partitions: 1, replication: None, config: BTreeMap::new() };
    house.faulty.sound().create(&spec).await.unwrap();
    house.write("in.n.test", 0, 0..5).await;
    turn(&house, &bridge, Desired::Running).await;
    let figures =
        "gap: flow in.n.test partition 0: position 20 is not in the log, earliest=0 latest=5";
    stops(&house, &bridge, figures).await;
    // The log grows past the position: nothing of what lies between was read.
    house.write("in.n.test", 0, 5..30).await;
    stops(&house, &bridge, figures).await;
    turn(&house, &bridge, Desired::Paused).await;
    turn(&house, &bridge, Desired::Running).await;
    stops(&house, &bridge, figures).await;
    turn(&house, &bridge, Desired::Paused).await;
    let moved = house.registry.move_processor(&bridge, Start::Earliest, true).await;
    house.carried_out(moved).await;
    turn(&house, &bridge, Desired::Running).await;
    house.holds("out.n.test", 50).await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_whose_topic_became_another_one_reads_nothing_of_it() {
    let (house, bridge) = carried().await;
    let mut topic = house.topic("in.n.test").await;
    house.faulty.sound().delete(&topic).await.unwrap();
    topic.incarnation = host_events::Incarnation(uuid::Uuid::new_v4());
    let spec = TopicSpec {
        topic: topic.clone(),
        partitions: 1,
        replication: None,
        config: BTreeMap::new(),
    };
    house.faulty.sound().create(&spec).await.unwrap();
    let event = host_events::CloudEvent::new("other", "/test", "t").unwrap().to_record(0);
    let append = host_brokers::Append { records: vec![(0, event); 40], token: None };
    house.faulty.sound().append(&topic, append).await.unwrap();
    stops(&house, &bridge, "topic not found: in.n.test").await;
    house.end().await;
}
