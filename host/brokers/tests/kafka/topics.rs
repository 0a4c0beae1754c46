//! Topics as only Kafka has them: ids, replication, settings of others, groups of others.

use std::sync::Arc;

use host_brokers::{BrokerError, PartitionInfo, TopicChange, TopicRef, TopicSpec};
use kafka_node::Node;
use uuid::Uuid;

use crate::battery::{Place, bounded, eventually, is_not_found, settings, spec, topic, topic_with};
use crate::place::OnKafka;

crate::battery!(@topics OnKafka::new());

fn tool(class: &'static str, args: &[&str]) -> String {
    tokio::task::block_in_place(|| Node::shared().tool(class, args))
}

/// What Kafka's own tool says of a topic.
fn described(topic: &TopicRef) -> String {
    tool("TopicCommand", &["--describe", "--topic", &topic.topic])
}

/// The id as Kafka's tools write it.
fn id_in(described: &str) -> String {
    let (_, rest) = described.split_once("TopicId: ").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

fn written(id: Uuid) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_has_the_id_that_kafkas_own_tool_shows() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let topic = topic(&broker, "a", 3).await;
        let shown = described(&topic);
        assert_eq!(id_in(&shown), written(topic.id.unwrap()), "{shown}");
        assert!(shown.contains("PartitionCount: 3") && shown.contains("ReplicationFactor: 1"));
        let info = broker.describe(&topic).await.unwrap();
        assert_eq!((info.id, info.replication), (topic.id, Some(1)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_again_without_knowing_the_id_finds_the_empty_topic_of_the_same_shape() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let config = [("retention.ms", "12345678")];
        let mut wanted = spec("a", 2, &config);
        let id = broker.create(&wanted).await.unwrap();
        // As after a crash before the id was kept.
        assert_eq!(broker.create(&wanted).await.unwrap(), id);
        wanted.partitions = 3;
        let refused = broker.create(&wanted).await.unwrap_err();
        assert!(matches!(refused, BrokerError::Exists(_)), "{refused}");
        wanted.partitions = 2;
        wanted.config = settings(&[("retention.ms", "9")]);
        let refused = broker.create(&wanted).await.unwrap_err().to_string();
        assert!(refused.contains("retention.ms=12345678"), "{refused}");
        wanted.config = settings(&config);
        produce(&wanted.topic, 1);
        let refused = broker.create(&wanted).await.unwrap_err().to_string();
        assert!(refused.contains("not empty"), "{refused}");
        wanted.topic.id = id;
        assert_eq!(broker.create(&wanted).await.unwrap(), id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_deleted_and_made_again_behind_our_back_is_another_life() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let first = topic(&broker, "a", 1).await;
        tool("TopicCommand", &["--delete", "--topic", &first.topic]);
        let mut second = spec("a", 1, &[]);
        assert_eq!(second.topic.topic, first.topic);
        tool("TopicCommand", &["--create", "--topic", &first.topic, "--partitions", "1"]);
        eventually(|| async {
            let error = broker.describe(&first).await.err();
            error.is_some_and(|error| error.to_string().contains("another life"))
        })
        .await;
        let other = broker.create(&again(&first)).await.unwrap_err();
        assert!(matches!(other, BrokerError::Exists(_)), "{other}");
        for error in [
            broker.purge(&first).await.unwrap_err(),
            broker.update(&first, &TopicChange::default()).await.unwrap_err(),
            broker.offset_at(&first, 0, 0).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("another life"), "{error}");
        }
        broker.delete(&first).await.unwrap();
        second.topic.id = broker.create(&second).await.unwrap();
        assert_eq!(id_in(&described(&second.topic)), written(second.topic.id.unwrap()));
    })
    .await;
}

fn again(topic: &TopicRef) -> TopicSpec {
    TopicSpec { topic: topic.clone(), ..spec("a", 1, &[]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_topics_are_looked_at_together_and_each_has_its_own_answer() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let (one, two) = (topic(&broker, "one", 1).await, topic(&broker, "two", 3).await);
        produce(&one, 5);
        let absent = spec("absent", 1, &[]).topic;
        let other = TopicRef { id: Some(Uuid::new_v4()), ..one.clone() };
        let looks = broker.look(&[two.clone(), absent, one.clone(), other]).await;
        let [Ok(second), Err(gone), Ok(first), Err(another)] = &looks[..] else {
            panic!("{looks:?}");
        };
        assert_eq!(first.partitions, [PartitionInfo { earliest: 0, latest: 5 }]);
        assert_eq!((first.id, second.id, second.partitions.len()), (one.id, two.id, 3));
        assert!(is_not_found(gone) && is_not_found(another), "{gone} {another}");
        let found = broker.topics().await.unwrap();
        let find = |topic: &TopicRef| found.iter().find(|found| found.topic == *topic.topic);
        let found_two = find(&two).unwrap();
        assert_eq!((found_two.id, found_two.partitions), (two.id, 3));
        assert!(find(&one).is_some());
        assert!(!found.iter().any(|found| found.topic.starts_with("__")), "{found:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_set_stays_when_something_else_is_set() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let topic = topic_with(&broker, "a", 1, &[("retention.ms", "1000000")]).await;
        let entity = ["--alter", "--entity-type", "topics", "--entity-name", &topic.topic];
        let others = [&entity[..], &["--add-config", "compression.type=zstd"]].concat();
        tool("ConfigCommand", &others);
        let config = settings(&[("max.message.bytes", "5000")]);
        broker.update(&topic, &TopicChange { config, ..TopicChange::default() }).await.unwrap();
        let info = broker.describe(&topic).await.unwrap();
        let value = |key| info.config.get(key).map(String::as_str);
        assert_eq!(value("compression.type"), Some("zstd"));
        assert_eq!(value("max.message.bytes"), Some("5000"));
        assert_eq!(value("retention.ms"), Some("1000000"));
        assert_eq!(value("cleanup.policy"), Some("delete"));
        assert_eq!(value("segment.bytes"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_refused_adds_no_partition() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let topic = topic(&broker, "a", 1).await;
        let config = settings(&[("no.such.setting", "1")]);
        let change = TopicChange { partitions: Some(3), config };
        let refused = broker.update(&topic, &change).await.unwrap_err();
        assert!(matches!(&refused, BrokerError::Invalid(_)), "{refused}");
        assert!(refused.to_string().contains("no.such.setting"), "{refused}");
        let empty = PartitionInfo { earliest: 0, latest: 0 };
        assert_eq!(broker.describe(&topic).await.unwrap().partitions, [empty]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_topic_is_not_emptied() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let topic = topic_with(&broker, "a", 1, &[("cleanup.policy", "compact")]).await;
        let refused = broker.purge(&topic).await.unwrap_err();
        assert!(matches!(&refused, BrokerError::Invalid(_)), "{refused}");
        assert!(refused.to_string().contains("compacted"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_others_are_listed_with_what_they_are_behind() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let topic = topic(&broker, "a", 2).await;
        let group = format!("readers-{}", Uuid::new_v4().simple());
        produce(&topic, 10);
        assert_eq!(broker.consumers(&topic).await.unwrap(), []);
        let some = ["--topic", &topic.topic, "--group", &group, "--from-beginning"];
        let some = [&some[..], &["--max-messages", "4", "--timeout-ms", "30000"]].concat();
        tool("ConsoleConsumer", &some);
        eventually(|| async {
            let all = broker.consumers(&topic).await.unwrap();
            let is_so = |one: &host_brokers::Consumer| {
                (one.group == group) && one.state == "Empty" && one.members == 0
            };
            matches!(&all[..], [one] if is_so(one))
        })
        .await;
        let reset = ["--reset-offsets", "--to-earliest", "--execute", "--group", &group];
        tool("ConsumerGroupCommand", &[&reset[..], &["--topic", &topic.topic]].concat());
        assert_eq!(broker.consumers(&topic).await.unwrap()[0].lag, Some(10));
        let other = crate::battery::topic(&broker, "b", 1).await;
        assert_eq!(broker.consumers(&other).await.unwrap(), []);
    })
    .await;
}

/// Records by Kafka's own tool.
fn produce(topic: &TopicRef, count: usize) {
    let lines: String = (0..count).map(|index| format!("{index}\n")).collect();
    let args = ["--topic", &*topic.topic];
    let ran = tokio::task::block_in_place(|| {
        Node::shared().try_tool("ConsoleProducer", &args, lines.as_bytes())
    });
    assert!(ran.ok, "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_log_is_where_readers_of_committed_records_get_to() {
    bounded(async {
        let broker = OnKafka::new().open().await;
        let topic = topic(&broker, "a", 1).await;
        produce(&topic, 3);
        let end = |latest| [PartitionInfo { earliest: 0, latest }];
        assert_eq!(broker.describe(&topic).await.unwrap().partitions, end(3));
        let open = begin(&topic).await;
        assert_eq!(broker.describe(&topic).await.unwrap().partitions, end(3));
        assert_eq!(broker.offset_at(&topic, 0, i64::MAX).await.unwrap(), 3);
        tokio::task::block_in_place(|| {
            use rdkafka::producer::Producer as _;
            open.commit_transaction(std::time::Duration::from_secs(30)).unwrap();
        });
        // Its record and its marker.
        eventually(|| async { broker.describe(&topic).await.unwrap().partitions == end(5) }).await;
    })
    .await;
}

/// A transaction with one record that is written and not committed.
async fn begin(topic: &TopicRef) -> Arc<rdkafka::producer::BaseProducer> {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let topic = topic.topic.clone();
    tokio::task::spawn_blocking(move || {
        let limit = std::time::Duration::from_secs(30);
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", Node::shared().servers())
            .set("transactional.id", &*topic)
            .create()
            .unwrap();
        producer.init_transactions(limit).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("x")).unwrap();
        producer.flush(limit).unwrap();
        Arc::new(producer)
    })
    .await
    .unwrap()
}
