//! The audit log: what is written down, as whose, and how long it stays.

use super::*;

fn ana(command: &str) -> By {
    By { who: "user:ana".to_owned(), origin: "127.0.0.1".to_owned(), command: command.to_owned() }
}

async fn rows(registry: &Registry) -> Vec<(String, String, String, String)> {
    let rows = registry.audited(0, 1000).await.unwrap();
    assert!(rows.is_sorted_by(|one, next| one.number < next.number));
    rows.into_iter().map(|row| (row.who, row.subject, row.change, row.command)).collect()
}

fn of(who: &str, subject: &str, change: &str, command: &str) -> (String, String, String, String) {
    (who.to_owned(), subject.to_owned(), change.to_owned(), command.to_owned())
}

#[tokio::test]
async fn a_change_is_his_who_asked_for_it_and_otherwise_the_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.create_namespace(new_namespace("n.test")).await.unwrap();
    let work = registry.create_flow(new_flow("a.n.test"));
    as_by(ana("CREATE FLOW a.n.test"), work).await.unwrap();
    let (bo, words) = (InForce::from([("bo".into(), "1".into())]), "bo".to_owned());
    registry
        .put_in_force("users", bo.clone(), "users file", vec![("addition", words)])
        .await
        .unwrap();
    let expected = [
        of("host", "n.test", "creation", ""),
        of("user:ana", "a.n.test", "creation", "CREATE FLOW a.n.test"),
        of("host", "users", "addition", "bo"),
    ];
    assert_eq!(rows(&registry).await, expected);
    drop(registry);
    let registry = open(dir.path()).await;
    assert_eq!(rows(&registry).await, expected);
    assert_eq!(registry.in_force("users").await.unwrap(), bo);
    assert_eq!(registry.in_force("quotas").await.unwrap(), InForce::new());
}

#[tokio::test]
async fn what_is_refused_is_not_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let before = rows(&registry).await;
    registry.create_flow(new_flow("a.n.test")).await.unwrap_err();
    registry.delete_namespace(&name("n.test")).await.unwrap_err();
    assert_eq!(rows(&registry).await, before);
}

#[tokio::test]
async fn what_came_to_nothing_is_written_down_too() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.create_namespace(new_namespace("n.test")).await.unwrap();
    let id = registry.create_flow(new_flow("a.n.test")).await.unwrap();
    registry.undo(id, Refusal::Conflict("the topic is there".to_owned())).await.unwrap();
    let (who, subject, change, words) = rows(&registry).await.pop().unwrap();
    assert_eq!((&*who, &*subject, &*change), ("host", "a.n.test", "creation"));
    assert!(words.starts_with("undone") && words.ends_with("the topic is there"), "{words}");
}

#[tokio::test]
async fn rows_stay_until_they_are_in_the_file_and_in_the_flow() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let count = rows(&registry).await.len();
    registry.carried_to_file(3).await.unwrap();
    assert_eq!(rows(&registry).await.len(), count);
    registry.carried_to_flow(2).await.unwrap();
    assert_eq!(rows(&registry).await.len(), count - 2);
    registry.has_audit_flow(false).await.unwrap();
    registry.carried_to_file(4).await.unwrap();
    assert_eq!(rows(&registry).await.len(), count - 4);
    // A flow that comes later does not wait for what is gone.
    registry.has_audit_flow(true).await.unwrap();
    assert_eq!(registry.carried().await.unwrap(), Carried { file: 4, flow: 4 });
    registry.has_audit_flow(true).await.unwrap();
    assert_eq!(registry.carried().await.unwrap().flow, 4);
}

#[tokio::test]
async fn while_too_many_wait_to_be_carried_nothing_more_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    registry.create_namespace(new_namespace("n.test")).await.unwrap();
    let database = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
    let last = "INSERT INTO audit SELECT number + ?1, at, who, origin, subject, change, command FROM audit";
    database.execute(last, [MAX_UNCARRIED]).unwrap();
    let error = registry.create_flow(new_flow("a.n.test")).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Full(words) if words.contains("audit log")), "{error}");
    assert!(registry.flow(&name("a.n.test")).await.unwrap().is_none());
    registry.has_audit_flow(false).await.unwrap();
    registry.carried_to_file(1 + MAX_UNCARRIED).await.unwrap();
    registry.create_flow(new_flow("a.n.test")).await.unwrap();
}
