//! What a call costs. Prints, asserts no times: `cargo test --release -p host-plugins cost -- --ignored --nocapture`

use super::*;
use std::time::Instant;

const ROUNDS: u32 = 2_000;
const EVENTS: usize = 512;

#[tokio::test]
#[ignore = "measures"]
async fn cost_of_an_event() {
    for act in ["", "column", "attribute-each", "data-all", "forward-each", "rewrite-each"] {
        let mut instance = acting(act).await;
        let batch = batch(EVENTS, 1024);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            process(&mut instance, batch.clone()).await.unwrap();
        }
        let each = start.elapsed() / ROUNDS;
        let event = each.as_nanos() / EVENTS as u128;
        println!(
            "{:>16}: {event} ns an event, {each:?} a batch",
            if act.is_empty() { "forward-all" } else { act }
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn cost_of_looping_neighbours() {
    for loops in [0, 4, 16] {
        let limits = Limits { call_ms: 600_000, ..Limits::default() };
        let mut looping = Vec::new();
        for _ in 0..loops {
            let mut one = limited("loop", 0, limits.clone()).await;
            looping.push(tokio::spawn(async move { process(&mut one, batch(1, 0)).await }));
        }
        let working = (0..4).map(|_| tokio::spawn(short_calls()));
        let mut times = Vec::new();
        for one in working.collect::<Vec<_>>() {
            times.extend(one.await.unwrap());
        }
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("beside {loops:>2} loops: p50 {:?} p99 {:?} max {:?}", at(0.5), at(0.99), at(1.0));
        looping.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn short_calls() -> Vec<std::time::Duration> {
    let mut working = acting("attribute-each").await;
    let batch = batch(200, 16);
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(2));
    for _ in 0..1_000 {
        tick.tick().await;
        let start = Instant::now();
        process(&mut working, batch.clone()).await.unwrap();
        times.push(start.elapsed());
    }
    times
}

#[tokio::test]
#[ignore = "measures"]
async fn cost_of_a_call_an_instance_and_a_load() {
    let mut instance = acting("").await;
    let one = batch(1, 0);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        process(&mut instance, one.clone()).await.unwrap();
    }
    println!("call with one event: {:?}", start.elapsed() / ROUNDS);
    let start = Instant::now();
    for _ in 0..100 {
        acting("").await;
    }
    println!("instance with init: {:?}", start.elapsed() / 100);
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions::new(dir.path().join("cache"));
    for name in ["cold", "cached"] {
        let engine = Engine::new(&options).unwrap();
        let start = Instant::now();
        engine.load(GUEST.clone()).await.unwrap();
        println!("load of {} KB, {name}: {:?}", GUEST.len() / 1024, start.elapsed());
    }
}

#[test]
#[ignore = "measures"]
fn cost_of_looking_at_an_event_on_the_host() {
    use crate::event::{Checked, Seen};
    let batch = batch(EVENTS, 1024);
    let records: Vec<_> = batch.records.iter().map(|stored| &stored.record).collect();
    let all = (ROUNDS as usize * EVENTS) as u128;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        records.iter().for_each(|record| drop(std::hint::black_box(Checked::of(record))));
    }
    println!("is it an event: {} ns", start.elapsed().as_nanos() / all);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for record in &records {
            let seen = Seen::new(record, &Checked::Binary);
            std::hint::black_box(seen.attribute("type"));
        }
    }
    println!("one attribute: {} ns", start.elapsed().as_nanos() / all);
}
