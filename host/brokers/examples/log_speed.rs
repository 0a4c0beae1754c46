//! Events a second through the embedded broker: `cargo run --release -p host-brokers --example log_speed [DIR]`.
//!
//! Appends of 512 records of 1 KiB that do not compress, then small ones, then commits, then reads.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_brokers::embedded::{Embedded, EmbeddedOptions};
use host_brokers::{Append, BatchLimits, Broker, Commit, Output, ShardId, TopicRef, TopicSpec};
use host_events::{Incarnation, Position, Record};
use uuid::Uuid;

const BATCH: usize = 512;

#[tokio::main]
async fn main() {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let dir = given.unwrap_or_else(|| std::env::temp_dir().join("flow-broker-speed"));
    drop(std::fs::remove_dir_all(&dir));
    let broker = open(&dir).await;
    let topic = create(&broker, "big").await;
    for writers in [1, 2, 4] {
        append(&broker, &topic, writers, BATCH, Duration::from_secs(4)).await;
    }
    let small = create(&broker, "small").await;
    for writers in [1, 16, 128] {
        append(&broker, &small, writers, 1, Duration::from_secs(2)).await;
    }
    commits(&broker, &create(&broker, "out").await, Duration::from_secs(3)).await;
    drop(broker);
    let broker = open(&dir).await;
    for round in ["cold", "warm"] {
        read(&broker, &topic, round, 512, 1 << 20).await;
    }
    read(&broker, &topic, "batches of 100", 100, 1 << 20).await;
    read(&broker, &small, "written one by one", 512, 1 << 20).await;
    tail(&broker, &create(&broker, "tail").await).await;
    purge(&broker, &topic, &small).await;
    drop(broker);
    drop(std::fs::remove_dir_all(&dir));
}

async fn open(dir: &Path) -> Arc<dyn Broker> {
    Embedded::open(dir, EmbeddedOptions::default()).await.unwrap()
}

async fn create(broker: &Arc<dyn Broker>, name: &str) -> TopicRef {
    let topic = TopicRef::new(name, Incarnation(Uuid::new_v4()));
    let spec = TopicSpec {
        topic: topic.clone(),
        partitions: 1,
        replication: None,
        config: BTreeMap::new(),
    };
    broker.create(&spec).await.unwrap();
    topic
}

/// Records of 1 KiB, headers included, that do not compress.
fn records(count: usize) -> Vec<Record> {
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "123456"),
        ("ce_source", "/bench"),
        ("ce_type", "a.b"),
    ];
    let headers = headers.map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let mut record = || {
        let value: Vec<u8> = (0..120).flat_map(|_| noise()).collect();
        Record {
            value: Some(value.into()),
            headers: headers.into_iter().collect(),
            ..Record::default()
        }
    };
    (0..count).map(|_| record()).collect()
}

async fn append(
    broker: &Arc<dyn Broker>,
    topic: &TopicRef,
    writers: usize,
    batch: usize,
    lasts: Duration,
) {
    let start = Instant::now();
    let writer = || {
        let (broker, topic, records) = (broker.clone(), topic.clone(), records(batch));
        tokio::spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < lasts {
                let records = records.iter().map(|record| (0, record.clone())).collect();
                let begun = Instant::now();
                broker.append(&topic, Append { records, token: None }).await.unwrap();
                times.push(begun.elapsed());
            }
            times
        })
    };
    let tasks: Vec<_> = (0..writers).map(|_| writer()).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    report(
        &format!("append {batch} x 1 KiB, {writers} writers"),
        times.len() * batch,
        start.elapsed(),
        times,
    );
}

async fn commits(broker: &Arc<dyn Broker>, topic: &TopicRef, lasts: Duration) {
    let shard = ShardId { processor: Uuid::new_v4(), shard: 0 };
    let mut opened = broker.open(shard).await.unwrap();
    let records = records(BATCH);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < lasts {
        let begun = Instant::now();
        let mut transaction = opened.fence.begin();
        let output = Output { topic: topic.clone(), partition: 0, records: records.clone() };
        transaction.send(vec![output]).await.unwrap();
        let mut positions = Position::default();
        positions.set(topic.incarnation, 0, times.len() as u64);
        let state = vec![(Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")))];
        drop(
            transaction
                .commit(Commit { positions, state, digest: "00".into(), rewinds: false })
                .await,
        );
        times.push(begun.elapsed());
    }
    report(
        "commit 512 x 1 KiB with position and state",
        times.len() * BATCH,
        start.elapsed(),
        times,
    );
}

async fn read(
    broker: &Arc<dyn Broker>,
    topic: &TopicRef,
    what: &str,
    records: usize,
    bytes: usize,
) {
    let end = broker.describe(topic).await.unwrap().partitions[0].latest;
    let mut source = broker.source(topic, 0, 0).await.unwrap();
    let (start, mut times, mut count, mut next) = (Instant::now(), Vec::new(), 0, 0);
    while next < end {
        let begun = Instant::now();
        let batch = source.next(BatchLimits { records, bytes }).await.unwrap();
        times.push(begun.elapsed());
        count += batch.records.len();
        next = batch.next;
    }
    report(&format!("read, {what}"), count, start.elapsed(), times);
}

/// One writes, one reads behind it: from the append to the record in hand.
async fn tail(broker: &Arc<dyn Broker>, topic: &TopicRef) {
    let mut source = broker.source(topic, 0, 0).await.unwrap();
    let (start, mut times) = (Instant::now(), Vec::new());
    let one = records(1);
    while start.elapsed() < Duration::from_secs(2) {
        let begun = Instant::now();
        let records = one.iter().map(|record| (0, record.clone())).collect();
        broker.append(topic, Append { records, token: None }).await.unwrap();
        source.next(BatchLimits { records: 1, bytes: 1 }).await.unwrap();
        times.push(begun.elapsed());
    }
    report("append one, read it", times.len(), start.elapsed(), times);
}

/// How long others wait while everything of a large topic is deleted.
async fn purge(broker: &Arc<dyn Broker>, topic: &TopicRef, other: &TopicRef) {
    let bytes = broker.describe(topic).await.unwrap().bytes.unwrap_or(0);
    let begun = Instant::now();
    let deleting = tokio::spawn({
        let (broker, topic) = (broker.clone(), topic.clone());
        async move {
            broker.purge(&topic).await.unwrap();
            begun.elapsed()
        }
    });
    append(broker, other, 1, 1, Duration::from_secs(2)).await;
    let took = deleting.await.unwrap().as_secs_f64();
    println!("purge of {} MiB beside that: {took:.2} s", bytes >> 20);
}

fn report(what: &str, events: usize, took: Duration, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let rate = events as f64 / took.as_secs_f64();
    let cpu = cpu_time() * 1e6 / events as f64;
    let (p50, p99) = (at(0.5), at(0.99));
    println!("{what:46} {rate:8.0} events/s  {cpu:7.2} us CPU  p50 {p50:6.2} ms  p99 {p99:6.2} ms");
}

/// Seconds of processor time since the last call: what a busy machine cannot spoil.
fn cpu_time() -> f64 {
    static BEFORE: Mutex<f64> = Mutex::new(0.0);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    let mut before = BEFORE.lock().unwrap();
    ticks / 100.0 - std::mem::replace(&mut *before, ticks / 100.0)
}
