//! What processors that behave notice of ones that loop for ever: the p99 of short calls.

use std::time::{Duration, Instant};

use host_plugins::Limits;

use crate::batches::{Bench, batch, process};
use crate::table::{Reach, Table};

/// Guests that loop for ever.
const LOOPS: usize = 4;
/// Tasks that call a guest for a short while every [`EVERY`].
const TASKS: usize = 4;
/// How often they call.
const EVERY: Duration = Duration::from_millis(2);
/// Calls of a task in one round.
const CALLS: usize = 1_000;
/// How long a call should take.
const SHORT: Duration = Duration::from_micros(60);
/// Rounds with loops and without, by turns; the best of each counts.
const ROUNDS: usize = 4;

pub fn measure(table: &mut Table) {
    let (mut alone, mut beside) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        alone = alone.min(p99(0));
        beside = beside.min(p99(LOOPS));
    }
    let micros = |took: Duration| took.as_secs_f64() * 1e6;
    let ratio = micros(beside) / micros(alone);
    let what = format!("p99 beside {LOOPS} loops (alone {:.0} us)", micros(alone));
    table.ratio(&what, micros(beside), "us", ratio, Reach::AtMost(1.5));
}

/// The p99 of the calls beside so many loops, in a runtime that ends with them.
fn p99(loops: usize) -> Duration {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let mut times = runtime.block_on(async {
        let bench = Bench::new().await;
        let events = events(&bench).await;
        let mut looping = Vec::new();
        for _ in 0..loops {
            let limits = Limits { call_ms: 600_000, ..Limits::default() };
            let mut one = bench.acting("loop", limits).await;
            looping.push(tokio::spawn(async move { process(&mut one, batch(1, 0)).await }));
        }
        let mut working = Vec::new();
        for _ in 0..TASKS {
            let instance = bench.acting("attribute-each", Limits::default()).await;
            working.push(tokio::spawn(calls(instance, events)));
        }
        let mut times = Vec::new();
        for one in working {
            times.extend(one.await.unwrap());
        }
        looping.iter().for_each(tokio::task::JoinHandle::abort);
        times
    });
    times.sort_unstable();
    times[(times.len() - 1) * 99 / 100]
}

/// How many events make a call as short as it should be.
async fn events(bench: &Bench) -> usize {
    let mut instance = bench.acting("attribute-each", Limits::default()).await;
    let sample = batch(200, 16);
    let mut best = Duration::MAX;
    for _ in 0..100 {
        let start = Instant::now();
        process(&mut instance, sample.clone()).await;
        best = best.min(start.elapsed());
    }
    (200.0 * SHORT.as_secs_f64() / best.as_secs_f64()) as usize
}

async fn calls(mut instance: host_plugins::Instance, events: usize) -> Vec<Duration> {
    let batch = batch(events, 16);
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(EVERY);
    for _ in 0..CALLS {
        tick.tick().await;
        let start = Instant::now();
        process(&mut instance, batch.clone()).await;
        times.push(start.elapsed());
    }
    times
}
