//! The registry's tables, and rows read and written.
//!
//! A row is a name and a JSON document; what is read is checked as if a stranger had written it.

use std::fmt::Display;
use std::str::FromStr;

use host_store::Schema;
use rusqlite::{Connection, Transaction, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::grants::Granted;
use crate::journal::{Entry, Intent, JournalId, Outcome, Step};
use crate::limits::MAX_DOCUMENT;
use crate::mirrors::Mirror;
use crate::model::{Flow, Namespace, Processor};
use crate::state::{KEPT_ENTRIES, Row, State};
use crate::{audit, in_force, plugins, published, reports};

/// The registry's database.
pub(crate) const SCHEMA: Schema = Schema {
    name: "registry",
    application_id: 0x666e_6172,
    migrations: &[
        V1,
        V2,
        V3,
        V4,
        audit::TABLES,
        in_force::TABLES,
        V7,
        published::TABLES,
        V9,
        V10,
        reports::TABLES,
        plugins::TABLES,
    ],
};

const V1: &str = "
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES (1, 0);
CREATE TABLE namespaces (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
-- Flows and processors share one space of names.
CREATE TABLE objects (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('flow', 'processor')),
    document TEXT NOT NULL
) STRICT;
-- outcome is null while an entry is pending; done counts its steps that are made.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document TEXT NOT NULL,
    done INTEGER NOT NULL,
    outcome TEXT
) STRICT;
CREATE INDEX journal_pending ON journal (id) WHERE outcome IS NULL;
CREATE TABLE plugin_blobs (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE plugin_activations (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    digest TEXT NOT NULL REFERENCES plugin_blobs (digest),
    at INTEGER NOT NULL,
    PRIMARY KEY (name, generation)
) STRICT;
";

/// Rows may say more since: a host that does not know a topic's id must not write it away.
const V2: &str = "UPDATE meta SET revision = revision + 1;";

const V3: &str = "CREATE TABLE mirrors (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;";

/// A row for each right, and rows of everything else may say whose it is.
const V4: &str = "
CREATE TABLE grants (
    object TEXT NOT NULL,
    subject TEXT NOT NULL,
    allowed TEXT NOT NULL CHECK (allowed IN ('read', 'write', 'subscribe', 'administer')),
    granted_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (object, subject, allowed)
) STRICT, WITHOUT ROWID;
";

/// A right may be on a name alone; what was granted before reaches below.
const V7: &str = "
ALTER TABLE grants ADD COLUMN scope TEXT NOT NULL DEFAULT 'below' CHECK (scope IN ('name', 'below'));
";

/// Who has subscriptions here, and who asks for one.
const V9: &str = "
CREATE TABLE subscribers (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE requests (id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
";

/// What is subscribed to elsewhere.
const V10: &str = "
CREATE TABLE subscriptions (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
";

#[derive(Serialize, Deserialize)]
struct JournalDocument {
    intent: Intent,
    steps: Vec<Step>,
    at: i64,
}

/// Reads everything.
pub(crate) fn load(connection: &Connection) -> Result<State, RegistryError> {
    let mut state = State { revision: revision(connection)?, ..State::default() };
    let rows = "SELECT name, document, 'namespace' FROM namespaces
        UNION ALL SELECT name, document, kind FROM objects
        UNION ALL SELECT name, document, 'mirror' FROM mirrors
        UNION ALL SELECT name, document, 'subscriber' FROM subscribers
        UNION ALL SELECT name, document, 'subscription' FROM subscriptions
        UNION ALL SELECT id, document, 'request' FROM requests";
    let mut rows = connection.prepare(rows)?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (key, document) = (text(row, 0)?, text(row, 1)?);
        let row = match text(row, 2)? {
            "namespace" => Row::PutNamespace(parse(key, document)?),
            "flow" => Row::PutFlow(parse(key, document)?),
            "mirror" => Row::PutMirror(parse(key, document)?),
            "subscription" => Row::PutSubscription(parse(key, document)?),
            "subscriber" => Row::PutSubscriber(parse(key, document)?),
            "request" => Row::PutRequest(parse(key, document)?),
            _ => Row::PutProcessor(parse(key, document)?),
        };
        let name = row.key().unwrap_or_default();
        if name != key {
            return Err(damaged(key, &format!("the row is about {name}")));
        }
        state.apply(&[row]);
    }
    load_grants(connection, &mut state)?;
    load_journal(connection, &mut state)?;
    Ok(state)
}

fn load_grants(connection: &Connection, state: &mut State) -> Result<(), RegistryError> {
    let rows = "SELECT object, subject, allowed, granted_by, at, scope FROM grants";
    let mut rows = connection.prepare(rows)?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let granted = Granted {
            object: word(row, 0)?,
            subject: word(row, 1)?,
            right: word(row, 2)?,
            by: word(row, 3)?,
            at: row.get(4)?,
            scope: word(row, 5)?,
        };
        state.apply(&[Row::PutGrant(granted)]);
    }
    Ok(())
}

fn word<T: FromStr<Err: Display>>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> Result<T, RegistryError> {
    let text = text(row, column)?;
    text.parse().map_err(|error| damaged("a row of grants", &format!("{error}")))
}

fn load_journal(connection: &Connection, state: &mut State) -> Result<(), RegistryError> {
    let mut rows =
        connection.prepare("SELECT id, document, done, outcome FROM journal ORDER BY id")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let id = JournalId(number(row, 0)?);
        let key = format!("journal entry {id}");
        if row.get_ref(3)? != rusqlite::types::ValueRef::Null {
            state.end(id, parse(&key, text(row, 3)?)?);
            continue;
        }
        let JournalDocument { intent, steps, .. } = parse(&key, text(row, 1)?)?;
        let done = number(row, 2)? as usize;
        state.pending.insert(id, Entry { id, intent, steps, done });
    }
    Ok(())
}

pub(crate) fn revision(connection: &Connection) -> Result<u64, RegistryError> {
    let mut rows = connection.prepare_cached("SELECT revision FROM meta")?;
    let mut rows = rows.query([])?;
    number(rows.next()?.ok_or_else(|| damaged("meta", "it is empty"))?, 0)
}

pub(crate) fn set_revision(tx: &Transaction<'_>, revision: u64) -> Result<(), RegistryError> {
    tx.execute("UPDATE meta SET revision = ?1", [integer(revision)])?;
    Ok(())
}

pub(crate) fn write_rows(tx: &Transaction<'_>, rows: &[Row]) -> Result<(), RegistryError> {
    const OBJECT: &str = "INSERT INTO objects (name, kind, document) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET document = excluded.document WHERE kind = excluded.kind";
    for row in rows {
        let name = row.key().unwrap_or_default();
        match row {
            Row::PutNamespace(row) => tx.execute(
                "INSERT OR REPLACE INTO namespaces (name, document) VALUES (?1, ?2)",
                params![name, document(row)?],
            )?,
            Row::PutFlow(row) => tx.execute(OBJECT, params![name, "flow", document(row)?])?,
            Row::PutProcessor(row) => {
                tx.execute(OBJECT, params![name, "processor", document(row)?])?
            }
            Row::PutMirror(row) => tx.execute(
                "INSERT OR REPLACE INTO mirrors (name, document) VALUES (?1, ?2)",
                params![name, document(row)?],
            )?,
            Row::PutGrant(Granted { object, subject, right, scope, by, at }) => tx.execute(
                "INSERT OR REPLACE INTO grants (object, subject, allowed, granted_by, at, scope)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    object.to_string(),
                    subject.to_string(),
                    right.as_str(),
                    by.to_string(),
                    at,
                    scope.as_str()
                ],
            )?,
            Row::DropGrant((object, subject, right)) => tx.execute(
                "DELETE FROM grants WHERE object = ?1 AND subject = ?2 AND allowed = ?3",
                params![object.to_string(), subject.to_string(), right.as_str()],
            )?,
            Row::PutSubscription(row) => tx.execute(
                "INSERT OR REPLACE INTO subscriptions (name, document) VALUES (?1, ?2)",
                params![name, document(row)?],
            )?,
            Row::DropSubscription(_) => {
                tx.execute("DELETE FROM subscriptions WHERE name = ?1", [name])?
            }
            Row::PutSubscriber(row) => tx.execute(
                "INSERT OR REPLACE INTO subscribers (name, document) VALUES (?1, ?2)",
                params![name, document(row)?],
            )?,
            Row::DropSubscriber(_) => {
                tx.execute("DELETE FROM subscribers WHERE name = ?1", [name])?
            }
            Row::PutRequest(row) => tx.execute(
                "INSERT OR REPLACE INTO requests (id, document) VALUES (?1, ?2)",
                params![name, document(row)?],
            )?,
            Row::DropRequest(_) => tx.execute("DELETE FROM requests WHERE id = ?1", [name])?,
            Row::DropMirror(_) => tx.execute("DELETE FROM mirrors WHERE name = ?1", [name])?,
            Row::DropNamespace(_) => {
                tx.execute("DELETE FROM namespaces WHERE name = ?1", [name])?
            }
            Row::DropFlow(_) | Row::DropProcessor(_) => {
                tx.execute("DELETE FROM objects WHERE name = ?1", [name])?
            }
        };
    }
    Ok(())
}

/// Writes a new entry; one without steps has ended already.
pub(crate) fn write_entry(
    tx: &Transaction<'_>,
    intent: &Intent,
    steps: &[Step],
    at: i64,
) -> Result<JournalId, RegistryError> {
    let entry = JournalDocument { intent: intent.clone(), steps: steps.to_vec(), at };
    let outcome = steps.is_empty().then(|| document(&Outcome::Done)).transpose()?;
    tx.execute(
        "INSERT INTO journal (document, done, outcome) VALUES (?1, 0, ?2)",
        params![document(&entry)?, outcome],
    )?;
    let id = tx.last_insert_rowid();
    let oldest = id.saturating_sub(KEPT_ENTRIES as i64);
    tx.execute("DELETE FROM journal WHERE id <= ?1 AND outcome IS NOT NULL", [oldest])?;
    Ok(JournalId(u64::try_from(id).map_err(|_| damaged("journal", "an id is negative"))?))
}

pub(crate) fn write_done(
    tx: &Transaction<'_>,
    id: JournalId,
    done: usize,
) -> Result<(), RegistryError> {
    tx.execute("UPDATE journal SET done = ?2 WHERE id = ?1", params![integer(id.0), done as i64])?;
    Ok(())
}

pub(crate) fn write_outcome(
    tx: &Transaction<'_>,
    id: JournalId,
    outcome: &Outcome,
) -> Result<(), RegistryError> {
    let outcome = document(outcome)?;
    tx.execute("UPDATE journal SET outcome = ?2 WHERE id = ?1", params![integer(id.0), outcome])?;
    Ok(())
}

impl Row {
    /// What the row is known by; none of a right, which may be on everything.
    fn key(&self) -> Option<&str> {
        let name = match self {
            Self::PutGrant(_) | Self::DropGrant(_) => return None,
            Self::PutRequest(row) => return Some(&row.id),
            Self::DropRequest(id) => return Some(id),
            Self::PutSubscriber(row) => &row.name,
            Self::PutSubscription(row) => &row.local,
            Self::PutNamespace(Namespace { name, .. })
            | Self::PutFlow(Flow { name, .. })
            | Self::PutProcessor(Processor { name, .. })
            | Self::PutMirror(Mirror { name, .. })
            | Self::DropMirror(name)
            | Self::DropNamespace(name)
            | Self::DropFlow(name)
            | Self::DropProcessor(name)
            | Self::DropSubscriber(name)
            | Self::DropSubscription(name) => name,
        };
        Some(name.as_str())
    }
}

fn document<T: Serialize>(value: &T) -> Result<String, RegistryError> {
    let text = serde_json::to_string(value)
        .map_err(|error| RegistryError::invalid(format!("cannot be stored: {error}")))?;
    // What is written must be readable again.
    if text.len() > MAX_DOCUMENT {
        return Err(RegistryError::TooMany { what: "octets of one row", limit: MAX_DOCUMENT });
    }
    Ok(text)
}

fn parse<T: DeserializeOwned>(key: &str, document: &str) -> Result<T, RegistryError> {
    serde_json::from_str(document).map_err(|error| damaged(key, &error.to_string()))
}

fn text<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<&'a str, RegistryError> {
    match row.get_ref(column)?.as_str() {
        Ok(text) if text.len() <= MAX_DOCUMENT => Ok(text),
        Ok(_) => Err(RegistryError::Damaged(format!("a row is over {MAX_DOCUMENT} octets"))),
        Err(error) => Err(RegistryError::Damaged(error.to_string())),
    }
}

/// SQLite's integers are signed; none of ours comes near their end.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn number(row: &rusqlite::Row<'_>, column: usize) -> Result<u64, RegistryError> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| RegistryError::Damaged(format!("{number} is negative")))
}

pub(crate) fn damaged(key: &str, why: &str) -> RegistryError {
    RegistryError::Damaged(format!("{key}: {why}"))
}
