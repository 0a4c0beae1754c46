//! Rights and owners: what is stored of them, what is told, and when they end.

use std::sync::Mutex;

use fnap::command::{Command, Grant, MirrorTo};
use fnap::rights::{Object, Right, Scope};
use fnap::subject::Subject;

use super::*;
use crate::state::State;

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

/// Somebody who gives as far as there are names.
fn giver(by: &str) -> Giver {
    Giver { by: subject(by), scope: Scope::Below, most: None }
}

/// The words behind GRANT.
fn grant(words: &str) -> Grant {
    match format!("GRANT {words}").parse() {
        Ok(Command::Grant(grant)) => grant,
        other => panic!("{words}: {other:?}"),
    }
}

fn shown(registry: &Registry) -> Vec<String> {
    let line = |Granted { object, subject, right, scope, by, .. }: Granted| {
        let scope = if scope == Scope::Name { " alone" } else { "" };
        format!("{right} on {object}{scope} to {subject} by {by}")
    };
    registry.grants(None, |_| true).into_iter().map(line).collect()
}

fn made_by(owner: &str) -> Maker {
    Maker { owner: Some(subject(owner)), most: None }
}

#[tokio::test]
async fn rights_are_rows_that_are_read_back_and_repeats_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let (ana, bo) = (giver("user:ana"), giver("user:bo"));
    let two = grant("read,write ON a.n.test TO group:ops");
    assert_eq!(registry.grant(two.clone(), ana.clone()).await.unwrap(), 2);
    assert_eq!(registry.grant(two, bo.clone()).await.unwrap(), 0, "as it was given first");
    let more = grant("read,subscribe ON a.n.test TO group:ops");
    assert_eq!(registry.grant(more, bo.clone()).await.unwrap(), 1);
    registry.grant(grant("administer ON * TO user:root"), bo).await.unwrap();
    let expected = [
        "administer on * to user:root by user:bo",
        "read on a.n.test to group:ops by user:ana",
        "write on a.n.test to group:ops by user:ana",
        "subscribe on a.n.test to group:ops by user:bo",
    ];
    assert_eq!(shown(&registry), expected);
    assert!(registry.grants(None, |_| true).iter().all(|row| row.at > 1_700_000_000_000));
    drop(registry);
    let registry = open(dir.path()).await;
    assert_eq!(shown(&registry), expected);
    let all = grant("read,write,subscribe,administer ON a.n.test TO group:ops");
    assert_eq!(registry.revoke(all.clone(), Scope::Below).await.unwrap(), 3);
    assert_eq!(registry.revoke(all, Scope::Below).await.unwrap(), 0);
    drop(registry);
    assert_eq!(shown(&open(dir.path()).await), expected[..1]);
}

#[tokio::test]
async fn a_right_reaches_as_far_as_the_farthest_who_gave_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let near = Giver { scope: Scope::Name, ..giver("user:ana") };
    let one = grant("read ON a.n.test TO user:cy");
    assert_eq!(registry.grant(one.clone(), near.clone()).await.unwrap(), 1);
    assert_eq!(shown(&registry), ["read on a.n.test alone to user:cy by user:ana"]);
    let two = grant("read,write ON a.n.test TO user:cy");
    assert_eq!(registry.grant(two.clone(), giver("user:bo")).await.unwrap(), 2, "one is wider");
    assert_eq!(registry.grant(one.clone(), near).await.unwrap(), 0, "it is not narrowed");
    drop(registry);
    let registry = open(dir.path()).await;
    let wide =
        ["read on a.n.test to user:cy by user:bo", "write on a.n.test to user:cy by user:bo"];
    assert_eq!(shown(&registry), wide);
    // Who could not give it cannot take it.
    let refused = registry.revoke(one, Scope::Name).await.unwrap_err().to_string();
    assert_eq!(refused, "administer on the names below a.n.test is not granted");
    assert_eq!(shown(&registry), wide);
    assert_eq!(registry.revoke(two, Scope::Below).await.unwrap(), 2);
}

#[tokio::test]
async fn rights_of_an_earlier_version_reach_below() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    let near = Giver { scope: Scope::Name, ..giver("user:bo") };
    registry.grant(grant("read ON a TO user:ana"), near).await.unwrap();
    drop(registry);
    let database = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
    let before = "ALTER TABLE grants DROP COLUMN scope; DROP TABLE plugin_types; DROP TABLE plugin_versions; DROP TABLE plugin_files; DROP TABLE plugin_wishes; DROP TABLE reports; DROP TABLE reports_dropped; DROP TABLE subscriptions; DROP TABLE subscribers; DROP TABLE requests; DROP TABLE published; PRAGMA user_version = 6;";
    database.execute_batch(before).unwrap();
    drop(database);
    assert_eq!(shown(&open(dir.path()).await), ["read on a to user:ana by user:bo"]);
}

#[tokio::test]
async fn damaged_rights_are_named() {
    for wrong in ["object = 'a..b'", "subject = 'ana'", "granted_by = ''", "object = '**'"] {
        let dir = tempfile::tempdir().unwrap();
        let registry = open(dir.path()).await;
        registry.grant(grant("read ON a TO user:ana"), giver("user:bo")).await.unwrap();
        drop(registry);
        let database = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
        database.execute(&format!("UPDATE grants SET {wrong}"), []).unwrap();
        drop(database);
        let error = Registry::open(&dir.path().join("registry.db")).await.unwrap_err();
        assert!(matches!(error, RegistryError::Damaged(_)), "{wrong}: {error}");
    }
}

#[test]
fn there_are_so_many_rights_and_no_more() {
    let mut state = State::default();
    for number in 0..MAX_GRANTS - 1 {
        let one = grant(&format!("read ON n{number}.test TO user:ana"));
        let key = (one.object.clone(), one.subject.clone(), Right::Read);
        let (object, subject) = (one.object, one.subject);
        let (by, right, scope) = (subject.clone(), Right::Read, Scope::Below);
        let row = Granted { object, by, subject, right, scope, at: 0 };
        state.grants.insert(key, row);
    }
    let by = giver("user:ana");
    assert_eq!(state.grant(&grant("read ON x TO user:ana"), &by).unwrap().len(), 1);
    let refused = state.grant(&grant("read,write ON x TO user:ana"), &by).unwrap_err();
    assert!(matches!(refused, RegistryError::TooMany { limit: MAX_GRANTS, .. }), "{refused}");
}

#[tokio::test]
async fn one_gives_so_many_rights_and_leaves_the_rest_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let few = |by| Giver { most: Some(3), ..giver(by) };
    let one = grant("read,write ON a.n.test TO user:cy");
    registry.grant(one.clone(), few("user:ana")).await.unwrap();
    let two = grant("read,write ON b.n.test TO user:cy");
    let refused = registry.grant(two.clone(), few("user:ana")).await.unwrap_err().to_string();
    assert_eq!(refused, "user:ana has 3 rights given to others, which is his quota");
    registry.grant(two, few("user:bo")).await.unwrap();
    assert_eq!(registry.grant(one.clone(), few("user:ana")).await.unwrap(), 0, "it is no more");
    let on = Object::Name(name("b.n.test"));
    assert_eq!(registry.grants(Some(&on), |row| row.right == Right::Write).len(), 1);
    registry.revoke(one, Scope::Below).await.unwrap();
    registry.grant(grant("read ON c.n.test TO user:cy"), few("user:ana")).await.unwrap();
}

#[tokio::test]
async fn owners_are_kept_and_their_quota_counts_what_is_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let two = Maker { most: Some(2), ..made_by("user:ana") };
    for flow in ["x.n.test", "y.n.test"] {
        let new = NewFlow { maker: two.clone(), ..new_flow(flow) };
        registry.create_flow(new).await.unwrap();
    }
    let new = NewFlow { maker: two.clone(), ..new_flow("z.n.test") };
    let refused = registry.create_flow(new).await.unwrap_err().to_string();
    assert_eq!(refused, "user:ana has 2 flows, which is his quota");
    let none = Maker { most: Some(0), ..made_by("user:ana") };
    let new =
        NewProcessor { maker: none, ..new_processor("q.n.test", &["b.n.test"], &["c.n.test"]) };
    let refused = registry.create_processor(new).await.unwrap_err();
    assert!(matches!(refused, RegistryError::OverQuota { what: "processors", .. }), "{refused}");
    let owner = Some(subject("domain:emiliano.ar"));
    let namespace = NewNamespace { owner: owner.clone(), ..new_namespace("other.test") };
    registry.create_namespace(namespace).await.unwrap();
    drop(registry);
    let registry = open(dir.path()).await;
    assert_eq!(registry.namespace(&name("other.test")).await.unwrap().unwrap().owner, owner);
    let flow = registry.flow(&name("x.n.test")).await.unwrap().unwrap();
    assert_eq!(flow.owner, Some(subject("user:ana")));
    assert_eq!(registry.flow(&name("a.n.test")).await.unwrap().unwrap().owner, None);
}

#[tokio::test]
async fn rows_of_earlier_versions_have_no_owner() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry
        .create_flow(NewFlow { maker: made_by("user:ana"), ..new_flow("x.n.test") })
        .await
        .unwrap();
    drop(registry);
    let database = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
    let without = "UPDATE objects SET document = json_remove(document, '$.owner');
        UPDATE namespaces SET document = json_remove(document, '$.owner');
        DROP TABLE grants; DROP TABLE audit; DROP TABLE carried; DROP TABLE in_force; DROP TABLE plugin_types; DROP TABLE plugin_versions; DROP TABLE plugin_files; DROP TABLE plugin_wishes; DROP TABLE reports; DROP TABLE reports_dropped; DROP TABLE subscriptions; DROP TABLE subscribers; DROP TABLE requests; DROP TABLE published; PRAGMA user_version = 3;";
    database.execute_batch(without).unwrap();
    drop(database);
    let registry = open(dir.path()).await;
    assert_eq!(registry.flow(&name("x.n.test")).await.unwrap().unwrap().owner, None);
    assert!(registry.grants(None, |_| true).is_empty());
}

#[tokio::test]
async fn rights_on_a_name_end_with_what_had_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir.path())));
    let by = giver("user:ana");
    for on in ["c.n.test", "x.c.n.test", "p.n.test", "n.test", "*"] {
        let grant = grant(&format!("read ON {on} TO user:bo"));
        registry.grant(grant, by.clone()).await.unwrap();
    }
    let mirror = Mirror {
        name: name("m.n.test"),
        from: "*.n.test".parse().unwrap(),
        to: MirrorTo::One(name("b.n.test")),
        start: Start::Latest,
        options: Config::new(),
        config: "{}".to_owned(),
        owner: Some(by.by.clone()),
        created_at: 0,
        made: 0,
    };
    registry.create_mirror(mirror, None).await.unwrap();
    registry.grant(grant("read ON m.n.test TO user:bo"), by).await.unwrap();
    let left = |registry: &Registry| {
        let objects = registry.grants(None, |_| true).into_iter().map(|row| row.object.to_string());
        objects.collect::<Vec<_>>().join(" ")
    };
    reconciler.wait(registry.delete_flow(&name("c.n.test")).await.unwrap()).await.unwrap();
    assert_eq!(left(&registry), "* m.n.test n.test p.n.test x.c.n.test");
    reconciler.wait(registry.delete_processor(&name("p.n.test")).await.unwrap()).await.unwrap();
    registry.delete_mirror(&name("m.n.test")).await.unwrap();
    assert_eq!(left(&registry), "* n.test x.c.n.test");
    drop((registry, reconciler));
    assert_eq!(left(&open(dir.path()).await), "* n.test x.c.n.test");
}

#[tokio::test]
async fn rights_in_a_namespace_end_with_it_and_those_of_one_within_stay() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry.create_namespace(new_namespace("test")).await.unwrap();
    for on in ["*", "test", "sub.test", "x.y.test", "n.test", "a.n.test", "latest"] {
        registry
            .grant(grant(&format!("read ON {on} TO user:bo")), giver("user:ana"))
            .await
            .unwrap();
    }
    registry.delete_namespace(&name("test")).await.unwrap();
    let left: Vec<String> =
        registry.grants(None, |_| true).iter().map(|row| row.object.to_string()).collect();
    assert_eq!(left, ["*", "a.n.test", "latest", "n.test"]);
}

#[tokio::test]
async fn what_was_given_of_a_flow_that_never_came_to_be_ends_and_what_was_there_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let before = grant("administer ON x.n.test TO user:ana");
    registry.grant(before, giver("user:root")).await.unwrap();
    let new = NewFlow { maker: made_by("user:ana"), ..new_flow("x.n.test") };
    let entry = registry.create_flow(new).await.unwrap();
    for (whom, by) in [("user:cy", "user:ana"), ("user:dee", "user:root")] {
        let one = grant(&format!("read ON x.n.test TO {whom}"));
        registry.grant(one, giver(by)).await.unwrap();
    }
    assert!(registry.undo(entry, Refusal::Invalid("no".to_owned())).await.unwrap());
    let left = [
        "administer on x.n.test to user:ana by user:root",
        "read on x.n.test to user:dee by user:root",
    ];
    assert_eq!(shown(&registry), left);
    drop(registry);
    assert_eq!(shown(&open(dir.path()).await), left);
}

#[tokio::test]
async fn who_decides_is_told_of_what_is_there_and_of_every_change_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    registry.tell(move |news| heard.lock().unwrap().push(format!("{news:?}")));
    let all = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(all.len(), 6, "{all:?}");
    assert!(all[0].starts_with("Namespace(\"n.test\""), "{all:?}");
    let by = Giver { scope: Scope::Name, ..giver("user:ana") };
    registry.grant(grant("read ON a.n.test TO user:bo"), by).await.unwrap();
    let change = FlowChange { config: config(&[("access", "open")]), ..Default::default() };
    registry.update_flow(&name("a.n.test"), change).await.unwrap();
    registry.revoke(grant("read ON a.n.test TO user:bo"), Scope::Name).await.unwrap();
    let object = Object::Name(name("a.n.test"));
    let bo = subject("user:bo");
    let expected = [
        format!("{:?}", Told::Granted(&object, &bo, Right::Read, Scope::Name)),
        format!("{:?}", Told::Flow(&name("a.n.test"), None, true)),
        format!("{:?}", Told::Revoked(&object, &bo, Right::Read)),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test]
async fn access_of_a_flow_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let wrong = NewFlow { config: config(&[("access", "all")]), ..new_flow("x.n.test") };
    let refused = registry.create_flow(wrong).await.unwrap_err().to_string();
    assert_eq!(refused, "access is open, closed, ask or domains=NAME,…");
    let right = NewFlow { config: config(&[("access", "domains=a.b")]), ..new_flow("x.n.test") };
    registry.create_flow(right).await.unwrap();
    let flow = registry.flow(&name("x.n.test")).await.unwrap().unwrap();
    assert!(flow.topic_config().is_empty(), "it is no setting of the topic");
}

#[tokio::test]
async fn a_flow_says_what_of_it_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let made = async |at: &str, entries: &[(&str, &str)]| {
        let new = NewFlow { config: config(entries), ..new_flow(at) };
        registry.create_flow(new).await?;
        Ok::<_, RegistryError>(registry.flow(&name(at)).await.unwrap().unwrap())
    };
    assert_eq!(made("d.n.test", &[]).await.unwrap().publish(), Publish::Full);
    let flow = made("e.n.test", &[("publish", "flow")]).await.unwrap();
    assert_eq!(flow.publish(), Publish::Flow);
    assert!(flow.topic_config().is_empty(), "it is no setting of the topic");
    // Nobody shall learn that it exists, unless somebody says so.
    let closed = made("f.n.test", &[("access", "closed")]).await.unwrap();
    assert_eq!(closed.publish(), Publish::None);
    let both = made("g.n.test", &[("access", "closed"), ("publish", "full")]).await.unwrap();
    assert_eq!(both.publish(), Publish::Full);
    let wrong = made("h.n.test", &[("publish", "all")]).await;
    assert_eq!(wrong.unwrap_err().to_string(), "publish is full, flow or none");
}
