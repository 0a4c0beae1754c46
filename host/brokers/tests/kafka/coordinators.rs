//! Questions to coordinators of groups that are away: each is answered, and no process ends by one when they are back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use host_brokers::{Broker, CommitOutcome, TopicRef};
use kafka_node::{Node, Setup};

use crate::battery::{bounded, commit_of, eventually, position, shard, topic};
use crate::lanes::{commit, one_lane, open};
use crate::place::OnKafka;

/// How long the node is away. Longer than a group keeps a member (10 s), than whoever waits for a lane waits before he asks
/// who has it (2 s), and than any request may take (20 s): what was asked first has ended long before the node is back.
const AWAY: Duration = Duration::from_secs(40);

/// Longer than any question may take.
const ANSWERED: Duration = Duration::from_secs(19);

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_of_coordinators_that_went_away_ends_no_process_when_they_are_back() {
    bounded(async {
        let node = tokio::task::block_in_place(|| Node::start(Setup::default()));
        let place = OnKafka::at(&node.servers());
        let broker = open(&one_lane(&place)).await;
        let topic = topic(&broker, "a", 1).await;
        read_by_a_group(&node, &topic);
        eventually(|| is_known(&broker, &topic)).await;
        let mut opened = broker.open(shard(0)).await.unwrap();
        node.kill();
        // Whoever holds a lane asks nobody who has it: a commit that fails gives it up.
        let next = commit_of(position(topic.incarnation, 0, 1));
        let outcome = commit(&mut opened, Vec::new(), next).await;
        assert!(!matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
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
        eventually(|| async { broker.open(shard(0)).await.is_ok() }).await;
    })
    .await;
}
