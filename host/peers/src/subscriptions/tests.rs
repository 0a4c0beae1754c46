//! Subscriptions at hosts that change their answers.

use fnap::stream::messages::Message;
use host_registry::NewNamespace;
use tempfile::TempDir;

use super::*;
use crate::follow::tests::{FLOW, Far, World, attached, gone, partition};
use crate::home::HomeWay;
use crate::reach::Unreached;

const LOCAL: &str = "l.own.test";

struct House {
    subscriptions: Subscriptions,
    world: Arc<World>,
    opened: mpsc::Receiver<Far>,
    _dir: TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&dir.path().join("registry.db")).await.unwrap();
        let (broker, config) = ("inner".to_owned(), Default::default());
        let new = NewNamespace { name: "own.test".parse().unwrap(), broker, config, owner: None };
        registry.create_namespace(new).await.unwrap();
        let (world, opened) = World::new();
        let (sender, gone) = mpsc::channel(8);
        let outside = Arc::clone(&world) as _;
        let ways = Ways { outside, home: HomeWay::default() };
        let broker = PeerBroker::new(
            ways.clone(),
            registry.clone(),
            "own.test".into(),
            Default::default(),
            sender,
        );
        let subscriptions = Subscriptions::new(registry, ways, Arc::new(broker), gone);
        Self { subscriptions, world, opened, _dir: dir }
    }

    fn subscribe(&self) -> tokio::task::JoinHandle<Result<Subscription, Trouble>> {
        let subscriptions = self.subscriptions.clone();
        let new = NewSubscription {
            local: LOCAL.parse().unwrap(),
            transport: None,
            flow: FLOW.parse().unwrap(),
            filter: None,
            owner: None,
            processor: "p.own.test".parse().unwrap(),
            most: Default::default(),
        };
        tokio::spawn(async move { subscriptions.subscribe(new).await })
    }

    async fn opened(&mut self) -> Far {
        let mut far = self.opened.recv().await.unwrap();
        far.hello().await;
        far
    }

    fn answers(&self, answer: Result<&str, Code>) {
        let answer = match answer {
            Ok(line) => Ok(vec![line.to_owned()]),
            Err(code) => Err(Unreached::never(Failure::new(code, "his word"))),
        };
        self.world.answers.lock().unwrap().push_back(answer);
    }

    fn row(&self) -> Option<Subscription> {
        self.subscriptions.0.registry.subscription(&LOCAL.parse().unwrap())
    }

    /// What was asked, without what stands behind a flow's name.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.world.asked.lock().unwrap());
        let short = |said: String| said.split(' ').take(2).collect::<Vec<_>>().join(" ");
        asked.into_iter().map(short).collect()
    }
}

#[tokio::test]
async fn one_that_went_before_anybody_attached_is_asked_for_again_until_its_owner_says_no() {
    let mut house = House::new().await;
    house.answers(Ok("id.time.flows.test"));
    let subscribe = house.subscribe();
    let mut far = house.opened().await;
    let stream = far.attach().await.stream;
    far.say(gone(stream)).await;
    match subscribe.await.unwrap() {
        Err(Trouble::Later(failure, _)) => assert!(failure.words.contains("no such flow")),
        other => panic!("{other:?}"),
    }
    let row = house.row().unwrap();
    assert_eq!(row.stage, Stage::Asking);
    assert!(row.why.contains("no such flow"), "{}", row.why);
    // There is another one by now, and that is gone, too.
    house.answers(Ok("other.time.flows.test"));
    let subscribe = house.subscribe();
    let stream = far.attach().await.stream;
    far.say(gone(stream)).await;
    assert!(matches!(subscribe.await.unwrap(), Err(Trouble::Later(..))));
    assert_eq!(house.row().unwrap().remote, Some("other.time.flows.test".parse().unwrap()));
    house.answers(Err(Code::Forbidden));
    let ended = house.subscribe().await.unwrap().unwrap();
    assert!(ended.stage == Stage::Ended && ended.why.contains("his word"), "{ended:?}");
    assert_eq!(house.asked(), ["SUBSCRIBE time.flows.test"; 3]);
}

#[tokio::test]
async fn answers_that_are_none_are_refused_and_leave_nothing_behind() {
    for answer in ["id.place.flows.test", "time.flows.test", "a.b.time.flows.test", "", "a b"] {
        let house = House::new().await;
        house.answers(Ok(answer));
        match house.subscribe().await.unwrap() {
            Err(Trouble::Unclear(failure, _)) => assert_eq!(failure.code, Code::ConnError),
            other => panic!("{answer}: {other:?}"),
        }
        assert_eq!(house.row(), None, "{answer}");
        // Whatever it may have made of it is taken back.
        let asked = ["SUBSCRIBE time.flows.test", "UNSUBSCRIBE time.flows.test"];
        assert_eq!(house.asked(), asked, "{answer}");
    }
}

#[tokio::test]
async fn a_flow_with_more_than_there_may_be_here_is_refused_and_its_owner_told() {
    let many = (0..2_000).map(|number| partition(number, 0)).collect();
    for partitions in [many, vec![], vec![partition(1, 0)]] {
        let mut house = House::new().await;
        house.answers(Ok("id.time.flows.test"));
        let subscribe = house.subscribe();
        let mut far = house.opened().await;
        let stream = far.attach().await.stream;
        far.say(attached(stream, partitions)).await;
        let trouble = subscribe.await.unwrap().unwrap_err();
        assert!(!trouble.may_pass(), "{trouble}");
        assert_eq!(house.row(), None, "{trouble}");
        assert_eq!(house.asked(), ["SUBSCRIBE time.flows.test", "UNSUBSCRIBE id.time.flows.test"]);
        assert!(matches!(far.hear().await, Some(Message::Detach(_))));
    }
}
