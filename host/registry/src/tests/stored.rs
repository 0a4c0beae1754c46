//! What is on disk: read back whole, refused when it is damaged or newer, pruned.

use bytes::Bytes;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::*;

fn tampered(dir: &Path, sql: &str) {
    let database = Connection::open(dir.join("registry.db")).unwrap();
    database.execute_batch(sql).unwrap();
}

async fn refusal(dir: &Path) -> RegistryError {
    Registry::open(&dir.join("registry.db")).await.unwrap_err()
}

#[tokio::test]
async fn everything_is_read_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    registry.pause_flow(&name("a.n.test")).await.unwrap();
    let pending = command(&registry, "update processor").await.unwrap();
    let before = (
        registry.namespaces().await.unwrap(),
        registry.flows(None).await.unwrap(),
        registry.processors().await.unwrap(),
    );
    drop(registry);
    let registry = open(dir.path()).await;
    let after = (
        registry.namespaces().await.unwrap(),
        registry.flows(None).await.unwrap(),
        registry.processors().await.unwrap(),
    );
    assert_eq!(before, after);
    assert_eq!(registry.entry(pending).unwrap().next_step(), Some(Step::ApplyProcessor));
    assert_eq!(registry.outcome(JournalId(1)).unwrap(), Some(Outcome::Done));
}

#[tokio::test]
async fn damaged_rows_are_named_and_nothing_panics() {
    let wrong = [
        "UPDATE objects SET document = 'x' WHERE name = 'a.n.test'",
        "UPDATE objects SET document = '{}' WHERE name = 'p.n.test'",
        "UPDATE objects SET kind = 'processor' WHERE name = 'a.n.test'",
        "UPDATE objects SET name = 'z.n.test' WHERE name = 'a.n.test'",
        "UPDATE objects SET document = replace(document, 'a.n.test', 'a..test')",
        "UPDATE objects SET document = printf('%2000000d', 1)",
        "UPDATE namespaces SET document = 'null'",
        "UPDATE journal SET outcome = NULL, document = '[]' WHERE id = 1",
        "UPDATE journal SET outcome = 'x' WHERE id = 1",
        "UPDATE journal SET outcome = NULL, done = -1 WHERE id = 2",
        "UPDATE meta SET revision = -1",
        "DELETE FROM meta",
    ];
    for sql in wrong {
        let dir = tempfile::tempdir().unwrap();
        drop(furnished(dir.path()).await);
        tampered(dir.path(), sql);
        let error = refusal(dir.path()).await;
        assert!(matches!(error, RegistryError::Damaged(_)), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_newer_registry_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(furnished(dir.path()).await);
    tampered(dir.path(), "PRAGMA user_version = 99");
    let error = refusal(dir.path()).await.to_string();
    assert!(error.contains("registry has format 99"), "{error}");
}

#[tokio::test]
async fn what_another_process_changed_meanwhile_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let first = furnished(dir.path()).await;
    let second = open(dir.path()).await;
    second.pause_flow(&name("a.n.test")).await.unwrap();
    let error = first.resume_flow(&name("b.n.test")).await.unwrap_err().to_string();
    assert!(error.contains("another process changed it"), "{error}");
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let limit = async |pages: i64| {
        let set = move |database: &mut Connection| {
            database.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        };
        registry.with_database(set).await.unwrap();
    };
    limit(1).await;
    let big = FlowChange {
        config: (0..60).map(|n| (format!("k{n}"), "v".repeat(4000))).collect(),
        ..Default::default()
    };
    let a = name("a.n.test");
    let before = registry.flow(&a).await.unwrap();
    let error = registry.update_flow(&a, big.clone()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Full(_)), "{error}");
    assert_eq!(registry.flow(&a).await.unwrap(), before);
    limit(1_000_000).await;
    registry.update_flow(&a, big).await.unwrap();
}

#[tokio::test]
async fn ended_entries_are_kept_for_a_while_only() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let pending = command(&registry, "create flow").await.unwrap();
    for _ in 0..=crate::state::KEPT_ENTRIES {
        registry.pause_flow(&name("a.n.test")).await.unwrap();
    }
    assert!(registry.outcome(JournalId(1)).is_err());
    assert_eq!(registry.outcome(pending).unwrap(), None, "a pending one stays, however old");
    let count = |database: &mut Connection| {
        Ok(database.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0))?)
    };
    let rows = registry.with_database(count).await.unwrap();
    assert!(rows <= crate::state::KEPT_ENTRIES as i64 + 2, "{rows}");
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn activation(name: &str, bytes: &[u8]) -> NewActivation {
    let (name, digest) = (name.to_owned(), digest(bytes));
    NewActivation {
        name,
        digest,
        version: "1.0.0".into(),
        document: "{}".into(),
        why: String::new(),
    }
}

#[tokio::test]
async fn plugins_are_kept_by_digest_and_activated_by_generation() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    for bytes in [&one, &two, &one] {
        registry.put_plugin(&digest(bytes), bytes.clone()).await.unwrap();
    }
    assert_eq!(registry.plugin(&digest(&one)).await.unwrap(), Some(one.clone()));
    assert_eq!(registry.plugin(&digest(b"none")).await.unwrap(), None);
    let activate = async |bytes: &[u8]| registry.activate_plugin(activation("bridge", bytes)).await;
    assert_eq!(activate(&one).await.unwrap(), 1);
    assert_eq!(activate(&one).await.unwrap(), 1, "what runs already stays");
    assert_eq!(activate(&two).await.unwrap(), 2);
    assert_eq!(activate(&one).await.unwrap(), 3);
    assert!(matches!(activate(b"none").await, Err(RegistryError::NotFound { .. })));
    drop(registry);
    let registry = open(dir.path()).await;
    registry.activate_plugin(activation("signal", &two)).await.unwrap();
    let active = registry.active_plugins().await.unwrap();
    let active: Vec<_> =
        active.iter().map(|row| (row.name.as_str(), &row.digest, row.generation)).collect();
    assert_eq!(active, [("bridge", &digest(&one), 3), ("signal", &digest(&two), 1)]);
}

#[tokio::test]
async fn plugin_bytes_are_what_their_digest_says_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path()).await;
    let wrong = registry.put_plugin(&digest(b"other"), Bytes::from_static(b"one")).await;
    assert!(matches!(wrong, Err(RegistryError::Invalid { .. })));
    let large = Bytes::from(vec![0; MAX_COMPONENT + 1]);
    let large = registry.put_plugin(&digest(b""), large).await;
    assert!(matches!(large, Err(RegistryError::TooMany { .. })));
    registry.put_plugin(&digest(b"one"), Bytes::from_static(b"one")).await.unwrap();
    tampered(dir.path(), "UPDATE plugin_blobs SET bytes = x'00'");
    let damaged = registry.plugin(&digest(b"one")).await;
    assert!(matches!(damaged, Err(RegistryError::Damaged(_))));
}

#[tokio::test]
async fn what_is_published_is_kept_row_by_row_and_wakes_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let mut changes = registry.subscribe();
    let row =
        |sets: &str| Published { sets: sets.to_owned(), since: Some(7), ..Default::default() };
    let put = |zone: &str, unit: &str, row| (zone.to_owned(), unit.to_owned(), row);
    let rows = vec![
        put("n.test", "flow a.n.test", Some(row("one"))),
        put("n.test", "flow b.n.test", Some(row("two"))),
        put("test", "agent", Some(row("three"))),
    ];
    registry.put_published(rows).await.unwrap();
    let again = vec![
        put("n.test", "flow a.n.test", None),
        put("n.test", "flow b.n.test", Some(row("four"))),
    ];
    registry.put_published(again).await.unwrap();
    assert!(!changes.has_changed().unwrap());
    changes.borrow_and_update();
    drop(registry);
    let registry = open(dir.path()).await;
    let found = registry.published().await.unwrap();
    let expected = [("n.test", "flow b.n.test", row("four")), ("test", "agent", row("three"))];
    let expected = expected.map(|(zone, unit, row)| (zone.to_owned(), unit.to_owned(), row));
    assert_eq!(found, expected);
    tampered(dir.path(), "UPDATE published SET document = 'x'");
    assert!(matches!(registry.published().await, Err(RegistryError::Damaged(_))));
}

#[tokio::test]
async fn a_registry_of_the_version_before_gets_the_table_and_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let before = registry.flows(None).await.unwrap();
    drop(registry);
    tampered(
        dir.path(),
        "DROP TABLE plugin_types; DROP TABLE plugin_versions; DROP TABLE plugin_files; DROP TABLE plugin_wishes; DROP TABLE reports; DROP TABLE reports_dropped; DROP TABLE subscriptions; DROP TABLE subscribers; DROP TABLE requests; DROP TABLE published; PRAGMA user_version = 7",
    );
    let absent = peek(&dir.path().join("registry.db")).unwrap_err().to_string();
    assert!(absent.contains("not been brought up to date"), "{absent}");
    let registry = open(dir.path()).await;
    assert_eq!(registry.flows(None).await.unwrap(), before);
    assert_eq!(registry.published().await.unwrap(), []);
    // Beside a host that has it open.
    let found = peek(&dir.path().join("registry.db")).unwrap();
    assert_eq!((&found, &found.flows), (&registry.findable(), &before));
}
