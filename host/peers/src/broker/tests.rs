//! What processors meet at hosts that do not behave, and what users are told of it.

use fnap::stream::messages::{Attach, Ended, Message};
use host_brokers::BatchLimits;
use host_events::Incarnation;
use host_registry::{NewSubscription, Stage};
use tempfile::TempDir;

use super::*;
use crate::follow::CREDIT;
use crate::follow::tests::{FLOW, Far, LIFE, World, attached, gone, partition, record, records};
use crate::home::HomeWay;

const NAME: &str = "id.time.flows.test";
const ALL: BatchLimits = BatchLimits { records: 100, bytes: 1 << 20 };

struct House {
    broker: Arc<PeerBroker>,
    opened: mpsc::Receiver<Far>,
    gone: mpsc::Receiver<Gone>,
    topic: TopicRef,
    name: Name,
    _dir: TempDir,
}

impl House {
    /// One who has an active subscription.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&dir.path().join("registry.db")).await.unwrap();
        let local: Name = "l.own.test".parse().unwrap();
        let new = NewSubscription {
            local: local.clone(),
            flow: FLOW.parse().unwrap(),
            filter: None,
            owner: None,
            transport: None,
            processor: "p.own.test".parse().unwrap(),
            most: Default::default(),
        };
        registry.begin_subscription(new).await.unwrap();
        let granted = |row: &mut host_registry::Subscription| {
            (row.stage, row.remote) = (Stage::Active, Some(NAME.parse().unwrap()));
        };
        registry.advance_subscription(&local, granted).await.unwrap();
        let (world, opened) = World::new();
        let (sender, gone) = mpsc::channel(8);
        let broker = PeerBroker::new(
            Ways { outside: world, home: HomeWay::default() },
            registry,
            "own.test".into(),
            Default::default(),
            sender,
        );
        let topic = TopicRef::new(NAME, Incarnation(Uuid::nil()));
        let (broker, name) = (Arc::new(broker), NAME.parse().unwrap());
        Self { broker, opened, gone, topic, name, _dir: dir }
    }

    async fn opened(&mut self) -> Far {
        let mut far = self.opened.recv().await.unwrap();
        far.hello().await;
        far
    }

    /// The topic in the life that was subscribed to.
    fn known(&self) -> TopicRef {
        TopicRef { id: Some(LIFE.parse().unwrap()), ..self.topic.clone() }
    }

    fn source(
        &self,
        topic: &TopicRef,
    ) -> tokio::task::JoinHandle<Result<Box<dyn Source>, BrokerError>> {
        let (broker, topic) = (Arc::clone(&self.broker), topic.clone());
        tokio::spawn(async move { broker.source(&topic, 0, 5).await })
    }

    fn why(&self) -> String {
        self.broker.standstill(&self.name).map(|stands| stands.why).unwrap_or_default()
    }
}

fn wrong<T>(done: Result<T, BrokerError>) -> BrokerError {
    match done {
        Ok(_) => panic!("went well"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn why_nothing_comes_is_known_until_something_may_come_again() {
    let mut house = House::new().await;
    let source = house.source(&house.known());
    let mut far = house.opened().await;
    let Attach { stream, credit, .. } = far.attach().await;
    assert_eq!(credit, CREDIT);
    far.say(attached(stream, vec![partition(0, 5)])).await;
    let mut source = source.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    far.say(Message::Records(records(stream, 8, vec![record(5), record(7)]))).await;
    let batch = source.next(BatchLimits { records: 1, ..ALL }).await.unwrap();
    assert_eq!((batch.records.len(), batch.next), (1, 7));
    let batch = source.next(ALL).await.unwrap();
    assert_eq!((batch.records[0].offset, batch.next), (7, 8));
    assert_eq!(house.why(), "");
    far.say(Message::Records(records(stream, 6, vec![]))).await;
    let error = wrong(source.next(ALL).await);
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    assert!(house.why().contains("stream with one.test: "), "{}", house.why());
    drop(source);
    let source = house.source(&house.known());
    let mut far = house.opened().await;
    let Attach { stream, .. } = far.attach().await;
    far.say(attached(stream, vec![partition(0, 5)])).await;
    source.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(house.why(), "");
}

/// What was used of the former stream may be said before.
async fn attach_behind_credit(far: &mut Far) -> Attach {
    loop {
        match far.hear().await {
            Some(Message::Credit(_)) => {}
            Some(Message::Attach(attach)) => return attach,
            other => panic!("{other:?} for an Attach"),
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_for_now_is_attached_again_where_it_stood_and_not_twice_for_nothing() {
    let mut house = House::new().await;
    let source = house.source(&house.known());
    let mut far = house.opened().await;
    let stream = far.attach().await.stream;
    far.say(attached(stream, vec![partition(0, 5)])).await;
    let mut source = source.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    let later = |stream| {
        let (name, words) = ("UNAVAILABLE".to_owned(), "attach again".to_owned());
        Message::Ended(Ended { stream, code: 503, name, words })
    };
    far.say(Message::Records(records(stream, 8, vec![record(5)]))).await;
    assert_eq!(source.next(ALL).await.unwrap().next, 8);
    far.say(later(stream)).await;
    let next = tokio::spawn(async move { (source.next(ALL).await, source) });
    let Attach { stream, positions, .. } = attach_behind_credit(&mut far).await;
    assert_eq!((positions.len(), positions[0].offset), (1, 8));
    far.say(attached(stream, vec![partition(0, 8)])).await;
    far.say(Message::Records(records(stream, 9, vec![record(8)]))).await;
    let (batch, mut source) = next.await.unwrap();
    assert_eq!((batch.unwrap().next, house.why()), (9, String::new()));
    far.say(later(stream)).await;
    let next = tokio::spawn(async move { source.next(ALL).await });
    let stream = attach_behind_credit(&mut far).await.stream;
    far.say(attached(stream, vec![partition(0, 9)])).await;
    far.say(later(stream)).await;
    let error = wrong(next.await.unwrap());
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    assert!(house.why().contains("attach again"), "{}", house.why());
}

#[tokio::test]
async fn a_host_that_changes_its_answers_is_not_followed() {
    let mut house = House::new().await;
    let other = TopicRef { id: Some(Uuid::from_u128(7)), ..house.topic.clone() };
    let source = house.source(&other);
    let mut far = house.opened().await;
    let Attach { stream, .. } = far.attach().await;
    far.say(attached(stream, vec![partition(0, 5)])).await;
    let error = wrong(source.await.unwrap());
    assert!(matches!(error, BrokerError::NotFound(_)), "{error}");
    assert!(house.why().contains("another flow of that name"), "{}", house.why());
    assert_eq!(far.hear().await, Some(Message::Detach(fnap::stream::messages::Detach { stream })));
    // Fewer partitions than there were.
    for (partitions, word) in [
        (vec![partition(1, 0)], "leaves partitions out"),
        (vec![partition(0, 0), partition(2, 0)], "leaves partitions out"),
    ] {
        let (broker, topic) = (Arc::clone(&house.broker), house.known());
        let looks = tokio::spawn(async move { broker.describe(&topic).await });
        let stream = far.attach().await.stream;
        far.say(attached(stream, partitions)).await;
        let error = wrong(looks.await.unwrap());
        assert!(error.to_string().contains(word), "{error}");
        far.hear().await;
    }
    let source = house.source(&house.known());
    let Attach { stream, .. } = far.attach().await;
    let words = "offset 5 of partition 0 earliest=9 latest=20".to_owned();
    far.say(Message::Ended(Ended { stream, code: 416, name: "OUT_OF_RANGE".into(), words })).await;
    match wrong(source.await.unwrap()) {
        BrokerError::OutOfRange { partition: 0, wanted: 5, earliest: 9, latest: 20 } => {}
        other => panic!("{other}"),
    }
    // A gap that is none.
    let source = house.source(&house.known());
    let Attach { stream, .. } = far.attach().await;
    let words = "earliest=3 latest=20".to_owned();
    far.say(Message::Ended(Ended { stream, code: 416, name: "OUT_OF_RANGE".into(), words })).await;
    let error = wrong(source.await.unwrap());
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    // Nothing of this is an end; this is one.
    assert!(house.gone.try_recv().is_err());
    let source = house.source(&house.known());
    let Attach { stream, .. } = far.attach().await;
    far.say(gone(stream)).await;
    assert!(matches!(wrong(source.await.unwrap()), BrokerError::NotFound(_)));
    assert_eq!(house.gone.recv().await.unwrap().name, house.name);
}

#[tokio::test(start_paused = true)]
async fn of_a_host_that_is_silent_nothing_is_known_and_it_is_not_asked_twice() {
    let mut house = House::new().await;
    let (broker, topic) = (Arc::clone(&house.broker), house.known());
    let looks = tokio::spawn(async move { broker.look(&[topic]).await.pop().unwrap() });
    let mut far = house.opened().await;
    let first = far.attach().await;
    assert_eq!((first.credit, first.positions.len()), (1, 0));
    assert!(matches!(wrong(looks.await.unwrap()), BrokerError::Unavailable(_)));
    let known = house.known();
    assert!(matches!(wrong(house.broker.time_at(&known, 0, 5).await), BrokerError::Unavailable(_)));
    // It answers again, and one record is asked for and no more.
    let (broker, topic) = (Arc::clone(&house.broker), house.known());
    let looks = tokio::spawn(async move { broker.look(&[topic]).await.pop().unwrap() });
    tokio::task::yield_now().await;
    far.say(attached(first.stream, vec![partition(0, 0)])).await;
    assert_eq!(looks.await.unwrap().unwrap().partitions.len(), 1);
    far.hear().await;
    let (broker, topic) = (Arc::clone(&house.broker), house.known());
    let time = tokio::spawn(async move { broker.time_at(&topic, 0, 5).await });
    let Attach { stream, credit, .. } = far.attach().await;
    assert_eq!(credit, 1);
    far.say(attached(stream, vec![partition(0, 5)])).await;
    let timed = fnap::stream::Record { timestamp: 1_700, ..record(5) };
    far.say(Message::Records(records(stream, 6, vec![timed]))).await;
    assert_eq!(time.await.unwrap().unwrap(), Some(1_700));
}
