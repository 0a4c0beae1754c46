//! Looks at a target from outside, as a reader who sees only what is committed.

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::contender::Mode;
use super::{PARTITIONS, records};

/// Longest time until all was copied, and of one call.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the ends are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Offsets at the end among which the last record is looked for: the others are marks of transactions.
const TAIL: i64 = 64;

/// A reader of one topic.
pub struct Reader {
    consumer: BaseConsumer,
    topic: String,
}

impl Reader {
    pub fn new(servers: &str, topic: &str) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", servers)
            .set("group.id", "check")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "5")
            .set_log_level(RDKafkaLogLevel::Error);
        Self { consumer: config.create().unwrap(), topic: topic.to_owned() }
    }

    /// Waits until something is in the topic.
    pub fn wait_begun(&self) {
        self.wait(|| self.ends().iter().any(|end| *end > 0));
    }

    /// Waits until the last of so many records of each partition can be read.
    pub fn wait_last(&self, each: u64) {
        self.wait(|| {
            let ends = self.ends();
            ends.iter().all(|end| *end >= each as i64)
                && self.lasts(&ends).iter().all(|last| last + 1 == each)
        });
    }

    fn wait(&self, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < PATIENCE, "{} ends at {:?}", self.topic, self.ends());
            std::thread::sleep(LOOK);
        }
    }

    /// The offset after the last of each partition.
    fn ends(&self) -> [i64; PARTITIONS] {
        std::array::from_fn(|partition| {
            let topic = &self.topic;
            self.consumer.fetch_watermarks(topic, partition as i32, PATIENCE).unwrap().1
        })
    }

    /// The numbers of the last records.
    fn lasts(&self, ends: &[i64; PARTITIONS]) -> [u64; PARTITIONS] {
        let mut lasts = [0; PARTITIONS];
        self.read(
            |partition| (ends[partition] - TAIL).max(0),
            |partition, number, _| {
                lasts[partition] = number;
            },
        );
        lasts
    }

    /// Reads everything from some offsets to the ends: partition, number, microseconds of age.
    fn read(&self, from: impl Fn(usize) -> i64, mut each: impl FnMut(usize, u64, u64)) {
        self.assign(from);
        let mut ended = 0;
        while ended < PARTITIONS {
            match self.consumer.poll(PATIENCE).expect("something within the time") {
                Ok(message) => {
                    let (number, age) = records::read(message.payload().unwrap());
                    each(message.partition() as usize, number, age);
                }
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn assign(&self, from: impl Fn(usize) -> i64) {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let offset = Offset::Offset(from(partition));
            list.add_partition_offset(&self.topic, partition as i32, offset).unwrap();
        }
        self.consumer.assign(&list).unwrap();
    }

    /// Sees that every record arrived, and where exactly-once was promised that none came twice.
    pub fn verify(&self, each: u64, mode: Mode) {
        let mut seen = vec![vec![0_u8; each as usize]; PARTITIONS];
        self.read(
            |_| 0,
            |partition, number, _| {
                let count = &mut seen[partition][number as usize];
                *count = count.saturating_add(1);
            },
        );
        let counts = || seen.iter().flatten();
        let missing = counts().filter(|count| **count == 0).count();
        let twice = counts().filter(|count| **count > 1).count();
        assert_eq!(missing, 0, "{} lacks records", self.topic);
        assert!(
            twice == 0 || mode == Mode::AtLeastOnce,
            "{} has {twice} records twice",
            self.topic
        );
    }

    /// Ages of records as they come, in microseconds, until the last of so many of each partition.
    pub fn follow(&self, each: u64, mut age: impl FnMut(u64, u64)) {
        self.assign(|_| 0);
        let mut ended = 0;
        while ended < PARTITIONS {
            match self.consumer.poll(PATIENCE).expect("something within the time") {
                Ok(message) => {
                    let (number, micros) = records::read(message.payload().unwrap());
                    age(number, micros);
                    ended += usize::from(number + 1 == each);
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
