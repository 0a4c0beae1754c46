//! What becomes of positions when somebody takes the lanes' own topics away, makes them again, or makes them
//! larger: an error that names the topic, and never a silent beginning.

use std::sync::Arc;
use std::time::Duration;

use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{Broker, BrokerError, CommitOutcome, Opened, ShardId, TopicChange, TopicRef};
use host_events::{Incarnation, Position};
use rdkafka::producer::BaseRecord;
use tempfile::TempDir;
use uuid::Uuid;

use crate::battery::{bounded, commit_of, position, settings, shard};
use crate::place::OnKafka;
use crate::raw::{self, Writer};

const FLOW: Incarnation = Incarnation(Uuid::from_u128(11));
const TOPICS: [&str; 2] = ["positions", "state"];

async fn open(options: &KafkaOptions) -> Arc<dyn Broker> {
    Arc::new(Kafka::open(options.clone()).await.unwrap())
}

/// The same host on another machine: it remembers nothing.
fn elsewhere(options: &KafkaOptions, dir: &TempDir) -> KafkaOptions {
    KafkaOptions { cache_dir: dir.path().to_owned(), ..options.clone() }
}

fn own(options: &KafkaOptions, what: &str) -> TopicRef {
    TopicRef::new(format!("_fnaa.{}.{what}", options.identity), Incarnation(Uuid::nil()))
}

async fn stand(opened: &mut Opened, at: u64) -> CommitOutcome {
    opened.fence.begin().commit(commit_of(position(FLOW, 0, at))).await
}

/// A host that has committed a position, and is gone.
async fn has_run(options: &KafkaOptions) -> ShardId {
    let (broker, id) = (open(options).await, shard(0));
    let mut opened = broker.open(id).await.unwrap();
    let outcome = stand(&mut opened, 3).await;
    assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
    id
}

async fn ends(broker: &Arc<dyn Broker>, options: &KafkaOptions) -> Vec<u64> {
    let mut ends = Vec::new();
    for what in TOPICS {
        let partitions = broker.describe(&own(options, what)).await.unwrap().partitions;
        ends.extend(partitions.iter().map(|one| one.latest));
    }
    ends
}

async fn refused(options: &KafkaOptions, id: ShardId) -> BrokerError {
    open(options).await.open(id).await.err().expect("it begins silently")
}

/// Deletes a topic of the lanes and makes it again with as many partitions.
async fn make_again(broker: &Arc<dyn Broker>, options: &KafkaOptions, what: &str) {
    let topic = own(options, what);
    broker.delete(&topic).await.unwrap();
    let config = settings(&[("cleanup.policy", "compact")]);
    let partitions = options.lanes;
    let spec = host_brokers::TopicSpec { topic, partitions, replication: None, config };
    broker.create(&spec).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_lanes_that_gained_partitions_are_refused_and_nothing_is_written() {
    bounded(async {
        for grown in [&TOPICS[..], &TOPICS[..1], &TOPICS[1..]] {
            let (place, new) = (OnKafka::new(), TempDir::new().unwrap());
            let options = place.options();
            let id = has_run(&options).await;
            let other = open(&OnKafka::new().options()).await;
            for what in grown {
                let change = TopicChange { partitions: Some(3), ..TopicChange::default() };
                other.update(&own(&options, what), &change).await.unwrap();
            }
            let before = ends(&other, &options).await;
            for options in [options.clone(), elsewhere(&options, &new)] {
                let error = refused(&options, id).await;
                let (words, name) = (error.to_string(), own(&options, grown[0]).topic);
                assert!(matches!(error, BrokerError::Invalid(_)), "{words}");
                let cause = "it has 3 partitions, and 2 lanes were begun in it";
                assert!(words.contains(&format!("broker k: topic {name}: {cause}")), "{words}");
                assert!(words.contains("docs/operators.md"), "{words}");
            }
            assert_eq!(ends(&other, &options).await, before);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_lies_in_another_lane_is_damaged() {
    bounded(async {
        let place = OnKafka::new();
        let options = place.options();
        let id = has_run(&options).await;
        let topic = own(&options, "positions").topic;
        let writer = Writer::new(&options.servers);
        let key = format!("{}/{}", id.processor, id.shard);
        for partition in 0..2 {
            let value = r#"{"v":1,"digest":null,"positions":[]}"#;
            let record = BaseRecord::<str, str>::to(&topic).partition(partition);
            writer.send(record.key(&key).payload(value));
        }
        writer.flush();
        let broker = open(&options).await;
        let mut told = Vec::new();
        for number in 0..24 {
            // Some of these are in the lane that the record is not for.
            let id = ShardId { shard: number, ..id };
            told.extend(broker.open(id).await.err().map(|error| error.to_string()));
        }
        let words = told.first().expect("nobody looks");
        assert!(words.contains(&format!("topic {topic}: partition ")), "{words}");
        assert!(words.contains("it belongs to lane "), "{words}");
        assert!(told.len() < 24, "the lane that it belongs to is sound");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_topics_are_made_again_stops_and_says_so() {
    bounded(async {
        for again in [&TOPICS[..], &TOPICS[..1], &TOPICS[1..]] {
            let (place, new) = (OnKafka::new(), TempDir::new().unwrap());
            let options = KafkaOptions { lanes: 1, ..place.options() };
            let (broker, id) = (open(&options).await, shard(0));
            let mut opened = broker.open(id).await.unwrap();
            let (mut at, other) = (1, open(&OnKafka::new().options()).await);
            let outcome = stand(&mut opened, at).await;
            assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
            for what in again {
                make_again(&other, &options, what).await;
            }
            let error = loop {
                at += 1;
                let outcome = stand(&mut opened, at).await;
                if matches!(outcome, CommitOutcome::Committed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                match broker.open(id).await {
                    Ok(again) => opened = again,
                    Err(error) if error.to_string().contains("another life") => break error,
                    // While the topics are made anew.
                    Err(_) => continue,
                }
                let stands = opened.positions.get(FLOW, 0);
                assert!(stands.is_some(), "begins anew in silence");
                at = stands.unwrap();
            };
            let name = own(&options, again[0]).topic;
            let words = error.to_string();
            assert!(words.contains(&format!("broker k: topic {name}: another life")), "{words}");
            assert!(matches!(error, BrokerError::Damaged(_)), "{words}");
            // Nor does it begin in them later; or one that remembers nothing, where one of two tells it.
            drop((opened, broker));
            let mut hosts = vec![options.clone()];
            hosts.extend((again.len() == 1).then(|| elsewhere(&options, &new)));
            for options in hosts {
                let error = refused(&options, id).await;
                assert!(matches!(error, BrokerError::Damaged(_)), "{error}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_has_run_makes_no_topics_in_place_of_those_that_are_gone() {
    bounded(async {
        for gone in [&TOPICS[..], &TOPICS[..1], &TOPICS[1..]] {
            let (place, new) = (OnKafka::new(), TempDir::new().unwrap());
            let options = place.options();
            let id = has_run(&options).await;
            let other = open(&OnKafka::new().options()).await;
            for what in gone {
                other.delete(&own(&options, what)).await.unwrap();
            }
            let name = own(&options, gone[0]).topic;
            let error = refused(&options, id).await;
            assert!(matches!(error, BrokerError::Damaged(_)), "{error}");
            let memory = options.cache_dir.join(format!("lanes.{}.json", options.identity));
            let words = format!("topic {name}: it is not there any more; this host remembers it");
            assert!(error.to_string().contains(&words), "{error}");
            assert!(error.to_string().contains(&*memory.to_string_lossy()), "{error}");
            for what in gone {
                let there = other.describe(&own(&options, what)).await;
                assert!(matches!(there, Err(BrokerError::NotFound(_))), "{there:?}");
            }
            if gone.len() == 1 {
                // The other topic tells it to a host that remembers nothing.
                let error = refused(&elsewhere(&options, &new), id).await;
                assert!(matches!(error, BrokerError::Damaged(_)), "{error}");
                assert!(error.to_string().contains(&format!("topic {name}: ")), "{error}");
                continue;
            }
            // What an operator does who wants to begin anew.
            std::fs::remove_file(memory).unwrap();
            let opened = open(&options).await.open(id).await.unwrap();
            assert_eq!(opened.positions, Position::default());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_begin_at_once_begin_the_same_lanes() {
    bounded(async {
        let place = OnKafka::new();
        let host = |number: u32| KafkaOptions {
            instance: number.to_string(),
            lanes: 1 + number,
            ..place.options()
        };
        let (broker, id) = (open(&OnKafka::new().options()).await, shard(0));
        let brokers = futures::future::join_all((0..3).map(|number| async move {
            let broker = open(&host(number)).await;
            // Only one of them gets the lane; that it is another one's is no damage.
            let opened = broker.open(id).await;
            assert!(!matches!(opened, Err(BrokerError::Damaged(_) | BrokerError::Invalid(_))));
            broker
        }))
        .await;
        let options = place.options();
        let [positions, state] = TOPICS.map(|what| own(&options, what));
        let count = broker.describe(&positions).await.unwrap().partitions.len();
        assert_eq!(broker.describe(&state).await.unwrap().partitions.len(), count);
        drop(brokers);
        open(&options).await;
    })
    .await;
}

/// A topic of the lanes, made by hand.
async fn make(broker: &Arc<dyn Broker>, options: &KafkaOptions, what: &str, largest: &str) {
    let config = settings(&[("cleanup.policy", "compact"), ("max.message.bytes", largest)]);
    let (topic, partitions) = (own(options, what), options.lanes);
    let spec = host_brokers::TopicSpec { topic, partitions, replication: None, config };
    broker.create(&spec).await.unwrap();
}

async fn set(broker: &Arc<dyn Broker>, topic: &TopicRef, name: &str, value: &str) {
    let change = TopicChange { partitions: None, config: settings(&[(name, value)]) };
    broker.update(topic, &change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_that_was_interrupted_again_and_again_is_gone_on_with() {
    bounded(async {
        let place = OnKafka::new();
        let options = place.options();
        let other = open(&OnKafka::new().options()).await;
        make(&other, &options, "positions", "1000000").await;
        // No mark fits into this one.
        make(&other, &options, "state", "20").await;
        for _ in 0..4 {
            let error = refused(&options, shard(0)).await;
            assert!(!matches!(error, BrokerError::Damaged(_)), "{error}");
        }
        assert_eq!(ends(&other, &options).await, [0, 1, 0, 0], "what is marked is left alone");
        // Hosts that begin at once mark it more than once.
        let writer = Writer::new(&options.servers);
        let topic = own(&options, "positions").topic;
        let mark = |lane: i32| {
            let value =
                format!(r#"{{"v":1,"lanes":2,"lane":{lane},"positions":null,"state":null}}"#);
            writer.send(BaseRecord::to(&topic).partition(lane).key("lane").payload(&value));
            writer.flush();
        };
        for lane in [1, 1, 1, 0] {
            mark(lane);
            let error = refused(&options, shard(0)).await;
            assert!(!matches!(error, BrokerError::Damaged(_)), "{error}");
        }
        set(&other, &own(&options, "state"), "max.message.bytes", "1000000").await;
        let broker = open(&options).await;
        // Until the partitions have heard of it.
        while let Err(error) = broker.open(shard(0)).await {
            assert!(!matches!(error, BrokerError::Damaged(_)), "{error}");
        }
        for number in 0..8 {
            broker.open(shard(number)).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_do_not_begin_where_somebody_has_committed_a_record() {
    bounded(async {
        for what in TOPICS {
            let place = OnKafka::new();
            let options = place.options();
            let other = open(&OnKafka::new().options()).await;
            for what in TOPICS {
                make(&other, &options, what, "1000000").await;
            }
            let topic = own(&options, what).topic;
            tokio::task::block_in_place(|| {
                let writer = Writer::transactional(&options.servers, &topic);
                writer.begin();
                writer.send(BaseRecord::to(&topic).partition(1).key("k").payload("of somebody"));
                writer.commit();
            });
            let before = ends(&other, &options).await;
            let error = refused(&options, shard(0)).await;
            assert!(matches!(error, BrokerError::Damaged(_)), "{error}");
            let words = format!("topic {topic}: partition 1: it has records");
            assert!(error.to_string().contains(&words), "{error}");
            assert_eq!(ends(&other, &options).await, before);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_topic_that_was_emptied_is_not_begun_anew() {
    bounded(async {
        let other = open(&OnKafka::new().options()).await;
        // Until nothing was committed to lane 0.
        let (place, id) = loop {
            let place = OnKafka::new();
            let id = has_run(&place.options()).await;
            if ends(&other, &place.options()).await[0] == 1 {
                break (place, id);
            }
        };
        let (options, new) = (place.options(), TempDir::new().unwrap());
        let state = own(&options, "state");
        set(&other, &state, "cleanup.policy", "delete").await;
        raw::empty(&options.servers, &state.topic, 2).await;
        set(&other, &state, "cleanup.policy", "compact").await;
        let before = ends(&other, &options).await;
        for options in [options.clone(), elsewhere(&options, &new)] {
            let error = loop {
                match refused(&options, id).await {
                    // Until the node has heard how it is cleaned.
                    BrokerError::Invalid(_) => {}
                    error => break error,
                }
            };
            assert!(matches!(error, BrokerError::Damaged(_)), "{error}");
            let words = format!("topic {}: partition 0: it was emptied", state.topic);
            assert!(error.to_string().contains(&words), "{error}");
        }
        assert_eq!(ends(&other, &options).await, before);
    })
    .await;
}
