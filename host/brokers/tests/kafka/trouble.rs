//! What goes wrong between this host and a cluster, and what is said of it: broker, topic, cause.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use host_brokers::kafka::{Kafka, KafkaOptions, Mechanism, Right, Sasl, Tls};
use host_brokers::{Broker, BrokerError, TopicSpec};
use kafka_node::{Node, Setup};

use crate::battery::{bounded, eventually, spec};

/// A node that asks who comes, and what he may do.
pub fn guarded() -> &'static Node {
    static GUARDED: OnceLock<Node> = OnceLock::new();
    let setup = || {
        let users = Setup::default().user("ann", "secret-of-ann").user("bob", "secret-of-bob");
        Node::start(users.tls().acls())
    };
    tokio::task::block_in_place(|| {
        GUARDED.get_or_init(|| {
            let node = setup();
            for (kind, name) in [("--topic", "*"), ("--group", "*")] {
                let args = ["--add", "--allow-principal", "User:ann", "--operation", "All"];
                node.tool("AclCommand", &[&args[..], &[kind, name]].concat());
            }
            node
        })
    })
}

pub fn options(servers: &str) -> KafkaOptions {
    KafkaOptions::new("orders", servers, "trouble", std::env::temp_dir())
}

fn tls(node: &Node) -> Option<Tls> {
    Some(Tls { ca_file: Some(node.certificates().ca.clone()), ..Tls::default() })
}

pub fn sasl(mechanism: Mechanism, username: &str, password: &str) -> Option<Sasl> {
    Some(Sasl { mechanism, username: username.into(), password: password.into() })
}

pub async fn open(options: KafkaOptions) -> Arc<dyn Broker> {
    Arc::new(Kafka::open(options).await.unwrap())
}

/// What a question gets that is given up long before a request would be.
async fn asked(options: KafkaOptions) -> BrokerError {
    let broker = open(options).await;
    let topic = spec("a", 1, &[]).topic;
    let answer = tokio::time::timeout(Duration::from_secs(19), broker.describe(&topic)).await;
    answer.expect("no answer within seconds").unwrap_err()
}

fn is_unavailable(error: &BrokerError, words: &str) -> bool {
    let text = error.to_string();
    matches!(error, BrokerError::Unavailable(_))
        && text.contains("broker orders: topic a-")
        && text.contains(words)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_is_told_within_seconds() {
    bounded(async {
        let error = asked(options("127.77.7.7:9")).await;
        assert!(is_unavailable(&error, "refused"), "{error}");
        let error = asked(options("no-such-host.invalid:9092")).await;
        assert!(is_unavailable(&error, "resolve"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_text_and_tls_that_meet_are_told_apart() {
    bounded(async {
        let node = guarded();
        let error = asked(options(&node.tls_servers())).await;
        let words = "it seems to speak TLS, and clear text is configured";
        assert!(is_unavailable(&error, words), "{error}");
        let error = asked(options(&node.sasl_servers())).await;
        assert!(is_unavailable(&error, "it wants a user and none is configured"), "{error}");
        let error = asked(KafkaOptions { tls: tls(node), ..options(&node.servers()) }).await;
        let words = "it seems to speak clear text, and TLS is configured";
        assert!(is_unavailable(&error, words), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_somebody_else_is_not_taken_unless_the_operator_says_so() {
    bounded(async {
        let node = guarded();
        let servers = node.sasl_tls_servers();
        let sasl = sasl(Mechanism::ScramSha512, "ann", "secret-of-ann");
        let own = KafkaOptions { tls: tls(node), sasl, ..options(&servers) };
        let strange = Tls { ca_file: None, ..Tls::default() };
        let error = asked(KafkaOptions { tls: Some(strange.clone()), ..own.clone() }).await;
        assert!(is_unavailable(&error, "certificate"), "{error}");
        let any = Tls { take_any_certificate: true, ..strange };
        for options in [own.clone(), KafkaOptions { tls: Some(any), ..own }] {
            open(options).await.create(&spec("a", 1, &[])).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_asks_for_a_certificate_gets_the_one_that_is_configured() {
    bounded(async {
        let setup = Setup::default().client_certificates();
        let node = tokio::task::block_in_place(|| Node::start(setup));
        let mut options = KafkaOptions { tls: tls(&node), ..options(&node.tls_servers()) };
        let error = asked(options.clone()).await;
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
        let certificates = node.certificates();
        let identity = Some((certificates.client.clone(), certificates.client_key.clone()));
        options.tls = options.tls.map(|tls| Tls { identity, ..tls });
        open(options).await.create(&spec("a", 1, &[])).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_are_refused_are_told_as_that() {
    bounded(async {
        let node = guarded();
        for mechanism in Mechanism::ALL {
            let sasl = |password| sasl(mechanism, "ann", password);
            let good =
                KafkaOptions { sasl: sasl("secret-of-ann"), ..options(&node.sasl_servers()) };
            open(good.clone()).await.create(&spec(mechanism.name(), 1, &[])).await.unwrap();
            let error = asked(KafkaOptions { sasl: sasl("guessed"), ..good }).await;
            let text = error.to_string();
            assert!(matches!(error, BrokerError::Refused(_)), "{text}");
            assert!(text.contains("broker orders") && !text.contains("guessed"), "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_acls_do_not_allow_is_refused_with_the_topics_name() {
    bounded(async {
        let node = guarded();
        let sasl = |name, password| sasl(Mechanism::ScramSha256, name, password);
        let at = |sasl| KafkaOptions { sasl, ..options(&node.sasl_servers()) };
        let ann = open(at(sasl("ann", "secret-of-ann"))).await;
        let bob = open(at(sasl("bob", "secret-of-bob"))).await;
        let mut wanted: TopicSpec = spec("a", 1, &[]);
        let is_refused = |error: &BrokerError| {
            matches!(error, BrokerError::Refused(_)) && error.to_string().contains("topic a-")
        };
        let error = bob.create(&wanted).await.unwrap_err();
        assert!(is_refused(&error), "{error}");
        wanted.topic.id = ann.create(&wanted).await.unwrap();
        for error in [
            bob.describe(&wanted.topic).await.unwrap_err(),
            bob.delete(&wanted.topic).await.unwrap_err(),
            bob.purge(&wanted.topic).await.unwrap_err(),
        ] {
            assert!(is_refused(&error), "{error}");
        }
        ann.describe(&wanted.topic).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_cannot_make_is_invalid_with_the_reason() {
    bounded(async {
        let broker = open(options(&guarded().servers())).await;
        let copies = TopicSpec { replication: Some(3), ..spec("a", 1, &[]) };
        let error = broker.create(&copies).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BrokerError::Invalid(_)), "{text}");
        assert!(text.contains("topic a-") && text.contains("eplication"), "{text}");
        for name in ["a/b", "a b", "..", "ä"] {
            let mut forbidden = spec("x", 1, &[]);
            forbidden.topic.topic = name.into();
            let error = broker.create(&forbidden).await.unwrap_err();
            assert!(matches!(&error, BrokerError::Invalid(_)), "{error}");
            assert!(error.to_string().contains(&format!("topic {name}: ")), "{error}");
            assert!(broker.describe(&forbidden.topic).await.is_err());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_back_is_used_again() {
    bounded(async {
        let node = tokio::task::block_in_place(|| Node::start(Setup::default()));
        let broker = open(options(&node.servers())).await;
        let mut wanted = spec("a", 1, &[]);
        wanted.topic.id = broker.create(&wanted).await.unwrap();
        node.kill();
        let asked = tokio::time::timeout(Duration::from_secs(19), broker.describe(&wanted.topic));
        let error = asked.await.expect("no answer within seconds").unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
        tokio::task::block_in_place(|| node.restart());
        eventually(|| async { broker.describe(&wanted.topic).await.is_ok() }).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_their_rights_are_given_and_taken_back() {
    bounded(async {
        let node = guarded();
        let us = Kafka::open(options(&node.servers())).await.unwrap();
        let mut wanted = spec("a", 1, &[]);
        wanted.topic.id = us.create(&wanted).await.unwrap();
        let topic = wanted.topic.clone();
        let (name, principal) = ("carl", "User:carl");
        us.put_user(name, "secret-of-carl").await.unwrap();
        let sasl = sasl(Mechanism::ScramSha512, name, "secret-of-carl");
        let his = KafkaOptions { sasl, ..options(&node.sasl_servers()) };
        let carl = open(his.clone()).await;
        let looks = || async { carl.look(std::slice::from_ref(&topic)).await.remove(0) };
        // A node hears of a new user, and of rights, a little later.
        eventually(|| async {
            let refused = looks().await.err().map(|error| error.to_string());
            refused.is_some_and(|error| error.contains("Topic authorization failed"))
        })
        .await;
        us.allow(principal, &topic.topic, Right::Read).await.unwrap();
        us.allow(principal, &topic.topic, Right::Read).await.unwrap();
        eventually(|| async { looks().await.is_ok() }).await;
        let rights = us.rights(&topic.topic).await.unwrap();
        assert_eq!(rights, [(principal.to_owned(), Right::Read)]);
        us.disallow(principal, &topic.topic).await.unwrap();
        assert_eq!(us.rights(&topic.topic).await.unwrap(), []);
        eventually(|| async { looks().await.is_err() }).await;
        us.remove_user(name).await.unwrap();
        eventually(|| async {
            let again = open(his.clone()).await;
            matches!(again.describe(&topic).await, Err(BrokerError::Refused(error))
                if error.contains("Authentication failed"))
        })
        .await;
        assert!(us.remove_user(name).await.is_err());
    })
    .await;
}
