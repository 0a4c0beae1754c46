//! Commits and appends: what the battery asks, and what several hosts, a killed one, a hanging transaction
//! and damaged records make of them.

use std::time::{Duration, Instant};

use host_brokers::{CommitOutcome, Output};

use crate::battery::{Place, commit_of, position, record, shard, topic};
use crate::place::OnKafka;

crate::battery!(@commits OnKafka::new());
crate::battery!(@writes OnKafka::new());
crate::battery_of_outcomes!(outcomes, OnKafka::new());

/// How long commits take, printed: `cargo test … --test kafka -- --ignored measure --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures and asks nothing"]
async fn measure_commits() {
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
}
