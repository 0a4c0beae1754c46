//! Subscriptions of others, and requests: what is stored of them, who gets which, and when they end.

use fnap::command::{Command, Grant};
use fnap::rights::Scope;
use fnap::subject::Subject;

use super::*;

const A: &str = "a.n.test";

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

/// What the domain `b.test` wants of flow `a`.
fn asked(way: Way, reference: u128) -> Asked {
    let principal = subject("domain:b.test");
    let reference = Some(Uuid::from_u128(reference));
    Asked { flow: name(A), principal, reference, filter: None, way, lend: None }
}

async fn subscribed(registry: &Registry, asked: Asked) -> Name {
    match registry.subscribe_to(asked).await.unwrap() {
        Subscribed::To(name) => name,
        Subscribed::Pending(request) => panic!("{request} waits"),
    }
}

async fn pending(registry: &Registry, asked: Asked) -> String {
    match registry.subscribe_to(asked).await.unwrap() {
        Subscribed::Pending(request) => request,
        Subscribed::To(name) => panic!("subscribed as {name}"),
    }
}

fn words<T: std::fmt::Debug>(answer: Result<T, RegistryError>) -> String {
    answer.unwrap_err().to_string()
}

/// Why one has ended.
fn end(registry: &Registry, name: &Name) -> Why {
    registry.subscriber(name).unwrap().ended.unwrap().why
}

fn revocation(words: &str) -> Grant {
    match format!("REVOKE {words}").parse() {
        Ok(Command::Revoke(grant)) => grant,
        other => panic!("{words}: {other:?}"),
    }
}

async fn delete_a(registry: &Registry, dir: &Path) {
    registry.delete_processor(&name("p.n.test")).await.unwrap();
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir)));
    while let Some(entry) = registry.pending().first() {
        reconciler.wait(entry.id).await.unwrap();
    }
    let gone = registry.delete_flow(&name(A)).await.unwrap();
    reconciler.wait(gone).await.unwrap();
}

#[tokio::test]
async fn the_same_principal_and_reference_are_the_same_subscription_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let first = subscribed(&registry, asked(Way::Granted, 1)).await;
    let id = first.labels().next().unwrap();
    assert_eq!(first.parent(), Some(name(A)));
    assert_eq!(id.len(), 16);
    assert!(id.starts_with(|letter: char| letter.is_ascii_lowercase()), "{id}");
    let other = subscribed(&registry, asked(Way::Granted, 2)).await;
    let bare = Asked { reference: None, ..asked(Way::Granted, 0) };
    let nameless = subscribed(&registry, bare.clone()).await;
    let elses = Asked { principal: subject("domain:c.test"), ..asked(Way::Granted, 1) };
    let elses = subscribed(&registry, elses).await;
    let mut all = vec![first.clone(), other, nameless.clone(), elses];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
    drop(registry);
    let registry = open(dir.path()).await;
    assert_eq!(subscribed(&registry, asked(Way::Granted, 1)).await, first);
    assert_eq!(subscribed(&registry, bare).await, nameless);
    assert_eq!(registry.subscribers(&name(A)).len(), 4);
    assert_eq!(registry.live_subscribers(), registry.subscribers(&name(A)));
    let narrower = Asked { filter: Some("true".into()), ..asked(Way::Granted, 1) };
    assert!(words(registry.subscribe_to(narrower).await).contains("has another filter"));
}

#[tokio::test]
async fn ids_tell_nothing_of_each_other() {
    let mut ids: Vec<String> =
        (0..1000).map(|_| crate::subscribers::random_id().unwrap()).collect();
    let label = |id: &String| id.len() == 16 && id.parse::<Name>().is_ok();
    assert!(ids.iter().all(label));
    // No letter stands still, as one of a clock would.
    for at in 0..16 {
        let mut letters: Vec<u8> = ids.iter().map(|id| id.as_bytes()[at]).collect();
        letters.sort_unstable();
        letters.dedup();
        assert!(letters.len() >= 12, "{at}: {letters:?}");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1000);
}

#[tokio::test]
async fn a_request_waits_for_a_word_and_an_approval_for_whoever_asked() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let request = pending(&registry, asked(Way::Ask, 1)).await;
    drop(registry);
    let registry = open(dir.path()).await;
    assert_eq!(pending(&registry, asked(Way::Ask, 1)).await, request, "the answer was lost");
    assert_eq!(registry.flow_of_request(&request), Some(name(A)));
    let filter = Some("data.n > 1".to_owned());
    let approve = async |registry: &Registry| {
        let policy = Some("mask {\"k\":1}".to_owned());
        registry.approve(&request, subject("user:ana"), filter.clone(), policy).await
    };
    let name = approve(&registry).await.unwrap();
    assert_eq!(approve(&registry).await.unwrap(), name, "the answer was lost");
    assert!(registry.requests(|_| true).is_empty());
    drop(registry);
    let registry = open(dir.path()).await;
    let wanted = asked(Way::Ask, 1);
    assert_eq!(subscribed(&registry, wanted).await, name);
    let row = registry.subscriber(&name).unwrap();
    let flow = registry.flow(&row.flow).await.unwrap().unwrap();
    let owners = |lens: Lens| Lens { whose: Whose::Owners, ..lens };
    let policy = owners(Lens::policy("mask {\"k\":1}"));
    let view = [owners(Lens::filter(Whose::Owners, "data.n > 1")), policy];
    assert_eq!(row.view(&flow), view);
    // Another reference is another question.
    assert_ne!(pending(&registry, asked(Way::Ask, 2)).await, request);
    let no = registry.deny(&request, subject("user:ana"), None).await;
    assert!(words(no).contains("was approved"));
}

#[tokio::test]
async fn a_no_is_remembered_and_a_yes_may_follow() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let request = pending(&registry, asked(Way::Ask, 1)).await;
    let reason = Some("we do not know you".to_owned());
    registry.deny(&request, subject("user:ana"), reason.clone()).await.unwrap();
    registry.deny(&request, subject("user:ana"), reason).await.unwrap();
    drop(registry);
    let registry = open(dir.path()).await;
    let again = registry.subscribe_to(asked(Way::Ask, 1)).await;
    assert!(matches!(again, Err(RegistryError::Denied { .. })), "{again:?}");
    assert_eq!(words(again), "denied: we do not know you");
    let name = registry.approve(&request, subject("user:ana"), None, None).await.unwrap();
    assert_eq!(subscribed(&registry, asked(Way::Ask, 1)).await, name);
}

#[tokio::test]
async fn what_nobody_attaches_to_ends_and_what_nobody_answers_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let unused = subscribed(&registry, asked(Way::Granted, 1)).await;
    let used = subscribed(&registry, asked(Way::Granted, 2)).await;
    let (_, attachment) = registry.attach(&subject("domain:b.test"), &used).await.unwrap();
    let request = pending(&registry, asked(Way::Ask, 3)).await;
    let approved = pending(&registry, asked(Way::Ask, 4)).await;
    let approved = registry.approve(&approved, subject("user:ana"), None, None).await.unwrap();
    let begun = registry.subscriber(&unused).unwrap().created_at;
    assert_eq!(registry.subscriptions_pass(begun + UNATTACHED_FOR - 1).await.unwrap(), 0);
    let late = begun + UNATTACHED_FOR + 60_000;
    assert_eq!(registry.subscriptions_pass(late).await.unwrap(), 1);
    assert_eq!(end(&registry, &unused), Why::Unused);
    drop(attachment);
    assert!(registry.subscriber(&used).unwrap().is_live(), "it was attached to once");
    // Nobody has come for the approved one: its ten minutes have not begun.
    assert!(registry.subscriber(&approved).unwrap().is_live());
    assert_eq!(registry.flow_of_request(&request), Some(name(A)));
    let week = begun + REMEMBERED_FOR + UNATTACHED_FOR;
    registry.subscriptions_pass(week).await.unwrap();
    assert_eq!(registry.flow_of_request(&request), None);
    assert_eq!(end(&registry, &approved), Why::Unused);
    // The same comes again as another one.
    let other = subscribed(&registry, asked(Way::Granted, 1)).await;
    assert_ne!(other, unused);
    assert_eq!(registry.subscriber(&unused), None);
    // In the end nothing is remembered of what is over.
    registry.subscriptions_pass(week + REMEMBERED_FOR).await.unwrap();
    assert_eq!(registry.subscriber(&approved), None);
}

#[tokio::test]
async fn a_flow_with_subscribers_stays_and_one_made_again_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let one = subscribed(&registry, asked(Way::Granted, 1)).await;
    let request = pending(&registry, asked(Way::Ask, 2)).await;
    let refused = words(registry.delete_flow(&name(A)).await);
    assert!(refused.contains(one.as_str()), "{refused}");
    registry.remove_subscriber(&one).await.unwrap();
    registry.remove_subscriber(&one).await.unwrap();
    delete_a(&registry, dir.path()).await;
    assert_eq!((registry.subscriber(&one), registry.flow_of_request(&request)), (None, None));
    let world = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    world.wait(registry.create_flow(new_flow(A)).await.unwrap()).await.unwrap();
    assert!(registry.subscribers(&name(A)).is_empty());
    assert_ne!(subscribed(&registry, asked(Way::Granted, 1)).await, one);
}

#[tokio::test]
async fn what_the_owner_ended_does_not_come_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let one = subscribed(&registry, asked(Way::Granted, 1)).await;
    let bare = Asked { reference: None, ..asked(Way::Granted, 0) };
    let nameless = subscribed(&registry, bare.clone()).await;
    for name in [&one, &nameless] {
        registry.remove_subscriber(name).await.unwrap();
        let attached = registry.attach(&subject("domain:b.test"), name).await.map(|_| ());
        assert!(matches!(attached, Err(RegistryError::Denied { .. })), "{attached:?}");
    }
    let again = registry.subscribe_to(asked(Way::Granted, 1)).await;
    assert!(matches!(again, Err(RegistryError::Denied { .. })), "{again:?}");
    // Who gives no reference means it anew each time.
    assert_ne!(subscribed(&registry, bare).await, nameless);
    assert!(words(registry.hold_subscriber(&one, Hold::Active).await).contains("has ended"));
}

#[tokio::test]
async fn a_subscription_is_his_alone_who_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let one = subscribed(&registry, asked(Way::Granted, 1)).await;
    let stranger = subject("domain:c.test");
    let attached = registry.attach(&stranger, &one).await.map(|_| ());
    assert_eq!(words(attached), format!("subscription {one}"));
    let ended = registry.unsubscribe(&one, stranger).await;
    assert_eq!(words(ended), format!("subscription {one}"));
    let his = subject("domain:b.test");
    registry.unsubscribe(&one, his.clone()).await.unwrap();
    registry.unsubscribe(&one, his).await.unwrap();
    assert_eq!(end(&registry, &one), Why::Unsubscribed);
    assert_ne!(subscribed(&registry, asked(Way::Granted, 1)).await, one);
}

#[tokio::test]
async fn who_carries_events_is_told_of_what_changes_and_says_how_far_he_is() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let one = subscribed(&registry, asked(Way::Granted, 1)).await;
    let his = subject("domain:b.test");
    let (row, attachment) = registry.attach(&his, &one).await.unwrap();
    assert!(row.attached_at.is_some() && row.hold == Hold::Active);
    let mut changes = registry.subscriber_changes();
    registry.pause_flow(&name("b.n.test")).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "that is no subscription");
    registry.hold_subscriber(&one, Hold::Paused).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(registry.subscriber(&one).unwrap().hold, Hold::Paused);
    attachment.acked(&[(0, 5), (1, 3)].into());
    attachment.acked(&[(0, 7)].into());
    let standing = registry.standing(&one).unwrap();
    assert_eq!((standing.connected, standing.acked), (1, [(0, 7), (1, 3)].into()));
    drop(attachment);
    assert_eq!(registry.standing(&one).unwrap().connected, 0);
    // The next start knows that somebody came, and nothing of how far he is.
    drop(registry);
    let registry = open(dir.path()).await;
    assert!(registry.subscriber(&one).unwrap().attached_at.is_some());
    assert!(registry.standing(&one).is_none());
}

#[tokio::test]
async fn a_revocation_takes_what_was_approved_as_far_as_it_reaches() {
    for (words, scope, ends) in [
        ("subscribe ON a.n.test FROM domain:b.test", Scope::Name, true),
        ("subscribe ON n.test FROM domain:b.test", Scope::Below, true),
        ("subscribe ON * FROM domain:b.test", Scope::Below, true),
        ("subscribe ON n.test FROM domain:b.test", Scope::Name, false),
        ("read,administer ON a.n.test FROM domain:b.test", Scope::Below, false),
        ("subscribe ON a.n.test FROM domain:c.test", Scope::Below, false),
        ("subscribe ON b.n.test FROM domain:b.test", Scope::Below, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let registry = furnished(dir.path()).await;
        let request = pending(&registry, asked(Way::Ask, 1)).await;
        let name = registry.approve(&request, subject("user:ana"), None, None).await.unwrap();
        registry.revoke(revocation(words), scope).await.unwrap();
        assert_eq!(!registry.subscriber(&name).unwrap().is_live(), ends, "{words}");
        if ends {
            assert_ne!(pending(&registry, asked(Way::Ask, 1)).await, request, "asks anew");
        }
    }
}

#[tokio::test]
async fn what_is_not_covered_any_more_ends_and_a_flow_that_is_another_ends_all() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let one = subscribed(&registry, asked(Way::Granted, 1)).await;
    let two = subscribed(&registry, asked(Way::Granted, 2)).await;
    assert_eq!(registry.end_uncovered(|_, _| None).await.unwrap(), 0);
    let lost = one.clone();
    let against = move |row: &Subscriber, flow: Option<&Flow>| {
        assert!(flow.is_some_and(|flow| flow.name == row.flow));
        (row.name == lost).then(|| "may not any more".to_owned())
    };
    assert_eq!(registry.end_uncovered(against).await.unwrap(), 1);
    assert_eq!(end(&registry, &one), Why::Revoked);
    assert!(registry.subscriber(&two).unwrap().is_live());
    // Taken over from another topic, the flow is another one.
    let taken = name("taken.n.test");
    let three = Asked { flow: taken.clone(), ..asked(Way::Granted, 3) };
    let three = subscribed(&registry, three).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let entry = command(&registry, "take over another topic").await.unwrap();
    reconciler.wait(entry).await.unwrap();
    let his = subject("domain:b.test");
    assert!(registry.attach(&his, &three).await.is_err());
    registry.subscriptions_pass_now().await.unwrap();
    assert_eq!(end(&registry, &three), Why::Moved);
}

#[tokio::test]
async fn there_are_so_many_requests_and_so_many_words() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    for number in 0..MAX_REQUESTS_FOR_FLOW as u128 {
        pending(&registry, asked(Way::Ask, number)).await;
    }
    let more = registry.subscribe_to(asked(Way::Ask, 99)).await;
    assert!(matches!(more, Err(RegistryError::OverQuota { .. })), "{more:?}");
    let elses = Asked { principal: subject("domain:c.test"), ..asked(Way::Ask, 99) };
    let request = pending(&registry, elses).await;
    let long = |octets| Some("x".repeat(octets));
    let wordy = Asked { filter: long(MAX_FILTER + 1), ..asked(Way::Granted, 1) };
    assert!(words(registry.subscribe_to(wordy).await).contains("filter of 4097 octets"));
    let ana = subject("user:ana");
    let wordy = registry.approve(&request, ana.clone(), long(MAX_FILTER + 1), None).await;
    assert!(words(wordy).contains("at most"));
    let wordy = registry.approve(&request, ana.clone(), None, long(MAX_POLICY + 1)).await;
    assert!(words(wordy).contains("policy of 8193 octets"));
    assert!(words(registry.deny(&request, ana, long(MAX_REASON + 1)).await).contains("at most"));
}

#[tokio::test]
async fn a_flow_whose_name_leaves_no_room_has_no_subscribers() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let long = |octets: usize| {
        let mut text = "n.test".to_owned();
        while text.len() + 2 <= octets {
            let label = (octets - text.len() - 1).min(50);
            text = format!("{}.{text}", "x".repeat(label));
        }
        text
    };
    for (octets, fits) in [(183, true), (184, false)] {
        let flow = long(octets);
        assert_eq!(flow.len(), octets);
        reconciler.wait(registry.create_flow(new_flow(&flow)).await.unwrap()).await.unwrap();
        let asked = Asked { flow: name(&flow), ..asked(Way::Granted, 1) };
        let answer = registry.subscribe_to(asked).await;
        assert_eq!(answer.is_ok(), fits, "{octets}: {answer:?}");
    }
}

#[tokio::test]
async fn there_are_so_many_subscriptions_and_ended_ones_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let his = subject("domain:b.test");
    for number in 0..MAX_ENDED_OF_ONE as u128 + 3 {
        let one = subscribed(&registry, asked(Way::Granted, number)).await;
        registry.unsubscribe(&one, his.clone()).await.unwrap();
    }
    assert_eq!(registry.subscribers(&name(A)).len(), MAX_ENDED_OF_ONE);
    let rows = (0..MAX_SUBSCRIBERS_OF_ONE).map(|number| {
        let row = format!("s{number}.{A}");
        format!(
            "SELECT '{row}', json_replace(document, '$.name', '{row}', '$.ended', NULL) FROM one"
        )
    });
    let rows: Vec<String> = rows.collect();
    drop(registry);
    let database = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
    database
        .execute_batch("CREATE TEMP TABLE one AS SELECT document FROM subscribers LIMIT 1")
        .unwrap();
    for rows in rows.chunks(100) {
        let rows = rows.join(" UNION ALL ");
        database.execute_batch(&format!("INSERT INTO subscribers {rows}")).unwrap();
    }
    drop(database);
    let registry = open(dir.path()).await;
    let more = registry.subscribe_to(asked(Way::Granted, 5_000)).await;
    assert!(matches!(more, Err(RegistryError::OverQuota { .. })), "{more:?}");
    let elses = Asked { principal: subject("domain:c.test"), ..asked(Way::Granted, 5_000) };
    subscribed(&registry, elses).await;
}

#[tokio::test]
async fn a_registry_from_before_subscriptions_has_none_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    drop(furnished(dir.path()).await);
    let before = "DROP TABLE plugin_types; DROP TABLE plugin_versions; DROP TABLE plugin_files; DROP TABLE plugin_wishes; DROP TABLE reports; DROP TABLE reports_dropped; DROP TABLE subscriptions; DROP TABLE subscribers; DROP TABLE requests; PRAGMA user_version = 8;";
    let database = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
    database.execute_batch(before).unwrap();
    drop(database);
    let registry = open(dir.path()).await;
    assert_eq!(registry.flows(None).await.unwrap().len(), 4);
    assert!(registry.subscribers(&name(A)).is_empty());
    subscribed(&registry, asked(Way::Granted, 1)).await;
}

#[tokio::test]
async fn what_happens_to_subscriptions_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let before = registry.audited(0, 1000).await.unwrap().last().unwrap().number;
    let request = pending(&registry, asked(Way::Ask, 1)).await;
    pending(&registry, asked(Way::Ask, 1)).await;
    let name = registry.approve(&request, subject("user:ana"), None, None).await.unwrap();
    subscribed(&registry, asked(Way::Ask, 1)).await;
    subscribed(&registry, asked(Way::Ask, 1)).await;
    registry.hold_subscriber(&name, Hold::Stopped).await.unwrap();
    registry.hold_subscriber(&name, Hold::Stopped).await.unwrap();
    registry.remove_subscriber(&name).await.unwrap();
    let rows = registry.audited(before, 1000).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.subject.as_str(), row.change.as_str())).collect();
    let name = name.as_str();
    let expected = [
        (A, "request"),
        (name, "approval"),
        (name, "subscription"),
        (name, "stop"),
        (name, "removal"),
    ];
    assert_eq!(rows, expected);
}
