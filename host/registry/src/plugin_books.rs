//! The books about plugins: which versions are kept, why files were rejected, and what an operator wants of
//! the host. Beside a host that runs they can be read, and a wish be added, by another process.
//!
//! Looks into no component and decides nothing.

use std::collections::BTreeSet;
use std::path::Path;

use host_failpoints::failpoint;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::audit;
use crate::error::RegistryError;
use crate::limits::MAX_DOCUMENT;
use crate::model::Processor;
use crate::plugins::types;
use crate::registry::Registry;
use crate::store;

/// Wishes that were answered and are remembered, for whoever has asked and was slow to look.
const KEPT_WISHES: i64 = 100;

/// Wishes that wait for a host: a script that repeats one must not fill the disk.
const MOST_WISHES: i64 = 100;

/// A version whose bytes are kept and that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The type's name.
    pub name: String,
    /// Digest of its bytes.
    pub digest: String,
    /// What it calls itself; empty where an earlier host did not write it down.
    pub version: String,
    /// The last time that it began to run, counted over the type's versions.
    pub generation: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Bytes of it.
    pub bytes: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Versions.
    pub versions: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// All that is written down about plugins, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Versions that ran, by name, the latest first.
    pub ran: Vec<Ran>,
    /// What is known of types, by name.
    pub types: Vec<(String, String)>,
    /// Files that were rejected, by name.
    pub files: Vec<(String, String)>,
}

impl Registry {
    /// Keeps what is known of a processor type because somebody wants it so.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn change_plugin_type(
        &self,
        name: &str,
        document: String,
        why: String,
    ) -> Result<(), RegistryError> {
        let (name, by) = (name.to_owned(), because(why));
        self.transaction_of_plugins(move |tx| {
            crate::plugins::put_type(tx, &name, &document)?;
            audit::changed(tx, &by, &name, "change")
        })
        .await
    }

    /// Versions of a type that ran and are kept, the latest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn kept_versions(&self, name: &str) -> Result<Vec<Ran>, RegistryError> {
        let name = name.to_owned();
        let ran = self.with_database(|database| ran(database)).await?;
        Ok(ran.into_iter().filter(|ran| ran.name == name).collect())
    }

    /// How much is kept of plugins.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn kept_plugins(&self) -> Result<Kept, RegistryError> {
        self.with_database(|database| {
            let count = "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM plugin_blobs";
            let (versions, bytes): (i64, i64) =
                database.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Kept { versions: versions.unsigned_abs(), bytes: bytes.unsigned_abs() })
        })
        .await
    }

    /// Forgets a type: nothing of it runs any more. Bytes that a processor stays with are kept.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn forget_plugin(&self, name: &str, why: String) -> Result<(), RegistryError> {
        let (name, by) = (name.to_owned(), because(why));
        self.transaction_of_plugins(move |tx| {
            tx.execute("DELETE FROM plugin_activations WHERE name = ?1", [&name])?;
            tx.execute("DELETE FROM plugin_types WHERE name = ?1", [&name])?;
            audit::changed(tx, &by, &name, "deletion")?;
            failpoint!("plugins.before-forgotten");
            Ok(())
        })
        .await
    }

    /// Forgets bytes that nobody may need: not the version of each type that runs, nor the one before it, nor
    /// what a processor stays with or goes back to, nor what is named here. Gives how many versions are forgotten.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn clean_plugins(
        &self,
        mut needed: BTreeSet<String>,
    ) -> Result<usize, RegistryError> {
        needed.extend(self.look(|state| {
            let named = |processor: &Processor| {
                let Processor { pinned, before, shadow, .. } = processor;
                [pinned.clone(), before.clone(), shadow.clone()].into_iter().flatten()
            };
            state.processors.values().flat_map(named).collect::<Vec<_>>()
        }));
        self.transaction_of_plugins(move |tx| {
            let mut latest: Vec<(String, usize)> = Vec::new();
            for Ran { name, digest, .. } in ran(tx)? {
                let before = latest.iter_mut().find(|(known, _)| *known == name);
                let count = match before {
                    Some((_, count)) => {
                        *count += 1;
                        *count
                    }
                    None => {
                        latest.push((name, 1));
                        1
                    }
                };
                if count <= LATEST {
                    needed.insert(digest);
                }
            }
            forget_all_but(tx, &needed)
        })
        .await
    }

    /// Keeps why a file was rejected; `None` where it is not any more.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn put_plugin_file(
        &self,
        file: &str,
        document: Option<String>,
    ) -> Result<(), RegistryError> {
        let file = file.to_owned();
        self.transaction_of_plugins(move |tx| {
            match document {
                Some(document) if document.len() <= MAX_DOCUMENT => tx.execute(
                    "INSERT OR REPLACE INTO plugin_files (file, document) VALUES (?1, ?2)",
                    params![file, document],
                )?,
                _ => tx.execute("DELETE FROM plugin_files WHERE file = ?1", [&file])?,
            };
            Ok(())
        })
        .await
    }

    /// Forgets why files were rejected.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn forget_plugin_files(&self) -> Result<(), RegistryError> {
        self.transaction_of_plugins(|tx| {
            tx.execute("DELETE FROM plugin_files", [])?;
            Ok(())
        })
        .await
    }

    /// Wishes that nobody has answered, oldest first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn wishes(&self) -> Result<Vec<(i64, String)>, RegistryError> {
        self.with_database(|database| {
            let open =
                "SELECT number, document FROM plugin_wishes WHERE answer IS NULL ORDER BY number";
            let mut rows = database.prepare_cached(open)?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Answers a wish.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn answer_wish(&self, number: i64, answer: String) -> Result<(), RegistryError> {
        self.transaction_of_plugins(move |tx| {
            failpoint!("plugins.before-answer");
            tx.execute(
                "UPDATE plugin_wishes SET answer = ?2 WHERE number = ?1",
                params![number, answer],
            )?;
            let oldest = number.saturating_sub(KEPT_WISHES);
            tx.execute(
                "DELETE FROM plugin_wishes WHERE number <= ?1 AND answer IS NOT NULL",
                [oldest],
            )?;
            Ok(())
        })
        .await
    }

    async fn transaction_of_plugins<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T, RegistryError> + Send + 'static,
        T: Send + 'static,
    {
        self.with_database(move |database| {
            let tx = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        })
        .await
    }
}

/// The version that runs, and the one before it.
const LATEST: usize = 2;

fn because(why: String) -> audit::By {
    let mut by = audit::By::clone(&audit::actor());
    by.command = why;
    by
}

fn ran(database: &Connection) -> Result<Vec<Ran>, RegistryError> {
    let rows = "SELECT a.name, a.digest, max(a.generation), a.at, coalesce(v.version, ''),
            coalesce(v.bytes, 0)
        FROM plugin_activations a LEFT JOIN plugin_versions v ON v.digest = a.digest
        GROUP BY a.name, a.digest ORDER BY a.name, max(a.generation) DESC";
    let mut rows = database.prepare_cached(rows)?;
    let rows = rows.query_map([], |row| {
        Ok(Ran {
            name: row.get(0)?,
            digest: row.get(1)?,
            generation: row.get::<_, i64>(2)?.unsigned_abs(),
            at: row.get(3)?,
            version: row.get(4)?,
            bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn forget_all_but(tx: &Transaction<'_>, needed: &BTreeSet<String>) -> Result<usize, RegistryError> {
    let mut rows = tx.prepare("SELECT digest FROM plugin_blobs")?;
    let digests = rows.query_map([], |row| row.get::<_, String>(0))?;
    let digests: Vec<String> = digests.collect::<Result<_, _>>()?;
    let gone: Vec<&String> = digests.iter().filter(|digest| !needed.contains(*digest)).collect();
    for digest in &gone {
        tx.execute("DELETE FROM plugin_activations WHERE digest = ?1", [digest])?;
        tx.execute("DELETE FROM plugin_versions WHERE digest = ?1", [digest])?;
        tx.execute("DELETE FROM plugin_blobs WHERE digest = ?1", [digest])?;
    }
    failpoint!("plugins.before-cleaned");
    Ok(gone.len())
}

/// All that is written down about plugins in a registry that a host may have open. Changes nothing.
///
/// # Errors
/// When there is no registry, or one of another format.
pub fn peek_plugins(path: &Path) -> Result<Books, RegistryError> {
    let database = host_store::open_reader(path, &store::SCHEMA)?;
    let mut files = database.prepare("SELECT file, document FROM plugin_files ORDER BY file")?;
    let files = files.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let files = files.collect::<Result<_, _>>()?;
    Ok(Books { ran: ran(&database)?, types: types(&database)?, files })
}

/// The processors of a registry that a host may have open, by name. Changes nothing.
///
/// # Errors
/// As [`peek_plugins`].
pub fn peek_processors(path: &Path) -> Result<Vec<Processor>, RegistryError> {
    let database = host_store::open_reader(path, &store::SCHEMA)?;
    Ok(store::load(&database)?.processors.into_values().collect())
}

/// Writes a wish into a registry that a host may have open, and gives its number.
///
/// # Errors
/// When there is no registry, one of another format, or too many wait already.
pub fn put_wish(path: &Path, document: &str) -> Result<i64, RegistryError> {
    // One of another format is refused, and not brought to ours: its host may run.
    drop(host_store::open_reader(path, &store::SCHEMA)?);
    let mut database = host_store::open(path, &store::SCHEMA)?;
    let tx = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let waiting = "SELECT count(*) FROM plugin_wishes WHERE answer IS NULL";
    if tx.query_row(waiting, [], |row| row.get::<_, i64>(0))? >= MOST_WISHES {
        let limit = usize::try_from(MOST_WISHES).unwrap_or(usize::MAX);
        return Err(RegistryError::TooMany { what: "wishes that wait", limit });
    }
    tx.execute("INSERT INTO plugin_wishes (document) VALUES (?1)", [document])?;
    let number = tx.last_insert_rowid();
    tx.commit()?;
    Ok(number)
}

/// The answer to a wish, once there is one.
///
/// # Errors
/// As [`peek_plugins`].
pub fn peek_answer(path: &Path, number: i64) -> Result<Option<String>, RegistryError> {
    let database = host_store::open_reader(path, &store::SCHEMA)?;
    let answer = "SELECT answer FROM plugin_wishes WHERE number = ?1";
    let answer = database.query_row(answer, [number], |row| row.get(0)).optional()?;
    Ok(answer.flatten())
}
