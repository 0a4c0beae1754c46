//! Each way in which a commit, a read or an opening fails, by itself.

use std::time::Duration;

use host_brokers::faulty::{Fault, Op};
use host_processors::Phase;
use host_registry::{Name, Start};

use crate::house::{House, assert_same, ids};

const EVENTS: u32 = 200;

/// A bridge with one partition that is told to fail some of the time, and what came out of it.
async fn bridge_under(op: Op, faults: &[Option<Fault>]) -> (House, Name) {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..EVENTS / 2).await;
    house.faulty.script(op, faults.iter().copied());
    let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
    for numbers in (EVENTS / 2..EVENTS).step_by(10) {
        house.write("in.n.test", 0, numbers..numbers + 10).await;
    }
    house.holds("out.n.test", EVENTS.into()).await;
    (house, bridge)
}

async fn assert_all_once(house: &House, bridge: &Name) {
    house.end().await;
    let seen = house.read("out.n.test", 0, "id").await;
    assert_same(&seen, &ids("in.n.test", 0, 0..EVENTS), "out");
    house.assert_at_end(bridge).await;
}

/// The first commit fixes the position; then each second one fails, several times.
async fn survives(op: Op, fault: Fault) {
    let faults = [None, Some(fault), None, Some(fault), Some(fault), None, None, Some(fault)];
    let (house, bridge) = bridge_under(op, &faults).await;
    house.happened(|record| record.count(op, fault) == 4).await;
    assert_all_once(&house, &bridge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_are_aborted_are_made_again() {
    survives(Op::Commit, Fault::Unavailable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_was_taken_away_is_taken_back_and_goes_on() {
    survives(Op::Commit, Fault::Fenced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_were_made_though_nobody_knew_are_not_made_again() {
    survives(Op::Commit, Fault::LostMade).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_were_not_made_and_nobody_knew_are_made() {
    survives(Op::Commit, Fault::LostNotMade).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_waits_begins_again_when_its_broker_is_there_again() {
    let hour = Duration::from_secs(3600);
    let house = House::retrying(hour, hour).await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.write("in.n.test", 0, 0..10).await;
    house.faulty.script(Op::Open, [Some(Fault::Unavailable)]);
    let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
    house.until(&bridge, |report| matches!(report.phase(), Phase::Failed(_))).await;
    let returns = async {
        loop {
            // Said before the shard waits for it, nobody hears it.
            house.faulty.returns();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = house.holds("out.n.test", 10) => {}
        () = returns => {}
    }
    house.assert_at_end(&bridge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_task_ends_is_made_again() {
    let (house, bridge) = bridge_under(Op::Commit, &[None, Some(Fault::Ends)]).await;
    assert_all_once(&house, &bridge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_were_sent_in_vain_are_sent_again() {
    for fault in [Fault::Unavailable, Fault::Full, Fault::LostMade, Fault::Ends] {
        let (house, bridge) = bridge_under(Op::Send, &[Some(fault), None, Some(fault)]).await;
        assert_all_once(&house, &bridge).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_fail_are_made_again_from_the_committed_position() {
    for fault in [Fault::Unavailable, Fault::Torn, Fault::Ends] {
        survives(Op::Next, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_cannot_be_opened_or_looked_at_is_tried_again() {
    for op in [Op::Open, Op::Source, Op::Describe] {
        let faults = [Fault::Unavailable, Fault::LostMade, Fault::LostNotMade, Fault::Ends];
        let faults = faults.map(Some);
        let (house, bridge) = bridge_under(op, &faults).await;
        assert_all_once(&house, &bridge).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_broker_a_processor_says_so_waits_and_goes_on() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
    house.until(&bridge, |report| report.phase() == Phase::Running).await;
    house.faulty.at_random(0, &[(Op::Commit, Fault::Full, 1000)]);
    house.write("in.n.test", 0, 0..EVENTS).await;
    house.happened(|record| record.count(Op::Commit, Fault::Full) >= 5).await;
    house
        .until(&bridge, |report| {
            matches!(report.phase(), Phase::Failed(words) if words.contains("broker is full"))
        })
        .await;
    assert!(house.read("out.n.test", 0, "id").await.is_empty());
    house.faulty.calm();
    house.holds("out.n.test", EVENTS.into()).await;
    assert_all_once(&house, &bridge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_commit_is_slow_nothing_is_seen_and_then_everything() {
    for fault in [Fault::Slow, Fault::SlowAnswer] {
        let house = House::new().await;
        house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
        let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
        house.until(&bridge, |report| report.phase() == Phase::Running).await;
        house.faulty.script(Op::Commit, [Some(fault)]);
        house.write("in.n.test", 0, 0..EVENTS).await;
        house.happened(|record| record.held == 1).await;
        // What is decided meanwhile waits for the next commit, as far as there is room.
        house.happened(|record| record.asked[&Op::Next] > 8).await;
        let seen = house.read("out.n.test", 0, "id").await.len();
        assert_eq!(seen == 0, fault == Fault::Slow, "{seen}");
        assert!(seen <= 8, "one commit at a time: {seen}");
        house.faulty.release();
        house.holds("out.n.test", EVENTS.into()).await;
        assert_all_once(&house, &bridge).await;
    }
}

/// The worst case: a commit is on its way, the shard begins again without knowing what becomes of it,
/// and it arrives late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_commit_that_was_overtaken_is_fenced_or_seen() {
    for fault in [Fault::Slow, Fault::SlowAnswer] {
        let house = House::new().await;
        house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
        let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
        house.until(&bridge, |report| report.phase() == Phase::Running).await;
        house.faulty.script(Op::Commit, [Some(fault)]);
        house.write("in.n.test", 0, 0..8).await;
        house.happened(|record| record.held == 1).await;
        // A read fails: the shard begins again while its commit is on the way.
        let opened = house.faulty.record().asked[&Op::Open];
        house.faulty.script(Op::Next, [Some(Fault::Unavailable)]);
        house.write("in.n.test", 0, 8..EVENTS).await;
        house.happened(|record| record.asked[&Op::Open] > opened).await;
        house.holds("out.n.test", EVENTS.into()).await;
        house.faulty.release();
        assert_all_once(&house, &bridge).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_is_paused_while_its_commit_is_slow_keeps_everything() {
    use host_registry::Desired;
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    let bridge = house.process("bridge", &["in.n.test"], "out.n.test", "{}").await;
    house.until(&bridge, |report| report.phase() == Phase::Running).await;
    for (fault, numbers) in [(Fault::Slow, 0..100), (Fault::SlowAnswer, 100..EVENTS)] {
        house.faulty.script(Op::Commit, [Some(fault)]);
        house.write("in.n.test", 0, numbers).await;
        house.happened(|record| record.held == 1).await;
        house.registry.set_desired(&bridge, Desired::Paused).await.unwrap();
        house.faulty.release();
        house.until(&bridge, |report| report.phase() == Phase::Paused).await;
        house.registry.set_desired(&bridge, Desired::Running).await.unwrap();
    }
    house.holds("out.n.test", EVENTS.into()).await;
    assert_all_once(&house, &bridge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_from_latest_misses_nothing_that_is_written_after_its_creation() {
    let faults = [
        (Op::Commit, Fault::Unavailable),
        (Op::Commit, Fault::LostMade),
        (Op::Commit, Fault::LostNotMade),
        (Op::Commit, Fault::Fenced),
        (Op::Open, Fault::LostMade),
        (Op::Describe, Fault::Unavailable),
    ];
    for (op, fault) in faults {
        let house = House::new().await;
        house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
        house.write("in.n.test", 0, 0..10).await;
        house.faulty.script(op, [Some(fault), Some(fault)]);
        let (inputs, output) = (["in.n.test"], "out.n.test");
        let bridge = house.process_from(Start::Latest, "bridge", &inputs, output, "{}").await;
        house.write("in.n.test", 0, 10..EVENTS).await;
        house.write("in.n.test", 0, EVENTS..EVENTS + 1).await;
        house.holds("out.n.test", u64::from(EVENTS - 9)).await;
        house.end().await;
        let seen = house.read("out.n.test", 0, "id").await;
        assert_same(&seen, &ids("in.n.test", 0, 10..EVENTS + 1), &format!("{op:?} {fault:?}"));
        house.assert_at_end(&bridge).await;
    }
}
