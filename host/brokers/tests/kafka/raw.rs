//! Other people's clients: what they write, with and without transactions, and how they make topics.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const LIMIT: Duration = Duration::from_secs(60);

/// Deletes all records of a topic whose `cleanup.policy` allows it.
pub async fn empty(servers: &str, topic: &str, partitions: i32) {
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", servers).create().unwrap();
    let mut ends = TopicPartitionList::new();
    for partition in 0..partitions {
        ends.add_partition_offset(topic, partition, Offset::End).unwrap();
    }
    // Until the node has heard that it may be deleted from.
    loop {
        let done = admin.delete_records(&ends, &AdminOptions::new()).await.unwrap();
        if done.elements().iter().all(|one| one.error().is_ok()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who writes.
pub struct Writer(BaseProducer);

impl Writer {
    pub fn new(servers: &str) -> Self {
        Self::with(servers, &[])
    }

    pub fn with(servers: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("linger.ms", "0");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Self(config.create().unwrap())
    }

    /// One that writes in transactions.
    pub fn transactional(servers: &str, id: &str) -> Self {
        let writer = Self::with(servers, &[("transactional.id", id)]);
        writer.0.init_transactions(LIMIT).unwrap();
        writer
    }

    pub fn begin(&self) {
        self.0.begin_transaction().unwrap();
    }

    pub fn commit(&self) {
        self.0.commit_transaction(LIMIT).unwrap();
    }

    pub fn abort(&self) {
        self.0.abort_transaction(LIMIT).unwrap();
    }

    /// Writes, and returns when it is safe.
    pub fn write(&self, topic: &str, partition: i32, values: &[&str]) {
        for value in values {
            self.send(BaseRecord::<(), str>::to(topic).partition(partition).payload(value));
        }
        self.flush();
    }

    pub fn write_with_headers(
        &self,
        topic: &str,
        partition: i32,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let mut owned = OwnedHeaders::new();
        for (key, value) in headers {
            owned = owned.insert(Header { key, value: *value });
        }
        let record = BaseRecord::<str, str>::to(topic).partition(partition);
        self.send(record.key("k").payload("v").headers(owned));
        self.flush();
    }

    /// Hands a record over as soon as there is room.
    pub fn send<K, V>(&self, mut record: BaseRecord<'_, K, V>)
    where
        K: rdkafka::message::ToBytes + ?Sized,
        V: rdkafka::message::ToBytes + ?Sized,
    {
        while let Err((_, back)) = self.0.send(record) {
            record = back;
            self.0.poll(Duration::from_millis(10));
        }
    }

    pub fn flush(&self) {
        self.0.flush(LIMIT).unwrap();
        assert_eq!(self.0.in_flight_count(), 0);
    }
}
