//! Several hosts of one identity, and hosts and nodes that die or sleep in the middle of something.
//!
//! A child (this very test binary, started again) commits numbers in their order and says which are
//! committed. Whatever happens to it: what is in the output is every number up to the position, once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{Broker, Commit, CommitOutcome, Opened, Output, ShardId, TopicRef, TopicSpec};
use host_events::Incarnation;
use kafka_node::{Node, Setup};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::battery::{at_least, bounded, commit_of, position, record, settings};
use crate::place::OnKafka;

const CHILD: &str = "FLOW_LANES_TEST";
const FLOW: Incarnation = Incarnation(Uuid::from_u128(11));

fn shard(number: u32) -> ShardId {
    ShardId { processor: Uuid::from_u128(7), shard: number }
}

fn output_topic(options: &KafkaOptions) -> TopicRef {
    TopicRef::new(format!("out-{}", options.identity), FLOW)
}

async fn open(options: &KafkaOptions) -> Arc<dyn Broker> {
    Arc::new(Kafka::open(options.clone()).await.unwrap())
}

/// A host of the identity, by its name.
fn host(options: &KafkaOptions, instance: &str) -> KafkaOptions {
    KafkaOptions { instance: instance.to_owned(), ..options.clone() }
}

async fn with_topic(options: &KafkaOptions) -> Arc<dyn Broker> {
    let broker = open(&host(options, "looks on")).await;
    let topic = output_topic(options);
    let spec = TopicSpec { topic, partitions: 1, replication: None, config: settings(&[]) };
    broker.create(&spec).await.unwrap();
    broker
}

/// Commits the next number.
async fn step(opened: &mut Opened, topic: &TopicRef, next: u64) -> CommitOutcome {
    let mut transaction = opened.fence.begin();
    let records = (0..3).map(|part| record(format!("{next}.{part}"))).collect();
    let output = Output { topic: topic.clone(), partition: 0, records };
    if let Err(error) = transaction.send(vec![output]).await {
        return CommitOutcome::Aborted(error);
    }
    let state = vec![("n".into(), Some(next.to_string().into()))];
    transaction.commit(Commit { state, ..commit_of(position(FLOW, 0, next)) }).await
}

fn stands_at(opened: &Opened) -> u64 {
    let at = opened.positions.get(FLOW, 0).unwrap_or(0);
    let state =
        opened.state.get(&b"n"[..]).map_or("0", |state| std::str::from_utf8(state).unwrap());
    assert_eq!(state, at.to_string(), "position and state disagree");
    at
}

/// Opens until it goes well.
async fn open_at_last(broker: &Arc<dyn Broker>, id: ShardId) -> Opened {
    loop {
        match broker.open(id).await {
            Ok(opened) => return opened,
            Err(error) => {
                // Seen where a test fails.
                eprintln!("{id:?}: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// All numbers up to the position are in the output once, in their order.
async fn all_once(broker: &Arc<dyn Broker>, topic: &TopicRef, position: u64) {
    let expected: Vec<_> =
        (1..=position).flat_map(|next| (0..3).map(move |part| format!("{next}.{part}"))).collect();
    assert_eq!(at_least(broker, topic, 0, expected.len()).await, expected);
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nsays {line}").unwrap();
    out.flush().unwrap();
}

/// What the child does until it is killed. Not a test by itself.
#[test]
#[ignore = "the parent starts it"]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let [servers, identity, instance, cache] = told.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{told}");
    };
    let mut options = KafkaOptions::new("k", servers, identity, cache);
    (options.instance, options.lanes) = (instance.to_owned(), 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (broker, topic) = (open(&options).await, output_topic(&options));
        loop {
            let mut opened = open_at_last(&broker, shard(0)).await;
            for next in stands_at(&opened) + 1.. {
                match step(&mut opened, &topic, next).await {
                    CommitOutcome::Committed => say(&next.to_string()),
                    other => {
                        say(&format!("lost {other:?}"));
                        break;
                    }
                }
            }
        }
    });
}

/// A child, and what it says: taken out by a thread of its own, so that it never waits for its parent, and
/// the parent can give up waiting for it.
struct Host {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Host {
    fn start(options: &KafkaOptions) -> Self {
        let KafkaOptions { servers, identity, instance, .. } = options;
        let told = format!("{servers} {identity} {instance} {}", options.cache_dir.display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hosts::child", "--ignored", "--nocapture"])
            .env(CHILD, told)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        // More than a child says while a test looks elsewhere.
        let (sender, said) = mpsc::channel(100_000);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix("says ")
                    && sender.blocking_send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { child, said }
    }

    async fn next(&mut self) -> String {
        self.said.recv().await.expect("the child ended by itself")
    }

    /// The last number of so many commits.
    async fn commits(&mut self, count: usize) -> u64 {
        let (mut last, mut seen) = (0, 0);
        while seen < count {
            if let Ok(number) = self.next().await.parse() {
                (last, seen) = (number, seen + 1);
            }
        }
        last
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn one_lane(place: &OnKafka) -> KafkaOptions {
    KafkaOptions { lanes: 1, ..place.options() }
}

/// Longer than the group waits for a host that says nothing.
const LONGER_THAN_A_SESSION: Duration = Duration::from_secs(13);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_a_host_goes_on_where_it_was() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        let looks = with_topic(&options).await;
        let mut committed = 0;
        for round in 0..4 {
            let mut host = Host::start(&options);
            committed = host.commits(3 + 7 * round).await;
        }
        let broker = open(&options).await;
        let opened = open_at_last(&broker, shard(0)).await;
        let stands = stands_at(&opened);
        assert!(stands >= committed, "committed {committed}, found {stands}");
        all_once(&looks, &output_topic(&options), stands).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_slept_past_its_session_commits_nothing_and_steals_nothing_back() {
    bounded(async {
        let place = OnKafka::new();
        let options = one_lane(&place);
        let looks = with_topic(&options).await;
        let mut sleeper = Host::start(&host(&options, "sleeper"));
        let committed = sleeper.commits(5).await;
        sleeper.signal(Signal::STOP);
        let broker = open(&host(&options, "heir")).await;
        let topic = output_topic(&options);
        let mut opened = open_at_last(&broker, shard(0)).await;
        let mut stands = stands_at(&opened);
        assert!(stands >= committed);
        sleeper.signal(Signal::CONT);
        let begun = Instant::now();
        // The sleeper asks for its lane all the time.
        while begun.elapsed() < LONGER_THAN_A_SESSION {
            stands += 1;
            match step(&mut opened, &topic, stands).await {
                CommitOutcome::Committed => {}
                // On a machine that does much else.
                CommitOutcome::Unknown(error) => {
                    eprintln!("{error}");
                    opened = open_at_last(&broker, shard(0)).await;
                    stands = stands_at(&opened);
                }
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while !sleeper.next().await.starts_with("lost") {}
        drop(sleeper);
        all_once(&looks, &topic, stands).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_one_identity_share_the_lanes_and_inherit_them() {
    bounded(async {
        let place = OnKafka::new();
        let options = place.options();
        let looks = with_topic(&options).await;
        let topic = output_topic(&options);
        let (a, b) = (host(&options, "a"), host(&options, "b"));
        let (broker_a, broker_b) = (open(&a).await, open(&b).await);
        // Of eight shards some are in each of the two lanes.
        let ids: Vec<_> = (0..8).map(shard).collect();
        for id in &ids {
            open_at_last(&broker_a, *id).await;
        }
        // The second host gets one of the lanes, and with it its shards; the first one keeps the others.
        let mut held = Vec::new();
        while held.is_empty() {
            for id in &ids {
                if let Ok(opened) = broker_b.open(*id).await {
                    held.push((*id, opened));
                }
            }
        }
        assert!(held.len() < ids.len());
        let mut kept = Vec::new();
        for id in ids.iter().filter(|id| held.iter().all(|(other, _)| other != *id)) {
            kept.push((*id, open_at_last(&broker_a, *id).await));
        }
        for (index, (id, opened)) in held.iter_mut().chain(&mut kept).enumerate() {
            let mut transaction = opened.fence.begin();
            let records = vec![record(index.to_string())];
            let output = Output { topic: topic.clone(), partition: 0, records };
            transaction.send(vec![output]).await.unwrap();
            let outcome = transaction.commit(commit_of(position(FLOW, id.shard, 1))).await;
            assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        }
        assert_eq!(at_least(&looks, &topic, 0, ids.len()).await.len(), ids.len());
        // Whoever goes is missed after a while, and the other one has all.
        drop((held, broker_b));
        for id in &ids {
            let opened = open_at_last(&broker_a, *id).await;
            assert_eq!(opened.positions, position(FLOW, id.shard, 1));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_or_dies_during_commits_leaves_all_of_each_or_nothing() {
    bounded(async {
        let node = tokio::task::block_in_place(|| Node::start(Setup::default()));
        let place = OnKafka::new();
        let options = KafkaOptions { servers: node.servers(), ..one_lane(&place) };
        let looks = with_topic(&options).await;
        let mut host = Host::start(&options);
        for round in 0..3 {
            host.commits(10).await;
            // Whatever the host is in the middle of.
            if round % 2 == 0 {
                node.pause();
                tokio::time::sleep(Duration::from_secs(2)).await;
                node.resume();
            } else {
                tokio::task::block_in_place(|| {
                    node.kill();
                    node.restart();
                });
            }
        }
        let committed = host.commits(10).await;
        drop(host);
        let broker = open(&options).await;
        let opened = open_at_last(&broker, shard(0)).await;
        let stands = stands_at(&opened);
        assert!(stands >= committed, "committed {committed}, found {stands}");
        all_once(&looks, &output_topic(&options), stands).await;
    })
    .await;
}
