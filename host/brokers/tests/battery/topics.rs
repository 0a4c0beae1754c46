//! Topics: created, changed, described, emptied, deleted.

use host_brokers::{Append, BrokerError, PartitionInfo, TopicChange};

use super::*;

pub async fn creating_again_is_harmless_and_another_life_is_refused(place: impl Place) {
    let broker = place.open().await;
    let mut first = spec("a", 2, &[]);
    first.topic.id = broker.create(&first).await.unwrap();
    append(&broker, &first.topic, 1, &["x"]).await;
    broker.create(&first).await.unwrap();
    assert_eq!(values(&broker, &first.topic, 1).await, ["x"]);
    let other = broker.create(&spec("a", 2, &[])).await;
    assert!(matches!(other, Err(BrokerError::Exists(_))), "{other:?}");
    let none = broker.create(&spec("b", 0, &[])).await;
    assert!(matches!(none, Err(BrokerError::Invalid(_))), "{none:?}");
    let unknown = broker.create(&spec("c", 1, &[("no.such.setting", "1")])).await;
    assert!(matches!(unknown, Err(BrokerError::Invalid(_))), "{unknown:?}");
}

pub async fn what_was_given_is_described(place: impl Place) {
    let broker = place.open().await;
    assert!(!broker.kind().is_empty() && !broker.server().is_empty());
    let config = [("retention.ms", "-1"), ("max.message.bytes", "5000")];
    let topic = topic_with(&broker, "a", 3, &config).await;
    append(&broker, &topic, 1, &["x", "y"]).await;
    let info = broker.describe(&topic).await.unwrap();
    let (empty, two) =
        (PartitionInfo { earliest: 0, latest: 0 }, PartitionInfo { earliest: 0, latest: 2 });
    assert_eq!(info.partitions, [empty, two, empty]);
    assert_eq!(info.config["max.message.bytes"], "5000");
    assert_eq!(info.config["retention.ms"], "-1");
    let change =
        TopicChange { config: settings(&[("max.message.bytes", "10")]), ..TopicChange::default() };
    broker.update(&topic, &change).await.unwrap();
    assert_eq!(broker.describe(&topic).await.unwrap().config["max.message.bytes"], "10");
    assert_eq!(broker.describe(&topic).await.unwrap().config["retention.ms"], "-1");
    let large = Append { records: vec![(0, record("more than ten"))], token: None };
    assert!(matches!(
        broker.append(&topic, large).await,
        Err(BrokerError::TooLarge { limit: 10, .. })
    ));
    let wrong =
        TopicChange { config: settings(&[("retention.ms", "soon")]), ..TopicChange::default() };
    assert!(matches!(broker.update(&topic, &wrong).await, Err(BrokerError::Invalid(_))));
}

pub async fn a_topic_that_is_not_there_is_not_found(place: impl Place) {
    let broker = place.open().await;
    let topic = spec("a", 1, &[]).topic;
    let append = Append { records: vec![(0, record("x"))], token: None };
    assert!(is_not_found(&broker.append(&topic, append).await.unwrap_err()));
    assert!(is_not_found(&broker.describe(&topic).await.unwrap_err()));
    assert!(is_not_found(&broker.purge(&topic).await.unwrap_err()));
    assert!(is_not_found(&broker.update(&topic, &TopicChange::default()).await.unwrap_err()));
    assert!(is_not_found(&broker.source(&topic, 0, 0).await.err().unwrap()));
    assert!(is_not_found(&broker.offset_at(&topic, 0, 0).await.unwrap_err()));
}

pub async fn deleting_is_harmless_twice_and_leaves_another_life_alone(place: impl Place) {
    let broker = place.open().await;
    let first = topic(&broker, "a", 1).await;
    broker.delete(&first).await.unwrap();
    broker.delete(&first).await.unwrap();
    let second = topic(&broker, "a", 1).await;
    append(&broker, &second, 0, &["x"]).await;
    broker.delete(&first).await.unwrap();
    assert_eq!(values(&broker, &second, 0).await, ["x"]);
}

pub async fn another_life_of_a_topic_is_another_topic(place: impl Place) {
    let broker = place.open().await;
    let first = topic(&broker, "a", 1).await;
    append(&broker, &first, 0, &["old"]).await;
    broker.delete(&first).await.unwrap();
    let second = topic(&broker, "a", 1).await;
    assert_eq!(ends(&broker, &second, 0).await, PartitionInfo { earliest: 0, latest: 0 });
    append(&broker, &second, 0, &["new"]).await;
    let late = Append { records: vec![(0, record("late"))], token: None };
    assert!(is_not_found(&broker.append(&first, late).await.unwrap_err()));
    assert!(is_not_found(&broker.describe(&first).await.unwrap_err()));
    assert!(is_not_found(&broker.purge(&first).await.unwrap_err()));
    assert!(is_not_found(&broker.source(&first, 0, 0).await.err().unwrap()));
    assert_eq!(values(&broker, &second, 0).await, ["new"]);
}

pub async fn partitions_grow_and_keep_their_records(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    append(&broker, &topic, 0, &["x"]).await;
    let mut source = broker.source(&topic, 0, 0).await.unwrap();
    let grow = |partitions| TopicChange { partitions: Some(partitions), ..TopicChange::default() };
    broker.update(&topic, &grow(3)).await.unwrap();
    broker.update(&topic, &grow(3)).await.unwrap();
    let fewer = broker.update(&topic, &grow(2)).await;
    assert!(matches!(fewer, Err(BrokerError::Invalid(_))), "{fewer:?}");
    append(&broker, &topic, 0, &["y"]).await;
    append(&broker, &topic, 2, &["z"]).await;
    // A reader from before goes on.
    assert_eq!(read_until(source.as_mut(), 2).await.len(), 2);
    assert_eq!(broker.describe(&topic).await.unwrap().partitions.len(), 3);
    assert_eq!(values(&broker, &topic, 2).await, ["z"]);
}

pub async fn purging_takes_the_records_and_keeps_the_offsets(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 2).await;
    append(&broker, &topic, 0, &["x", "y"]).await;
    broker.purge(&topic).await.unwrap();
    assert_eq!(ends(&broker, &topic, 0).await, PartitionInfo { earliest: 2, latest: 2 });
    assert_eq!(ends(&broker, &topic, 1).await, PartitionInfo { earliest: 0, latest: 0 });
    append(&broker, &topic, 0, &["z"]).await;
    assert_eq!(read_all(&broker, &topic, 0).await[0].offset, 2);
    assert_eq!(values(&broker, &topic, 0).await, ["z"]);
    drop(broker);
    let broker = place.open().await;
    assert_eq!(ends(&broker, &topic, 0).await, PartitionInfo { earliest: 2, latest: 3 });
}

pub async fn retention_by_size_takes_the_oldest(place: impl Place) {
    let broker = place.open().await;
    // Kafka's smallest segments are of one megabyte, and it deletes whole ones.
    let topic = topic_with(&broker, "a", 1, &[("retention.bytes", "1200000")]).await;
    for index in 0..10 {
        append(&broker, &topic, 0, &[&format!("{index}{}", "x".repeat(300_000))]).await;
    }
    eventually(|| async { ends(&broker, &topic, 0).await.earliest > 0 }).await;
    let kept = values(&broker, &topic, 0).await;
    // What is kept is the newest, and no less than the size allows for.
    assert!((4..10).contains(&kept.len()), "{}", kept.len());
    assert!(kept.last().unwrap().starts_with('9'));
    let gone = broker.source(&topic, 0, 0).await.err().unwrap();
    assert!(matches!(gone, BrokerError::OutOfRange { wanted: 0, latest: 10, .. }), "{gone}");
}

pub async fn retention_by_age_takes_the_oldest(place: impl Place) {
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", 1, &[("retention.ms", "3600000")]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut fresh = record("fresh");
    fresh.timestamp = now.as_millis() as i64;
    let mut old = record("old");
    old.timestamp = fresh.timestamp - 7_200_000;
    for record in [old.clone(), old, fresh] {
        let append = Append { records: vec![(0, record)], token: None };
        broker.append(&topic, append).await.unwrap();
    }
    eventually(|| async { ends(&broker, &topic, 0).await.earliest == 2 }).await;
    assert_eq!(values(&broker, &topic, 0).await, ["fresh"]);
}

pub async fn topics_are_there_after_reopening(place: impl Place) {
    let broker = place.open().await;
    let kept = topic_with(&broker, "kept", 2, &[("max.message.bytes", "777")]).await;
    let gone = topic(&broker, "gone", 1).await;
    broker.delete(&gone).await.unwrap();
    let grow = TopicChange { partitions: Some(3), ..TopicChange::default() };
    broker.update(&kept, &grow).await.unwrap();
    drop(broker);
    let broker = place.open().await;
    let info = broker.describe(&kept).await.unwrap();
    assert_eq!((info.partitions.len(), info.config["max.message.bytes"].as_str()), (3, "777"));
    assert!(is_not_found(&broker.describe(&gone).await.unwrap_err()));
}
