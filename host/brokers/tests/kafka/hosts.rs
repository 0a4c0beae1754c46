//! Several hosts of one identity, and hosts and nodes that die or sleep in the middle of something.
//!
//! A child (this very test binary, started again) commits numbers in their order and says which are
//! committed. Whatever happens to it: what is in the output is every number up to the position, once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{
    Append, Broker, BrokerError, Commit, CommitOutcome, Opened, Output, ShardId, TopicRef,
    TopicSpec,
};
use host_events::Incarnation;
use kafka_node::{Node, Setup};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::battery::{at_least, bounded, commit_of, position, record, settings, token};
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

/// Two hosts, each with one of the two lanes, and the shards that each holds: first a's, then b's.
pub struct Two {
    pub options: KafkaOptions,
    pub a: Arc<dyn Broker>,
    pub b: Arc<dyn Broker>,
    pub held: [Vec<(ShardId, Opened)>; 2],
}

impl Two {
    pub async fn share_lanes(options: KafkaOptions) -> Self {
        let a = open(&host(&options, "a")).await;
        let ids: Vec<_> = (0..8).map(shard).collect();
        for id in &ids {
            open_at_last(&a, *id).await;
        }
        let b = open(&host(&options, "b")).await;
        let mut of_b = Vec::new();
        while of_b.is_empty() {
            for id in &ids {
                of_b.extend(b.open(*id).await.ok().map(|opened| (*id, opened)));
            }
        }
        let mut of_a = Vec::new();
        for id in ids.iter().filter(|id| of_b.iter().all(|(other, _)| other != *id)) {
            of_a.push((*id, open_at_last(&a, *id).await));
        }
        assert!(!of_a.is_empty(), "b has all");
        Self { options, a, b, held: [of_a, of_b] }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_is_forgotten_also_in_lanes_of_another_host() {
    bounded(async {
        let place = OnKafka::new();
        let Two { options, a, b, mut held } = Two::share_lanes(place.options()).await;
        let spared = ShardId { processor: Uuid::from_u128(8), shard: 0 };
        for (id, opened) in held.iter_mut().flatten() {
            let commit = commit_of(position(FLOW, id.shard, 1));
            let state = vec![("k".into(), Some("v".into()))];
            let outcome = opened.fence.begin().commit(Commit { state, ..commit }).await;
            assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        }
        let holder = if b.open(spared).await.is_ok() { &b } else { &a };
        let mut opened = open_at_last(holder, spared).await;
        let outcome = opened.fence.begin().commit(commit_of(position(FLOW, 0, 9))).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        // What the other host holds it goes on with.
        a.forget(shard(0).processor).await.unwrap();
        let outcome = opened.fence.begin().commit(commit_of(position(FLOW, 0, 10))).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        drop((held, opened, a, b));
        let broker = open(&options).await;
        for id in (0..8).map(shard) {
            let opened = open_at_last(&broker, id).await;
            assert!(opened.positions.0.is_empty() && opened.state.is_empty(), "{id:?}");
        }
        let opened = open_at_last(&broker, spared).await;
        assert_eq!(opened.positions, position(FLOW, 0, 10));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_the_lane_of_another_host_fails_with_who_holds_it() {
    bounded(async {
        let place = OnKafka::new();
        let Two { options, a, held, b } = Two::share_lanes(place.options()).await;
        let [_, of_b] = &held;
        let moved = a.reposition(of_b[0].0, position(FLOW, 0, 5), false).await;
        let error = moved.unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
        let words = format!("another host of identity {} holds it, b at 127.", options.identity);
        assert!(error.to_string().contains(&words), "{error}");
        // Of many writers some belong to the other lane.
        let topic = output_topic(&options);
        let spec = TopicSpec { topic, partitions: 1, replication: None, config: settings(&[]) };
        a.create(&spec).await.unwrap();
        let mut told = Vec::new();
        for number in 0..8 {
            let records = vec![(0, record("v"))];
            let token = token(&format!("ann-{number}"), "once");
            let appended = a.append(&spec.topic, Append { records, token }).await;
            told.extend(appended.err().map(|error| error.to_string()));
        }
        assert!(!told.is_empty() && told.len() < 8, "{told:?}");
        assert!(told.iter().all(|error| error.contains(&words)), "{told:?}");
        drop(b);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_forgets_makes_no_topics() {
    bounded(async {
        let place = OnKafka::new();
        let options = place.options();
        let broker = open(&options).await;
        broker.forget(Uuid::from_u128(7)).await.unwrap();
        for what in ["positions", "state"] {
            let topic = TopicRef::new(format!("_fnaa.{}.{what}", options.identity), FLOW);
            let found = broker.describe(&topic).await;
            assert!(matches!(found, Err(BrokerError::NotFound(_))), "{found:?}");
        }
    })
    .await;
}

/// Opens many shards at once; what each is told.
async fn open_many(broker: &Arc<dyn Broker>) -> Vec<Result<(), String>> {
    let openings = (0..200).map(|number| async move {
        broker.open(shard(number)).await.map(drop).map_err(|error| error.to_string())
    });
    futures::future::join_all(openings).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_attempt_answers_all_who_wait_for_a_lane_of_a_cluster_that_is_away() {
    bounded(async {
        let node = tokio::task::block_in_place(|| Node::start(Setup::default()));
        let place = OnKafka::new();
        let options = KafkaOptions { servers: node.servers(), ..one_lane(&place) };
        let broker = with_topic(&options).await;
        let mut opened = open_at_last(&broker, shard(0)).await;
        let topic = output_topic(&options);
        assert!(matches!(step(&mut opened, &topic, 1).await, CommitOutcome::Committed));
        node.kill();
        // In turn, each with an attempt of its own, they would take longer than the test may.
        let never_joined = open(&options).await;
        let refused = open_many(&never_joined).await;
        assert!(refused.iter().all(Result::is_err));
        // The lane is given up, and has to be taken over again.
        broker.close().await;
        let refused = open_many(&broker).await;
        let first = refused[0].as_ref().unwrap_err();
        assert!(refused.iter().all(|told| told.as_ref().err() == Some(first)), "{refused:?}");
        tokio::task::block_in_place(|| node.restart());
        let opened = open_at_last(&broker, shard(0)).await;
        assert_eq!(stands_at(&opened), 1);
    })
    .await;
}
