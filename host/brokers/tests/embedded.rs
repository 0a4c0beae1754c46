//! The embedded broker: the battery, and what only it can be asked.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect, and each binary uses a part of the battery"
)]

mod battery;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use battery::{
    LIMITS, Place, append, commit_of, position, read_all, record, shard, token, topic, topic_with,
    values,
};
use host_brokers::embedded::{Embedded, EmbeddedOptions, OpenError};
use host_brokers::{Append, Broker, BrokerError, CommitOutcome, Output, TopicChange, TopicRef};
use tempfile::TempDir;

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

impl Place for Dir {
    async fn open(&self) -> Arc<dyn Broker> {
        Embedded::open(&self.path(), options()).await.unwrap()
    }
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions { retention_period: Duration::from_millis(20), ..EmbeddedOptions::default() }
}

battery!(embedded, Dir::new());

/// Changes the database behind a closed broker's back.
fn tamper(dir: &Dir, sql: &str) {
    let database = rusqlite::Connection::open(dir.path().join("log.db")).unwrap();
    database.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_second_host_on_the_same_directory_is_refused() {
    let dir = Dir::new();
    let broker = dir.open().await;
    let second = Embedded::open(&dir.path(), options()).await.err().unwrap();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    drop(broker);
    dir.open().await;
}

#[tokio::test]
async fn a_record_as_large_as_the_limit_is_taken() {
    let dir = Dir::new();
    let broker = dir.open().await;
    let topic = topic_with(&broker, "a", 1, &[("max.message.bytes", "1000")]).await;
    append(&broker, &topic, 0, &[&"x".repeat(1000)]).await;
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let dir = Dir::new();
    drop(dir.open().await);
    tamper(&dir, "PRAGMA user_version = 7");
    let error = Embedded::open(&dir.path(), options()).await.err().unwrap();
    assert_eq!(error.to_string(), "database broker has format 7, this host knows up to 1");
}

#[tokio::test]
async fn other_people_cannot_look_into_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let broker = dir.open().await;
    topic(&broker, "a", 1).await;
    for file in ["", "log.db", "log.db-wal"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}

#[tokio::test]
async fn a_full_broker_says_so_and_goes_on_when_there_is_room() {
    let dir = Dir::new();
    let options = EmbeddedOptions { max_bytes: Some(1 << 20), ..options() };
    let broker: Arc<dyn Broker> = Embedded::open(&dir.path(), options).await.unwrap();
    let topic = topic(&broker, "a", 1).await;
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    let large = || vec![record(vec![7; 100_000])];
    let mut written = 0;
    let error = loop {
        let records = large().into_iter().map(|record| (0, record)).collect();
        match broker.append(&topic, Append { records, token: None }).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, BrokerError::Full(_)), "{error}");
    let mut transaction = opened.fence.begin();
    let output = Output { topic: topic.clone(), partition: 0, records: large() };
    transaction.send(vec![output]).await.unwrap();
    let outcome = transaction.commit(commit_of(position(topic.incarnation, 0, 1))).await;
    assert!(matches!(outcome, CommitOutcome::Aborted(BrokerError::Full(_))), "{outcome:?}");
    assert_eq!(read_all(&broker, &topic, 0).await.len(), written);
    assert!(broker.open(id).await.unwrap().positions.0.is_empty());
    broker.purge(&topic).await.unwrap();
    append(&broker, &topic, 0, &["x"]).await;
    assert_eq!(values(&broker, &topic, 0).await, ["x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_takes_nobody_with_it() {
    let dir = Dir::new();
    let options = EmbeddedOptions { max_bytes: Some(1 << 20), ..options() };
    let broker: Arc<dyn Broker> = Embedded::open(&dir.path(), options).await.unwrap();
    let topic = topic_with(&broker, "a", 1, &[("max.message.bytes", "4000000")]).await;
    let appends = (0..60).map(|index| {
        let (broker, topic) = (broker.clone(), topic.clone());
        // Every third is larger than the whole log may become.
        let size = if index % 3 == 0 { 2 << 20 } else { 100 };
        let append = Append {
            records: vec![(0, record(vec![7; size]))],
            token: token("ana", &index.to_string()),
        };
        tokio::spawn(async move { broker.append(&topic, append).await })
    });
    for (index, ended) in
        futures::future::join_all(appends.collect::<Vec<_>>()).await.into_iter().enumerate()
    {
        match ended.unwrap() {
            Ok(_) => assert_ne!(index % 3, 0),
            Err(error) => {
                assert!(matches!(error, BrokerError::Full(_)) && index % 3 == 0, "{index}: {error}")
            }
        }
    }
    assert_eq!(read_all(&broker, &topic, 0).await.len(), 40);
}

#[tokio::test]
async fn a_log_that_was_cut_refuses_positions_beyond_its_end() {
    let dir = Dir::new();
    let broker = dir.open().await;
    let topic = topic(&broker, "a", 1).await;
    for value in ["0", "1", "2", "3"] {
        append(&broker, &topic, 0, &[value]).await;
    }
    drop(broker);
    tamper(&dir, "DELETE FROM batches WHERE base >= 2; UPDATE logs SET next = 2");
    let broker = dir.open().await;
    broker.source(&topic, 0, 2).await.unwrap();
    for position in [3, 4] {
        let error = broker.source(&topic, 0, position).await.err().unwrap();
        let BrokerError::OutOfRange { wanted, earliest: 0, latest: 2, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(wanted, position);
    }
    assert_eq!(values(&broker, &topic, 0).await, ["0", "1"]);
}

/// The new partitions are there, or none of them, also where the catalogue cannot be read.
#[tokio::test]
async fn a_change_of_a_topic_that_fails_at_its_end_is_not_half_made() {
    let dir = Dir::new();
    let broker = dir.open().await;
    let topic = topic(&broker, "a", 1).await;
    tamper(&dir, "UPDATE logs SET bytes = -1");
    let grow = TopicChange { partitions: Some(3), ..TopicChange::default() };
    let error = broker.update(&topic, &grow).await.unwrap_err();
    assert!(matches!(error, BrokerError::Damaged(_)), "{error}");
    assert_eq!(broker.describe(&topic).await.unwrap().partitions.len(), 1);
    tamper(&dir, "UPDATE logs SET bytes = 0");
    broker.update(&topic, &grow).await.unwrap();
    assert_eq!(broker.describe(&topic).await.unwrap().partitions.len(), 3);
}

#[tokio::test]
async fn a_topic_with_more_partitions_than_there_is_room_for_is_refused_whole() {
    let dir = Dir::new();
    let options = EmbeddedOptions { max_bytes: Some(16 * 16384), ..options() };
    let broker: Arc<dyn Broker> = Embedded::open(&dir.path(), options).await.unwrap();
    let small = topic(&broker, "small", 1).await;
    let mut many = battery::spec("many", 1024, &[]);
    let mut topics = 0;
    let error = loop {
        match broker.create(&many).await {
            Ok(_) => topics += 1,
            Err(error) => break error,
        }
        many = battery::spec(&format!("many{topics}"), 1024, &[]);
    };
    assert!(matches!(error, BrokerError::Full(_)), "{error}");
    assert!(broker.describe(&many.topic).await.is_err());
    let grow = TopicChange { partitions: Some(1024), ..TopicChange::default() };
    let error = broker.update(&small, &grow).await.unwrap_err();
    assert!(matches!(error, BrokerError::Full(_)), "{error}");
    assert_eq!(broker.describe(&small).await.unwrap().partitions.len(), 1);
    drop(broker);
    let broker = dir.open().await;
    assert!(broker.describe(&many.topic).await.is_err());
    broker.create(&many).await.unwrap();
    append(&broker, &many.topic, 1023, &["x"]).await;
}

/// Appends until there is no room, and says how often that went well.
async fn fill(broker: &Arc<dyn Broker>, topic: &TopicRef, size: usize) -> usize {
    for count in 0.. {
        let records = vec![(0, record(vec![7; size]))];
        match broker.append(topic, Append { records, token: None }).await {
            Ok(_) => {}
            Err(BrokerError::Full(_)) => return count,
            Err(error) => panic!("{error}"),
        }
    }
    0
}

/// As root: `unshare -m sh -c 'mount -t tmpfs -o size=64m none DIR; SMALL_FS=DIR cargo test … --ignored'`.
#[tokio::test]
#[ignore = "needs a small, empty file system of its own in SMALL_FS"]
async fn on_a_full_disk_what_takes_away_still_works_and_then_there_is_room() {
    let dir = PathBuf::from(std::env::var("SMALL_FS").unwrap());
    let open =
        || async { Embedded::open(&dir.join("log"), options()).await.unwrap() as Arc<dyn Broker> };
    let broker = open().await;
    let (a, b) = (topic(&broker, "a", 1).await, topic(&broker, "b", 1).await);
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    let mut written = 0;
    for size in [300_000, 3_000, 100] {
        fill(&broker, &b, size).await;
        written += fill(&broker, &a, size).await;
    }
    let output = Output { topic: a.clone(), partition: 0, records: vec![record(vec![7; 99_999])] };
    let mut transaction = opened.fence.begin();
    transaction.send(vec![output]).await.unwrap();
    let outcome = transaction.commit(commit_of(position(a.incarnation, 0, 1))).await;
    assert!(matches!(outcome, CommitOutcome::Aborted(BrokerError::Full(_))), "{outcome:?}");
    assert_eq!(read_all(&broker, &a, 0).await.len(), written);
    broker.delete(&b).await.unwrap();
    broker.purge(&a).await.unwrap();
    for round in 0..20 {
        for _ in 0..20 {
            let records = vec![(0, record(vec![7; 100_000]))];
            broker.append(&a, Append { records, token: None }).await.unwrap();
        }
        broker.open(id).await.unwrap();
        assert_eq!(read_all(&broker, &a, 0).await.len(), 20, "{round}");
        broker.purge(&a).await.unwrap();
    }
    drop(opened);
    drop(broker);
    let broker = open().await;
    append(&broker, &a, 0, &["x"]).await;
    assert_eq!(values(&broker, &a, 0).await, ["x"]);
}

#[tokio::test]
async fn damaged_rows_are_told_and_nothing_else_suffers() {
    for damage in [
        "UPDATE batches SET records = substr(records, 1, 10)",
        "UPDATE batches SET records = zeroblob(100000)",
        "UPDATE batches SET records = x''",
        "UPDATE batches SET records = zeroblob(18)",
        "UPDATE batches SET base = -5, next = -4",
        "DELETE FROM batches",
    ] {
        let dir = Dir::new();
        let broker = dir.open().await;
        let (sick, sound) = (topic(&broker, "sick", 1).await, topic(&broker, "sound", 1).await);
        append(&broker, &sick, 0, &["x"]).await;
        drop(broker);
        tamper(&dir, damage);
        let broker = dir.open().await;
        append(&broker, &sound, 0, &["x"]).await;
        let error = broker.source(&sick, 0, 0).await.unwrap().next(LIMITS).await.unwrap_err();
        assert!(matches!(error, BrokerError::Damaged(_)), "{damage}: {error}");
        assert_eq!(values(&broker, &sound, 0).await, ["x"]);
        // A time is looked for in the same rows: whatever it finds, it ends.
        drop(broker.offset_at(&sick, 0, 0).await);
    }
}

#[tokio::test]
async fn a_damaged_catalogue_is_refused_at_the_start() {
    for damage in [
        "UPDATE topics SET config = 'no json'",
        "UPDATE topics SET incarnation = x'00'",
        "UPDATE logs SET next = -1",
    ] {
        let dir = Dir::new();
        let broker = dir.open().await;
        topic(&broker, "a", 1).await;
        drop(broker);
        tamper(&dir, damage);
        let error = Embedded::open(&dir.path(), options()).await.err().unwrap();
        assert!(error.to_string().contains("damaged"), "{damage}: {error}");
    }
}
