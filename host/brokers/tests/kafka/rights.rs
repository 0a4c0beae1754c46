//! What a cluster with ACLs has to allow: what the table in docs/operators.md says, no more and no less.
//!
//! The table itself is read. A user who may do all of it does everything that a host does; for each right of it
//! there is a user who may do all but that, and what he is told names the broker, the resource and the right.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_brokers::kafka::{Kafka, KafkaOptions, Mechanism, Sasl};
use host_brokers::{
    Append, BatchLimits, Broker, BrokerError, CommitOutcome, Output, ShardId, TopicChange,
    TopicRef, TopicSpec,
};
use host_events::Incarnation;
use kafka_node::{Node, Setup};
use uuid::Uuid;

use crate::battery::{bounded, commit_of, position, record, settings, token};

/// A resource and an operation.
#[derive(Clone, Debug, PartialEq)]
struct Right {
    resource: String,
    operation: String,
}

impl Right {
    fn of(resource: &str, operation: &str) -> Self {
        Self { resource: resource.to_owned(), operation: operation.to_owned() }
    }

    /// As Acls.java takes it, for a user whose identity and topics are called as he is.
    fn acl(&self, user: &str) -> String {
        let pattern = match &*self.resource {
            "topics of flows" => format!("TOPIC/{user}-/PREFIXED"),
            "topics `_fnaa.IDENTITY.` (prefix)" => format!("TOPIC/_fnaa.{user}./PREFIXED"),
            "transactional ids `fnaa.IDENTITY.` (prefix)" => {
                format!("TRANSACTIONAL_ID/fnaa.{user}./PREFIXED")
            }
            "group `fnaa.IDENTITY`" => format!("GROUP/fnaa.{user}/LITERAL"),
            "all groups" => "GROUP/*/LITERAL".to_owned(),
            other => panic!("no resource {other}"),
        };
        let operation = match &*self.operation {
            "DescribeConfigs" => "DESCRIBE_CONFIGS",
            "AlterConfigs" => "ALTER_CONFIGS",
            other => other,
        };
        format!("{user}/{pattern}/{operation}")
    }
}

/// The rows of the table: resource and operations, the first of those that are needed for one thing only.
fn table(heading: &str) -> Vec<Right> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let rest = text.split_once(heading).expect("the heading").1;
    let rows = rest.lines().skip_while(|line| !line.starts_with("|--")).skip(1);
    let mut rights = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let operations = cells[1].split(", ");
        rights.extend(operations.map(|operation| Right::of(cells[0], operation)));
    }
    assert!(rights.len() > 2, "{rights:?}");
    rights
}

const HEADING: &str = "What it needs, where the cluster has ACLs";

/// A node with a user who may do everything of the table (`all`), and for each right one who may do all but that.
fn guarded(rights: &[Right]) -> Node {
    let users: Vec<String> = (0..rights.len()).map(|n| format!("without{n}")).collect();
    let setup =
        users.iter().fold(Setup::default().acls(), |setup, user| setup.user(user, "secret"));
    let node = Node::start(setup.user("all", "secret").user("reader", "secret"));
    let mut acls: Vec<String> = rights.iter().map(|right| right.acl("all")).collect();
    for (without, user) in users.iter().enumerate() {
        let others = rights.iter().enumerate().filter(|(number, _)| *number != without);
        acls.extend(others.map(|(_, right)| right.acl(user)));
    }
    // Who mirrors from here to elsewhere.
    acls.extend(
        ["Read", "DESCRIBE_CONFIGS"].map(|right| format!("reader/TOPIC/all-/PREFIXED/{right}")),
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/Acls.java");
    node.java(source, &acls.iter().map(String::as_str).collect::<Vec<_>>());
    node
}

fn options(node: &Node, user: &str) -> KafkaOptions {
    let (username, password) = (user.to_owned(), "secret".to_owned());
    let sasl = Some(Sasl { mechanism: Mechanism::Plain, username, password });
    let options = KafkaOptions::new("orders", &node.sasl_servers(), user, "");
    KafkaOptions { lanes: 1, sasl, ..options }
}

const FLOW: Incarnation = Incarnation(Uuid::from_u128(3));
const ONE: BatchLimits = BatchLimits { records: 1, bytes: 1000 };

/// Everything that a host does with a flow, and the first thing that does not work.
async fn everything(broker: &Arc<dyn Broker>, user: &str) -> Result<(), BrokerError> {
    let mut topic = TopicRef::new(format!("{user}-a"), FLOW);
    let spec =
        TopicSpec { topic: topic.clone(), partitions: 1, replication: None, config: settings(&[]) };
    topic.id = broker.create(&spec).await?;
    let set = settings(&[("retention.ms", "-1")]);
    broker.update(&topic, &TopicChange { config: set, partitions: None }).await?;
    let grown = TopicChange { partitions: Some(2), ..TopicChange::default() };
    broker.update(&topic, &grown).await?;
    broker.describe(&topic).await?;
    assert_eq!(broker.topics().await?.len(), 1);
    broker.consumers(&topic).await?;
    let records = vec![(0, record("plain"))];
    broker.append(&topic, Append { records: records.clone(), token: None }).await?;
    broker.append(&topic, Append { records, token: token("ann", "once") }).await?;
    broker.offset_at(&topic, 0, 0).await?;
    broker.look(std::slice::from_ref(&topic)).await.remove(0)?;
    let mut source = broker.source(&topic, 0, 0).await?;
    let reading = tokio::time::timeout(Duration::from_secs(60), source.next(ONE)).await;
    reading.expect("a record or an error")?;
    let shard = ShardId { processor: Uuid::from_u128(9), shard: 0 };
    let mut opened = broker.open(shard).await?;
    let mut transaction = opened.fence.begin();
    let records = vec![record("carried")];
    transaction.send(vec![Output { topic: topic.clone(), partition: 1, records }]).await?;
    match transaction.commit(commit_of(position(FLOW, 0, 1))).await {
        CommitOutcome::Committed => {}
        CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error) => return Err(error),
        CommitOutcome::Fenced => panic!("fenced"),
    }
    drop(opened);
    broker.reposition(shard, position(FLOW, 0, 0), true).await?;
    broker.forget(shard.processor).await?;
    broker.purge(&topic).await?;
    broker.delete(&topic).await
}

/// Who mirrors from a cluster needs nothing but to read there, and keeps his connections.
async fn a_reader_asks_again_and_again(node: &Node, owner: &Arc<dyn Broker>) {
    let mut topic = TopicRef::new("all-source", FLOW);
    let spec =
        TopicSpec { topic: topic.clone(), partitions: 1, replication: None, config: settings(&[]) };
    topic.id = owner.create(&spec).await.unwrap();
    let records = vec![(0, record("to be mirrored"))];
    owner.append(&topic, Append { records, token: None }).await.unwrap();
    let (door, came) = door(node.sasl_servers());
    let options = KafkaOptions { servers: door, ..options(node, "reader") };
    let reader: Arc<dyn Broker> = Arc::new(Kafka::open(options).await.unwrap());
    for _ in 0..20 {
        reader.look(std::slice::from_ref(&topic)).await.remove(0).unwrap();
        reader.describe(&topic).await.unwrap();
        assert_eq!(reader.topics().await.unwrap().len(), 1);
    }
    let mut source = reader.source(&topic, 0, 0).await.unwrap();
    assert_eq!(source.next(ONE).await.unwrap().records.len(), 1);
    // One client to ask, and those that read: each comes in by this door once or twice.
    let came = came.load(Ordering::Relaxed);
    assert!(came < 10, "{came} connections for 60 questions");
}

/// A way to a cluster's first node that counts who comes.
fn door(target: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let came = Arc::clone(&count);
    std::thread::spawn(move || {
        for guest in listener.incoming().map_while(Result::ok) {
            came.fetch_add(1, Ordering::Relaxed);
            let Ok(inside) = TcpStream::connect(&target) else { continue };
            let (mut from, mut to) = (guest.try_clone().unwrap(), inside.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (inside, guest);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    (address.to_string(), count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_of_the_table_are_enough_and_each_that_is_missing_is_named() {
    bounded(async {
        let rights = table(HEADING);
        let node = tokio::task::block_in_place(|| guarded(&rights));
        let broker: Arc<dyn Broker> = Arc::new(Kafka::open(options(&node, "all")).await.unwrap());
        everything(&broker, "all").await.unwrap();
        a_reader_asks_again_and_again(&node, &broker).await;
        let each = rights.iter().enumerate().map(|(number, right)| {
            let options = options(&node, &format!("without{number}"));
            async move {
                let user = options.identity.clone();
                let broker: Arc<dyn Broker> = Arc::new(Kafka::open(options).await.unwrap());
                let doing = everything(&broker, &user);
                let told = tokio::time::timeout(Duration::from_secs(100), doing).await;
                (right, user, told)
            }
        });
        let all = futures::future::join_all(each).await;
        for (right, user, told) in all {
            if right.resource == "all groups" {
                told.unwrap().unwrap();
                continue;
            }
            let error = told.expect("an answer in time").expect_err(&format!("{right:?}"));
            let text = error.to_string();
            assert!(text.contains("broker orders") && text.contains(&*user), "{right:?}: {text}");
            assert!(matches!(error, BrokerError::Refused(_)), "{right:?}: {text}");
            assert!(text.contains(&right.operation), "{right:?}: {text}");
        }
    })
    .await;
}
