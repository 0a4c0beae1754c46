//! Dead letters, replays and recorded gaps on a broker that fails: everything once, in its order.

use std::collections::BTreeMap;

use host_brokers::TopicSpec;
use host_brokers::faulty::{Fault, Op};
use host_processors::Phase;
use host_registry::{Config, Desired, Letters, Name, NewProcessor, ProcessorChange};

use crate::house::{House, assert_same, id, ids, name, new_processor};

const EVENTS: u32 = 100;
const DEAD: &str = "p.dead.n.test";

/// A filter that fills the plugin's memory at some events.
fn fails_at(which: &str) -> String {
    let bomb = "['xxxxxxxxxxxxxxxx']".to_owned() + &".map(x, x + x + x + x)".repeat(12);
    format!(r#"{{"filter":"!({which}) || {bomb}.size() > 0"}}"#)
}

async fn bridge(house: &House, config: String, options: &[(&str, &str)]) -> Name {
    let new = NewProcessor {
        name: name("p.n.test"),
        options: [("limit.memory", "16777216")]
            .iter()
            .chain(options)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<Config>(),
        ..new_processor("bridge", &["in.n.test"], &["out.n.test"], &config)
    };
    house.carried_out(house.registry.create_processor(new).await).await;
    name("p.n.test")
}

async fn mend(house: &House, bridge: &Name) {
    let change = ProcessorChange { config: Some("{}".into()), ..Default::default() };
    house.carried_out(house.registry.update_processor(bridge, change).await).await;
}

async fn replay(house: &House, bridge: &Name, ranges: &[(u32, u64, u64)]) {
    let mut letters = Letters::default();
    ranges.iter().for_each(|(partition, from, to)| letters.add(*partition, *from, *to));
    let flow = house.topic(DEAD).await.incarnation;
    let asked = house.registry.replay(bridge, flow, letters, Letters::default()).await;
    house.carried_out(asked).await;
}

/// Waits until the flow of the letters is there, and holds so many.
async fn letters(house: &House, count: u64) {
    let made = async {
        while house
            .registry
            .flow(&name(DEAD))
            .await
            .unwrap()
            .is_none_or(|flow| flow.status != host_registry::FlowStatus::Active)
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::house::PATIENCE, made).await.expect("a dead-letter flow");
    house.holds(DEAD, count).await;
}

/// Every commit fails in this way once in a while, while letters are written and while they are replayed.
async fn survives(fault: Fault) {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..EVENTS).await;
    let faults = || [None, Some(fault), None, None, Some(fault), None, Some(fault)].repeat(6);
    house.faulty.script(Op::Commit, faults());
    let p = bridge(&house, fails_at("data.n % 5 == 3"), &[("dead-letters", "all")]).await;
    letters(&house, 20).await;
    house.holds("out.n.test", 80).await;
    let bad = |n: &u32| n % 5 == 3;
    let of = |numbers: Vec<u32>| -> Vec<String> {
        numbers.into_iter().map(|n| id("in.n.test", 0, n)).collect()
    };
    let (failing, sound): (Vec<u32>, Vec<u32>) = (0..EVENTS).partition(bad);
    assert_same(&house.read("out.n.test", 0, "id").await, &of(sound.clone()), "out");
    assert_same(&house.read(DEAD, 0, "id").await, &of(failing.clone()), "letters");
    mend(&house, &p).await;
    house.faulty.script(Op::Commit, faults());
    replay(&house, &p, &[(0, 0, 20)]).await;
    house.holds("out.n.test", 100).await;
    house.end().await;
    assert_same(&house.read("out.n.test", 0, "id").await, &of([sound, failing].concat()), "all");
    assert_eq!(house.read(DEAD, 0, "id").await.len(), 20);
    house.assert_at_end(&p).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_and_replays_whose_commits_are_aborted_happen_once() {
    survives(Fault::Unavailable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_and_replays_whose_shard_is_taken_away_happen_once() {
    survives(Fault::Fenced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_and_replays_that_were_committed_though_nobody_knew_happen_once() {
    survives(Fault::LostMade).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_and_replays_that_were_not_committed_and_nobody_knew_happen_once() {
    survives(Fault::LostNotMade).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_event_on_a_full_broker_says_nothing_of_the_plugin() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..8).await;
    let full = std::iter::repeat_n(Some(Fault::Full), 40);
    house.faulty.script(Op::Commit, std::iter::once(None).chain(full));
    bridge(&house, fails_at("data.n == 0"), &[]).await;
    letters(&house, 1).await;
    house.holds("out.n.test", 7).await;
    house.end().await;
    assert_same(&house.read("out.n.test", 0, "id").await, &ids("in.n.test", 0, 1..8), "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_may_be_replayed_after_a_later_one() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..10).await;
    let p = bridge(&house, fails_at("data.n < 3"), &[]).await;
    letters(&house, 3).await;
    mend(&house, &p).await;
    for (asked, held) in [(2, 8), (0, 9), (1, 10)] {
        replay(&house, &p, &[(0, asked, asked + 1)]).await;
        house.holds("out.n.test", held).await;
        let over = async || house.processor(&p).await.dead.replay.is_none();
        while !over().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    house.end().await;
    let seen = house.read("out.n.test", 0, "id").await;
    let expected = [ids("in.n.test", 0, 3..10), [2, 0, 1].map(|n| id("in.n.test", 0, n)).into()];
    assert_same(&seen, &expected.concat(), "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_never_ends_can_be_called_off() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..4).await;
    let p = bridge(&house, fails_at("data.n < 2"), &[]).await;
    letters(&house, 2).await;
    // From now on nothing can be committed.
    house.faulty.script(Op::Commit, std::iter::repeat_n(Some(Fault::Unavailable), 100_000));
    replay(&house, &p, &[(0, 0, 2)]).await;
    house.until(&p, |report| matches!(report.phase(), Phase::Failed(_))).await;
    let (flow, mut both) = (house.topic(DEAD).await.incarnation, Letters::default());
    both.add(0, 0, 2);
    let called_off = house.registry.discard(&p, flow, both.clone(), Letters::default()).await;
    house.carried_out(called_off).await;
    let dead = house.processor(&p).await.dead;
    assert_eq!((dead.replay, dead.handled), (None, both));
    house.faulty.calm();
    house.write("in.n.test", 0, 4..8).await;
    house.holds("out.n.test", 6).await;
    house.end().await;
    assert_same(&house.read("out.n.test", 0, "id").await, &ids("in.n.test", 0, 2..8), "out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_letters_of_many_shards_need_the_flow_at_once() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 4), ("out.n.test", 4)]).await;
    for partition in 0..4 {
        house.write("in.n.test", partition, 0..5).await;
    }
    let p = bridge(&house, fails_at("data.n == 2"), &[]).await;
    letters(&house, 4).await;
    house.holds("out.n.test", 16).await;
    let report = house.report(&p).await;
    assert!(report.shards.iter().all(|shard| shard.failures == 0), "{report:#?}");
    for partition in 0..4 {
        let expected = [id("in.n.test", partition, 2)];
        assert_same(&house.read(DEAD, partition, "id").await, &expected, "letters");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_is_gone_on_with_at_its_end_where_gaps_are_recorded() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..20).await;
    let p = bridge(&house, "{}".into(), &[("on-gap", "record")]).await;
    house.holds("out.n.test", 20).await;
    let turn = async |desired| {
        house.carried_out(house.registry.set_desired(&p, desired).await).await;
    };
    turn(Desired::Paused).await;
    let topic = house.topic("in.n.test").await;
    house.faulty.sound().delete(&topic).await.unwrap();
    let spec = TopicSpec { topic, partitions: 1, replication: None, config: BTreeMap::new() };
    house.faulty.sound().create(&spec).await.unwrap();
    house.write("in.n.test", 0, 20..25).await;
    // Its commit fails twice, and the gap is recorded once.
    house.faulty.script(Op::Commit, [Some(Fault::Unavailable), Some(Fault::LostMade)]);
    turn(Desired::Running).await;
    letters(&house, 1).await;
    house.until(&p, |report| report.phase() == Phase::Running).await;
    house.write("in.n.test", 0, 25..30).await;
    house.holds("out.n.test", 25).await;
    house.end().await;
    let expected = [ids("in.n.test", 0, 0..20), ids("in.n.test", 0, 25..30)].concat();
    assert_same(&house.read("out.n.test", 0, "id").await, &expected, "out");
    assert_eq!(house.read(DEAD, 0, "deadkind").await, ["gap"]);
}
