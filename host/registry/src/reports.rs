//! What somebody has to know of subscriptions: written down in the transaction of the change itself, for the reports flow of
//! a namespace, until it was carried there.
//!
//! What has happened is read off the rows that change (`derive`), so that nothing is told that is not so, and nothing twice.
//! Waits here: so many of a namespace; of more, the oldest go, and are counted. Knows no flow and no broker.

mod derive;

use std::sync::atomic::Ordering;

use rusqlite::{Connection, Transaction, params};
use serde_json::Value;

use crate::Name;
use crate::error::RegistryError;
use crate::registry::Registry;
use crate::state::{Row, State};
use crate::store::{damaged, integer, number};

/// First label of the name of a namespace's reports flow.
pub const REPORTS: &str = "reports";

/// Reports of a namespace that wait to be carried, some 2 KiB each at most: strangers ask, and a broker that is away for a
/// night must not cost the disk.
pub const MAX_REPORTS: u64 = 1_000;

/// The tables. A row of `reports_dropped` says how many of a namespace were dropped since the last were carried.
pub(crate) const TABLES: &str = "
CREATE TABLE reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX reports_of ON reports (namespace, number);
CREATE TABLE reports_dropped (namespace TEXT PRIMARY KEY, many INTEGER NOT NULL) STRICT;
";

/// Something that somebody has to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Counts up by one or more, never twice the same.
    pub number: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// What: `subscriber.requested`, `subscription.revoked`, …
    pub kind: String,
    /// What it is about: a subscription or a flow.
    pub subject: String,
    /// The rest, an object.
    pub data: Value,
}

/// One that is to be written.
#[derive(Debug)]
pub(crate) struct Draft {
    namespace: Name,
    kind: &'static str,
    subject: String,
    data: Value,
}

/// Those of a namespace that wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    /// How many were dropped before them.
    pub dropped: u64,
    /// The oldest first.
    pub reports: Vec<Report>,
}

/// Whether this is the name of a namespace's reports flow: what happens to its subscriptions is no report, or it
/// would cause the next.
pub(crate) fn is_reports(name: &Name) -> bool {
    name.labels().next() == Some(REPORTS)
}

/// Writes down what rows that are about to change mean to somebody.
pub(crate) fn note(
    tx: &Transaction<'_>,
    state: &State,
    rows: &[Row],
    by: &str,
    at: i64,
) -> Result<(), RegistryError> {
    for Draft { namespace, kind, subject, data } in state.reports(rows, by, at) {
        let (namespace, data) = (namespace.as_str(), data.to_string());
        tx.prepare_cached(
            "INSERT INTO reports (namespace, at, kind, subject, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![namespace, at, kind, subject, data])?;
        make_room(tx, namespace)?;
    }
    Ok(())
}

/// Drops the oldest of a namespace that has too many, and counts them.
fn make_room(tx: &Transaction<'_>, namespace: &str) -> Result<(), RegistryError> {
    let oldest = "DELETE FROM reports WHERE namespace = ?1 AND number <=
        (SELECT number FROM reports WHERE namespace = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";
    let dropped = tx.prepare_cached(oldest)?.execute(params![namespace, integer(MAX_REPORTS)])?;
    if dropped > 0 {
        let count = "INSERT INTO reports_dropped (namespace, many) VALUES (?1, ?2)
            ON CONFLICT (namespace) DO UPDATE SET many = many + excluded.many";
        tx.prepare_cached(count)?.execute(params![namespace, integer(dropped as u64)])?;
    }
    Ok(())
}

impl Registry {
    /// Says whether reports are written down at all. At first they are not.
    pub fn keep_reports(&self, keep: bool) {
        self.reporting().store(keep, Ordering::Release);
    }

    /// Namespaces of which reports wait.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn reported_namespaces(&self) -> Result<Vec<Name>, RegistryError> {
        self.with_database(|database| {
            let mut rows = database.prepare_cached("SELECT DISTINCT namespace FROM reports")?;
            let mut rows = rows.query([])?;
            let mut namespaces = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let wrong = |error| damaged("reports", &format!("{error}"));
                namespaces.push(name.parse().map_err(wrong)?);
            }
            Ok(namespaces)
        })
        .await
    }

    /// The oldest reports of a namespace that wait.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn reports(&self, namespace: &Name, most: u32) -> Result<Waiting, RegistryError> {
        let namespace = namespace.to_string();
        self.with_database(move |database| {
            let dropped = dropped(database, &namespace)?;
            let rows = "SELECT number, at, kind, subject, data FROM reports
                WHERE namespace = ?1 ORDER BY number LIMIT ?2";
            let mut rows = database.prepare_cached(rows)?;
            let mut rows = rows.query(params![namespace, most])?;
            let mut reports = Vec::new();
            while let Some(row) = rows.next()? {
                let data: String = row.get(4)?;
                let wrong = |error: serde_json::Error| damaged("reports", &error.to_string());
                reports.push(Report {
                    number: number(row, 0)?,
                    at: row.get(1)?,
                    kind: row.get(2)?,
                    subject: row.get(3)?,
                    data: serde_json::from_str(&data).map_err(wrong)?,
                });
            }
            Ok(Waiting { dropped, reports })
        })
        .await
    }

    /// Notes that the reports of a namespace up to a number were carried, and that so many were dropped; they are
    /// forgotten.
    ///
    /// # Errors
    /// When it could not be written; they will be carried again.
    pub async fn carried_reports(
        &self,
        namespace: &Name,
        last: u64,
        dropped: u64,
    ) -> Result<(), RegistryError> {
        let namespace = namespace.to_string();
        self.with_database(move |database| {
            let tx = database.transaction()?;
            let carried = "DELETE FROM reports WHERE namespace = ?1 AND number <= ?2";
            tx.execute(carried, params![namespace, integer(last)])?;
            let told = "UPDATE reports_dropped SET many = max(many - ?2, 0) WHERE namespace = ?1";
            tx.execute(told, params![namespace, integer(dropped)])?;
            tx.execute("DELETE FROM reports_dropped WHERE many = 0", [])?;
            Ok(tx.commit()?)
        })
        .await
    }
}

fn dropped(database: &Connection, namespace: &str) -> Result<u64, RegistryError> {
    let mut rows =
        database.prepare_cached("SELECT many FROM reports_dropped WHERE namespace = ?1")?;
    let mut rows = rows.query([namespace])?;
    rows.next()?.map_or(Ok(0), |row| number(row, 0))
}
