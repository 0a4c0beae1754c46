//! Changes of topics and shards, retention: rarer than records, each in a transaction of its own.

use std::sync::Arc;

use host_events::clock::now;
use host_events::{Incarnation, Position};
use host_failpoints::failpoint;
use host_store::StoreError;
use rusqlite::Connection;
use uuid::Uuid;

use crate::broker::{BrokerError, ShardId, TopicChange, TopicRef, TopicSpec};

use super::shards::{self, Truth};
use super::tokens;
use super::topics::{Config, Log, Topic, Topics};
use super::trouble;
use super::writer::{Answer, Writer, broker_error};

/// Most partitions of a topic: each is a task in every processor that reads it.
const MOST_PARTITIONS: u32 = 1024;

/// Batches that one look at a log's retention deletes; the writer must not be away for long.
const MOST_EXPIRED: u32 = 1000;

/// What the writer is asked beside records.
pub(crate) enum Change {
    Create(TopicSpec, Answer<()>),
    Update(TopicRef, TopicChange, Answer<()>),
    Delete(TopicRef, Answer<()>),
    Purge(TopicRef, Answer<()>),
    Open(ShardId, Answer<Truth>),
    Reposition(ShardId, Position, bool, Answer<()>),
    Forget(Uuid, Answer<()>),
    Retain(Answer<()>),
}

/// Makes a change and answers.
pub(crate) fn make(writer: &mut Writer, change: Change) {
    // Whoever no longer waits for the answer does not get it.
    match change {
        Change::Create(spec, answer) => drop(answer.send(create(writer, spec))),
        Change::Update(topic, change, answer) => {
            drop(answer.send(update(writer, &topic, &change)));
        }
        Change::Delete(topic, answer) => drop(answer.send(delete(writer, &topic))),
        Change::Purge(topic, answer) => drop(answer.send(purge(writer, &topic))),
        Change::Open(shard, answer) => drop(answer.send(open(writer, shard))),
        Change::Reposition(shard, position, reset, answer) => {
            let moved = transact(&writer.connection, |connection| {
                shards::reposition(connection, shard, &position, reset)
            });
            // Whoever had it open would go on from the old place.
            if moved.is_ok() {
                writer.holders.remove(&shard);
            }
            drop(answer.send(moved));
        }
        Change::Forget(processor, answer) => {
            writer.holders.retain(|shard, _| shard.processor != processor);
            let forgot =
                transact(&writer.connection, |connection| shards::forget(connection, processor));
            drop(answer.send(forgot));
        }
        Change::Retain(answer) => drop(answer.send(retain(writer))),
    }
}

fn create(writer: &Writer, spec: TopicSpec) -> Result<(), BrokerError> {
    let TopicSpec { topic, partitions, replication, config } = spec;
    if let Some(copies) = replication.filter(|copies| *copies != 1) {
        return Err(BrokerError::Invalid(format!(
            "replication={copies}: this broker keeps one copy"
        )));
    }
    let config = Config::parse(config)?;
    check_partitions(partitions)?;
    if let Some(there) = writer.topics.named(&topic.topic) {
        let same = there.incarnation == topic.incarnation;
        return if same { Ok(()) } else { Err(BrokerError::Exists(topic.topic.to_string())) };
    }
    // Read before the commit: what is known of a topic and what is stored change together.
    let (id, logs) = transact(&writer.connection, |connection| {
        connection.execute(
            "INSERT INTO topics (name, incarnation, config) VALUES (?1, ?2, ?3)",
            (&*topic.topic, topic.incarnation.0.as_bytes(), json(&config)),
        )?;
        let id = connection.last_insert_rowid();
        add_logs(connection, id, 0..partitions)?;
        Ok((id, logs_of(connection, id, &writer.topics)?))
    })?;
    let (name, incarnation) = (topic.topic, topic.incarnation);
    writer.topics.put(Arc::new(Topic { id, name, incarnation, config, logs }));
    Ok(())
}

fn update(writer: &Writer, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
    let topic = writer.topics.find(topic)?;
    let mut given = topic.config.given.clone();
    given.extend(change.config.clone());
    let config = Config::parse(given)?;
    let has = u32::try_from(topic.logs.len()).unwrap_or(u32::MAX);
    let wants = change.partitions.unwrap_or(has);
    check_partitions(wants)?;
    if wants < has {
        let words = format!("{} has {has} partitions and cannot have fewer", topic.name);
        return Err(BrokerError::Invalid(words));
    }
    let all = transact(&writer.connection, |connection| {
        let row = (topic.id, json(&config));
        connection.execute("UPDATE topics SET config = ?2 WHERE id = ?1", row)?;
        add_logs(connection, topic.id, has..wants)?;
        logs_of(connection, topic.id, &writer.topics)
    })?;
    let mut logs = topic.logs.clone();
    logs.extend(all.into_iter().skip(logs.len()));
    let Topic { id, name, incarnation, .. } = &*topic;
    let (name, incarnation) = (Arc::clone(name), *incarnation);
    writer.topics.put(Arc::new(Topic { id: *id, name, incarnation, config, logs }));
    Ok(())
}

fn delete(writer: &Writer, topic: &TopicRef) -> Result<(), BrokerError> {
    let Ok(found) = writer.topics.find(topic) else { return Ok(()) };
    transact(&writer.connection, |connection| {
        for log in &found.logs {
            connection.execute("DELETE FROM batches WHERE log = ?1", [log.id])?;
        }
        connection.execute("DELETE FROM logs WHERE topic = ?1", [found.id])?;
        connection.execute("DELETE FROM topics WHERE id = ?1", [found.id])?;
        Ok(())
    })?;
    writer.topics.remove(&found.name);
    Ok(())
}

fn purge(writer: &Writer, topic: &TopicRef) -> Result<(), BrokerError> {
    let topic = writer.topics.find(topic)?;
    transact(&writer.connection, |connection| {
        for log in &topic.logs {
            connection.execute("DELETE FROM batches WHERE log = ?1", [log.id])?;
            connection
                .execute("UPDATE logs SET earliest = next, bytes = 0 WHERE id = ?1", [log.id])?;
        }
        Ok(())
    })?;
    for log in &topic.logs {
        log.forget();
        log.span.send_modify(|span| (span.earliest, span.bytes) = (span.next, 0));
    }
    Ok(())
}

fn open(writer: &mut Writer, shard: ShardId) -> Result<Truth, BrokerError> {
    let truth = transact(&writer.connection, |connection| shards::open(connection, shard))?;
    writer.openings += 1;
    writer.holders.insert(shard, writer.openings);
    Ok(Truth { opening: writer.openings, ..truth })
}

fn retain(writer: &Writer) -> Result<(), BrokerError> {
    unasked(&writer.connection, tokens::expire)?;
    for topic in writer.topics.all() {
        for log in &topic.logs {
            log.tidy();
            retain_log(&writer.connection, &topic.config, log)?;
        }
    }
    Ok(())
}

/// Deletes whole batches from the front of a log: those too old, and those beyond its size.
fn retain_log(connection: &Connection, config: &Config, log: &Log) -> Result<(), BrokerError> {
    if config.retention_ms.is_none() && config.retention_bytes.is_none() {
        return Ok(());
    }
    let span = *log.span.borrow();
    let oldest = config.retention_ms.map(|ms| now().saturating_sub(ms));
    let mut surplus = config.retention_bytes.map_or(0, |limit| span.bytes.saturating_sub(limit));
    let (earliest, freed) = unasked(connection, |connection| {
        let (mut earliest, mut freed) = (span.earliest, 0);
        let mut rows = connection.prepare_cached(
            "SELECT next, newest, size FROM batches WHERE log = ?1 ORDER BY base LIMIT ?2",
        )?;
        let mut rows = rows.query((log.id, MOST_EXPIRED))?;
        while let Some(row) = rows.next()? {
            let (next, newest, size): (u64, i64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            // As Kafka: what is left is never less than the limit.
            if surplus < size && oldest.is_none_or(|oldest| newest >= oldest) {
                break;
            }
            surplus = surplus.saturating_sub(size);
            (earliest, freed) = (next, freed + size);
        }
        connection
            .execute("DELETE FROM batches WHERE log = ?1 AND base < ?2", (log.id, earliest))?;
        connection.execute(
            "UPDATE logs SET earliest = ?2, bytes = bytes - ?3 WHERE id = ?1",
            (log.id, earliest, freed),
        )?;
        Ok((earliest, freed))
    })?;
    if freed > 0 {
        log.span.send_modify(|span| {
            span.earliest = earliest;
            span.bytes = span.bytes.saturating_sub(freed);
        });
    }
    Ok(())
}

/// Reads all topics, at the start.
pub(crate) fn load(connection: &Connection, topics: &Topics) -> Result<(), StoreError> {
    let mut rows = connection.prepare("SELECT id, name, incarnation, config FROM topics")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name, text): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let damaged = |words: String| StoreError::Damaged(format!("topic {name}: {words}"));
        let given = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let config = Config::parse(given).map_err(|error| damaged(error.to_string()))?;
        let incarnation = Incarnation(Uuid::from_bytes(row.get(2)?));
        let logs = logs_of(connection, id, topics)?;
        topics.put(Arc::new(Topic { id, name: name.into(), incarnation, config, logs }));
    }
    Ok(())
}

fn logs_of(
    connection: &Connection,
    topic: i64,
    topics: &Topics,
) -> Result<Vec<Arc<Log>>, StoreError> {
    let mut rows = connection.prepare_cached(
        "SELECT id, earliest, next, bytes FROM logs WHERE topic = ?1 ORDER BY partition",
    )?;
    let log = |row: &rusqlite::Row<'_>| {
        let span = [row.get(1)?, row.get(2)?, row.get(3)?];
        Ok(Arc::new(Log::new(row.get(0)?, span, &topics.room)))
    };
    Ok(rows.query_map([topic], log)?.collect::<Result<_, _>>()?)
}

fn add_logs(
    connection: &Connection,
    topic: i64,
    partitions: std::ops::Range<u32>,
) -> Result<(), StoreError> {
    for partition in partitions {
        connection.execute(
            "INSERT INTO logs (topic, partition, earliest, next, bytes) VALUES (?1, ?2, 0, 0, 0)",
            (topic, partition),
        )?;
    }
    Ok(())
}

fn check_partitions(partitions: u32) -> Result<(), BrokerError> {
    if (1..=MOST_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    let words = format!("partitions={partitions} is not within 1 and {MOST_PARTITIONS}");
    Err(BrokerError::Invalid(words))
}

fn json(config: &Config) -> String {
    serde_json::to_value(&config.given).unwrap_or_default().to_string()
}

/// A change that somebody waits for.
fn transact<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, BrokerError> {
    let changed = unasked(connection, |connection| {
        let done = work(connection)?;
        failpoint!("broker.before-change");
        Ok(done)
    });
    failpoint!("broker.changed");
    changed
}

/// A change that time makes.
fn unasked<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, BrokerError> {
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from);
    let done = begun.and_then(|()| work(connection)).and_then(|done| {
        connection.execute_batch("COMMIT")?;
        Ok(done)
    });
    done.map_err(|error| {
        if !connection.is_autocommit() {
            drop(connection.execute_batch("ROLLBACK"));
        }
        broker_error(&trouble::explained(connection, error))
    })
}
