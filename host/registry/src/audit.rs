//! The audit log: who changed what, when and from where, written in the transaction of the change itself.
//!
//! Rows wait here until they were carried to where they are kept; then they are dropped. Who acts is known
//! from the task: [`as_by`] runs work as somebody, everything else is the host's own doing. Keeps no secret:
//! whoever calls gives a command without what a plugin is configured with.

use std::future::Future;
use std::sync::Arc;

use host_events::clock::now;
use rusqlite::{Connection, Transaction, params};
use serde::Serialize;

use crate::error::RegistryError;
use crate::journal::{Intent, JournalId, Refusal};
use crate::registry::Registry;
use crate::store::{integer, number};

/// Rows that may wait to be carried. The file is never far behind; a flow whose broker is away may be, and
/// then this is some 50 MiB. Past it nothing more is changed: a log with holes would be none.
pub const MAX_UNCARRIED: u64 = 100_000;

/// Stands for how far a flow is that is not there: further than everything.
const NOBODY_WAITS: i64 = i64::MAX;

/// Longest command in a row, in octets; as long as a line of the protocol.
const MAX_COMMAND: usize = 8 * 1024;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// `user:ana`, `domain:emiliano.ar`, `host`.
    pub who: String,
    /// His address; of the host itself where it has that from, or nothing.
    pub origin: String,
    /// What he said, without secrets; empty where nobody said anything.
    pub command: String,
}

impl By {
    /// The host itself: why, and what it does.
    #[must_use]
    pub fn host(origin: &str, command: String) -> Self {
        Self { who: "host".to_owned(), origin: origin.to_owned(), command }
    }
}

/// A change that was made, or came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Counts up by one or more, never twice the same.
    pub number: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Who.
    pub who: String,
    /// From where, as in [`By`].
    pub origin: String,
    /// What it is about: the name of a flow, namespace, processor, plugin or user.
    pub subject: String,
    /// What happened to it: `creation`, `change`, `deletion`, `grant`, …
    pub change: String,
    /// What was said, without secrets.
    pub command: String,
}

/// How far rows were carried: the number of the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// To the file.
    pub file: u64,
    /// To the flow.
    pub flow: u64,
}

tokio::task_local! {
    static ACTOR: Arc<By>;
}

/// Does something as somebody: what it changes is written down as his.
pub async fn as_by<F: Future>(by: By, work: F) -> F::Output {
    ACTOR.scope(Arc::new(by), work).await
}

/// The same where nobody acts in this task yet.
pub async fn by_somebody<F: Future>(by: By, work: F) -> F::Output {
    let who = ACTOR.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(by));
    ACTOR.scope(who, work).await
}

/// Who acts in this task.
pub(crate) fn actor() -> Arc<By> {
    ACTOR.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(By::host("", String::new())))
}

/// The tables. `carried` has one row.
pub(crate) const TABLES: &str = "
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    origin TEXT NOT NULL,
    subject TEXT NOT NULL,
    change TEXT NOT NULL,
    command TEXT NOT NULL
) STRICT;
CREATE TABLE carried (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    file INTEGER NOT NULL,
    flow INTEGER NOT NULL
) STRICT;
INSERT INTO carried VALUES (1, 0, 0);
";

/// Writes down what the transaction decides.
pub(crate) fn decided(tx: &Transaction<'_>, by: &By, intent: &Intent) -> Result<(), RegistryError> {
    changed(tx, by, intent.subject().as_str(), intent.verb())
}

/// Writes down that something came to nothing.
pub(crate) fn undone(
    tx: &Transaction<'_>,
    id: JournalId,
    intent: &Intent,
    refusal: &Refusal,
) -> Result<(), RegistryError> {
    let words = RegistryError::from(refusal.clone()).to_string();
    let command = format!("undone, entry {id}: {words}");
    write(tx, &By::host("", command), intent.subject().as_str(), intent.verb())
}

/// Writes down a change of anything, and refuses it when too many wait already.
pub(crate) fn changed(
    tx: &Transaction<'_>,
    by: &By,
    subject: &str,
    change: &str,
) -> Result<(), RegistryError> {
    let mut waiting =
        tx.prepare_cached("SELECT coalesce(max(number) - min(number), 0) FROM audit")?;
    let waiting = number(waiting.query([])?.next()?.ok_or_else(empty)?, 0)?;
    if waiting >= MAX_UNCARRIED {
        let words = format!("{waiting} changes wait to be carried to the audit log");
        return Err(RegistryError::Full(words));
    }
    write(tx, by, subject, change)
}

fn write(tx: &Transaction<'_>, by: &By, subject: &str, change: &str) -> Result<(), RegistryError> {
    let row = "INSERT INTO audit (at, who, origin, subject, change, command)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let command = shortened(&by.command);
    tx.prepare_cached(row)?.execute(params![now(), by.who, by.origin, subject, change, command])?;
    Ok(())
}

fn empty() -> RegistryError {
    RegistryError::Damaged("the audit log gives no count".to_owned())
}

fn shortened(command: &str) -> &str {
    command.get(..command.floor_char_boundary(MAX_COMMAND)).unwrap_or_default()
}

impl Registry {
    /// Rows behind a number, oldest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn audited(&self, after: u64, most: u32) -> Result<Vec<Audited>, RegistryError> {
        self.with_database(move |database| {
            let rows = "SELECT number, at, who, origin, subject, change, command FROM audit
                WHERE number > ?1 ORDER BY number LIMIT ?2";
            let mut rows = database.prepare_cached(rows)?;
            let mut rows = rows.query(params![integer(after), most])?;
            let mut audited = Vec::new();
            while let Some(row) = rows.next()? {
                audited.push(Audited {
                    number: number(row, 0)?,
                    at: row.get(1)?,
                    who: row.get(2)?,
                    origin: row.get(3)?,
                    subject: row.get(4)?,
                    change: row.get(5)?,
                    command: row.get(6)?,
                });
            }
            Ok(audited)
        })
        .await
    }

    /// How far rows were carried.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn carried(&self) -> Result<Carried, RegistryError> {
        self.with_database(|database| carried(database)).await
    }

    /// Notes that rows up to a number are in the file; drops those that nobody waits for.
    ///
    /// # Errors
    /// When it could not be written; they will be carried again.
    pub async fn carried_to_file(&self, last: u64) -> Result<(), RegistryError> {
        self.set_carried("UPDATE carried SET file = ?1", last).await
    }

    /// Notes that rows up to a number are in the flow; drops those that nobody waits for.
    ///
    /// # Errors
    /// As [`Self::carried_to_file`].
    pub async fn carried_to_flow(&self, last: u64) -> Result<(), RegistryError> {
        self.set_carried("UPDATE carried SET flow = ?1", last).await
    }

    /// Says whether there is a flow to carry to. Without one nothing waits for it; one that comes later
    /// begins with what comes then.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn has_audit_flow(&self, there_is: bool) -> Result<(), RegistryError> {
        let none = "UPDATE carried SET flow = ?1";
        let some = "UPDATE carried SET flow = file WHERE flow = ?1";
        self.with_database(move |database| {
            database.execute(if there_is { some } else { none }, [NOBODY_WAITS])?;
            Ok(())
        })
        .await
    }

    async fn set_carried(&self, place: &'static str, last: u64) -> Result<(), RegistryError> {
        self.with_database(move |database| {
            let tx = database.transaction()?;
            tx.execute(place, [integer(last)])?;
            let done = "DELETE FROM audit WHERE number <= (SELECT min(file, flow) FROM carried)";
            tx.execute(done, [])?;
            Ok(tx.commit()?)
        })
        .await
    }
}

fn carried(database: &Connection) -> Result<Carried, RegistryError> {
    let mut rows = database.prepare_cached("SELECT file, flow FROM carried")?;
    let mut rows = rows.query([])?;
    let row = rows.next()?.ok_or_else(empty)?;
    Ok(Carried { file: number(row, 0)?, flow: number(row, 1)? })
}
