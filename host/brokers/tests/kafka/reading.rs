//! What Kafka can do to a reader: transactions, lives, retention, cut logs, and being away.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use host_brokers::{Append, BatchLimits, Broker, Source, TopicRef};
use host_events::{Headers, Record, Stored};
use rdkafka::producer::BaseRecord;

use crate::battery::{
    LIMITS, Place, bounded, ends, eventually, read_all, read_until, record, topic_with, values,
};
use crate::place::{OnKafka, servers};
use crate::raw::Writer;

crate::battery!(@logs OnKafka::new());

/// A broker on the shared node, a topic of its own, and what it is called there.
async fn setup(
    partitions: u32,
    config: &[(&str, &str)],
) -> (OnKafka, Arc<dyn Broker>, TopicRef, Arc<str>) {
    let place = OnKafka::new();
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", partitions, config).await;
    let name = Arc::clone(&topic.topic);
    (place, broker, topic, name)
}

fn text(stored: &Stored) -> String {
    String::from_utf8(stored.record.value.clone().unwrap().into()).unwrap()
}

async fn next_texts(source: &mut dyn Source) -> Vec<String> {
    loop {
        let batch = source.next(LIMITS).await.unwrap();
        if !batch.records.is_empty() {
            return batch.records.iter().map(text).collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_wrote_is_read_as_it_is() {
    bounded(async {
        let (_place, broker, topic, name) = setup(1, &[]).await;
        let writer = Writer::new(&servers());
        let headers: [(&str, Option<&[u8]>); 4] =
            [("a", Some(b"1")), ("a", None), ("b", Some(b"\xff\x00")), ("", Some(b""))];
        writer.write_with_headers(&name, 0, &headers);
        writer.write(&name, 0, &["x", "y"]);
        let all = read_all(&broker, &topic, 0).await;
        let first = &all[0].record;
        let seen: Vec<_> = first.headers.iter().collect();
        let expected: Vec<(&[u8], _)> =
            headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        assert_eq!(seen, expected);
        assert_eq!(first.key.as_deref(), Some(&b"k"[..]));
        assert!(first.timestamp > 1_700_000_000_000);
        assert_eq!(all[1].record.key, None);
        assert_eq!(all[1..].iter().map(text).collect::<Vec<_>>(), ["x", "y"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_and_one_that_waits_at_the_end_do_not_stand_in_each_others_way() {
    bounded(async {
        let (_place, broker, topic, name) = setup(1, &[]).await;
        let writer = Writer::new(&servers());
        for _ in 0..6 {
            writer.write(&name, 0, &["x"; 500]);
        }
        // The slow one was here first, and stands far behind.
        let mut slow = broker.source(&topic, 0, 0).await.unwrap();
        let some = BatchLimits { records: 10, ..LIMITS };
        assert_eq!(slow.next(some).await.unwrap().next, 10);
        let mut quick = broker.source(&topic, 0, 3000).await.unwrap();
        for round in 0..3 {
            let mut wait = quick.next(LIMITS);
            assert!(wait.as_mut().now_or_never().is_none());
            writer.write(&name, 0, &["new"]);
            assert_eq!(wait.await.unwrap().next, 3001 + round);
            // A few more for the slow one, in its own time.
            let batch = slow.next(some).await.unwrap();
            assert!(batch.next < 3000 && batch.records.len() == 10);
        }
        let rest: Vec<_> = read_until(slow.as_mut(), 3003).await;
        let offsets: Vec<_> = rest.iter().map(|stored| stored.offset).collect();
        assert_eq!(offsets, (40..3003).collect::<Vec<_>>());
        writer.write(&name, 0, &["last"]);
        for source in [&mut slow, &mut quick] {
            assert_eq!(next_texts(source.as_mut()).await, ["last"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_although_others_were_told_before_and_did_not_look() {
    bounded(async {
        let (_place, broker, topic, name) = setup(1, &[]).await;
        let writer = Writer::new(&servers());
        for round in 0..20 {
            let at = 2 * round;
            let mut sources = Vec::new();
            for _ in 0..3 {
                sources.push(broker.source(&topic, 0, at).await.unwrap());
            }
            let [one, two, third] = &mut sources[..] else { unreachable!() };
            let (mut one, mut two) = (one.next(LIMITS), two.next(LIMITS));
            // Both wait before there is anything.
            let both = futures::future::select(&mut one, &mut two);
            assert!(tokio::time::timeout(Duration::from_millis(200), both).await.is_err());
            writer.write(&name, 0, &["first"]);
            // Comes along when it is there, without having waited for it.
            let found = loop {
                match third.next(LIMITS).now_or_never() {
                    Some(found) => break found,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            assert_eq!(found.unwrap().next, at + 1);
            // This one waits for what comes next.
            let mut last = broker.source(&topic, 0, at + 1).await.unwrap();
            let mut last = last.next(LIMITS);
            assert!(futures::poll!(&mut last).is_pending());
            writer.write(&name, 0, &["second"]);
            // The two have been told, find the first, and want nothing else.
            for waits in [one, two] {
                assert_eq!(waits.await.unwrap().next, at + 1);
            }
            // Every ten seconds everybody looks.
            let told = tokio::time::timeout(Duration::from_secs(8), last).await;
            assert_eq!(told.expect("nobody told it").unwrap().next, at + 2);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_headers_need_not_be_text() {
    bounded(async {
        let (_place, broker, topic, _) = setup(1, &[]).await;
        let headers: Headers = [
            (&b"\xff\xfe"[..], Some(&b"\x00\xff"[..])),
            (b"", None),
            (b"\xff\xfe", Some(b"")),
            (b"a\0b", Some(b"1")),
            (b"a\0b\0", None),
            (b"\0", Some(b"")),
            (b"\0", None),
        ]
        .into_iter()
        .collect();
        let record = Record { headers, ..record("v") };
        let append = Append { records: vec![(0, record.clone())], token: None };
        broker.append(&topic, append).await.unwrap();
        assert_eq!(read_all(&broker, &topic, 0).await[0].record, record);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_are_read_by_one_consumer() {
    bounded(async {
        const PARTITIONS: u32 = 40;
        let (_place, broker, topic, name) = setup(PARTITIONS, &[]).await;
        let before = threads();
        let reader = |partition: u32| {
            let (broker, topic) = (Arc::clone(&broker), topic.clone());
            tokio::spawn(async move {
                let mut source = broker.source(&topic, partition, 0).await.unwrap();
                let all = read_until(source.as_mut(), 3).await;
                all.iter().map(text).collect::<Vec<_>>()
            })
        };
        let readers: Vec<_> = (0..PARTITIONS).map(reader).collect();
        let writer = Writer::new(&servers());
        for number in 0..3 {
            for partition in 0..PARTITIONS as i32 {
                let value = format!("{partition}.{number}");
                writer.send(BaseRecord::<(), str>::to(&name).partition(partition).payload(&value));
            }
        }
        writer.flush();
        for (partition, reader) in readers.into_iter().enumerate() {
            let expected: Vec<_> = (0..3).map(|number| format!("{partition}.{number}")).collect();
            assert_eq!(reader.await.unwrap(), expected);
        }
        let cost = threads().saturating_sub(before);
        assert!(cost <= MOST_THREADS, "{cost} threads");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_committed_records_are_read_and_the_end_is_reached_behind_markers() {
    bounded(async {
        let (_place, broker, topic, name) = setup(1, &[]).await;
        let writer = Writer::transactional(&servers(), &name);
        let mut source = broker.source(&topic, 0, 0).await.unwrap();
        writer.begin();
        writer.write(&name, 0, &["a", "b"]);
        // What is open is not there yet.
        assert_eq!(ends(&broker, &topic, 0).await.latest, 0);
        assert!(source.next(LIMITS).now_or_never().is_none());
        writer.commit();
        assert_eq!(next_texts(source.as_mut()).await, ["a", "b"]);
        writer.begin();
        writer.write(&name, 0, &["never"]);
        writer.abort();
        // Records 0 and 1, a marker, an aborted record, a marker.
        eventually(|| async { ends(&broker, &topic, 0).await.latest == 5 }).await;
        let mut next = 0;
        while next < 5 {
            let batch = source.next(LIMITS).await.unwrap();
            assert!(batch.records.is_empty(), "{batch:?}");
            next = batch.next;
        }
        assert_eq!(next, 5);
        writer.begin();
        writer.write(&name, 0, &["c"]);
        writer.commit();
        let batch = source.next(LIMITS).await.unwrap();
        assert_eq!(batch.records.iter().map(text).collect::<Vec<_>>(), ["c"]);
        assert_eq!(values(&broker, &topic, 0).await, ["a", "b", "c"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_of_one_partition_each_get_everything_on_two_consumers() {
    bounded(async {
        let (_place, broker, topic, name) = setup(1, &[]).await;
        let writer = Writer::new(&servers());
        let payload = "x".repeat(1000);
        let batch = vec![payload.as_str(); 500];
        for _ in 0..8 {
            writer.write(&name, 0, &batch);
        }
        let before = threads();
        let reader = |from: u64| {
            let (broker, topic) = (Arc::clone(&broker), topic.clone());
            tokio::spawn(async move {
                let mut source = broker.source(&topic, 0, from).await.unwrap();
                let all = read_until(source.as_mut(), 5000).await;
                let offsets: Vec<_> = all.iter().map(|stored| stored.offset).collect();
                assert_eq!(offsets, (from..5000).collect::<Vec<_>>());
            })
        };
        let readers: Vec<_> = (0..12).map(|index| reader(index * 350)).collect();
        writer.write(&name, 0, &batch);
        writer.write(&name, 0, &batch);
        for reader in readers {
            reader.await.unwrap();
        }
        let cost = threads().saturating_sub(before);
        assert!(cost <= MOST_THREADS, "{cost} threads");
    })
    .await;
}

/// Of two consumers, a plain writer and one for questions, where one node is all there is, and of other tests
/// that run at the same time.
const MOST_THREADS: usize = 60;

/// Threads of librdkafka's in this program.
fn threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("rdk:")).count()
}
