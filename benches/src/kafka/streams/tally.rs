//! Reads the counts that a contender has committed, and adds them up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::kafka::PARTITIONS;

/// Longest time until all was counted.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest time without a look at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// What comes before a count.
const COUNT: &[u8] = b"\"count\":";

/// What was counted so far.
pub struct Tally {
    consumer: BaseConsumer,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    of: HashMap<Vec<u8>, u64>,
    total: u64,
    /// Records that said so.
    outputs: u64,
}

impl Tally {
    /// Begins before the first count.
    pub fn new(servers: &str, topic: &str) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", servers)
            .set("group.id", "tally")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "5")
            .set_log_level(RDKafkaLogLevel::Error);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        Self { consumer, counts: Counts::default() }
    }

    /// Reads on until so many records were counted.
    pub fn until(&mut self, total: u64) {
        let began = Instant::now();
        while self.counts.total < total {
            assert!(began.elapsed() < PATIENCE, "{} of {total} records counted", self.counts.total);
            let Some(message) = self.consumer.poll(LOOK) else { continue };
            let message = message.unwrap();
            self.counts.add(message.key().unwrap(), count(message.payload().unwrap()));
        }
    }

    /// Sees that nothing was counted twice or not at all.
    pub fn verify(&self, expected: &HashMap<Vec<u8>, u64>) {
        assert!(self.counts.of == *expected, "the counts are not those of what was written");
    }

    /// Records that told counts.
    pub fn outputs(&self) -> u64 {
        self.counts.outputs
    }
}

impl Counts {
    fn add(&mut self, key: &[u8], count: u64) {
        let before = match self.of.get_mut(key) {
            Some(before) => std::mem::replace(before, count),
            None => self.of.insert(key.to_vec(), count).unwrap_or(0),
        };
        assert!(before < count, "{} was {before}, is {count}", String::from_utf8_lossy(key));
        self.total += count - before;
        self.outputs += 1;
    }
}

/// The count of `{"key":"k","count":n}`.
fn count(value: &[u8]) -> u64 {
    let at = value.windows(COUNT.len()).position(|window| window == COUNT).unwrap() + COUNT.len();
    let digits = value[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |count, digit| count * 10 + u64::from(digit - b'0'))
}
