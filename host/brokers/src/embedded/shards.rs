//! Positions and state of shards, and who holds them.

use std::collections::BTreeMap;

use bytes::Bytes;
use host_events::{Incarnation, Position};
use host_store::StoreError;
use rusqlite::{Connection, OptionalExtension, Params};
use uuid::Uuid;

use crate::broker::{Commit, ShardId};

/// What is true of a shard.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Who holds it from now on; the writer fills it in.
    pub(crate) opening: u64,
    pub(crate) positions: Position,
    pub(crate) state: BTreeMap<Bytes, Bytes>,
    pub(crate) digest: Option<String>,
}

/// Takes a shard over: the epoch grows, so that whoever held it can commit no more.
pub(crate) fn open(connection: &Connection, shard: ShardId) -> Result<Truth, StoreError> {
    let id = (shard.processor.as_bytes(), shard.shard);
    let digest = connection.query_row(
        "INSERT INTO shards (processor, shard, epoch) VALUES (?1, ?2, 1)
         ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING digest",
        id,
        |row| row.get(0),
    )?;
    let mut truth = Truth { digest, ..Truth::default() };
    let mut rows = connection.prepare_cached(
        "SELECT flow, partition, next FROM positions WHERE processor = ?1 AND shard = ?2",
    )?;
    let mut rows = rows.query(id)?;
    while let Some(row) = rows.next()? {
        let flow = Incarnation(Uuid::from_bytes(row.get(0)?));
        truth.positions.set(flow, row.get(1)?, row.get(2)?);
    }
    let mut rows = connection
        .prepare_cached("SELECT key, value FROM state WHERE processor = ?1 AND shard = ?2")?;
    let mut rows = rows.query(id)?;
    while let Some(row) = rows.next()? {
        let (key, value): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        truth.state.insert(key.into(), value.into());
    }
    Ok(truth)
}

/// Says which position a commit would move back, where it does.
pub(crate) fn moves_back(
    connection: &Connection,
    shard: ShardId,
    positions: &Position,
) -> Result<Option<String>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT next FROM positions WHERE processor = ?1 AND shard = ?2 AND flow = ?3 AND partition = ?4",
    )?;
    for ((flow, partition), next) in &positions.0 {
        let id = (shard.processor.as_bytes(), shard.shard, flow.0.as_bytes(), partition);
        let now: Option<u64> = select.query_row(id, |row| row.get(0)).optional()?;
        if let Some(now) = now.filter(|now| now > next) {
            return Ok(Some(format!(
                "position of partition {partition} moves back: {now} to {next}"
            )));
        }
    }
    Ok(None)
}

/// Writes what a commit changes.
pub(crate) fn commit(
    connection: &Connection,
    shard: ShardId,
    commit: &Commit,
) -> Result<(), StoreError> {
    put_positions(connection, shard, &commit.positions)?;
    let (processor, number) = (shard.processor.as_bytes(), shard.shard);
    for (key, value) in &commit.state {
        match value {
            Some(value) => run(
                connection,
                "INSERT OR REPLACE INTO state (processor, shard, key, value) VALUES (?1, ?2, ?3, ?4)",
                (processor, number, &key[..], &value[..]),
            )?,
            None => run(
                connection,
                "DELETE FROM state WHERE processor = ?1 AND shard = ?2 AND key = ?3",
                (processor, number, &key[..]),
            )?,
        }
    }
    run(
        connection,
        "UPDATE shards SET digest = ?3 WHERE processor = ?1 AND shard = ?2 AND digest IS NOT ?3",
        (processor, number, &*commit.digest),
    )
}

/// Sets positions, as an operator asked; the state goes where that was asked too.
pub(crate) fn reposition(
    connection: &Connection,
    shard: ShardId,
    positions: &Position,
    reset_state: bool,
) -> Result<(), StoreError> {
    put_positions(connection, shard, positions)?;
    if reset_state {
        let id = (shard.processor.as_bytes(), shard.shard);
        run(connection, "DELETE FROM state WHERE processor = ?1 AND shard = ?2", id)?;
    }
    Ok(())
}

/// Forgets every shard of a processor.
pub(crate) fn forget(connection: &Connection, processor: Uuid) -> Result<(), StoreError> {
    for table in ["shards", "positions", "state"] {
        let delete = format!("DELETE FROM {table} WHERE processor = ?1");
        run(connection, &delete, [processor.as_bytes()])?;
    }
    Ok(())
}

fn put_positions(
    connection: &Connection,
    shard: ShardId,
    positions: &Position,
) -> Result<(), StoreError> {
    for ((flow, partition), next) in &positions.0 {
        run(
            connection,
            "INSERT OR REPLACE INTO positions (processor, shard, flow, partition, next)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (shard.processor.as_bytes(), shard.shard, flow.0.as_bytes(), partition, next),
        )?;
    }
    Ok(())
}

fn run(connection: &Connection, sql: &str, parameters: impl Params) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}
