//! Where a log is not what a reader left: another life, retention, cut logs, nodes that are away. Nothing
//! is ever passed over in silence.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use host_brokers::{
    BatchLimits, Broker, BrokerError, PartitionInfo, Source, TopicChange, TopicRef,
};
use kafka_node::{Node, Setup};

use crate::battery::{
    LIMITS, Place, bounded, ends, eventually, is_not_found, read_until, topic, topic_with,
};
use crate::place::{OnKafka, servers};
use crate::raw::Writer;

const ONE: BatchLimits = BatchLimits { records: 1, ..LIMITS };

/// Values that name the life they are of.
fn values(life: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{life}{number}")).collect()
}

fn write(servers: &str, topic: &str, values: &[String]) {
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    Writer::new(servers).write(topic, 0, &values);
}

async fn told_range(source: &mut dyn Source, position: u64, log: PartitionInfo) {
    for _ in 0..2 {
        let error = source.next(LIMITS).await.unwrap_err();
        let BrokerError::OutOfRange { partition: 0, wanted, earliest, latest } = error else {
            panic!("{error}");
        };
        assert_eq!((wanted, PartitionInfo { earliest, latest }), (position, log));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_others_make_again_is_not_found_and_nothing_of_it_is_read() {
    bounded(async {
        let place = OnKafka::new();
        let (broker, others) = (place.open().await, place.open().await);
        let old = topic(&broker, "a", 1).await;
        let name = Arc::clone(&old.topic);
        write(&servers(), &name, &values("old", 3));
        // One waits at the end, one has read a part, one has read nothing.
        let mut waiting = broker.source(&old, 0, 0).await.unwrap();
        read_until(waiting.as_mut(), 3).await;
        let mut begun = broker.source(&old, 0, 0).await.unwrap();
        begun.next(ONE).await.unwrap();
        let mut idle = broker.source(&old, 0, 2).await.unwrap();
        let mut wait = waiting.next(LIMITS);
        assert!(wait.as_mut().now_or_never().is_none());
        others.delete(&old).await.unwrap();
        let new = topic(&others, "a", 1).await;
        // The new life is longer than every position of the old one.
        write(&servers(), &name, &values("new", 50));
        assert!(is_not_found(&wait.await.unwrap_err()));
        for source in [&mut begun, &mut idle] {
            let told = loop {
                match source.next(ONE).await {
                    Ok(batch) => {
                        for stored in batch.records.iter() {
                            let value = stored.record.value.as_ref().unwrap();
                            assert!(value.starts_with(b"old"), "{stored:?}");
                        }
                    }
                    Err(error) => break error,
                }
            };
            assert!(is_not_found(&told), "{told}");
            assert!(is_not_found(&source.next(ONE).await.unwrap_err()));
        }
        assert!(is_not_found(&broker.source(&old, 0, 3).await.err().unwrap()));
        // The new life is read by the same consumer, beside those that were told.
        let mut source = broker.source(&new, 0, 0).await.unwrap();
        let all = read_until(source.as_mut(), 50).await;
        assert!(all.iter().all(|stored| stored.record.value.as_ref().unwrap().starts_with(b"new")));
        assert_eq!(all.len(), 50);
        assert!(is_not_found(&waiting.next(LIMITS).await.unwrap_err()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_made_again_and_again_under_its_readers() {
    bounded(async {
        let place = OnKafka::new();
        let broker = place.open().await;
        for life in 0..5 {
            let topic = topic(&broker, "a", 1).await;
            let name = Arc::clone(&topic.topic);
            let mut source = broker.source(&topic, 0, 0).await.unwrap();
            let mut wait = source.next(LIMITS);
            assert!(wait.as_mut().now_or_never().is_none());
            drop(wait);
            let written = values(&format!("{life}."), 20);
            write(&servers(), &name, &written);
            let all = read_until(source.as_mut(), 20).await;
            let read: Vec<_> = all.iter().map(|one| one.record.value.clone().unwrap()).collect();
            assert_eq!(read, written);
            // The reader is still there when its life ends.
            broker.delete(&topic).await.unwrap();
            if life % 2 == 0 {
                assert!(is_not_found(&source.next(LIMITS).await.unwrap_err()));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_deletion_of_records_overtook_is_told_what_is_left() {
    bounded(async {
        let place = OnKafka::new();
        let broker = place.open().await;
        let topic = topic(&broker, "a", 1).await;
        let name = Arc::clone(&topic.topic);
        // Nothing was fetched for this one, and for that one everything was.
        let mut idle = broker.source(&topic, 0, 0).await.unwrap();
        write(&servers(), &name, &values("x", 10));
        let mut begun = broker.source(&topic, 0, 0).await.unwrap();
        assert_eq!(begun.next(ONE).await.unwrap().next, 1);
        broker.purge(&topic).await.unwrap();
        write(&servers(), &name, &values("y", 5));
        let log = PartitionInfo { earliest: 10, latest: 15 };
        told_range(idle.as_mut(), 0, log).await;
        // What it holds is still in line; behind that nothing is passed over.
        let mut next = 1;
        let told = loop {
            match begun.next(ONE).await {
                Ok(batch) => {
                    assert!(batch.records.iter().all(|stored| stored.offset == next));
                    next = batch.next;
                }
                Err(error) => break Some(error),
            }
            if next == 15 {
                break None;
            }
        };
        if let Some(error) = told {
            let BrokerError::OutOfRange { wanted, earliest, latest, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((wanted, PartitionInfo { earliest, latest }), (next, log));
            assert!(next < 10);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_topic_has_holes_that_are_no_gaps() {
    bounded(async {
        let place = OnKafka::new();
        let broker = place.open().await;
        let settings = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "100"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("max.compaction.lag.ms", "100"),
        ];
        let topic = topic_with(&broker, "a", 1, &settings).await;
        let name = Arc::clone(&topic.topic);
        let writer = Writer::new(&servers());
        // All but the last of each of two keys goes.
        let rounds = std::cell::Cell::new(0);
        eventually(|| async {
            writer.write_with_headers(&name, 0, &[]);
            rounds.set(rounds.get() + 1);
            let end = ends(&broker, &topic, 0).await.latest;
            let mut source = broker.source(&topic, 0, 0).await.unwrap();
            let all = read_until(source.as_mut(), end).await;
            let last = all.last().map(|stored| stored.offset);
            assert_eq!(last, Some(end - 1));
            (all.len() as u64) < end
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_others_add_is_read_at_once() {
    bounded(async {
        let place = OnKafka::new();
        let (broker, others) = (place.open().await, place.open().await);
        let topic = topic(&broker, "a", 1).await;
        let mut first = broker.source(&topic, 0, 0).await.unwrap();
        assert!(first.next(LIMITS).now_or_never().is_none());
        let change = TopicChange { partitions: Some(3), ..TopicChange::default() };
        others.update(&topic, &change).await.unwrap();
        let mut third = broker.source(&topic, 2, 0).await.unwrap();
        Writer::new(&servers()).write(&topic.topic, 2, &["x"]);
        assert_eq!(read_until(third.as_mut(), 1).await.len(), 1);
        assert!(broker.source(&topic, 3, 0).await.is_err());
    })
    .await;
}

/// A node of the test's own, a broker on it, a topic, and its name.
async fn own_node() -> (Arc<Node>, OnKafka, Arc<dyn Broker>, TopicRef, Arc<str>) {
    let node = away(|| Arc::new(Node::start(Setup::default()))).await;
    let place = OnKafka::at(&node.servers());
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let name = Arc::clone(&topic.topic);
    (node, place, broker, topic, name)
}

/// A test with a node of its own, which may have to wait for one and starts it more than once.
async fn patiently(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(240), test).await.expect("the test hangs");
}

async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// As after an unclean election: a partition's log as it was before.
struct Copy(tempfile::TempDir);

impl Copy {
    fn of(node: &Node, topic: &str) -> Self {
        let copy = Self(tempfile::TempDir::new().unwrap());
        copy_files(&log_dir(node, topic), copy.0.path());
        copy
    }

    fn put_back(&self, node: &Node, topic: &str) {
        let dir = log_dir(node, topic);
        std::fs::remove_dir_all(&dir).unwrap();
        copy_files(self.0.path(), &dir);
        // Kafka believes these about how far logs were safe.
        for name in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
            drop(std::fs::remove_file(node.dir().join("log").join(name)));
        }
    }
}

fn log_dir(node: &Node, topic: &str) -> std::path::PathBuf {
    node.dir().join("log").join(format!("{topic}-0"))
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The log as it is now, taken while the node is down.
async fn copied(node: &Arc<Node>, name: &str) -> Copy {
    let (node, name) = (Arc::clone(node), name.to_owned());
    away(move || {
        node.terminate();
        let copy = Copy::of(&node, &name);
        node.restart();
        copy
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_is_told_with_figures_also_when_it_has_grown_again() {
    patiently(async {
        let (node, _place, broker, topic, name) = own_node().await;
        write(&node.servers(), &name, &values("x", 10));
        let copy = copied(&node, &name).await;
        write(&node.servers(), &name, &values("y", 10));
        let mut read = broker.source(&topic, 0, 0).await.unwrap();
        assert_eq!(read_until(read.as_mut(), 20).await.len(), 20);
        away({
            let (node, name) = (Arc::clone(&node), name.clone());
            move || {
                node.terminate();
                copy.put_back(&node, &name);
                node.restart();
                drop(copy);
            }
        })
        .await;
        // It stands beyond the end.
        let short = PartitionInfo { earliest: 0, latest: 10 };
        told_range(read.as_mut(), 20, short).await;
        assert!(matches!(
            broker.source(&topic, 0, 20).await.err().unwrap(),
            BrokerError::OutOfRange { wanted: 20, earliest: 0, latest: 10, .. }
        ));
        // From its new end it is read as it is now.
        write(&node.servers(), &name, &values("z", 5));
        let mut source = broker.source(&topic, 0, 10).await.unwrap();
        assert_eq!(read_until(source.as_mut(), 15).await.len(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_and_has_grown_past_a_reader_is_told() {
    patiently(async {
        let (node, _place, broker, topic, name) = own_node().await;
        write(&node.servers(), &name, &values("x", 10));
        let copy = copied(&node, &name).await;
        write(&node.servers(), &name, &values("y", 10));
        let mut source = broker.source(&topic, 0, 0).await.unwrap();
        assert_eq!(read_until(source.as_mut(), 20).await.len(), 20);
        let servers = node.servers();
        away({
            let (node, name) = (Arc::clone(&node), name.clone());
            move || {
                node.terminate();
                copy.put_back(&node, &name);
                node.restart();
                // Before the reader, which waits longer after each attempt, is back.
                write(&servers, &name, &values("z", 50));
            }
        })
        .await;
        let told = source.next(LIMITS).await;
        let Err(BrokerError::OutOfRange { wanted: 20, earliest: 0, latest, .. }) = told else {
            panic!("{told:?}");
        };
        // The end of what both logs have, or the end that the reader found when it came first.
        assert!(latest < 20, "{latest}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_and_comes_back_costs_a_reader_nothing() {
    patiently(async {
        let (node, _place, broker, topic, name) = own_node().await;
        let mut source = broker.source(&topic, 0, 0).await.unwrap();
        let mut next = 0;
        for round in 0..3 {
            write(&node.servers(), &name, &values("x", 100));
            // Some are read before, some are held, some come after.
            next = source.next(BatchLimits { records: 30, ..LIMITS }).await.unwrap().next;
            assert!(next > round * 100 && next <= (round + 1) * 100);
            let killed = Arc::clone(&node);
            away(move || killed.restart()).await;
            while next < (round + 1) * 100 {
                match source.next(LIMITS).await {
                    Ok(batch) => {
                        for stored in batch.records.iter() {
                            assert_eq!(stored.offset, next);
                            next += 1;
                        }
                        assert_eq!(batch.next, next);
                    }
                    Err(error) => assert!(matches!(error, BrokerError::Unavailable(_)), "{error}"),
                }
            }
        }
        assert_eq!(next, 300);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_is_told_and_read_again_when_it_is_back() {
    patiently(async {
        let (node, _place, broker, topic, name) = own_node().await;
        let mut source = broker.source(&topic, 0, 0).await.unwrap();
        write(&node.servers(), &name, &values("x", 3));
        assert_eq!(read_until(source.as_mut(), 3).await.len(), 3);
        node.pause();
        let error = source.next(LIMITS).await.unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains(&*name), "{error}");
        node.resume();
        write(&node.servers(), &name, &values("y", 2));
        let batch = loop {
            match source.next(LIMITS).await {
                Ok(batch) => break batch,
                Err(error) => assert!(matches!(error, BrokerError::Unavailable(_)), "{error}"),
            }
        };
        assert_eq!(batch.records[0].offset, 3);
    })
    .await;
}
