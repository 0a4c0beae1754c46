//! What the boundary to a guest costs, against the same work in native Rust on the same records.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_events::{Batch, CloudEvent, Record, attribute_of};
use host_plugins::Limits;

use crate::batches::{Bench, batch, process};
use crate::table::{Reach, Table};

/// Events of a batch, as the host's default.
const EVENTS: usize = 512;
/// Octets of an event's data.
const DATA: usize = 1024;
/// Batches of one round.
const BATCHES: u32 = 400;
/// Rounds of which the best counts, the guest and the native function by turns.
const ROUNDS: u32 = 7;

/// What a native function makes of a batch; the count keeps the compiler from leaving work out.
type Native = fn(&Batch) -> usize;

pub fn measure(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bench = Bench::new().await;
        row(table, &bench, "nothing read, forward all", "", forward, Limit::Nanoseconds(20.0))
            .await;
        row(table, &bench, "one column read", "column", column, Limit::None).await;
        row(
            table,
            &bench,
            "one attribute read, event by event",
            "attribute-each",
            column,
            Limit::None,
        )
        .await;
        row(table, &bench, "all data read", "data-all", data, Limit::None).await;
        row(table, &bench, "all rewritten: 1 KiB each", "rewrite-data", rewrite, Limit::Times(4.0))
            .await;
    });
}

enum Limit {
    None,
    Nanoseconds(f64),
    Times(f64),
}

async fn row(
    table: &mut Table,
    bench: &Bench,
    what: &str,
    act: &str,
    native: Native,
    limit: Limit,
) {
    let mut instance = bench.acting(act, Limits::default()).await;
    let batch = batch(EVENTS, DATA);
    let (mut guest_best, mut native_best) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..BATCHES {
            black_box(process(&mut instance, batch.clone()).await);
        }
        guest_best = guest_best.min(start.elapsed());
        let start = Instant::now();
        for _ in 0..BATCHES {
            black_box(native(black_box(&batch)));
        }
        native_best = native_best.min(start.elapsed());
    }
    let each = |took: Duration| took.as_nanos() as f64 / f64::from(BATCHES) / EVENTS as f64;
    let (guest, native) = (each(guest_best), each(native_best));
    let what = format!("{what} (native {native:.0} ns)");
    match limit {
        Limit::None => table.figure(&what, guest, "ns an event", Some(guest / native), Reach::None),
        Limit::Nanoseconds(most) => {
            table.figure(&what, guest, "ns an event", Some(guest / native), Reach::AtMost(most));
        }
        Limit::Times(most) => {
            table.ratio(&what, guest, "ns an event", guest / native, Reach::AtMost(most));
        }
    }
}

fn records(batch: &Batch) -> impl Iterator<Item = &Record> {
    batch.records.iter().map(|stored| &stored.record)
}

/// What a bridge would hand on: the records, sharing their bytes.
fn forward(batch: &Batch) -> usize {
    black_box(records(batch).cloned().collect::<Vec<_>>()).len()
}

fn column(batch: &Batch) -> usize {
    black_box(records(batch).map(|record| attribute_of(record, "type")).collect::<Vec<_>>()).len()
}

fn data(batch: &Batch) -> usize {
    let copied = |record: &Record| record.value.as_ref().map(|value| value.to_vec());
    black_box(records(batch).map(copied).collect::<Vec<_>>()).len()
}

/// The event out of the record, other data into it, the record out of it: with every check that an
/// event gets inside the host.
fn rewrite(batch: &Batch) -> usize {
    let rewritten = |record: &Record| {
        let mut event = CloudEvent::from_record(record).unwrap().unwrap();
        let mut data = event.data().unwrap().to_vec();
        stamp(&mut data);
        event.set_data(Some(Bytes::from(data)));
        Record { key: record.key.clone(), ..event.to_record(record.timestamp) }
    };
    black_box(records(batch).map(rewritten).collect::<Vec<_>>()).len()
}

/// The change that the guest's `rewrite-data` makes.
fn stamp(data: &mut [u8]) {
    data.iter_mut().take(8).for_each(|byte| *byte = byte.to_ascii_uppercase());
}
