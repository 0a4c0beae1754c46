//! Records counted by key, exactly once, from one topic to another of one node: the host with
//! `examples/keyed-count`, beside Kafka Streams with the same count (`benches/streams`), its state in RocksDB, as it
//! is by default, and in memory.
//!
//! What counts is records for a second of the processor time that the process takes, from when it has counted
//! [`WARM`] records, so that neither the JVM's start nor its compiling counts; the same with the start is told, too.
//! Counts are checked: each key's rise, and end at what was written. `JVM="-XX:+UseParallelGC"` are options of the
//! JVM, to try settings; `CONTENDERS=keyed-count` leaves the others out, `ROUNDS=1`
//! has each count once.

mod application;
mod load;
mod run;
mod tally;

use stories::{drop_in, eventually, keyed_count, number};

use super::bridge::{SOURCE, TARGET, with_flows};
use super::contender::{Contender, Running, Task};
use crate::table::{Reach, Table};
use run::Figures;

/// How many keys there are: such as services or devices, and such as customers.
const KEYS: [u64; 2] = [1_000, 100_000];
/// Records that are counted before it counts.
const WARM: u64 = 1_000_000;
/// Records in all.
const ALL: u64 = 3_000_000;
/// Records of a batch that does not grow: what every batch begins with.
const FEW_AT_ONCE: u32 = 512;
/// Rounds of which the median counts.
const ROUNDS: usize = 3;
/// What the contenders are called.
const HOST: &str = "keyed-count";
const FEW: &str = "keyed-count, batches of 512";
const STREAMS: &str = "Kafka Streams";
const IN_MEMORY: &str = "Kafka Streams in memory";

pub fn measure(table: &mut Table) {
    let mut contenders = vec![
        Contender { name: HOST, start: in_batches, rounds: ROUNDS },
        Contender { name: FEW, start: in_batches_of_few, rounds: ROUNDS },
        Contender { name: STREAMS, start: application::in_rocksdb, rounds: ROUNDS },
        Contender { name: IN_MEMORY, start: application::in_memory, rounds: ROUNDS },
    ];
    if let Ok(names) = std::env::var("CONTENDERS") {
        contenders.retain(|contender| names.split(',').any(|name| name == contender.name));
    }
    let rounds = number("ROUNDS", ROUNDS);
    contenders.iter_mut().for_each(|contender| contender.rounds = rounds);
    for keys in KEYS {
        let node = super::node();
        let source = load::preload(&node.servers(), keys);
        let figures = run::by_turns(&node, &contenders, &source, keys);
        rows(table, keys, &figures);
    }
}

/// The host counts, as it comes: one output for a key and batch, and batches grow.
fn in_batches(task: &Task<'_>) -> Box<dyn Running> {
    start(task, "")
}

/// The same where batches do not grow, so that it puts less of a key together.
fn in_batches_of_few(task: &Task<'_>) -> Box<dyn Running> {
    start(task, &format!("limit.batch_events={FEW_AT_ONCE}"))
}

fn start(task: &Task<'_>, limit: &str) -> Box<dyn Running> {
    let (host, mut wire) = with_flows(task, "");
    drop_in(&host.plugins(), "keyed-count.wasm", keyed_count());
    eventually("the type", || match wire.data("GET PROCESSOR TYPES") {
        types if types.iter().any(|line| line.starts_with("keyed-count")) => Ok(()),
        types => Err(format!("{types:?}")),
    });
    wire.ok(&format!(
        "CREATE PROCESSOR p.flows.unix.ar TYPE keyed-count FROM {SOURCE} TO {TARGET} START EARLIEST {limit}"
    ));
    Box::new(host)
}

/// Ratios are to Kafka Streams with its state where it is by default.
fn rows(table: &mut Table, keys: u64, figures: &[Figures]) {
    let streams = figures.iter().find(|one| one.name == STREAMS);
    for one in figures {
        let what = |part: &str| format!("{}, {keys} keys: {part}", one.name);
        let (per_cpu, is_ours) = (what("per CPU s"), one.name == HOST);
        match streams {
            Some(streams) => {
                let reach = if is_ours { Reach::AtLeast(1.0) } else { Reach::None };
                let ratio = one.per_cpu / streams.per_cpu;
                table.ratio(&per_cpu, one.per_cpu, "records", ratio, reach);
            }
            None => table.figure(&per_cpu, one.per_cpu, "records", None, Reach::None),
        }
        table.figure(&what("the same with start"), one.whole, "records", None, Reach::None);
        table.figure(&what("throughput"), one.rate, "records/s", None, Reach::None);
        table.figure(&what("the node's CPU"), one.node, "s/million", None, Reach::None);
        table.figure(&what("peak memory"), one.peak, "MiB", None, Reach::None);
        let outputs = one.outputs as f64 / ALL as f64;
        table.figure(&what("outputs for an input"), outputs, "", None, Reach::None);
    }
}
