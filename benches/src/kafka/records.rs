//! The records that are copied: their number and the time they were made in front, noise behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use super::{PARTITIONS, topics};

/// The topic that is there before anybody copies.
pub const SOURCE: &str = "bench";
/// Records of each partition of it.
pub const EACH: u64 = 250_000;
/// Octets of a record's value.
const SIZE: usize = 1024;
/// Octets of noise that records are cut out of.
const NOISE: usize = 1 << 20;
/// Longest time until everything written is safe.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills the source.
pub fn preload(servers: &str) {
    topics::create(servers, SOURCE);
    let writer = Writer::new(servers, 100);
    for number in 0..EACH {
        for partition in 0..PARTITIONS {
            writer.write(SOURCE, partition, number);
        }
    }
    writer.end();
}

/// A value: which record of its partition it is, when it was made, and noise.
fn value(number: u64) -> [u8; SIZE] {
    let mut value = [0; SIZE];
    let from = (number as usize).wrapping_mul(SIZE + 1) % (NOISE - SIZE);
    value.copy_from_slice(&noise()[from..from + SIZE]);
    value[..8].copy_from_slice(&number.to_le_bytes());
    value[8..16].copy_from_slice(&now().to_le_bytes());
    value
}

/// The number of a record, and microseconds since it was made.
pub fn read(value: &[u8]) -> (u64, u64) {
    let field = |from: usize| u64::from_le_bytes(value[from..from + 8].try_into().unwrap());
    assert_eq!(value.len(), SIZE);
    (field(0), now().saturating_sub(field(8)))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Octets that nothing makes smaller.
fn noise() -> &'static [u8] {
    static NOISES: OnceLock<Vec<u8>> = OnceLock::new();
    NOISES.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let octet = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 56) as u8
        };
        (0..NOISE).map(octet).collect()
    })
}

/// Writes records, and knows when they are safe.
pub struct Writer {
    producer: BaseProducer<Delivered>,
}

/// Counts what was delivered.
#[derive(Clone, Default)]
struct Delivered(Arc<AtomicU64>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(
            result.is_ok(),
            "a record is delivered: {:?}",
            result.as_ref().map_err(|(error, _)| error)
        );
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Writer {
    /// A writer whose records wait so many milliseconds for others.
    pub fn new(servers: &str, linger: u32) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("enable.idempotence", "true");
        config.set("linger.ms", linger.to_string());
        // As Java clients choose partitions.
        config.set("partitioner", "murmur2_random");
        Self { producer: config.create_with_context(Delivered::default()).unwrap() }
    }

    /// Hands a record over.
    pub fn write(&self, topic: &str, partition: usize, number: u64) {
        let value = value(number);
        self.send(
            BaseRecord::<(), [u8]>::to(topic).partition(partition as i32).payload(&value[..]),
        );
    }

    /// The same of an event, which goes where its key does.
    pub fn write_event(&self, topic: &str, key: &str, headers: OwnedHeaders, data: &[u8]) {
        self.send(BaseRecord::to(topic).key(key).headers(headers).payload(data));
    }

    fn send<K: ToBytes + ?Sized>(&self, mut record: BaseRecord<'_, K, [u8]>) {
        while let Err((error, again)) = self.producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            self.producer.poll(Duration::from_millis(10));
            record = again;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until all is safe.
    pub fn end(self) {
        self.producer.flush(PATIENCE).unwrap();
    }
}
