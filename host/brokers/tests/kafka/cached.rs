//! What the disk knows of a lane: it saves reading, and changes nothing else, whatever becomes of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{Broker, Commit, CommitOutcome, Opened, ShardId, TopicChange, TopicRef};
use host_events::Incarnation;
use uuid::Uuid;

use crate::battery::{bounded, commit_of, position, settings, token};
use crate::place::OnKafka;
use crate::raw::Writer;

const FLOW: Incarnation = Incarnation(Uuid::from_u128(11));
const ID: ShardId = ShardId { processor: Uuid::from_u128(7), shard: 0 };

/// More records than a take-over reads for nothing.
const MANY: u32 = 12_000;

fn one_lane(place: &OnKafka) -> KafkaOptions {
    KafkaOptions { lanes: 1, ..place.options() }
}

fn file(options: &KafkaOptions) -> PathBuf {
    options.cache_dir.join(format!("lanes.{}.0.cache", options.identity))
}

async fn open(options: &KafkaOptions) -> Kafka {
    Kafka::open(options.clone()).await.unwrap()
}

async fn commit(opened: &mut Opened, at: u64, state: Vec<(Bytes, Option<Bytes>)>) {
    let commit = Commit { state, ..commit_of(position(FLOW, 0, at)) };
    let outcome = opened.fence.begin().commit(commit).await;
    assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
}

fn entry(number: u32) -> (Bytes, Option<Bytes>) {
    (number.to_string().into(), Some(format!("value of {number}").into()))
}

/// A lane that holds much, and a host that was ended in order.
async fn filled(options: &KafkaOptions) {
    let broker = open(options).await;
    let mut opened = broker.open(ID).await.unwrap();
    commit(&mut opened, 1, (0..MANY).map(entry).collect()).await;
    commit(&mut opened, 2, vec![("0".into(), None)]).await;
    broker.close().await;
}

/// Opens, sees that everything is there, and says how many records were read for it.
async fn read(options: &KafkaOptions, at: u64, missing: u32) -> u64 {
    let broker = open(options).await;
    let opened = broker.open(ID).await.unwrap();
    assert_eq!(opened.positions, position(FLOW, 0, at));
    assert_eq!(opened.state.len() as u32, MANY - missing);
    for number in missing..MANY {
        let (key, value) = entry(number);
        assert_eq!(opened.state.get(&key), value.as_ref());
    }
    // What is being written is there then.
    broker.close().await;
    broker.records_recovered()
}

fn is_little(records: u64) -> bool {
    records < 100
}

fn is_all(records: u64) -> bool {
    records > MANY.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_what_the_disk_knows_a_lane_is_taken_over_by_reading_the_rest() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        filled(&options).await;
        let known = std::fs::read(file(&options)).unwrap();
        let records = read(&options, 2, 1).await;
        assert!(is_little(records), "{records}");
        // What came since is in the log: here from one who dies without a word.
        let broker = open(&options).await;
        let mut opened = broker.open(ID).await.unwrap();
        commit(&mut opened, 3, vec![("1".into(), None)]).await;
        drop((opened, broker));
        std::fs::write(file(&options), &known).unwrap();
        let records = read(&options, 3, 2).await;
        assert!(is_little(records), "{records}");
        // Without the file all is read, and what was read is kept at once.
        std::fs::remove_file(file(&options)).unwrap();
        let records = read(&options, 3, 2).await;
        assert!(is_all(records), "{records}");
        let records = read(&options, 3, 2).await;
        assert!(is_little(records), "{records}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_does_not_fit_changes_nothing() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        filled(&options).await;
        let whole = std::fs::read(file(&options)).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let newer = [b"fnaad lane 9\n", &whole[13..]].concat();
        for bad in [&flipped[..], &whole[..whole.len() / 2], &[], &newer] {
            std::fs::write(file(&options), bad).unwrap();
            let records = read(&options, 2, 1).await;
            assert!(is_all(records), "{records}");
        }
        // One of another identity, under the name of ours.
        let other = one_lane(&OnKafka::new());
        let other = KafkaOptions { cache_dir: options.cache_dir.clone(), ..other };
        filled(&other).await;
        std::fs::copy(file(&other), file(&options)).unwrap();
        let records = read(&options, 2, 1).await;
        assert!(is_all(records), "{records}");
        // One that is so old that what was deleted since then may be gone.
        std::fs::write(file(&options), &whole).unwrap();
        let change =
            TopicChange { partitions: None, config: settings(&[("delete.retention.ms", "2")]) };
        let topic = TopicRef::new(format!("_fnaa.{}.state", options.identity), FLOW);
        open(&options).await.update(&topic, &change).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let records = read(&options, 2, 1).await;
        assert!(is_all(records), "{records}");
    })
    .await;
}

/// A lane's file with something else in its header, and the sum that it then has to have.
fn with_header(whole: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    const MAGIC: usize = 13;
    let (magic, rest) = whole.split_at(MAGIC);
    let (len, rest) = rest.split_first_chunk().unwrap();
    let (header, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
    let mut header = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let len = u32::try_from(header.len()).unwrap().to_be_bytes();
    let entries = &rest[..rest.len() - host_store::SUM];
    let file = [magic, &len, &header, entries].concat();
    let sum = host_store::sum_of(&file);
    [&file[..], &sum].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_whole_and_not_of_this_log_changes_nothing() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        filled(&options).await;
        let whole = std::fs::read(file(&options)).unwrap();
        std::fs::write(file(&options), with_header(&whole, |_| {})).unwrap();
        assert!(is_little(read(&options, 2, 1).await), "it is the file that was there");
        let whole = std::fs::read(file(&options)).unwrap();
        // It knows what comes after the end of the log, which was cut.
        let ahead = |topic: &'static str| {
            move |header: &mut serde_json::Value| {
                let end = &mut header["start"]["ends"][topic];
                *end = (end.as_u64().unwrap() + 1_000_000).into();
            }
        };
        // The log was cut and has grown again: the offsets are there, what lies behind them is something else.
        let grown = |header: &mut serde_json::Value| {
            header["start"]["word"] = Uuid::from_u128(1).to_string().into();
        };
        let others = [
            with_header(&whole, ahead("positions")),
            with_header(&whole, ahead("state")),
            with_header(&whole, grown),
        ];
        for other in others {
            std::fs::write(file(&options), other).unwrap();
            let records = read(&options, 2, 1).await;
            assert!(is_all(records), "{records}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_of_the_disk_before_a_lane_was_given_counts_with_all_that_came_until_then() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        filled(&options).await;
        let elsewhere = tempfile::tempdir().unwrap();
        let other = KafkaOptions {
            instance: "other".into(),
            cache_dir: elsewhere.path().to_owned(),
            ..options.clone()
        };
        for entry in std::fs::read_dir(&options.cache_dir).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, elsewhere.path().join(path.file_name().unwrap())).unwrap();
        }
        let (one, other) = (open(&options).await, open(&other).await);
        let mut opened = one.open(ID).await.unwrap();
        // It asks, reads its disk, and does not get the lane.
        let error = other.open(ID).await.err().unwrap();
        assert!(error.to_string().contains("is not this host's"), "{error}");
        commit(&mut opened, 3, vec![("1".into(), None)]).await;
        one.close().await;
        drop((opened, one));
        let opened = loop {
            if let Ok(opened) = other.open(ID).await {
                break opened;
            }
        };
        assert_eq!(opened.positions, position(FLOW, 0, 3));
        assert_eq!((opened.state.len() as u32, opened.state.get(&b"1"[..])), (MANY - 2, None));
        let records = other.records_recovered();
        assert!(is_little(records), "{records}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_fenced_keeps_nothing_on_the_disk() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        let broker = open(&options).await;
        let mut opened = broker.open(ID).await.unwrap();
        commit(&mut opened, 1, vec![]).await;
        let id = format!("fnaa.{}.0", options.identity);
        let heir = tokio::task::block_in_place(|| Writer::transactional(&options.servers, &id));
        broker.close().await;
        assert!(!file(&options).exists());
        drop((opened, broker, heir));
        let broker = open(&options).await;
        let opened = broker.open(ID).await.unwrap();
        assert_eq!(opened.positions, position(FLOW, 0, 1));
        broker.close().await;
        assert!(file(&options).exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_remembered_with_the_rest() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        filled(&options).await;
        let broker: Arc<dyn Broker> = Arc::new(open(&options).await);
        let topic = crate::battery::topic(&broker, "a", 1).await;
        let append = || host_brokers::Append {
            records: vec![(0, crate::battery::record("v"))],
            token: token("ann", "once"),
        };
        assert!(!broker.append(&topic, append()).await.unwrap().repeated);
        std::fs::remove_file(file(&options)).unwrap();
        broker.close().await;
        drop(broker);
        assert!(file(&options).exists());
        // The token lies before what is read: it comes from the file.
        let broker = open(&options).await;
        assert!(broker.append(&topic, append()).await.unwrap().repeated);
        let records = broker.records_recovered();
        assert!(is_little(records), "{records}");
    })
    .await;
}
