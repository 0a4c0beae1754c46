//! What stood in the configuration when that was last written into the audit log, so that a change made while
//! the host was stopped is written down too.
//!
//! Lists of names, each with a text that is another one when anything of it changed. Nothing is decided by them,
//! and no secret is kept.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use crate::audit::{self, By};
use crate::error::RegistryError;
use crate::registry::Registry;

/// The table.
pub(crate) const TABLES: &str = "
CREATE TABLE in_force (
    list TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (list, name)
) STRICT, WITHOUT ROWID;
";

/// A list of names, and what stands there of each.
pub type InForce = BTreeMap<String, String>;

impl Registry {
    /// A list as it was last written down.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn in_force(&self, list: &'static str) -> Result<InForce, RegistryError> {
        self.with_database(move |database| {
            let rows = "SELECT name, state FROM in_force WHERE list = ?1";
            let mut rows = database.prepare_cached(rows)?;
            let rows = rows.query_map([list], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Takes a list as it is now, and writes down what changed: the change, and of whom.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it is.
    pub async fn put_in_force(
        &self,
        list: &'static str,
        now: InForce,
        origin: &'static str,
        changes: Vec<(&'static str, String)>,
    ) -> Result<(), RegistryError> {
        self.noted(move |tx| {
            for (change, words) in changes {
                audit::changed(tx, &By::host(origin, words), list, change)?;
            }
            replace(tx, list, &now)
        })
        .await
    }
}

fn replace(tx: &Transaction<'_>, list: &str, now: &InForce) -> Result<(), RegistryError> {
    tx.execute("DELETE FROM in_force WHERE list = ?1", [list])?;
    let mut insert = tx.prepare_cached("INSERT INTO in_force VALUES (?1, ?2, ?3)")?;
    for (name, state) in now {
        insert.execute(params![list, name, state])?;
    }
    Ok(())
}
