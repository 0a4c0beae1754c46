//! Subscriptions with a topic of their own: what is kept of them, and what waits until nothing is left of it.

use fnap::subject::Subject;

use super::*;

const A: &str = "a.n.test";

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn asked(who: &str, reference: u128) -> Asked {
    Asked {
        flow: name(A),
        principal: subject(who),
        reference: Some(Uuid::from_u128(reference)),
        filter: None,
        way: Way::Granted,
        lend: Some("kafka".to_owned()),
    }
}

async fn subscribed(registry: &Registry, asked: Asked) -> Name {
    match registry.subscribe_to(asked).await.unwrap() {
        Subscribed::To(name) => name,
        Subscribed::Pending(request) => panic!("{request} waits"),
    }
}

fn words<T: std::fmt::Debug>(answer: Result<T, RegistryError>) -> String {
    answer.unwrap_err().to_string()
}

async fn with_a_flow(dir: &Path) -> (Registry, Reconciler) {
    let registry = open(dir).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir)));
    let namespace = registry.create_namespace(new_namespace("n.test")).await.unwrap();
    reconciler.wait(namespace).await.unwrap();
    reconciler.wait(registry.create_flow(new_flow(A)).await.unwrap()).await.unwrap();
    (registry, reconciler)
}

#[tokio::test]
async fn what_is_lent_is_there_until_all_of_it_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, reconciler) = with_a_flow(dir.path()).await;
    let wanted = asked("domain:b.test", 1);
    let id = subscribed(&registry, wanted.clone()).await;
    let lent = registry.lent_as(&id).unwrap().lent.unwrap();
    assert_eq!((&*lent.broker, lent.cleared), ("kafka", false));
    assert_eq!(registry.lent_through(&lent.processor).unwrap().name, id);
    // Its name is nobody else's, and its flow's.
    assert!(words(registry.create_flow(NewFlow::named(id.clone())).await).contains("exists"));
    let own = NewFlow { for_subscription: true, ..NewFlow::named(id.clone()) };
    reconciler.wait(registry.create_flow(own).await.unwrap()).await.unwrap();
    let by_stream = Asked { lend: None, ..wanted.clone() };
    assert!(words(registry.subscribe_to(by_stream).await).contains("another transport"));
    assert!(words(registry.attach(&wanted.principal, &id).await).contains("kafka"));
    let other = subject("domain:c.test");
    assert!(registry.borrowable(&other, &id).is_err());
    registry.borrowed(&wanted.principal, &id).await.unwrap();
    let in_a_year = registry.subscriber(&id).unwrap().created_at + 365 * 24 * 3600 * 1000;
    registry.subscriptions_pass(in_a_year).await.unwrap();
    assert!(registry.subscriber(&id).unwrap().is_live(), "somebody has come for it");
    registry.remove_subscriber(&id).await.unwrap();
    assert!(registry.borrowable(&wanted.principal, &id).is_err());
    // It is over when it is taken away, and not before.
    registry.subscriptions_pass(i64::MAX).await.unwrap();
    assert_eq!(registry.lent().len(), 1);
    assert!(words(registry.delete_flow(&name(A)).await).contains(id.as_str()));
    registry.clear(&id).await.unwrap();
    assert!(registry.lent().is_empty() && registry.lent_as(&id).is_none());
    registry.delete_flow(&name(A)).await.unwrap();
}

#[tokio::test]
async fn nothing_else_reads_or_fills_a_topic_or_it_would_never_go() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, reconciler) = with_a_flow(dir.path()).await;
    let other = registry.create_flow(new_flow("b.n.test")).await.unwrap();
    reconciler.wait(other).await.unwrap();
    let id = subscribed(&registry, asked("domain:b.test", 1)).await;
    let own = NewFlow { for_subscription: true, ..NewFlow::named(id.clone()) };
    reconciler.wait(registry.create_flow(own).await.unwrap()).await.unwrap();
    let processor = |as_name: &Name, from: &str, to: &str| NewProcessor {
        name: as_name.clone(),
        ..new_processor("p.n.test", &[from], &[to])
    };
    let (p, carrier) = (name("p.n.test"), registry.lent_as(&id).unwrap().lent.unwrap().processor);
    for (from, to) in [(id.as_str(), "b.n.test"), (A, id.as_str())] {
        let refused = registry.create_processor(processor(&p, from, to)).await;
        assert!(words(refused).contains("is the topic of a subscription: take a.n.test"));
    }
    let of_it = Asked { flow: id.clone(), ..asked("user:o", 2) };
    assert!(words(registry.subscribe_to(of_it).await).contains("is the topic of a subscription"));
    registry.create_processor(processor(&carrier, A, id.as_str())).await.unwrap();
}

#[tokio::test]
async fn one_processor_carries_a_filter_or_a_policy_and_nothing_else_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, _reconciler) = with_a_flow(dir.path()).await;
    let id = subscribed(&registry, Asked { filter: Some("true".into()), ..asked("user:u", 1) });
    let row = registry.subscriber(&id.await).unwrap();
    let flow = registry.flow(&name(A)).await.unwrap().unwrap();
    let Lens { kind, config, .. } = row.carrier(&flow).unwrap();
    assert_eq!((&*kind, &*config), ("bridge", "{\"filter\":\"true\"}"));
    let request = |reference, filter: Option<&str>| {
        let filter = filter.map(str::to_owned);
        Asked { way: Way::Ask, filter, ..asked("domain:b.test", reference) }
    };
    let approved = async |asked: Asked, filter: Option<&str>, policy: Option<&str>| {
        let Subscribed::Pending(id) = registry.subscribe_to(asked).await.unwrap() else {
            panic!("nobody asked")
        };
        let said = (filter.map(str::to_owned), policy.map(str::to_owned));
        registry.approve(&id, subject("user:o"), said.0, said.1).await
    };
    let both = approved(request(2, Some("true")), Some("false"), None).await;
    assert!(words(both).contains("not several"));
    assert!(words(approved(request(3, None), Some("true"), Some("mask {}")).await).contains("not"));
    let masked = approved(request(4, None), None, Some("mask {\"k\":1}")).await.unwrap();
    let masked = registry.subscriber(&masked).unwrap();
    let Lens { kind, config, .. } = masked.carrier(&flow).unwrap();
    assert_eq!((&*kind, &*config), ("mask", "{\"k\":1}"));
    // What lies in a topic was filled by the policy that there was.
    let policy = FlowChange { config: config_of("mask {}"), ..FlowChange::default() };
    let refused = registry.update_flow(&name(A), policy).await;
    assert!(words(refused).contains(row.name.as_str()));
    let other =
        FlowChange { config: super::config(&[("access", "open")]), ..FlowChange::default() };
    registry.update_flow(&name(A), other).await.unwrap();
}

fn config_of(policy: &str) -> Config {
    config(&[("policy", policy)])
}

#[tokio::test]
async fn nobody_has_more_topics_than_a_cluster_bears() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, _reconciler) = with_a_flow(dir.path()).await;
    let mut last = None;
    for reference in 0..MAX_LENT_OF_ONE as u128 {
        last = Some(subscribed(&registry, asked("domain:b.test", reference)).await);
    }
    let over = registry.subscribe_to(asked("domain:b.test", 1000)).await;
    assert!(matches!(over, Err(RegistryError::OverQuota { .. })), "{over:?}");
    let by_stream = Asked { lend: None, ..asked("domain:b.test", 1000) };
    subscribed(&registry, by_stream).await;
    subscribed(&registry, asked("domain:c.test", 1)).await;
    // What has ended counts until it is taken away.
    let last = last.unwrap();
    registry.remove_subscriber(&last).await.unwrap();
    assert!(registry.subscribe_to(asked("domain:b.test", 2000)).await.is_err());
    registry.clear(&last).await.unwrap();
    subscribed(&registry, asked("domain:b.test", 2000)).await;
}
