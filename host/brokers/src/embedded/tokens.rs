//! Words by which a repeated append is recognised, kept in the same transaction as the records.

use host_events::Incarnation;
use host_events::clock::now;
use host_store::StoreError;
use rusqlite::{Connection, OptionalExtension};

use crate::broker::Token;

/// How long a token is remembered: a client that lost an answer repeats within minutes; a day leaves
/// room for one that was switched off over night.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// How many records the append of this token had, where it is remembered.
pub(crate) fn find(
    connection: &Connection,
    token: &Token,
    flow: Incarnation,
) -> Result<Option<u64>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT count FROM tokens WHERE principal = ?1 AND token = ?2 AND incarnation = ?3 AND at > ?4",
    )?;
    let row = (&token.principal, &token.token, flow.0.as_bytes(), now() - KEPT_MS);
    Ok(select.query_row(row, |row| row.get(0)).optional()?)
}

/// Remembers a token from now on.
pub(crate) fn remember(
    connection: &Connection,
    token: &Token,
    flow: Incarnation,
    count: u64,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO tokens (principal, token, incarnation, count, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute((&token.principal, &token.token, flow.0.as_bytes(), count, now()))?;
    Ok(())
}

/// Forgets tokens that are too old.
pub(crate) fn expire(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("DELETE FROM tokens WHERE at <= ?1", [now() - KEPT_MS])?;
    Ok(())
}
