//! Outputs and inputs on other brokers: once where one commit spans it, else at least once and with a word.

use std::collections::BTreeSet;

use host_brokers::faulty::{Fault, Op};
use host_processors::Delivery;
use host_registry::NewProcessor;

use crate::house::{House, assert_same, ids, new_processor, options};

const EVENTS: u32 = 120;

fn faults(fault: Fault) -> Vec<Option<Fault>> {
    [None, Some(fault), None, Some(fault), Some(fault), None, None, Some(fault)].repeat(3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_another_broker_are_carried_exactly_once_whatever_fails_at_either() {
    for fault in [Fault::Unavailable, Fault::LostMade, Fault::LostNotMade, Fault::Fenced] {
        let house = House::new().await;
        house.flows(&[("far-in.n.test", 2), ("out.n.test", 2)]).await;
        house.faulty.script(Op::Commit, faults(fault));
        house.other.script(Op::Next, [None, Some(Fault::Torn), None, Some(Fault::Unavailable)]);
        let bridge = house.process("bridge", &["far-in.n.test"], "out.n.test", "{}").await;
        for partition in [0, 1] {
            house.write("far-in.n.test", partition, 0..EVENTS).await;
        }
        house.holds("out.n.test", u64::from(2 * EVENTS)).await;
        house.end().await;
        for partition in [0, 1] {
            let seen = house.read("out.n.test", partition, "id").await;
            assert_same(&seen, &ids("far-in.n.test", partition, 0..EVENTS), "out");
        }
        house.assert_at_end(&bridge).await;
    }
}

/// Every event is in a flow, first ones in their order.
async fn assert_at_least_once(house: &House, flow: &str) {
    let mut seen = BTreeSet::new();
    let read = house.read(flow, 0, "id").await;
    let firsts: Vec<_> = read.into_iter().filter(|id| seen.insert(id.clone())).collect();
    assert_same(&firsts, &ids("in.n.test", 0, 0..EVENTS), flow);
}

/// A distributor sends everything everywhere.
const BOTH: &str = "{}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_on_two_brokers_are_written_at_least_once_and_the_first_brokers_once() {
    for (op, fault) in [
        (Op::Commit, Fault::Unavailable),
        (Op::Commit, Fault::LostMade),
        (Op::Append, Fault::Unavailable),
        (Op::Append, Fault::LostMade),
    ] {
        let house = House::new().await;
        house.flows(&[("in.n.test", 1), ("out.n.test", 1), ("far-out.n.test", 1)]).await;
        let broker = if op == Op::Append { &house.other } else { &house.faulty };
        broker.script(op, faults(fault));
        let outputs = ["out.n.test", "far-out.n.test"];
        let new = new_processor("distributor", &["in.n.test"], &outputs, BOTH);
        let p = house.process_as(new).await;
        let delivery = house.processors.delivery(&house.processor(&p).await).await.unwrap();
        let why = "outputs on brokers main and other: no commit spans both";
        assert_eq!((delivery.word(), delivery.why()), ("at-least-once", Some(why)));
        for numbers in (0..EVENTS).step_by(10) {
            house.write("in.n.test", 0, numbers..numbers + 10).await;
        }
        house.holds("out.n.test", EVENTS.into()).await;
        house.end().await;
        assert_at_least_once(&house, "far-out.n.test").await;
        let once = house.read("out.n.test", 0, "id").await;
        assert_same(&once, &ids("in.n.test", 0, 0..EVENTS), "out");
        house.assert_at_end(&p).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_that_was_asked_for_loses_nothing_and_repeats_what_was_under_way() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.faulty.script(Op::Commit, faults(Fault::Unavailable));
    let new = NewProcessor {
        options: options(&[("delivery", "at-least-once")]),
        ..new_processor("bridge", &["in.n.test"], &["out.n.test"], "{}")
    };
    let p = house.process_as(new).await;
    let delivery = house.processors.delivery(&house.processor(&p).await).await;
    assert!(matches!(delivery, Some(Delivery::AtLeastOnce { asked: true, .. })), "{delivery:?}");
    for numbers in (0..EVENTS).step_by(10) {
        house.write("in.n.test", 0, numbers..numbers + 10).await;
    }
    house.happened(|record| record.count(Op::Commit, Fault::Unavailable) >= 3).await;
    house
        .until(&p, |report| {
            report.shards.iter().map(|shard| shard.events_in).sum::<u64>() == u64::from(EVENTS)
        })
        .await;
    house.end().await;
    assert_at_least_once(&house, "out.n.test").await;
    assert!(house.read("out.n.test", 0, "id").await.len() > EVENTS as usize, "nothing came again");
    house.assert_at_end(&p).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_once_over_two_brokers_is_refused_with_the_reason() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1), ("far-out.n.test", 1)]).await;
    let outputs = ["out.n.test", "far-out.n.test"];
    let new = new_processor("distributor", &["in.n.test"], &outputs, BOTH);
    let p = house.process_as(new).await;
    let mut wanted = house.processor(&p).await;
    wanted.options = options(&[("delivery", "exactly-once")]);
    let refused = house.processors.check(&wanted).await.unwrap_err().to_string();
    assert!(refused.contains("more than one broker (main, other)"), "{refused}");
}
