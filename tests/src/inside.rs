//! What lies in a data directory: for leftovers, which no socket shows.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// What nobody owns in the data of a host that does not run: topics without a flow, shards, positions
/// and state without a processor, journal entries that are not ended.
#[must_use]
pub fn leftovers(data: &Path) -> Vec<String> {
    let (registry, log) = (open(&data.join("registry.db")), log_of(data));
    let objects = |kind: &str, key: &str| {
        let sql =
            format!("SELECT json_extract(document, '$.{key}') FROM objects WHERE kind = '{kind}'");
        texts(&registry, &sql).into_iter().collect::<BTreeSet<_>>()
    };
    let (topics, processors) = (objects("flow", "topic"), objects("processor", "id"));
    let mut left: Vec<String> = texts(&log, "SELECT name FROM topics")
        .into_iter()
        .filter(|topic| !topics.contains(topic))
        .map(|topic| format!("topic {topic}"))
        .collect();
    for table in ["shards", "positions", "state"] {
        let sql = format!("SELECT DISTINCT lower(hex(processor)) FROM {table}");
        let owned = |id: &String| processors.iter().any(|known| known.replace('-', "") == *id);
        let lost = texts(&log, &sql).into_iter().filter(|id| !owned(id));
        left.extend(lost.map(|id| format!("{table} of {id}")));
    }
    let pending = "SELECT document FROM journal WHERE outcome IS NULL";
    left.extend(texts(&registry, pending).into_iter().map(|entry| format!("pending {entry}")));
    left
}

/// Changes a byte of a plugin's component that the registry keeps.
pub fn damage_plugin(data: &Path, digest: &str) {
    let registry = open(&data.join("registry.db"));
    let middle = "UPDATE plugin_blobs SET bytes = CAST(substr(bytes, 1, length(bytes) / 2) || x'2a'
        || substr(bytes, length(bytes) / 2 + 2) AS BLOB) WHERE digest = ?1";
    assert_eq!(registry.execute(middle, [digest]).unwrap(), 1);
}

/// Changes a byte of every batch of events that an embedded broker keeps.
pub fn damage_events(data: &Path) {
    let last = "UPDATE batches SET records =
        CAST(substr(records, 1, length(records) - 1) || x'2a' AS BLOB)";
    assert!(log_of(data).execute(last, []).unwrap() > 0);
}

/// Makes the words by which repeated writes are known so many hours older.
pub fn age_tokens(data: &Path, hours: u32) {
    let age = "UPDATE tokens SET at = at - ?1 * 3600000";
    assert!(log_of(data).execute(age, [hours]).unwrap() > 0);
}

/// Makes subscriptions of others, and what they asked for, so many minutes older.
pub fn age_subscriptions(data: &Path, minutes: u32) {
    let registry = open(&data.join("registry.db"));
    let older = |table: &str, keys: &[&str]| {
        let keys = keys.iter().map(|key| {
            format!(", '$.{key}', json_extract(document, '$.{key}') - {minutes} * 60000")
        });
        let document = format!("json_set(document{})", keys.collect::<String>());
        registry.execute(&format!("UPDATE {table} SET document = {document}"), []).unwrap()
    };
    let subscribers = older("subscribers", &["created_at", "handed_at"]);
    assert!(subscribers + older("requests", &["asked_at", "expires_at"]) > 0);
}

/// Makes the snapshots of all processors so many hours older.
pub fn age_snapshots(data: &Path, hours: i64) {
    let folders = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    for snapshot in folders(&data.join("snapshots")).iter().flat_map(|of| folders(of)) {
        let file = snapshot.join("snapshot.json");
        let mut kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        kept["at"] = (kept["at"].as_i64().unwrap() - hours * 3_600_000).into();
        std::fs::write(&file, kept.to_string()).unwrap();
    }
}

/// The embedded broker's database.
fn log_of(data: &Path) -> Connection {
    let mut brokers = std::fs::read_dir(data.join("brokers")).unwrap();
    open(&brokers.next().expect("a broker").unwrap().path().join("log.db"))
}

/// For reading and writing: what a killed host left in the write-ahead log is part of it.
fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

fn texts(database: &Connection, sql: &str) -> Vec<String> {
    let mut rows = database.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}
