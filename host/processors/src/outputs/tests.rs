use bytes::Bytes;
use host_brokers::TopicRef;
use host_brokers::embedded::{Embedded, EmbeddedOptions};
use host_events::{Incarnation, Stored};

use super::*;

/// An output with so many partitions. The broker behind it is never asked.
async fn endpoint(dir: &tempfile::TempDir, partitions: u32) -> Endpoint {
    let broker = Embedded::open(dir.path(), EmbeddedOptions::default()).await.unwrap();
    let topic = TopicRef::new("out", Incarnation(uuid::Uuid::nil()));
    Endpoint { name: "out".into(), topic, partitions, broker, paused: false, aside: false }
}

fn batch(partition: u32, keys: &[Option<&'static str>]) -> Batch {
    let record = |key: &Option<&'static str>| Record {
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        ..Record::default()
    };
    let records = keys.iter().zip(0..).map(|(key, offset)| Stored { offset, record: record(key) });
    let records: Arc<[Stored]> = records.collect();
    Batch { flow: Incarnation(uuid::Uuid::nil()), partition, records, next: keys.len() as u64 }
}

fn partitions(outputs: Outputs) -> Vec<(u32, usize)> {
    let inside = outputs.into_ready().inside;
    inside.iter().map(|piece| (piece.partition, piece.records.len())).collect()
}

fn route(endpoints: &[Endpoint], shard: u32) -> Route<'_> {
    let scene = Scene {
        processor: "p.n",
        kind: "bridge",
        version: "1.0.0",
        digest: "d",
        flow: "in.n",
        partition: shard,
    };
    Route { endpoints, shard, dead: None, scene, beside: None }
}

#[tokio::test]
async fn a_new_event_keeps_what_stays_beside_the_one_that_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let ends = [endpoint(&dir, 1).await];
    let headers =
        |hosts: &str| [(b"fnaa-trace".as_slice(), Some(hosts.as_bytes()))].into_iter().collect();
    let mut batch = batch(0, &[None]);
    let record = Record { headers: headers("a,b"), ..Record::default() };
    batch.records = [Stored { offset: 0, record }].into();
    // A plugin that writes one of its own writes it in vain.
    let record = Record { headers: headers("x"), ..Record::default() };
    let emitted = vec![Action::Emit { output: 0, key: None, record }];
    let mut outputs = Outputs::default();
    let route = Route { beside: Some(host_events::TRACE), ..route(&ends, 0) };
    outputs.apply(&route, &batch, emitted).unwrap();
    let ready = outputs.into_ready();
    let traces: Vec<_> = ready.inside[0].records[0].headers.iter().collect();
    assert_eq!(traces, [(b"fnaa-trace".as_slice(), Some(b"a,b".as_slice()))]);
}

#[tokio::test]
async fn a_forwarded_record_keeps_its_partition_where_the_output_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let ends = [endpoint(&dir, 4).await];
    let mut outputs = Outputs::default();
    let all = vec![Action::ForwardAll { output: 0 }];
    outputs.apply(&route(&ends, 3), &batch(3, &[Some("a"), None]), all).unwrap();
    assert_eq!((outputs.counts(), partitions(outputs)), ((2, 0), vec![(3, 2)]));
}

#[tokio::test]
async fn else_its_key_is_hashed_and_without_a_key_the_shard_decides() {
    let dir = tempfile::tempdir().unwrap();
    let ends = [endpoint(&dir, 2).await];
    let mut outputs = Outputs::default();
    let all = vec![Action::ForwardAll { output: 0 }];
    outputs.apply(&route(&ends, 5), &batch(5, &[Some("foobar"), None]), all).unwrap();
    let hashed = partition_for_key(b"foobar", 2);
    let expected = if hashed == 1 { vec![(1, 2)] } else { vec![(hashed, 1), (1, 1)] };
    assert_eq!(partitions(outputs), expected);
}

#[tokio::test]
async fn a_rewrite_goes_where_its_event_was_and_one_that_sets_the_key_where_that_lies() {
    let dir = tempfile::tempdir().unwrap();
    let ends = [endpoint(&dir, 64).await];
    let hashed = partition_for_key(b"foobar", 64);
    let here = hashed + 1;
    for (keyed, partition) in [(false, here), (true, hashed)] {
        let record = batch(0, &[Some("foobar")]).records[0].record.clone();
        let rewritten = vec![Action::Rewrite { output: 0, index: 0, record, keyed }];
        let mut outputs = Outputs::default();
        // Also one that had it before: all of a key lie together behind a plugin that sets it.
        let events = batch(here, &[Some("foobar")]);
        outputs.apply(&route(&ends, here), &events, rewritten).unwrap();
        assert_eq!(partitions(outputs), [(partition, 1)], "{keyed}");
    }
}

#[tokio::test]
async fn a_dead_letter_lies_in_its_shards_partition_and_counts_apart() {
    let dir = tempfile::tempdir().unwrap();
    let output = endpoint(&dir, 1).await;
    let ends = [output.clone(), Endpoint { partitions: 4, ..output }];
    let letter = vec![Action::DeadLetter { index: 0, reason: "no".into() }];
    let mut outputs = Outputs::default();
    let route = Route { dead: Some(&ends[1]), ..route(&ends[..1], 6) };
    outputs.apply(&route, &batch(6, &[None]), letter).unwrap();
    assert_eq!((outputs.counts(), partitions(outputs)), ((0, 1), vec![(2, 1)]));
}

#[tokio::test]
async fn what_lies_aside_is_one_append_for_each_topic_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let output = endpoint(&dir, 2).await;
    let ends = [Endpoint { aside: true, ..output.clone() }, output];
    let (mut outputs, mut later) = (Outputs::default(), Outputs::default());
    for (outputs, partition) in [(&mut outputs, 1), (&mut later, 0)] {
        for output in [0, 1] {
            let all = vec![Action::ForwardAll { output }];
            let batch = batch(partition, &[Some("a"), None]);
            outputs.apply(&route(&ends, 0), &batch, all).unwrap();
        }
    }
    outputs.absorb(later);
    assert_eq!((outputs.counts(), outputs.largest()), ((8, 0), 1));
    let ready = outputs.into_ready();
    assert_eq!((ready.inside.len(), ready.aside.len()), (2, 1));
    let aside: Vec<_> = ready.aside[0].records.iter().map(|(at, _)| *at).collect();
    assert_eq!(aside, [1, 1, 0, 0]);
}
