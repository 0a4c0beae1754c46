//! Everything at once, by chance: faults everywhere, shards taken away and given back, a plugin swapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use host_brokers::faulty::{Fault, Op, Rate};
use host_builtin::{all, bridge_next};

use crate::house::{House, assert_same, id, ids};

const PARTITIONS: u32 = 4;
const EVENTS: u32 = 300;
const PIECE: u32 = 15;

const RATES: &[Rate] = &[
    (Op::Commit, Fault::Unavailable, 30),
    (Op::Commit, Fault::Full, 20),
    (Op::Commit, Fault::Fenced, 30),
    (Op::Commit, Fault::LostMade, 50),
    (Op::Commit, Fault::LostNotMade, 30),
    (Op::Commit, Fault::Slow, 30),
    (Op::Commit, Fault::SlowAnswer, 30),
    (Op::Commit, Fault::Ends, 10),
    (Op::Send, Fault::Unavailable, 10),
    (Op::Send, Fault::LostMade, 10),
    (Op::Send, Fault::Slow, 10),
    (Op::Next, Fault::Unavailable, 10),
    (Op::Next, Fault::Torn, 20),
    (Op::Next, Fault::Ends, 10),
    (Op::Next, Fault::Slow, 10),
    (Op::Source, Fault::Unavailable, 30),
    (Op::Open, Fault::Unavailable, 30),
    (Op::Open, Fault::LostMade, 30),
    (Op::Open, Fault::Slow, 20),
    (Op::Open, Fault::Ends, 10),
    (Op::Describe, Fault::Unavailable, 20),
];

/// Counts ten events, and names the tenth.
const TENTH: &str = r#"{"rules":[{"name":"tenth","when":"true",
    "count":{"at-least":10,"within":10},"emit":{"type":"tenth"}}]}"#;

/// A bridge into `mid`; from there a collector, with a flow of one partition beside it, and a signal.
async fn under_fire(seed: u64) {
    eprintln!("seed: {seed}");
    let house = Arc::new(House::new().await);
    let flows = [("in.n.test", 4), ("mid.n.test", 4), ("side.n.test", 1), ("all.n.test", 4)];
    house.flows(&flows).await;
    house.flows(&[("tens.n.test", PARTITIONS)]).await;
    house.faulty.at_random(seed, RATES);
    let ended = Arc::new(AtomicBool::new(false));
    let releasing = tokio::spawn(release(Arc::clone(&house), Arc::clone(&ended)));
    let bridge = house.process("bridge", &["in.n.test"], "mid.n.test", "{}").await;
    let both = ["mid.n.test", "side.n.test"];
    let collector = house.process("collector", &both, "all.n.test", "{}").await;
    let signal = house.process("signal", &["mid.n.test"], "tens.n.test", TENTH).await;
    let processors = [bridge, collector, signal];
    for from in (0..EVENTS).step_by(PIECE as usize) {
        for partition in 0..PARTITIONS {
            house.write("in.n.test", partition, from..from + PIECE).await;
        }
        house.write("side.n.test", 0, from..from + PIECE).await;
        let thief = seed.rotate_left(from) % 12;
        house.steal(&processors[(thief % 3) as usize], (thief / 3) as u32).await;
        if from % (PIECE * 5) == 0 {
            let bridge = if from % 2 == 0 { bridge_next() } else { all()[0] };
            house.catalog.offer("bridge.wasm", Bytes::from_static(bridge.component)).await;
        }
    }
    house.holds("all.n.test", u64::from(EVENTS * (PARTITIONS + 1))).await;
    house.holds("tens.n.test", u64::from(EVENTS / 10 * PARTITIONS)).await;
    ended.store(true, Ordering::Release);
    house.end().await;
    releasing.await.unwrap();
    for partition in 0..PARTITIONS {
        check(&house, partition).await;
    }
    for processor in &processors {
        house.assert_at_end(processor).await;
    }
    let faults = house.faulty.record().faults;
    assert!(faults.len() > 50, "hardly anything went wrong: {}", faults.len());
}

async fn check(house: &House, partition: u32) {
    let all = ids("in.n.test", partition, 0..EVENTS);
    assert_same(&house.read("mid.n.test", partition, "id").await, &all, "mid");
    let gathered = house.read("all.n.test", partition, "id").await;
    let (mid, side): (Vec<_>, Vec<_>) =
        gathered.into_iter().partition(|id| id.starts_with("in.n.test"));
    assert_same(&mid, &all, "all, from mid");
    let beside = if partition == 0 { ids("side.n.test", 0, 0..EVENTS) } else { Vec::new() };
    assert_same(&side, &beside, "all, from side");
    let tenth = |number| id("in.n.test", partition, number * 10 + 9);
    let tens: Vec<_> = (0..EVENTS / 10).map(tenth).collect();
    assert_same(&house.read("tens.n.test", partition, "causeid").await, &tens, "tens");
}

/// Lets go on what is held, after others have had a turn.
async fn release(house: Arc<House>, ended: Arc<AtomicBool>) {
    while !ended.load(Ordering::Acquire) {
        let asked = house.faulty.record().asked.values().sum::<u64>();
        let moved = house.faulty.until(|record| record.asked.values().sum::<u64>() > asked + 30);
        // Where all are held, nobody moves.
        drop(tokio::time::timeout(Duration::from_millis(5), moved).await);
        house.faulty.release();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_equal_inputs_with_fixed_seeds() {
    for seed in [0x5eed, 0xdead_beef_0042_1177] {
        under_fire(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_equal_inputs_with_a_seed_of_chance() {
    let given = std::env::var("ENGINE_SEED").ok().and_then(|seed| seed.parse().ok());
    under_fire(given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)).await;
}
