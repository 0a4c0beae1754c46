//! Subscriptions to flows elsewhere: what is stored of them, and the flows that are made for them.

use super::*;

const F: &str = "time.flows.unix.ar";
const ALIAS: &str = "n.test-time.flows.unix.ar";

fn wanted(local: &str) -> NewSubscription {
    NewSubscription {
        local: name(local),
        flow: name(F),
        filter: None,
        transport: None,
        owner: Some("user:ana".parse().unwrap()),
        processor: name("bridge-1.n.test"),
        most: Most::default(),
    }
}

fn words<T: std::fmt::Debug>(answer: Result<T, RegistryError>) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn the_same_is_one_subscription_also_after_a_restart_and_goes_when_it_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let first = registry.begin_subscription(wanted(ALIAS)).await.unwrap();
    assert_eq!(first.stage, Stage::Asking);
    assert_eq!(registry.begin_subscription(wanted(ALIAS)).await.unwrap(), first);
    let remote = name("abc.time.flows.unix.ar");
    let granted = {
        let remote = remote.clone();
        move |row: &mut Subscription| (row.stage, row.remote) = (Stage::Making, Some(remote))
    };
    registry.advance_subscription(&first.local, granted).await.unwrap();
    drop(registry);
    let registry = open(dir.path()).await;
    let found = registry.subscription(&remote).unwrap();
    assert_eq!((found.reference, &found.stage), (first.reference, &Stage::Making));
    assert_eq!(registry.subscription(&name(ALIAS)), Some(found.clone()));
    assert_eq!(registry.subscriptions(), [found]);
    registry.forget_subscription(&name(ALIAS)).await.unwrap();
    assert!(registry.subscription(&remote).is_some(), "it does not end");
    let ending = |row: &mut Subscription| row.stage = Stage::Ending;
    registry.advance_subscription(&name(ALIAS), ending).await.unwrap();
    registry.forget_subscription(&name(ALIAS)).await.unwrap();
    registry.forget_subscription(&name(ALIAS)).await.unwrap();
    assert_eq!((registry.subscription(&remote), registry.subscriptions()), (None, vec![]));
    let again = registry.begin_subscription(wanted(ALIAS)).await.unwrap();
    assert_ne!(again.reference, first.reference, "its owner has to tell them apart");
}

#[tokio::test]
async fn names_that_are_taken_and_another_subscription_to_the_same_flow_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let answer = registry.begin_subscription(wanted("a.n.test")).await;
    let answer = words(answer);
    assert!(
        answer.starts_with("flow a.n.test exists: ") && answer.contains("DELETE FLOW a.n.test")
    );
    let taken = NewSubscription { processor: name("p.n.test"), ..wanted(ALIAS) };
    assert_eq!(words(registry.begin_subscription(taken).await), "processor p.n.test exists");
    registry.begin_subscription(wanted(ALIAS)).await.unwrap();
    for other in [
        NewSubscription { flow: name("other.flows.unix.ar"), ..wanted(ALIAS) },
        NewSubscription { owner: None, ..wanted(ALIAS) },
        NewSubscription { filter: Some("true".to_owned()), ..wanted(ALIAS) },
    ] {
        let answer = words(registry.begin_subscription(other).await);
        assert!(answer.starts_with(&format!("{ALIAS} is subscribed to {F} already, ")), "{answer}");
    }
    let ending = |row: &mut Subscription| row.stage = Stage::Ending;
    let first = registry.advance_subscription(&name(ALIAS), ending).await.unwrap();
    // Its owner knows it by the same reference, whatever he has heard by now.
    let again = registry.begin_subscription(wanted(ALIAS)).await.unwrap();
    assert_eq!((again.stage, again.reference), (Stage::Asking, first.reference));
    let granted = |row: &mut Subscription| {
        (row.stage, row.remote) = (Stage::Ending, Some(name("abc.time.flows.unix.ar")));
    };
    registry.advance_subscription(&name(ALIAS), granted).await.unwrap();
    let answer = words(registry.begin_subscription(wanted(ALIAS)).await);
    assert_eq!(answer, format!("{ALIAS} is being unsubscribed from {F}: try again later"));
    let ended = |row: &mut Subscription| row.stage = Stage::Ended;
    registry.advance_subscription(&name(ALIAS), ended).await.unwrap();
    let answer = words(registry.begin_subscription(wanted(ALIAS)).await);
    assert!(answer.contains("has ended: UNSUBSCRIBE"), "{answer}");
    let nobody = registry.advance_subscription(&name("x.test"), |_| ()).await;
    assert_eq!(words(nobody), "subscription x.test");
}

#[tokio::test]
async fn a_subscription_knows_whether_its_flow_is_of_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    for (local, flow, here) in [("x.n.test", F, false), ("y.n.test", "a.n.test", true)] {
        let processor = name(&format!("bridge-{local}"));
        let wanted = NewSubscription { flow: name(flow), processor, ..wanted(local) };
        assert_eq!(registry.begin_subscription(wanted).await.unwrap().here, here, "{flow}");
    }
    // What it was it stays, whatever is called so later.
    registry.create_namespace(new_namespace("flows.unix.ar")).await.unwrap();
    drop(registry);
    let registry = open(dir.path()).await;
    let here = |local| registry.subscription(&name(local)).unwrap().here;
    assert_eq!((here("x.n.test"), here("y.n.test")), (false, true));
}

#[tokio::test]
async fn what_a_subscription_will_make_counts_to_whose_it_is_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let ana: fnap::subject::Subject = "user:ana".parse().unwrap();
    let with = |local: &str, processor: &str, flows, processors| NewSubscription {
        processor: name(processor),
        most: Most { flows: Some(flows), processors: Some(processors) },
        ..wanted(local)
    };
    registry.begin_subscription(with(ALIAS, "b1.n.test", 1, 1)).await.unwrap();
    let over = |answer| match answer {
        Err(RegistryError::OverQuota { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let more = registry.begin_subscription(with("x.n.test", "b2.n.test", 1, 9)).await;
    assert_eq!(over(more.map(drop)), "flows");
    let more = registry.begin_subscription(with("x.n.test", "b2.n.test", 9, 1)).await;
    assert_eq!(over(more.map(drop)), "processors");
    let maker = Maker { owner: Some(ana), most: Some(1) };
    let more = registry.create_flow(NewFlow { maker, ..new_flow("x.n.test") }).await;
    assert_eq!(over(more.map(drop)), "flows");
    // A repeat is the same one, and what goes leaves its place to another one.
    registry.begin_subscription(with(ALIAS, "b1.n.test", 1, 1)).await.unwrap();
    let ending = |row: &mut Subscription| row.stage = Stage::Ending;
    registry.advance_subscription(&name(ALIAS), ending).await.unwrap();
    registry.begin_subscription(with("x.n.test", "b2.n.test", 1, 1)).await.unwrap();
}

#[tokio::test]
async fn since_says_when_something_began_to_stand_in_the_way_and_not_when_it_was_tried_last() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry.begin_subscription(wanted(ALIAS)).await.unwrap();
    let why = |words: &'static str| {
        let registry = registry.clone();
        async move {
            let noted = move |row: &mut Subscription| row.why = words.to_owned();
            registry.advance_subscription(&name(ALIAS), noted).await.unwrap()
        }
    };
    let first = why("away").await;
    let changes = registry.subscribe();
    assert_eq!(why("away").await, first);
    assert!(!changes.has_changed().unwrap(), "nothing is written for nothing");
    assert_eq!(why("still away").await.since, first.since);
}

#[tokio::test]
async fn a_name_outside_of_all_namespaces_is_an_alias_and_counts_to_one() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let alias = NewFlow { alias_of: Some(name("n.test")), ..new_flow(ALIAS) };
    let outside = words(registry.create_flow(new_flow(ALIAS)).await);
    assert!(outside.contains(ALIAS), "{outside}");
    reconciler.wait(registry.create_flow(alias).await.unwrap()).await.unwrap();
    let inside = NewFlow { alias_of: Some(name("n.test")), ..new_flow("d.n.test") };
    reconciler.wait(registry.create_flow(inside).await.unwrap()).await.unwrap();
    let row = registry.flow(&name(ALIAS)).await.unwrap().unwrap();
    assert!(row.alias && row.namespace == name("n.test") && !row.is_remote());
    assert!(!registry.flow(&name("d.n.test")).await.unwrap().unwrap().alias);
    let nowhere = NewFlow { alias_of: Some(name("other.test")), ..new_flow("x.y") };
    assert_eq!(words(registry.create_flow(nowhere).await), "namespace other.test");
}
