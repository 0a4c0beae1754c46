//! The yardstick: a plain loop that copies one topic to another with librdkafka, as fast as its
//! settings allow, in a process of its own. It restarts nothing, keeps no state and handles no error.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use super::PARTITIONS;
use super::contender::{Contender, Killed, Mode, Pace, Running, Task};

/// Longest time that one call may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The word for settings that hand each record on soon.
const PROMPT: &str = "prompt";
/// Records between two looks at what was delivered.
const LOOK: usize = 256;

pub fn contender() -> Contender {
    Contender { name: super::LOOP, start, rounds: 3 }
}

fn start(task: &Task<'_>) -> Box<dyn Running> {
    let pace = if task.pace == Pace::Full { "full" } else { PROMPT };
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args([super::COPY_LOOP, task.servers, task.source, &task.target()]);
    Box::new(Killed(command.args([task.mode.word(), pace]).spawn().unwrap()))
}

/// Copies until it is killed.
pub fn run(arguments: &[String]) {
    let [servers, source, target, mode, pace] = arguments else { panic!("{arguments:?}") };
    let prompt = pace == PROMPT;
    let transactional = mode == Mode::ExactlyOnce.word();
    let mut copy = Copy::new(servers, source, target, transactional, prompt);
    // Half the interval is latency, and while a commit lasts nothing else happens.
    let interval = Duration::from_millis(if prompt { 5 } else { 100 });
    loop {
        let until = Instant::now() + interval;
        while Instant::now() < until {
            copy.some(until);
        }
        copy.commit();
    }
}

struct Copy {
    consumer: BaseConsumer,
    producer: BaseProducer<Acknowledged>,
    acknowledged: Acknowledged,
    source: String,
    target: String,
    /// The offset after the last record that was sent, for each partition.
    next: [u64; PARTITIONS],
    committed: [u64; PARTITIONS],
    transactional: bool,
}

/// The offset in the source after the last record that is safe in the target, for each partition.
#[derive(Clone, Default)]
struct Acknowledged(Arc<[AtomicU64; PARTITIONS]>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    /// The offset after the record in the source.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, next: usize) {
        let message = result.as_ref().expect("a record is delivered");
        self.0[message.partition() as usize].store(next as u64, Ordering::Relaxed);
    }
}

impl Acknowledged {
    fn get(&self) -> [u64; PARTITIONS] {
        std::array::from_fn(|partition| self.0[partition].load(Ordering::Relaxed))
    }
}

impl Copy {
    fn new(servers: &str, source: &str, target: &str, transactional: bool, prompt: bool) -> Self {
        let acknowledged = Acknowledged::default();
        let consumer = consumer(servers, target);
        consumer.assign(&list(source, |_| Offset::Beginning)).unwrap();
        let producer = producer(servers, target, transactional, prompt, acknowledged.clone());
        if transactional {
            producer.init_transactions(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
        }
        let (source, target) = (source.to_owned(), target.to_owned());
        let (next, committed) = Default::default();
        Self { consumer, producer, acknowledged, source, target, next, committed, transactional }
    }

    /// Copies some records, or waits for them.
    fn some(&mut self, until: Instant) {
        for _ in 0..LOOK {
            let Some(message) = self.consumer.poll(until - Instant::now().min(until)) else {
                break;
            };
            let message = message.unwrap();
            self.next[message.partition() as usize] = message.offset() as u64 + 1;
            self.send(&message);
        }
        self.producer.poll(Duration::ZERO);
    }

    fn send(&self, message: &BorrowedMessage<'_>) {
        let next = message.offset() as usize + 1;
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.target, next)
            .partition(message.partition());
        record.key = message.key();
        record.payload = message.payload();
        record.timestamp = message.timestamp().to_millis();
        while let Err((error, again)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "a record is taken");
            self.producer.poll(Duration::from_millis(1));
            record = again;
        }
    }

    fn commit(&mut self) {
        if self.next == self.committed {
            return;
        }
        if !self.transactional {
            self.committed = self.acknowledged.get();
            let mode = rdkafka::consumer::CommitMode::Async;
            return self.consumer.commit(&self.offsets(), mode).unwrap();
        }
        // `commit_transaction` would wait for the reports in steps of 100 ms.
        while self.acknowledged.get() != self.next {
            self.producer.poll(Duration::from_millis(1));
        }
        self.committed = self.next;
        let group = self.consumer.group_metadata().unwrap();
        self.producer.send_offsets_to_transaction(&self.offsets(), &group, PATIENCE).unwrap();
        self.producer.commit_transaction(Timeout::After(PATIENCE)).unwrap();
        self.producer.begin_transaction().unwrap();
    }

    fn offsets(&self) -> TopicPartitionList {
        list(&self.source, |partition| Offset::Offset(self.committed[partition] as i64))
    }
}

fn list(topic: &str, offset: impl Fn(usize) -> Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition as i32, offset(partition)).unwrap();
    }
    list
}

fn consumer(servers: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        // A full queue otherwise stops fetching for a second.
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .unwrap()
}

fn producer(
    servers: &str,
    target: &str,
    transactional: bool,
    prompt: bool,
    acknowledged: Acknowledged,
) -> BaseProducer<Acknowledged> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .set("linger.ms", if prompt { "0" } else { "5" });
    if transactional {
        config.set("transactional.id", format!("copy.{target}"));
    }
    config.create_with_context(acknowledged).unwrap()
}
