//! Reports: written with the change that they tell of, bounded, and each carried once.

use fnap::subject::Subject;
use serde_json::json;

use super::*;

const A: &str = "a.n.test";

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

async fn request(registry: &Registry, reference: u128) -> String {
    let reference = Some(Uuid::from_u128(reference));
    let principal = subject("domain:b.test");
    let asked =
        Asked { flow: name(A), principal, reference, filter: None, way: Way::Ask, lend: None };
    match registry.subscribe_to(asked).await.unwrap() {
        Subscribed::Pending(request) => request,
        Subscribed::To(name) => panic!("subscribed as {name}"),
    }
}

async fn kinds(registry: &Registry) -> Vec<String> {
    let waiting = registry.reports(&name("n.test"), 10_000).await.unwrap();
    waiting.reports.into_iter().map(|report| report.kind).collect()
}

#[tokio::test]
async fn a_change_is_told_once_with_who_and_why_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    request(&registry, 1).await;
    assert_eq!(registry.reported_namespaces().await.unwrap(), [], "nobody wants them");
    registry.keep_reports(true);
    let denied = request(&registry, 2).await;
    request(&registry, 2).await;
    let why = || Some("we do not know you".to_owned());
    registry.deny(&denied, subject("user:ana"), why()).await.unwrap();
    registry.deny(&denied, subject("user:ana"), why()).await.unwrap();
    let yes = registry.approve(&denied, subject("user:ana"), None, None).await.unwrap();
    registry.hold_subscriber(&yes, Hold::Paused).await.unwrap();
    registry.remove_subscriber(&yes).await.unwrap();
    drop(registry);
    let registry = open(dir.path()).await;
    assert_eq!(registry.reported_namespaces().await.unwrap(), [name("n.test")]);
    let told = ["requested", "denied", "approved", "paused", "ended"];
    let told = told.map(|kind| format!("subscriber.{kind}"));
    assert_eq!(kinds(&registry).await, told);
    let waiting = registry.reports(&name("n.test"), 10_000).await.unwrap();
    assert_eq!(waiting.reports[0].subject, A);
    let data = json!({
        "request": denied,
        "flow": A,
        "principal": "domain:b.test",
        "by": "user:ana",
        "reason": "we do not know you",
    });
    assert_eq!(waiting.reports[1].data, data);
    assert_eq!(waiting.reports[4].data["why"], "removed");
    assert_eq!(waiting.reports[4].subject, yes.as_str());
    let last = waiting.reports[3].number;
    registry.carried_reports(&name("n.test"), last, 0).await.unwrap();
    assert_eq!(kinds(&registry).await, ["subscriber.ended"]);
}

#[tokio::test]
async fn of_more_than_wait_for_a_flow_the_oldest_go_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry.keep_reports(true);
    let id = request(&registry, 1).await;
    let yes = registry.approve(&id, subject("user:ana"), None, None).await.unwrap();
    for turn in 0..MAX_REPORTS + 5 {
        let hold = if turn % 2 == 0 { Hold::Paused } else { Hold::Active };
        registry.hold_subscriber(&yes, hold).await.unwrap();
    }
    let n = name("n.test");
    let waiting = registry.reports(&n, 10_000).await.unwrap();
    assert_eq!((waiting.reports.len() as u64, waiting.dropped), (MAX_REPORTS, 7));
    registry.carried_reports(&n, waiting.reports[0].number, 6).await.unwrap();
    assert_eq!(registry.reports(&n, 1).await.unwrap().dropped, 1);
    registry.carried_reports(&n, u64::MAX >> 1, 1).await.unwrap();
    assert_eq!(registry.reports(&n, 1).await.unwrap(), Waiting::default());
}

#[tokio::test]
async fn what_happens_to_subscriptions_of_reports_and_among_users_of_this_host_is_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let reports = name("reports.n.test");
    reconciler.wait(registry.create_flow(new_flow("reports.n.test")).await.unwrap()).await.unwrap();
    registry.keep_reports(true);
    // What users of this host do among themselves is none, either.
    for (flow, who) in [(reports, "domain:b.test"), (name(A), "user:ana")] {
        let principal = subject(who);
        let way = Way::Granted;
        let asked = Asked { flow, principal, reference: None, filter: None, way, lend: None };
        let Subscribed::To(id) = registry.subscribe_to(asked).await.unwrap() else { panic!() };
        registry.hold_subscriber(&id, Hold::Paused).await.unwrap();
    }
    let new = NewSubscription {
        local: name("l.n.test"),
        flow: name("reports.other.test"),
        filter: None,
        transport: None,
        owner: Some(subject("user:ana")),
        processor: name("b1.n.test"),
        most: Most::default(),
    };
    registry.begin_subscription(new).await.unwrap();
    let active = |row: &mut Subscription| row.stage = Stage::Active;
    registry.advance_subscription(&name("l.n.test"), active).await.unwrap();
    assert_eq!(registry.reported_namespaces().await.unwrap(), []);
}

#[tokio::test]
async fn of_a_subscription_whose_namespace_is_gone_nobody_else_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let (broker, config) = ("inner".to_owned(), Default::default());
    let theirs = NewNamespace { name: name("z.test"), broker, config, owner: None };
    registry.create_namespace(theirs).await.unwrap();
    registry.keep_reports(true);
    let local = name("z.test-time.flows.unix.ar");
    let new = NewSubscription {
        local: local.clone(),
        flow: name("time.flows.unix.ar"),
        filter: None,
        transport: None,
        owner: Some(subject("user:eva")),
        processor: name("b1.z.test"),
        most: Most::default(),
    };
    registry.begin_subscription(new).await.unwrap();
    let pending = |row: &mut Subscription| {
        row.stage = Stage::Pending { request: "r1".to_owned() };
    };
    registry.advance_subscription(&local, pending).await.unwrap();
    assert_eq!(registry.reported_namespaces().await.unwrap(), [name("z.test")]);
    registry.delete_namespace(&name("z.test")).await.unwrap();
    let ended = |row: &mut Subscription| row.stage = Stage::Ended;
    registry.advance_subscription(&local, ended).await.unwrap();
    assert_eq!(kinds(&registry).await, Vec::<String>::new());
}
