//! Commits and appends: what the battery asks, and what several hosts, a killed one, a hanging transaction
//! and damaged records make of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{
    Append, Broker, BrokerError, Commit, CommitOutcome, Opened, Output, TopicChange, TopicRef,
    TopicSpec,
};
use host_events::{Incarnation, Position, Record};
use uuid::Uuid;

use crate::battery::{
    Place, at_least, bounded, commit_of, position, read_until, record, settings, shard, shows,
    topic, topic_with, values,
};
use crate::place::OnKafka;
use crate::raw::Writer;

crate::battery!(@commits OnKafka::new());
crate::battery!(@writes OnKafka::new());
crate::battery_of_outcomes!(outcomes, OnKafka::new());

/// A lane that everybody shares.
pub fn one_lane(place: &OnKafka) -> KafkaOptions {
    KafkaOptions { lanes: 1, ..place.options() }
}

pub async fn open(options: &KafkaOptions) -> Arc<dyn Broker> {
    Arc::new(Kafka::open(options.clone()).await.unwrap())
}

fn output(topic: &TopicRef, value: &str) -> Output {
    Output { topic: topic.clone(), partition: 0, records: vec![record(value.to_owned())] }
}

pub async fn commit(opened: &mut Opened, outputs: Vec<Output>, commit: Commit) -> CommitOutcome {
    let mut transaction = opened.fence.begin();
    if let Err(error) = transaction.send(outputs).await {
        return CommitOutcome::Aborted(error);
    }
    transaction.commit(commit).await
}

/// The name of one of an identity's own topics.
fn own(options: &KafkaOptions, what: &str) -> String {
    format!("_fnaa.{}.{what}", options.identity)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_shard_does_wrong_costs_its_neighbours_nothing() {
    bounded(async {
        let place = OnKafka::new();
        let (options, other) = (one_lane(&place), OnKafka::new().options());
        let (broker, other) = (open(&options).await, open(&other).await);
        let (sound, small) = (topic(&broker, "sound", 1).await, topic(&broker, "small", 1).await);
        let (gone, again) = (topic(&broker, "gone", 1).await, topic(&broker, "again", 1).await);
        let mut shards = Vec::new();
        for number in 0..40 {
            let outlet = [&sound, &small, &gone, &again][number as usize % 4].clone();
            let mut opened = broker.open(shard(number)).await.unwrap();
            let first =
                commit(&mut opened, vec![output(&outlet, "first")], Commit::default()).await;
            assert!(matches!(first, CommitOutcome::Committed), "{first:?}");
            shards.push((outlet, opened));
        }
        // Behind this host's back.
        let smaller = settings(&[("max.message.bytes", "200")]);
        other
            .update(&small, &TopicChange { config: smaller, ..TopicChange::default() })
            .await
            .unwrap();
        for topic in [&gone, &again] {
            other.delete(topic).await.unwrap();
        }
        other.create(&spec_of(&again)).await.unwrap();
        let second = shards.into_iter().map(|(outlet, mut opened)| async move {
            let value = "second".repeat(100);
            let position = position(outlet.incarnation, 0, 1);
            let outcome =
                commit(&mut opened, vec![output(&outlet, &value)], commit_of(position)).await;
            (outlet, outcome)
        });
        for (outlet, outcome) in futures::future::join_all(second).await {
            let is_so = match &outcome {
                CommitOutcome::Committed => outlet == sound,
                CommitOutcome::Aborted(BrokerError::TooLarge { size: 600, limit: 200 }) => {
                    outlet == small
                }
                CommitOutcome::Aborted(BrokerError::NotFound(_)) => {
                    outlet == gone || outlet == again
                }
                _ => false,
            };
            assert!(is_so, "{}: {outcome:?}", outlet.topic);
        }
        assert_eq!(at_least(&broker, &sound, 0, 20).await.len(), 20);
        assert_eq!(at_least(&broker, &small, 0, 10).await.len(), 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_outputs_to_one_partition_the_refused_one_is_named_at_the_second_try_at_latest()
{
    bounded(async {
        let place = OnKafka::new();
        let (options, other) = (one_lane(&place), OnKafka::new().options());
        let (broker, other) = (open(&options).await, open(&other).await);
        let small = topic(&broker, "small", 1).await;
        let mut opened = broker.open(shard(0)).await.unwrap();
        let first = commit(&mut opened, vec![output(&small, "first")], Commit::default()).await;
        assert!(matches!(first, CommitOutcome::Committed), "{first:?}");
        // Behind this host's back.
        let config = settings(&[("max.message.bytes", "200")]);
        other.update(&small, &TopicChange { config, ..TopicChange::default() }).await.unwrap();
        let mut outcomes = Vec::new();
        let shard = shard(1);
        for _ in 0..2 {
            let mut opened = broker.open(shard).await.unwrap();
            let outputs = vec![output(&small, "fits"), output(&small, &"large".repeat(100))];
            outcomes.push(commit(&mut opened, outputs, Commit::default()).await);
        }
        let named = |outcome: &CommitOutcome| {
            let large = CommitOutcome::Aborted(BrokerError::TooLarge { size: 500, limit: 200 });
            format!("{outcome:?}") == format!("{large:?}")
        };
        assert!(named(&outcomes[1]), "{outcomes:?}");
    })
    .await;
}

fn spec_of(topic: &TopicRef) -> TopicSpec {
    let topic = TopicRef { id: None, ..topic.clone() };
    TopicSpec { topic, partitions: 1, replication: None, config: settings(&[]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_a_small_limit_gets_many_records_in_one_commit() {
    bounded(async {
        let place = OnKafka::new();
        let broker = open(&one_lane(&place)).await;
        let topic = topic_with(&broker, "small", 1, &[("max.message.bytes", "400")]).await;
        let values: Vec<_> =
            (0..20).map(|number| format!("{number} {}", "x".repeat(100))).collect();
        let records = values.iter().map(|value| record(value.clone())).collect();
        let outputs = vec![Output { topic: topic.clone(), partition: 0, records }];
        let mut opened = broker.open(shard(0)).await.unwrap();
        let outcome = commit(&mut opened, outputs, commit_of(Position::default())).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        assert_eq!(at_least(&broker, &topic, 0, 20).await, values);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_arrive_as_they_were() {
    bounded(async {
        let place = OnKafka::new();
        let broker = open(&one_lane(&place)).await;
        let topic = topic(&broker, "a", 1).await;
        let headers =
            [(&b"h"[..], Some(&b"1"[..])), (b"h", None), (b"\xff", Some(b"")), (b"h", Some(b"1"))];
        let sent: Vec<_> = [(None, None), (Some(""), Some("")), (Some("k"), Some("v"))]
            .into_iter()
            .map(|(key, value)| Record {
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers: headers.into_iter().collect(),
                timestamp: 1_780_000_000_001,
            })
            .collect();
        let append =
            Append { records: sent.iter().map(|one| (0, one.clone())).collect(), token: None };
        broker.append(&topic, append).await.unwrap();
        let mut opened = broker.open(shard(0)).await.unwrap();
        let outputs = vec![Output { topic: topic.clone(), partition: 0, records: sent.clone() }];
        let outcome = commit(&mut opened, outputs, commit_of(Position::default())).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        let mut source = broker.source(&topic, 0, 0).await.unwrap();
        let seen = read_until(source.as_mut(), 6).await;
        let seen: Vec<_> = seen.into_iter().map(|stored| stored.record).collect();
        assert_eq!(seen, [&sent[..], &sent[..]].concat());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_or_newer_record_is_refused_with_its_place_and_the_shard_waits() {
    bounded(async {
        let bad: [(&str, &str, &str, &str); 4] = [
            ("positions", "no shard", "{}", "its key names no shard"),
            (
                "positions",
                "00000000-0000-0000-0000-000000000007/0",
                "{",
                "its value is no list of positions",
            ),
            (
                "positions",
                "00000000-0000-0000-0000-000000000007/0",
                r#"{"v":2}"#,
                "format 2, this host knows up to 1",
            ),
            ("state", "\u{2}s", "x", "format 2, this host knows up to 1"),
        ];
        for (what, key, value, cause) in bad {
            let place = OnKafka::new();
            let options = one_lane(&place);
            let broker = open(&options).await;
            let id = shard(0);
            let mut opened = broker.open(id).await.unwrap();
            let flow = Incarnation(Uuid::new_v4());
            let outcome = commit(&mut opened, vec![], commit_of(position(flow, 0, 3))).await;
            assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
            drop((opened, broker));
            let topic = own(&options, what);
            let writer = Writer::new(&options.servers);
            writer.send(
                rdkafka::producer::BaseRecord::<str, str>::to(&topic)
                    .partition(0)
                    .key(key)
                    .payload(value),
            );
            writer.flush();
            let broker = open(&options).await;
            let error = broker.open(id).await.err().unwrap();
            let words = error.to_string();
            let place = format!("broker k: topic {topic}: partition 0: offset ");
            // A newer one is no damage: there is a host that reads it.
            let is_as_told = match cause.contains("knows up to") {
                true => matches!(error, BrokerError::Unavailable(_)),
                false => matches!(error, BrokerError::Damaged(_)),
            };
            assert!(is_as_told, "{words}");
            assert!(words.contains(&place) && words.contains(cause), "{words}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_hangs_on_an_output_holds_up_no_commit() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        let broker = open(&options).await;
        let topic = topic(&broker, "a", 1).await;
        let id = format!("hanging {}", options.identity);
        let hanging = Writer::transactional(&options.servers, &id);
        hanging.begin();
        hanging.write(&topic.topic, 0, &["theirs"]);
        let mut opened = broker.open(shard(0)).await.unwrap();
        for value in ["1", "2"] {
            let outcome = commit(&mut opened, vec![output(&topic, value)], Commit::default()).await;
            assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        }
        assert_eq!(values(&broker, &topic, 0).await, [""; 0]);
        hanging.abort();
        shows(&broker, &topic, 0, ["1", "2"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_ours_that_is_not_compacted_is_refused_by_name() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        let broker = open(&options).await;
        let topic = TopicRef::new(own(&options, "positions"), Incarnation(Uuid::new_v4()));
        let config = settings(&[]);
        broker
            .create(&TopicSpec { topic, partitions: 1, replication: None, config })
            .await
            .unwrap();
        let error = broker.open(shard(0)).await.err().unwrap();
        assert!(matches!(error, BrokerError::Invalid(_)), "{error}");
        assert!(error.to_string().contains("its cleanup.policy is delete"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_set_once() {
    bounded(async {
        let place = OnKafka::new();
        let options = place.options();
        let broker = open(&options).await;
        let id = shard(0);
        let mut opened = broker.open(id).await.unwrap();
        let flow = Incarnation(Uuid::new_v4());
        let outcome = commit(&mut opened, vec![], commit_of(position(flow, 0, 3))).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        drop((opened, broker));
        let broker = open(&KafkaOptions { lanes: 7, ..options.clone() }).await;
        assert_eq!(broker.open(id).await.unwrap().positions, position(flow, 0, 3));
        let topic = TopicRef::new(own(&options, "positions"), Incarnation(Uuid::nil()));
        assert_eq!(broker.describe(&topic).await.unwrap().partitions.len(), 2);
    })
    .await;
}

/// How long commits take, printed: `cargo test … --test kafka -- --ignored measure --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures and asks nothing"]
async fn measure_commits() {
    bounded(async {
        let place = OnKafka::new();
        let broker = place.open().await;
        let topic = topic(&broker, "a", 4).await;
        let mut opened = broker.open(shard(0)).await.unwrap();
        for pause in [0, 5, 10, 20, 50] {
            let mut took = Vec::new();
            for next in 1..=100_u64 {
                let begun = Instant::now();
                let mut transaction = opened.fence.begin();
                let records = vec![record("x".repeat(1024))];
                let output = Output { topic: topic.clone(), partition: 0, records };
                transaction.send(vec![output]).await.unwrap();
                let commit = commit_of(position(topic.incarnation, 0, pause * 1000 + next));
                let outcome = transaction.commit(commit).await;
                assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
                took.push(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            took.sort();
            println!("pause {pause} ms: p50 {:?} p90 {:?} p99 {:?}", took[50], took[90], took[99]);
        }
    })
    .await;
}
