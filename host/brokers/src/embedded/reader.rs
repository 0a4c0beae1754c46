//! Reading: a few connections of their own, away from the async threads, and sources that wait.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use host_events::{Batch, Incarnation, Stored};
use host_store::StoreError;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::watch;

use crate::broker::{BatchLimits, BrokerError, Source};
use crate::cut::cut;

use super::blob;
use super::gone;
use super::schema::SCHEMA;
use super::topics::{Log, Span};
use super::writer::broker_error;

/// Reads at once: the disk is not faster with more, and each costs a thread and a page cache.
const MOST_READS: usize = 4;

/// Rows that one read looks at: rows of one event each still make a fair batch.
const MOST_ROWS: u32 = 512;

/// Connections for reading.
#[derive(Clone, Debug)]
pub(crate) struct Readers(host_store::Readers);

/// What a query ended with.
#[derive(Debug)]
struct Failed(BrokerError);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(broker_error(&error))
    }
}

/// Records, and the offset after what they account for.
type Read = (u64, Arc<[Stored]>);

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(host_store::Readers::new(path, SCHEMA, MOST_READS))
    }

    /// Runs a query on a connection of the pool.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let done = self.0.read(move |connection| query(connection).map_err(Failed));
        done.await.map_err(|Failed(error)| error)
    }

    /// The first offset at or after a time.
    pub(crate) async fn offset_at(&self, log: i64, time: i64) -> Result<Option<u64>, BrokerError> {
        self.query(move |connection| {
            let row = connection
                .prepare_cached(
                    "SELECT base, records FROM batches WHERE log = ?1 AND newest >= ?2 ORDER BY base LIMIT 1",
                )
                .and_then(|mut select| {
                    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?));
                    select.query_row((log, time), row).optional()
                })
                .map_err(failed)?;
            let Some((base, records)) = row else { return Ok(None) };
            let records = blob::decode(&Bytes::from(records), base, base).map_err(damaged)?;
            let found = records.iter().find(|stored| stored.record.timestamp >= time);
            Ok(found.map(|stored| stored.offset))
        })
        .await
    }

    /// The first offset of a log as it is stored; none where the log is gone.
    async fn earliest(&self, log: i64) -> Result<Option<u64>, BrokerError> {
        self.query(move |connection| {
            connection
                .prepare_cached("SELECT earliest FROM logs WHERE id = ?1")
                .and_then(|mut select| select.query_row([log], |row| row.get(0)).optional())
                .map_err(failed)
        })
        .await
    }

    async fn read(
        &self,
        log: i64,
        from: u64,
        limits: BatchLimits,
    ) -> Result<Option<Read>, BrokerError> {
        self.query(move |connection| read_rows(connection, log, from, limits)).await
    }
}

fn read_rows(
    connection: &Connection,
    log: i64,
    from: u64,
    limits: BatchLimits,
) -> Result<Option<Read>, BrokerError> {
    let mut select = connection
        .prepare_cached(
            "SELECT base, next, records FROM batches WHERE log = ?1 AND base >= coalesce(
                 (SELECT max(base) FROM batches WHERE log = ?1 AND base <= ?2), 0)
             ORDER BY base LIMIT ?3",
        )
        .map_err(failed)?;
    let mut rows = select.query((log, from, MOST_ROWS)).map_err(failed)?;
    let (mut records, mut end, mut bytes) = (Vec::new(), None, 0);
    while records.len() < limits.records.max(1)
        && bytes < limits.bytes.max(1)
        && let Some(row) = rows.next().map_err(failed)?
    {
        let (base, next): (u64, u64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        // Retention took the row since the caller looked: to go on behind it would be a silent jump.
        if end.is_none() && base > from {
            return Ok(None);
        }
        let blob: Vec<u8> = row.get(2).map_err(failed)?;
        bytes += blob.len();
        records.extend(blob::decode(&Bytes::from(blob), base, from).map_err(damaged)?);
        end = end.max(Some(next));
    }
    Ok(end.map(|end| (end, records.into())))
}

/// One partition, read in order.
pub(crate) struct LogSource {
    pub(crate) readers: Readers,
    pub(crate) log: Arc<Log>,
    pub(crate) span: watch::Receiver<Span>,
    pub(crate) name: Arc<str>,
    pub(crate) flow: Incarnation,
    pub(crate) partition: u32,
    pub(crate) next: u64,
    /// What was decoded last: a batch smaller than a row must not decode the row again and again.
    pub(crate) held: Option<Read>,
}

#[async_trait]
impl Source for LogSource {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        loop {
            let span = *self.span.borrow_and_update();
            self.check(span)?;
            if self.next == span.next {
                // The sender lives as long as the log that this source holds.
                drop(self.span.changed().await);
                continue;
            }
            let held = self.held.take().filter(|(end, _)| *end > self.next);
            let read = match held.or_else(|| self.log.fresh_at(self.next)) {
                Some(read) => Some(read),
                None => self.readers.read(self.log.id, self.next, limits).await?,
            };
            let read = read.map(|read| until(read, span.next));
            let Some((end, records)) = read.filter(|(end, _)| *end > self.next) else {
                // Rows may go between the look at the span and the read; otherwise they are lost. What is
                // stored knows it before the writer has told.
                let stored = self.readers.earliest(self.log.id).await?;
                let span = *self.span.borrow();
                let earliest = stored.unwrap_or_default().max(span.earliest);
                self.check(Span { earliest, gone: span.gone || stored.is_none(), ..span })?;
                let (name, partition, next) = (&self.name, self.partition, self.next);
                let words = format!("{name} partition {partition} has no batch at offset {next}");
                return Err(BrokerError::Damaged(words));
            };
            let (next, part) = cut(&records, self.next, end, limits);
            self.next = next;
            self.held = (next < end).then_some((end, records));
            let (flow, partition) = (self.flow, self.partition);
            return Ok(Batch { flow, partition, records: part, next });
        }
    }
}

impl LogSource {
    /// Whether the source stands within the log.
    pub(crate) fn check(&self, span: Span) -> Result<(), BrokerError> {
        if span.gone {
            return Err(BrokerError::NotFound(self.name.to_string()));
        }
        if span.closed {
            return Err(gone());
        }
        let (earliest, latest) = (span.earliest, span.next);
        if (earliest..=latest).contains(&self.next) {
            return Ok(());
        }
        let (partition, wanted) = (self.partition, self.next);
        Err(BrokerError::OutOfRange { partition, wanted, earliest, latest })
    }
}

/// What was read, as far as the log is known to reach: rows are there a moment before the writer has
/// told of them, and a reader ahead of that would stand beyond the end.
fn until((end, records): Read, latest: u64) -> Read {
    if end <= latest {
        return (end, records);
    }
    let known = records.split_at(records.partition_point(|stored| stored.offset < latest)).0;
    (latest, known.into())
}

fn failed(error: rusqlite::Error) -> BrokerError {
    broker_error(&StoreError::from(error))
}

fn damaged(error: blob::Damaged) -> BrokerError {
    BrokerError::Damaged(error.to_string())
}
