use async_trait::async_trait;
use host_brokers::embedded::Embedded;
use host_brokers::{
    Append, Appended, Broker, BrokerError, Opened, ShardId, Source, TopicChange, TopicInfo,
    TopicRef, TopicSpec,
};
use host_events::{Position, Record};
use host_registry::Start;

use super::*;
use crate::delivery::Delivery;
use crate::spec::{Endpoint, Policy};

/// A broker that never answers.
struct Hanging;

#[async_trait]
#[rustfmt::skip]
impl Broker for Hanging {
    fn kind(&self) -> &'static str { "hanging" }
    fn server(&self) -> String { String::new() }
    async fn create(&self, _: &TopicSpec) -> Result<Option<Uuid>, BrokerError> { std::future::pending().await }
    async fn update(&self, _: &TopicRef, _: &TopicChange) -> Result<(), BrokerError> { std::future::pending().await }
    async fn describe(&self, _: &TopicRef) -> Result<TopicInfo, BrokerError> { std::future::pending().await }
    async fn delete(&self, _: &TopicRef) -> Result<(), BrokerError> { std::future::pending().await }
    async fn purge(&self, _: &TopicRef) -> Result<(), BrokerError> { std::future::pending().await }
    async fn append(&self, _: &TopicRef, _: Append) -> Result<Appended, BrokerError> { std::future::pending().await }
    async fn source(&self, _: &TopicRef, _: u32, _: u64) -> Result<Box<dyn Source>, BrokerError> { std::future::pending().await }
    async fn offset_at(&self, _: &TopicRef, _: u32, _: i64) -> Result<u64, BrokerError> { std::future::pending().await }
    async fn open(&self, _: ShardId) -> Result<Opened, BrokerError> { std::future::pending().await }
    async fn reposition(&self, _: ShardId, _: Position, _: bool) -> Result<(), BrokerError> { std::future::pending().await }
    async fn forget(&self, _: Uuid) -> Result<(), BrokerError> { std::future::pending().await }
}

/// Of a processor whose broker never answers.
pub(crate) fn idle_spec() -> Spec {
    spec(vec![(topic("t"), 1, Arc::new(Hanging))])
}

fn topic(name: &str) -> TopicRef {
    TopicRef::new(name, Incarnation(Uuid::new_v4()))
}

fn spec(inputs: Vec<(TopicRef, u32, Arc<dyn Broker>)>) -> Spec {
    let target = Arc::clone(&inputs[0].2);
    let end = |(topic, partitions, broker): (TopicRef, u32, Arc<dyn Broker>)| Endpoint {
        name: Arc::clone(&topic.topic),
        topic,
        partitions,
        broker,
        paused: false,
        aside: false,
    };
    Spec {
        id: Uuid::new_v4(),
        name: "p".into(),
        kind: "bridge".to_owned(),
        inputs: inputs.into_iter().map(end).collect(),
        outputs: Vec::new(),
        config: "{}".to_owned(),
        start: Start::Earliest,
        expected: BTreeMap::new(),
        partitions: BTreeMap::new(),
        target,
        limits: Default::default(),
        delivery: Delivery::ExactlyOnce,
        policy: Policy::Auto,
        records_gaps: false,
        pinned: None,
        before: None,
        shadow_first: false,
        one_first: false,
        replay: None,
        target_name: "embedded".to_owned(),
        processor: "p.n".parse().unwrap(),
        lends: None,
    }
}

fn standing(positions: &[(Incarnation, u32, u64)]) -> Arc<ShardStatus> {
    let status = ShardStatus::default();
    let mut position = Position::default();
    positions.iter().for_each(|(flow, partition, next)| position.set(*flow, *partition, *next));
    status.positions(&position);
    Arc::new(status)
}

async fn written(dir: &std::path::Path, records: &[(u32, i64)]) -> (Arc<Embedded>, TopicRef) {
    let broker = Embedded::open(dir, Default::default()).await.unwrap();
    let topic = topic("t");
    let spec = TopicSpec {
        topic: topic.clone(),
        partitions: 2,
        replication: None,
        config: BTreeMap::new(),
    };
    broker.create(&spec).await.unwrap();
    for (partition, timestamp) in records {
        let record = Record { timestamp: *timestamp, ..Record::default() };
        let append = Append { records: vec![(*partition, record)], token: None };
        broker.append(&topic, append).await.unwrap();
    }
    (broker, topic)
}

#[tokio::test]
async fn lag_is_what_is_not_committed_and_the_age_of_the_oldest_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, topic) = written(dir.path(), &[(0, 10), (0, 20), (0, 30), (1, 15)]).await;
    let flow = topic.incarnation;
    // The flow is named twice and behind once.
    let spec = spec(vec![(topic.clone(), 2, broker.clone()), (topic, 2, broker)]);
    let look = async |zero, one, marks| {
        let statuses = [standing(&[(flow, 0, zero)]), standing(&[(flow, 1, one)])];
        Sweep::default().look(&spec, &statuses, marks).await
    };
    let seen = look(1, 0, Marks::new()).await;
    assert_eq!((seen.events, seen.oldest), (Some(3), Oldest::Since(15)));
    let lag = seen.lag(Duration::from_millis(1015));
    assert_eq!(lag, Lag { events: Some(3), seconds: Some(1.0) });
    let seen = look(2, 1, seen.marks).await;
    // The look at partition 0 is new enough, so the age is that of the record before.
    assert_eq!((seen.events, seen.oldest), (Some(1), Oldest::Since(20)));
    let seen = look(3, 1, seen.marks).await;
    assert_eq!((seen.events, seen.oldest, seen.marks.len()), (Some(0), Oldest::None, 0));
    assert_eq!(seen.lag(Duration::ZERO).seconds, Some(0.0));
}

#[tokio::test]
async fn what_cannot_be_known_is_unknown_and_a_broker_that_hangs_is_waited_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, known) = written(dir.path(), &[]).await;
    let unknown = Lag { events: None, seconds: None };
    // A position that nobody has read.
    let fresh = spec(vec![(known.clone(), 2, broker.clone())]);
    let statuses = [standing(&[(known.incarnation, 0, 0)])];
    let seen = Sweep::default().look(&fresh, &statuses, Marks::new()).await;
    assert_eq!(seen.lag(Duration::ZERO), unknown);
    let hanging: Arc<dyn Broker> = Arc::new(Hanging);
    let mut sweep = Sweep::default();
    let asked = std::time::Instant::now();
    for _ in 0..20 {
        let spec =
            spec(vec![(topic("h"), 1, Arc::clone(&hanging)), (known.clone(), 2, broker.clone())]);
        let seen = sweep.look(&spec, &statuses, Marks::new()).await;
        assert_eq!(seen.lag(Duration::ZERO), unknown);
    }
    // Each of them waited for would be forty seconds.
    assert!(asked.elapsed() < Duration::from_secs(20));
}
