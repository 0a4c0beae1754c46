//! A network that says nothing for longer than a record, or a whole transaction, may take, and one that is slow.

use std::sync::Arc;
use std::time::Duration;

use host_brokers::{Broker, BrokerError, CommitOutcome, Opened, Output, ShardId, TopicRef};
use host_events::{Incarnation, Position, Record};
use kafka_node::{Node, Proxy, Setup};
use uuid::Uuid;

use crate::battery::{at_least, bounded, commit_of, position, record, shard, topic, topic_with};
use crate::lanes::{commit, one_lane, open};
use crate::place::OnKafka;

/// A node of a test's own, and the network to it.
fn behind() -> (Arc<Proxy>, Node) {
    tokio::task::block_in_place(|| {
        let proxy = Proxy::start();
        let node = Node::start(Setup::default().behind(proxy.address()));
        proxy.forward(node.proxied());
        (Arc::new(proxy), node)
    })
}

/// Carries numbers from an input to a topic, and begins again from what is true whenever something goes
/// wrong, as a processor does.
struct Carrier {
    broker: Arc<dyn Broker>,
    topic: TopicRef,
    input: Incarnation,
    shard: ShardId,
    opened: Option<Opened>,
    next: u64,
    refused: Vec<String>,
}

/// Numbers of one commit, and bytes of each: together they are on their way for some seconds.
const NUMBERS: u64 = 40;
const SIZE: usize = 50_000;

/// Bytes a second, and how long each piece takes.
const RATE: u64 = 1_000_000;
const DELAY: Duration = Duration::from_millis(1);

impl Carrier {
    async fn step(&mut self) {
        let Some(opened) = &mut self.opened else {
            match self.broker.open(self.shard).await {
                Ok(opened) => {
                    self.next = opened.positions.get(self.input, 0).unwrap_or(0);
                    self.opened = Some(opened);
                }
                Err(error) => self.refused.push(error.to_string()),
            }
            return;
        };
        let next = self.next + NUMBERS;
        let records = (self.next..next).map(large).collect();
        let outputs = vec![Output { topic: self.topic.clone(), partition: 0, records }];
        match commit(opened, outputs, commit_of(position(self.input, 0, next))).await {
            CommitOutcome::Committed => self.next = next,
            other => {
                self.refused.push(format!("{other:?}"));
                self.opened = None;
            }
        }
    }

    async fn until(&mut self, next: u64) {
        while self.next < next {
            self.step().await;
        }
    }
}

/// A number and much that does not compress.
fn large(number: u64) -> Record {
    let mut noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letters = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        char::from(b'!' + (noise % 94) as u8)
    };
    record(format!("{number} {}", (0..SIZE).map(|_| letters()).collect::<String>()))
}

/// A network that falls silent in the middle of a transaction, for so many seconds.
async fn silent_for(seconds: u64) {
    let (proxy, node) = behind();
    let place = OnKafka::at(&proxy.address().to_string());
    let broker = open(&one_lane(&place)).await;
    let topic = topic(&broker, "a", 1).await;
    let input = Incarnation(Uuid::new_v4());
    let (shard, refused) = (shard(0), Vec::new());
    let mut carrier = Carrier { broker, topic, input, shard, opened: None, next: 0, refused };
    carrier.until(NUMBERS).await;
    proxy.slow(DELAY, RATE);
    let network = Arc::clone(&proxy);
    let silence = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        network.silence();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        network.heal();
    });
    carrier.until(3 * NUMBERS).await;
    silence.await.unwrap();
    assert!(!carrier.refused.is_empty(), "the silence was not noticed");
    println!("{seconds} s: {:?}", carrier.refused);
    carrier.until(5 * NUMBERS).await;
    let other = open(&OnKafka::at(&node.servers()).options()).await;
    let seen = at_least(&other, &carrier.topic, 0, 5 * NUMBERS as usize).await;
    let seen: Vec<_> = seen.iter().map(|value| value.split(' ').next().unwrap()).collect();
    let wanted: Vec<_> = (0..5 * NUMBERS).map(|number| number.to_string()).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_time_out_in_a_transaction_are_made_again_without_loss_or_repeat() {
    bounded(silent_for(12)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_times_out_is_made_again_without_loss_or_repeat() {
    bounded(silent_for(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_cannot_be_written_in_time_is_refused_as_too_much_and_a_smaller_one_goes_on()
{
    bounded(async {
        let (proxy, node) = behind();
        let place = OnKafka::at(&proxy.address().to_string());
        let broker = open(&one_lane(&place)).await;
        let topic = topic_with(&broker, "small", 1, &[("max.message.bytes", "2000")]).await;
        let mut opened = broker.open(shard(0)).await.unwrap();
        // Each of them needs a request of its own.
        proxy.slow(Duration::from_millis(20), 10_000_000);
        let records = |count: usize| {
            let records = (0..count).map(|n| record(format!("{n} {}", "x".repeat(1500))));
            vec![Output { topic: topic.clone(), partition: 0, records: records.collect() }]
        };
        let outcome = commit(&mut opened, records(1000), commit_of(Position::default())).await;
        assert!(matches!(outcome, CommitOutcome::Aborted(BrokerError::TooMuch(_))), "{outcome:?}");
        let mut opened = broker.open(shard(0)).await.unwrap();
        let outcome = commit(&mut opened, records(20), commit_of(Position::default())).await;
        assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
        let other = open(&OnKafka::at(&node.servers()).options()).await;
        assert_eq!(at_least(&other, &topic, 0, 20).await.len(), 20);
    })
    .await;
}
