//! Plugin bytes by digest, and which of them runs for each processor type.
//!
//! Looks into no component; it only sees to it that bytes are what their digest says.

use bytes::Bytes;
use host_events::clock::now;
use host_failpoints::failpoint;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use crate::audit;
use crate::error::RegistryError;
use crate::limits::{MAX_DOCUMENT, check_kind};
use crate::registry::Registry;

/// Which version of a processor type runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The type's name.
    pub name: String,
    /// Digest of the bytes, SHA-256 in lower-case hex.
    pub digest: String,
    /// 1 for the first version of the type, one more for each after it.
    pub generation: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
}

impl Registry {
    /// Keeps a component under its digest. Doing it again is harmless.
    ///
    /// # Errors
    /// `Invalid` when the digest is another one, `TooMany` when it is too large.
    pub async fn put_plugin(&self, digest: &str, component: Bytes) -> Result<(), RegistryError> {
        let digest = digest.to_owned();
        self.with_database(move |database| {
            if component.len() > MAX_COMPONENT {
                let what = "octets of a component";
                return Err(RegistryError::TooMany { what, limit: MAX_COMPONENT });
            }
            if hex_digest(&component) != digest {
                return Err(RegistryError::invalid("component is not what its digest says"));
            }
            failpoint!("plugins.before-put");
            // Bytes that were damaged on disk are mended by the same file.
            database.execute(
                "INSERT INTO plugin_blobs (digest, bytes) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE bytes IS NOT excluded.bytes",
                params![digest, component.as_ref()],
            )?;
            failpoint!("plugins.put");
            Ok(())
        })
        .await
    }

    /// A component by its digest.
    ///
    /// # Errors
    /// `Damaged` when the bytes are not what was put there.
    pub async fn plugin(&self, digest: &str) -> Result<Option<Bytes>, RegistryError> {
        let digest = digest.to_owned();
        self.with_database(move |database| {
            let found: Option<Vec<u8>> = database
                .query_row("SELECT bytes FROM plugin_blobs WHERE digest = ?1", [&digest], |row| {
                    row.get(0)
                })
                .optional()?;
            match found {
                Some(bytes) if hex_digest(&bytes) != digest => {
                    Err(RegistryError::Damaged(format!("plugin {digest} has other bytes")))
                }
                found => Ok(found.map(Bytes::from)),
            }
        })
        .await
    }

    /// Makes a version the one that runs and gives its generation; that of the one that runs already
    /// stays. What is known of the type is written with it.
    ///
    /// # Errors
    /// `NotFound` when no such component was put here.
    pub async fn activate_plugin(&self, new: NewActivation) -> Result<u64, RegistryError> {
        check_kind(&new.name)?;
        let mut by = audit::By::clone(&audit::actor());
        by.command.clone_from(&new.why);
        self.with_database(move |database| {
            let tx = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let NewActivation { name, digest, version, document, .. } = &new;
            let known = "SELECT length(bytes) FROM plugin_blobs WHERE digest = ?1";
            let bytes: Option<i64> =
                tx.query_row(known, [digest], |row| row.get(0)).optional()?;
            let bytes = bytes.ok_or_else(|| RegistryError::not_found("plugin", digest))?;
            tx.execute(
                "INSERT OR REPLACE INTO plugin_versions (digest, version, bytes) VALUES (?1, ?2, ?3)",
                params![digest, version, bytes],
            )?;
            put_type(&tx, name, document)?;
            let newest = newest(&tx, name)?;
            let generation = match newest {
                Some((generation, running)) if running == *digest => {
                    tx.commit()?;
                    return Ok(generation.unsigned_abs());
                }
                Some((generation, _)) => generation + 1,
                None => 1,
            };
            tx.execute(
                "INSERT INTO plugin_activations (name, generation, digest, at) VALUES (?1, ?2, ?3, ?4)",
                params![name, generation, digest, now()],
            )?;
            audit::changed(&tx, &by, name, "activation")?;
            failpoint!("plugins.before-activation");
            tx.commit()?;
            failpoint!("plugins.activated");
            Ok(generation.unsigned_abs())
        })
        .await
    }

    /// Keeps what is known of a processor type; what it is, is the caller's matter.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn put_plugin_type(&self, name: &str, document: String) -> Result<(), RegistryError> {
        let name = name.to_owned();
        self.with_database(move |database| {
            let tx = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            put_type(&tx, &name, &document)?;
            Ok(tx.commit()?)
        })
        .await
    }

    /// What is known of each processor type.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn plugin_types(&self) -> Result<Vec<(String, String)>, RegistryError> {
        self.with_database(|database| types(database)).await
    }

    /// What runs, by name.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn active_plugins(&self) -> Result<Vec<Activation>, RegistryError> {
        self.with_database(|database| {
            let newest = "SELECT name, digest, max(generation), at FROM plugin_activations
                GROUP BY name ORDER BY name";
            let mut rows = database.prepare(newest)?;
            let rows = rows.query_map([], |row| {
                let generation = row.get::<_, i64>(2)?.unsigned_abs();
                Ok(Activation {
                    name: row.get(0)?,
                    digest: row.get(1)?,
                    generation,
                    at: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// A version that is to run.
#[derive(Clone, Debug)]
pub struct NewActivation {
    /// The type's name.
    pub name: String,
    /// Digest of the bytes.
    pub digest: String,
    /// What the version calls itself.
    pub version: String,
    /// What is known of the type from then on.
    pub document: String,
    /// Why, for the audit log.
    pub why: String,
}

fn newest(tx: &Transaction<'_>, name: &str) -> Result<Option<(i64, String)>, RegistryError> {
    let newest = "SELECT generation, digest FROM plugin_activations WHERE name = ?1
        ORDER BY generation DESC LIMIT 1";
    Ok(tx.query_row(newest, [name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

pub(crate) fn put_type(
    tx: &Transaction<'_>,
    name: &str,
    document: &str,
) -> Result<(), RegistryError> {
    if document.len() > MAX_DOCUMENT {
        return Err(RegistryError::TooMany { what: "octets of one row", limit: MAX_DOCUMENT });
    }
    tx.execute(
        "INSERT OR REPLACE INTO plugin_types (name, document) VALUES (?1, ?2)",
        params![name, document],
    )?;
    Ok(())
}

pub(crate) fn types(database: &Connection) -> Result<Vec<(String, String)>, RegistryError> {
    let mut rows = database.prepare("SELECT name, document FROM plugin_types ORDER BY name")?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is known of types, of versions and of files; and what an operator wants of a running host.
pub(crate) const TABLES: &str = "
CREATE TABLE plugin_types (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE plugin_versions (
    digest TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE plugin_files (file TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE plugin_wishes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    document TEXT NOT NULL,
    answer TEXT
) STRICT;
";

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Largest component that is kept: interpreters of scripting languages come as components of 10 to
/// 40 MB.
pub const MAX_COMPONENT: usize = 64 * 1024 * 1024;
