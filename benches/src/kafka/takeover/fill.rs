//! Makes the state that is taken over: by commits as a host makes them, without the events that would lead to it.
//!
//! A gigabyte of it made of events costs four gigabytes of outputs and many minutes, and is the same in the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{Broker, Commit, CommitOutcome, ShardId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{KEY, PARTITIONS};

/// Whose lanes they are: where a configuration says nothing, the host's name.
const IDENTITY: &str = "fnaa.unix.ar";
/// Lanes of an identity.
const LANES: i32 = 8;
/// Entries of one commit.
const AT_ONCE: usize = 4_096;
/// Longest time until the group gives the lanes of the host before up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);

/// Makes a state of so many entries, and leaves what the disk of a host in this directory would know of it.
pub fn fill(servers: &str, dir: &Path, entries: usize) {
    let began = Instant::now();
    let (processor, cache) = (processor(servers), cache(dir));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut options = KafkaOptions::new("kafka", servers, IDENTITY, cache);
        options.instance = "fill".to_owned();
        let broker = Arc::new(Kafka::open(options).await.unwrap());
        let mut shards = JoinSet::new();
        for shard in 0..PARTITIONS {
            let broker = Arc::clone(&broker);
            let id = ShardId { processor, shard };
            shards.spawn(async move { fill_shard(&broker, id, entries).await });
        }
        shards.join_all().await;
        eprintln!("  {entries} entries made in {:?}", began.elapsed());
        broker.close().await;
    });
}

async fn fill_shard(broker: &Kafka, id: ShardId, entries: usize) {
    let began = Instant::now();
    let mut opened = loop {
        match broker.open(id).await {
            Ok(opened) => break opened,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    let digest: Arc<str> = opened.digest.take().expect("it has begun").into();
    let numbers: Vec<_> = (id.shard as usize..entries).step_by(PARTITIONS as usize).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let entry = |number| (Bytes::from(format!("{number:0KEY$}")), Some(one()));
        let state = numbers.iter().map(entry).collect();
        let commit = Commit { state, digest: Arc::clone(&digest), ..Commit::default() };
        let outcome = opened.fence.begin().commit(commit).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
    }
}

/// A count of one, as the example writes it.
fn one() -> Bytes {
    Bytes::copy_from_slice(&1_u64.to_be_bytes())
}

/// Takes from a host's directory what its disk knows of lanes.
pub fn forget(dir: &Path) {
    for file in std::fs::read_dir(cache(dir)).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cache") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Where a host in a directory keeps what it knows of lanes.
fn cache(dir: &Path) -> PathBuf {
    let memory = format!("lanes.{IDENTITY}.json");
    let mut dirs = vec![dir.join("data")];
    while let Some(dir) = dirs.pop() {
        if dir.join(&memory).exists() {
            return dir;
        }
        let inside = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        dirs.extend(inside.filter(|path| path.is_dir()));
    }
    panic!("nothing is remembered of the lanes in {}", dir.display());
}

/// The processor that has committed positions.
fn processor(servers: &str) -> Uuid {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "look");
    config.set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().unwrap();
    let (topic, mut lanes) = (format!("_fnaa.{IDENTITY}.positions"), TopicPartitionList::new());
    for lane in 0..LANES {
        lanes.add_partition_offset(&topic, lane, Offset::Beginning).unwrap();
    }
    consumer.assign(&lanes).unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let Some(Ok(record)) = consumer.poll(AGAIN) else { continue };
        let key = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
        if let Some(Ok(id)) = key.split_once('/').map(|(id, _)| id.parse()) {
            return id;
        }
    }
    panic!("no processor has a position");
}
