//! Appends from outside: what is refused, and what recognises a repeat.

use host_brokers::{Append, Appended, BrokerError, TopicChange};

use super::*;

fn one(value: &str, token: Option<Token>) -> Append {
    Append { records: vec![(0, record(value.to_owned()))], token }
}

pub async fn an_append_without_records_is_one(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let nothing = Append { records: Vec::new(), token: None };
    assert_eq!(
        broker.append(&topic, nothing).await.unwrap(),
        Appended { count: 0, repeated: false }
    );
    assert_eq!(ends(&broker, &topic, 0).await.latest, 0);
}

pub async fn a_record_that_is_too_large_refuses_its_append(place: impl Place) {
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", 2, &[("max.message.bytes", "1000")]).await;
    let records = vec![(0, record("small")), (1, record("x".repeat(1001))), (0, record("small"))];
    let error = broker.append(&topic, Append { records, token: None }).await.unwrap_err();
    assert!(matches!(error, BrokerError::TooLarge { size: 1001, limit: 1000 }), "{error}");
    assert_eq!(ends(&broker, &topic, 0).await.latest, 0);
    // A broker whose limit is one of batches takes a little less than that.
    append(&broker, &topic, 1, &[&"x".repeat(900)]).await;
}

pub async fn a_partition_that_is_not_there_refuses_its_append(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let records = vec![(0, record("x")), (1, record("y"))];
    let error = broker.append(&topic, Append { records, token: None }).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    assert_eq!(ends(&broker, &topic, 0).await.latest, 0);
}

pub async fn a_refused_append_refuses_nobody_else(place: impl Place) {
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", 1, &[("max.message.bytes", "100")]).await;
    let appends = (0..100).map(|index| {
        let (broker, topic) = (broker.clone(), topic.clone());
        let value = if index % 2 == 0 { "x".into() } else { "x".repeat(101) };
        tokio::spawn(async move { broker.append(&topic, one(&value, None)).await.is_ok() })
    });
    let ended = futures::future::join_all(appends.collect::<Vec<_>>()).await;
    for (index, ended) in ended.into_iter().enumerate() {
        assert_eq!(ended.unwrap(), index % 2 == 0);
    }
    assert_eq!(ends(&broker, &topic, 0).await.latest, 50);
}

pub async fn a_repeated_token_writes_nothing_and_gets_the_first_answer(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let records = vec![(0, record("x")), (0, record("y"))];
    let first = Append { records, token: token("ana", "t1") };
    assert_eq!(
        broker.append(&topic, first.clone()).await.unwrap(),
        Appended { count: 2, repeated: false }
    );
    assert_eq!(broker.append(&topic, first).await.unwrap(), Appended { count: 2, repeated: true });
    // The token recognises the append, whatever it brings this time.
    let other = broker.append(&topic, one("z", token("ana", "t1"))).await.unwrap();
    assert_eq!(other, Appended { count: 2, repeated: true });
    shows(&broker, &topic, 0, ["x", "y"]).await;
}

pub async fn a_repeated_token_is_recognised_whatever_the_limits_are_today(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let large = || one(&"x".repeat(1000), token("ana", "t"));
    assert!(!broker.append(&topic, large()).await.unwrap().repeated);
    let config = settings(&[("max.message.bytes", "100")]);
    let smaller = TopicChange { config, ..TopicChange::default() };
    broker.update(&topic, &smaller).await.unwrap();
    assert_eq!(
        broker.append(&topic, large()).await.unwrap(),
        Appended { count: 1, repeated: true }
    );
}

pub async fn a_token_is_its_principals_and_its_topics(place: impl Place) {
    let broker = place.open().await;
    let (a, b) = (topic(&broker, "a", 1).await, topic(&broker, "b", 1).await);
    for (topic, token) in [
        (&a, token("ana", "t")),
        (&a, token("bob", "t")),
        (&a, token("ana", "u")),
        (&b, token("ana", "t")),
    ] {
        assert!(!broker.append(topic, one("x", token)).await.unwrap().repeated);
    }
    shows(&broker, &a, 0, ["x", "x", "x"]).await;
    broker.delete(&a).await.unwrap();
    let a = topic(&broker, "a", 1).await;
    assert!(!broker.append(&a, one("x", token("ana", "t"))).await.unwrap().repeated);
}

pub async fn a_refused_append_does_not_use_its_token_up(place: impl Place) {
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", 1, &[("max.message.bytes", "100")]).await;
    broker.append(&topic, one(&"x".repeat(101), token("ana", "t"))).await.unwrap_err();
    assert!(!broker.append(&topic, one("x", token("ana", "t"))).await.unwrap().repeated);
    shows(&broker, &topic, 0, ["x"]).await;
}

pub async fn one_token_at_once_writes_once(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let appends = (0..32).map(|index| {
        let (broker, topic) = (broker.clone(), topic.clone());
        let append = one(&index.to_string(), token("ana", "t"));
        tokio::spawn(async move { broker.append(&topic, append).await.unwrap() })
    });
    let ended = futures::future::join_all(appends.collect::<Vec<_>>()).await;
    let first = ended.into_iter().filter(|ended| !ended.as_ref().unwrap().repeated);
    assert_eq!(first.count(), 1);
    assert_eq!(at_least(&broker, &topic, 0, 1).await.len(), 1);
}

pub async fn acknowledged_records_and_tokens_are_there_after_reopening(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    for index in 0..20 {
        let token = token("ana", &index.to_string());
        broker.append(&topic, one(&index.to_string(), token)).await.unwrap();
    }
    drop(broker);
    let broker = place.open().await;
    let expected: Vec<_> = (0..20).map(|index: u32| index.to_string()).collect();
    shows(&broker, &topic, 0, expected).await;
    assert!(broker.append(&topic, one("again", token("ana", "7"))).await.unwrap().repeated);
    append(&broker, &topic, 0, &["next"]).await;
    assert_eq!(at_least(&broker, &topic, 0, 21).await.split_off(20), ["next"]);
}

pub async fn what_is_enqueued_after_something_lies_behind_it(place: impl Place) {
    let broker = place.open().await;
    for (name, principal) in [("a", None), ("b", Some("ana"))] {
        let topic = topic(&broker, name, 1).await;
        let (mut expected, mut answers) = (Vec::new(), Vec::new());
        for number in 0..24 {
            // More than goes at once, in bytes or in records, and some that would overtake it.
            let (count, padding) = match number {
                2 => (10_001, 0),
                number if number % 4 == 0 => (2, 600_000),
                _ => (1, 0),
            };
            let names: Vec<_> = (0..count).map(|index| format!("{number}.{index}")).collect();
            let value = |name: &String| (0, record(name.clone() + &"x".repeat(padding)));
            let records = names.iter().map(value).collect();
            let token = principal.and_then(|principal| token(principal, &number.to_string()));
            let append = Append { records, token };
            answers.push(tokio::spawn(broker.enqueue(&topic, append).await.unwrap()));
            expected.extend(names);
        }
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        let seen = at_least(&broker, &topic, 0, expected.len()).await;
        let seen: Vec<_> = seen.iter().map(|value| value.trim_end_matches('x')).collect();
        assert!(seen == expected, "{name}: {:?}", seen.iter().zip(&expected).find(|(a, b)| a != b));
    }
}
