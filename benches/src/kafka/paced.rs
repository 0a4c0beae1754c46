//! Records at an even pace, for latency.

use std::time::{Duration, Instant};

use super::PARTITIONS;
use super::records::Writer;

/// Records a second.
const RATE: u32 = 1_000;
/// Records of each partition that do not count: the contender finds its pace, and the node compiles what it
/// runs often. 24 seconds.
const IGNORED: u64 = 6_000;
/// Records of each partition.
pub const EACH: u64 = IGNORED + 4_000;

/// Writes a record to each partition of a topic: once they arrive, the contender runs.
pub fn write_first(servers: &str, topic: &str) {
    let writer = Writer::new(servers, 0);
    (0..PARTITIONS).for_each(|partition| writer.write(topic, partition, 0));
    writer.end();
}

/// Writes the others of [`EACH`] to each partition.
pub fn write_others(servers: &str, topic: &str) {
    let writer = Writer::new(servers, 0);
    let began = Instant::now();
    let all =
        (1..EACH).flat_map(|number| (0..PARTITIONS).map(move |partition| (number, partition)));
    for ((number, partition), turn) in all.zip(0..) {
        let due = Duration::from_secs(1) * turn / RATE;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        writer.write(topic, partition, number);
    }
    writer.end();
}

/// Ages in microseconds of the records that count.
#[derive(Default)]
pub struct Ages(Vec<u64>);

impl Ages {
    pub fn add(&mut self, number: u64, age: u64) {
        if number >= IGNORED {
            self.0.push(age);
        }
    }

    /// Milliseconds that so many per cent of the records are not older than.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * percent / 100] as f64 / 1e3
    }
}
