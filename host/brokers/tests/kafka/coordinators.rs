//! Questions to coordinators of groups that are away: each is answered, and no process ends by one when they are back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use host_brokers::kafka::KafkaOptions;
use host_brokers::{Broker, ShardId, TopicRef};
use kafka_node::{Node, Setup};

use crate::battery::{bounded, eventually, shard, topic};
use crate::hosts::Two;
use crate::place::OnKafka;

/// How long the node is away. Longer than a group keeps a member (10 s), than whoever waits for a lane waits before he asks
/// who has it (2 s), and than any request may take (20 s): what was asked first has ended long before the node is back.
const AWAY: Duration = Duration::from_secs(40);

/// Longer than any question may take.
const ANSWERED: Duration = Duration::from_secs(19);

/// How long a host waits for a lane before it asks who has it.
const ASKED_AFTER: Duration = Duration::from_secs(2);

/// Questions at a time.
const TOGETHER: usize = 4;

/// Has a group read a topic.
fn read_by_a_group(node: &Node, topic: &TopicRef) {
    let args = ["--topic", &*topic.topic, "--group", "readers", "--from-beginning"];
    let args = [&args[..], &["--max-messages", "1", "--timeout-ms", "30000"]].concat();
    tokio::task::block_in_place(|| {
        assert!(node.try_tool("ConsoleProducer", &["--topic", &*topic.topic], b"1\n").ok);
        node.tool("ConsoleConsumer", &args);
    });
}

async fn is_known(broker: &Arc<dyn Broker>, topic: &TopicRef) -> bool {
    let consumers = broker.consumers(topic).await;
    consumers.is_ok_and(|all| all.iter().any(|one| one.group == "readers"))
}

/// How long it took to be told that a shard cannot be had, and why.
async fn refused(broker: &Arc<dyn Broker>, shard: ShardId) -> (Duration, String) {
    let begun = Instant::now();
    let error = broker.open(shard).await.map(drop).unwrap_err();
    (begun.elapsed(), error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_of_coordinators_that_went_away_ends_no_process_when_they_are_back() {
    bounded(async {
        let node = tokio::task::block_in_place(|| Node::start(Setup::default()));
        let place = OnKafka::at(&node.servers());
        let options = KafkaOptions { lanes: 4, ..place.options() };
        let Two { a: broker, b, held: [_, of_b], .. } = Two::share_lanes(options).await;
        let topic = topic(&broker, "a", 1).await;
        read_by_a_group(&node, &topic);
        eventually(|| is_known(&broker, &topic)).await;
        node.kill();
        // Nobody knows yet that it is away when it is asked who has the lanes of the other host.
        let first = of_b.iter().map(|(shard, _)| refused(&broker, *shard));
        for (waited, error) in join_all(first).await {
            assert!(waited > ASKED_AFTER, "it was not asked: {error}");
            assert!(error.contains("broker k: ") && !error.contains("holds it"), "{error}");
        }
        let begun = Instant::now();
        while begun.elapsed() < AWAY {
            let consumers = join_all((0..TOGETHER).map(|_| broker.consumers(&topic)));
            let shards = join_all((1..).take(TOGETHER).map(|number| broker.open(shard(number))));
            let asked = async { tokio::join!(consumers, shards) };
            let (consumers, _) = tokio::time::timeout(ANSWERED, asked).await.expect("an answer");
            for error in consumers.into_iter().map(Result::unwrap_err) {
                assert!(error.to_string().contains("broker k: "), "{error}");
            }
        }
        tokio::task::block_in_place(|| node.restart());
        eventually(|| is_known(&broker, &topic)).await;
        drop((of_b, b));
        eventually(|| async { broker.open(shard(0)).await.is_ok() }).await;
    })
    .await;
}
