//! What an event costs a plugin in each language, beside the same work in Rust. The plugins are in `benches/languages`.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_events::Batch;
use host_plugins::Limits;

use crate::batches::{Bench, batch, process};
use crate::table::{Reach, Table};

/// Events of a batch, as the host's default.
const EVENTS: usize = 512;
/// Octets of an event's data.
const DATA: usize = 1024;
/// Batches of one round.
const BATCHES: u32 = 20;
/// Rounds of which the best counts.
const ROUNDS: u32 = 5;

/// The folder, what people call it, and what an event may cost: an interpreter's bill.
const LANGUAGES: [(&str, &str, Reach); 4] = [
    ("c", "C", Reach::None),
    ("go", "Go", Reach::None),
    ("js", "JavaScript", Reach::AtMost(12.0)),
    ("python", "Python", Reach::AtMost(12.0)),
];

const ACTS: [(&str, &str); 4] = [
    ("column", "one column read, forward all"),
    ("forward-each", "forwarded one by one"),
    ("rewrite-each", "an attribute set, 3 octets of data"),
    ("rewrite-data", "all data read and rewritten, 1 KiB"),
];

pub fn measure(table: &mut Table) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("languages");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let rust = Bench::new().await;
        let mut yardsticks = Vec::new();
        for (act, what) in ACTS {
            let each = each(&rust, act, batch(EVENTS, DATA)).await;
            table.figure(&format!("Rust: {what}"), each, "µs an event", None, Reach::None);
            yardsticks.push(each);
        }
        for (language, name, reach) in LANGUAGES {
            let component = stories::project(&folder.join(language), "measured");
            let bench = Bench::of(Bytes::from(component)).await;
            for ((act, what), yardstick) in ACTS.into_iter().zip(&yardsticks) {
                let each = each(&bench, act, batch(EVENTS, DATA)).await;
                let what = format!("{name}: {what}");
                table.figure(&what, each, "µs an event", Some(each / yardstick), reach);
            }
        }
    });
}

/// Microseconds.
async fn each(bench: &Bench, act: &str, batch: Batch) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        // A new one for each round: what an interpreter does not give back is not measured.
        let mut instance = bench.acting(act, Limits::default()).await;
        black_box(process(&mut instance, batch.clone()).await);
        let start = Instant::now();
        for _ in 0..BATCHES {
            black_box(process(&mut instance, batch.clone()).await);
        }
        best = best.min(start.elapsed());
    }
    best.as_secs_f64() * 1e6 / f64::from(BATCHES) / EVENTS as f64
}
