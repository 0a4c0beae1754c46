//! Topics that are lent: whoever borrows one reads it and nothing else, and nothing any more once it is taken back.

use std::fs;

use host_brokers::kafka::{Kafka, KafkaOptions, Mechanism};
use host_brokers::{Append, BatchLimits, Borrower, Broker, BrokerError, TopicRef};
use kafka_node::{Node, Ran, tool};

use crate::battery::{LIMITS, bounded, eventually, record, spec};
use crate::trouble::{guarded, open, options, sasl};

fn borrower(name: &str, password: &str) -> Borrower {
    Borrower { name: name.to_owned(), password: password.to_owned().into() }
}

/// A topic with one record.
async fn topic(us: &Kafka, name: &str) -> TopicRef {
    let mut wanted = spec(name, 1, &[]);
    wanted.topic.id = us.create(&wanted).await.unwrap();
    let records = vec![(0, record("first"))];
    us.append(&wanted.topic, Append { records, token: None }).await.unwrap();
    wanted.topic
}

fn his(node: &Node, name: &str, password: &str) -> KafkaOptions {
    his_with(node, Mechanism::ScramSha512, name, password)
}

fn his_with(node: &Node, mechanism: Mechanism, name: &str, password: &str) -> KafkaOptions {
    let sasl = sasl(mechanism, name, password);
    KafkaOptions { sasl, ..options(&node.sasl_servers()) }
}

/// One record of a topic, by Kafka's own consumer in a group.
fn consumed(node: &Node, topic: &TopicRef, group: &str, name: &str, password: &str) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("consumer.properties");
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let text = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n\
         sasl.jaas.config={module} required username=\"{name}\" password=\"{password}\";\n"
    );
    fs::write(&file, text).unwrap();
    let servers = node.sasl_servers();
    let args = ["--bootstrap-server", &servers, "--topic", &topic.topic, "--group", group];
    let more = ["--from-beginning", "--max-messages", "1", "--timeout-ms", "60000"];
    let file = ["--consumer.config", file.to_str().unwrap()];
    tokio::task::block_in_place(|| {
        tool("ConsoleConsumer", &[&args[..], &more[..], &file[..]].concat())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_borrows_a_topic_reads_it_and_no_other_in_groups_of_his_own_name() {
    bounded(async {
        let node = guarded();
        let us = Kafka::open(options(&node.servers())).await.unwrap();
        let (lent, other) = (topic(&us, "lent").await, topic(&us, "other").await);
        let name = "id1.time.flows.unix.ar";
        us.lend(&lent.topic, &borrower(name, "first-secret")).await.unwrap();
        let him = open(his(node, name, "first-secret")).await;
        let batch = him.source(&lent, 0, 0).await.unwrap().next(LIMITS).await.unwrap();
        assert_eq!(batch.records.len(), 1);
        assert!(him.look(std::slice::from_ref(&lent)).await.remove(0).is_ok());
        let refused = him.look(std::slice::from_ref(&other)).await.remove(0).unwrap_err();
        assert!(matches!(refused, BrokerError::Refused(_)), "{refused}");
        let append = Append { records: vec![(0, record("his"))], token: None };
        let refused = him.append(&lent, append).await.unwrap_err();
        assert!(matches!(refused, BrokerError::Refused(_)), "{refused}");
        let in_group = |group: String, password| consumed(node, &lent, &group, name, password);
        let ran = in_group(format!("{name}.mine"), "first-secret");
        assert!(ran.ok && ran.out.contains("first"), "{ran:?}");
        let ran = in_group("another".to_owned(), "first-secret");
        assert!(ran.err.contains("GroupAuthorizationException"), "{ran:?}");
        // Who asks again gets another password, and the former one is void.
        us.lend(&lent.topic, &borrower(name, "second-secret")).await.unwrap();
        let ran = in_group(format!("{name}.mine"), "first-secret");
        assert!(ran.err.contains("SaslAuthenticationException"), "{ran:?}");
        let again = open(his(node, name, "second-secret")).await;
        assert!(again.look(std::slice::from_ref(&lent)).await.remove(0).is_ok());
        us.take_back(name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_is_read_by_nobody_any_more_and_leaves_nothing() {
    bounded(async {
        let node = guarded();
        let admin = Kafka::open(options(&node.servers())).await.unwrap();
        let lent = topic(&admin, "back").await;
        // What docs/operators.md says that it takes.
        tokio::task::block_in_place(|| {
            let args = ["--add", "--allow-principal", "User:bob", "--operation", "Alter"];
            node.tool("AclCommand", &[&args[..], &["--cluster"]].concat());
        });
        let us = Kafka::open(his_with(node, Mechanism::ScramSha256, "bob", "secret-of-bob"));
        let us = us.await.unwrap();
        let name = "id2.time.flows.unix.ar";
        us.take_back(name).await.unwrap();
        us.lend(&lent.topic, &borrower(name, "secret")).await.unwrap();
        let him = open(his(node, name, "secret")).await;
        let mut source = him.source(&lent, 0, 0).await.unwrap();
        let one = BatchLimits { records: 1, ..LIMITS };
        source.next(one).await.unwrap();
        us.take_back(name).await.unwrap();
        assert_eq!(admin.rights(&lent.topic).await.unwrap(), []);
        // Who is connected stays so, and is refused whatever he asks for.
        let refused = source.next(one).await.unwrap_err();
        assert!(matches!(refused, BrokerError::Refused(_)), "{refused}");
        eventually(|| async {
            let again = open(his(node, name, "secret")).await;
            matches!(again.look(std::slice::from_ref(&lent)).await.remove(0), Err(BrokerError::Refused(error))
                if error.contains("Authentication failed"))
        })
        .await;
        let listed = tokio::task::block_in_place(|| {
            let users = ["--describe", "--entity-type", "users"];
            node.tool("ConfigCommand", &users) + &node.tool("AclCommand", &["--list"])
        });
        assert!(!listed.contains(name), "{listed}");
        us.take_back(name).await.unwrap();
    })
    .await;
}
