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
        println!("{:>16}: {event} ns an event, {each:?} a batch", if act.is_empty() { "forward-all" } else { act });
    }
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
