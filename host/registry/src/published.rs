//! What may stand in DNS by what this host has done there, so that it can be withdrawn to the letter.
//!
//! Nothing that should be is decided by it, and nobody reads a record here: to the registry they are a text. A
//! row is written before its records are sent, and again when the answer is there.

use std::path::Path;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::limits::MAX_DOCUMENT;
use crate::model::{Flow, Namespace};
use crate::registry::Registry;
use crate::state::State;
use crate::store;
use crate::subscribers::Subscriber;

/// The table.
pub(crate) const TABLES: &str = "
CREATE TABLE published (
    zone TEXT NOT NULL,
    unit TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (zone, unit)
) STRICT, WITHOUT ROWID;
";

/// The records of one thing in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// All that may be there, in the form of whoever publishes.
    pub sets: String,
    /// Whether an answer has said that they are there, and nothing else of it.
    pub settled: bool,
    /// Whether the names were ever found to be free, or ours.
    pub claimed: bool,
    /// Since when there is something else than should be; milliseconds since 1970 UTC.
    pub since: Option<i64>,
    /// The last try, where it failed.
    pub tried: Option<i64>,
    /// Why it failed.
    pub why: Option<String>,
}

/// A row to be written: zone, unit, and what is known; none takes the row away.
pub type PublishedRow = (String, String, Option<Published>);

impl Registry {
    /// All of it, by zone and unit.
    ///
    /// # Errors
    /// When the registry cannot be read, or a row is damaged.
    pub async fn published(&self) -> Result<Vec<(String, String, Published)>, RegistryError> {
        self.with_database(|database| published(database)).await
    }

    /// Writes rows, all of them or none. Wakes nobody: whoever decides what to publish writes them.
    ///
    /// # Errors
    /// When they could not be written; then none of them is.
    pub async fn put_published(&self, rows: Vec<PublishedRow>) -> Result<(), RegistryError> {
        self.with_database(move |database| {
            let tx = database.transaction()?;
            for (zone, unit, row) in &rows {
                match row {
                    None => tx.execute(
                        "DELETE FROM published WHERE zone = ?1 AND unit = ?2",
                        params![zone, unit],
                    )?,
                    Some(row) => tx.execute(
                        "INSERT OR REPLACE INTO published VALUES (?1, ?2, ?3)",
                        params![zone, unit, document(row)?],
                    )?,
                };
            }
            Ok(tx.commit()?)
        })
        .await
    }
}

fn published(database: &Connection) -> Result<Vec<(String, String, Published)>, RegistryError> {
    let rows = "SELECT zone, unit, document FROM published ORDER BY zone, unit";
    let mut rows = database.prepare(rows)?;
    let mut rows = rows.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (zone, unit, text): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let document = serde_json::from_str(&text)
            .map_err(|error| store::damaged(&format!("published {unit}"), &error.to_string()))?;
        found.push((zone, unit, document));
    }
    Ok(found)
}

fn document(row: &Published) -> Result<String, RegistryError> {
    let text = serde_json::to_string(row)
        .map_err(|error| RegistryError::invalid(format!("cannot be stored: {error}")))?;
    if text.len() > MAX_DOCUMENT {
        return Err(RegistryError::TooMany { what: "octets of one row", limit: MAX_DOCUMENT });
    }
    Ok(text)
}

/// What others may find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findable {
    /// Namespaces, by name.
    pub namespaces: Vec<Namespace>,
    /// Flows, in whatever status, by name.
    pub flows: Vec<Flow>,
    /// Subscriptions that others have here and that have not ended, by name.
    pub subscribers: Vec<Subscriber>,
}

impl Findable {
    fn of(state: &State) -> Self {
        let subscribers = state.subscribers.values().filter(|row| row.is_live());
        Self {
            namespaces: state.namespaces.values().cloned().collect(),
            flows: state.flows.values().cloned().collect(),
            subscribers: subscribers.cloned().collect(),
        }
    }
}

impl Registry {
    /// What others may find, all of it of one moment.
    #[must_use]
    pub fn findable(&self) -> Findable {
        self.look(Findable::of)
    }
}

/// The same of a registry that a host may have open. Changes nothing.
///
/// # Errors
/// When there is no registry, or one of another format.
pub fn peek(path: &Path) -> Result<Findable, RegistryError> {
    let database = host_store::open_reader(path, &store::SCHEMA)?;
    Ok(Findable::of(&store::load(&database)?))
}

/// What may stand in DNS by a registry that a host may have open, by zone and unit. Changes nothing.
///
/// # Errors
/// As [`peek`].
pub fn peek_published(path: &Path) -> Result<Vec<(String, String, Published)>, RegistryError> {
    published(&host_store::open_reader(path, &store::SCHEMA)?)
}
