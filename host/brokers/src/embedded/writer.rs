//! The one writer: gathers what waits into one transaction, and answers when it is on disk.
//!
//! A request is checked before anything of it is written, and undoes itself alone where it does not fit,
//! so that what is wrong with one fails nobody else. When the disk fails, the whole transaction is rolled
//! back and everybody in it is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host_events::Stored;
use host_failpoints::failpoint;
use host_store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::broker::{
    Append, Appended, BrokerError, Commit, CommitOutcome, Output, ShardId, TopicRef,
};

use super::blob;
use super::disk::Disk;
use super::maintenance::{self, Change};
use super::queue::{Requests, Waiting};
use super::shards;
use super::tokens;
use super::topics::{Log, Topics};
use super::trouble::{self, Trouble};

/// Requests of one transaction: beyond a few hundred the sync no longer shows in their cost.
const MOST_TOGETHER: usize = 256;
/// Payload bytes of one transaction; it bounds how long the first in it waits, and the WAL's growth.
const MOST_BYTES_TOGETHER: usize = 16 * 1024 * 1024;

/// Said of a disk with little room. Without figures: what is said again and again is said once.
const KEPT: &str = "the last of the room is kept for deleting";

/// Stands in an answer that will be an error.
const NOTHING: Appended = Appended { count: 0, repeated: false };

/// What the writer is asked.
pub(crate) enum Request {
    Append {
        topic: TopicRef,
        append: Append,
        answer: Answer<Appended>,
    },
    Commit {
        shard: ShardId,
        opening: u64,
        outputs: Vec<Output>,
        commit: Commit,
        answer: oneshot::Sender<CommitOutcome>,
    },
    /// Anything rarer: in a transaction of its own.
    Change(Box<Change>),
    /// The broker was dropped.
    Close,
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, BrokerError>>;

/// The writer's world; lives on a thread of its own.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) disk: Disk,
    pub(crate) topics: Arc<Topics>,
    /// Openings of shards so far: no two get the same number, not even around a `forget`.
    pub(crate) openings: u64,
    /// Which opening holds each shard.
    pub(crate) holders: HashMap<ShardId, u64>,
    pub(crate) trouble: Trouble,
}

/// One transaction under way.
#[derive(Default)]
struct Turn {
    ends: HashMap<i64, (Arc<Log>, u64, u64)>,
    fresh: Vec<Fresh>,
    done: Vec<Done>,
}

/// A batch for readers at the tail: its log, first and next offset, size, records.
type Fresh = (Arc<Log>, u64, u64, usize, Arc<[Stored]>);

/// Who gets which answer when the transaction is on disk.
enum Done {
    Append(Answer<Appended>, Appended),
    Commit(oneshot::Sender<CommitOutcome>),
}

impl Writer {
    /// Works until the broker is dropped, and does what was asked for until then.
    pub(crate) fn run(mut self, mut requests: Requests, closing: &AtomicBool) {
        while let Some(first) = requests.blocking_recv() {
            // Nobody can ask any more, but what waits is still given.
            if closing.load(Ordering::Acquire) {
                requests.close();
            }
            let mut change = None;
            let (mut together, mut rooms) = (Vec::new(), Vec::new());
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(Waiting { request, room }) = next {
                // It is free for others when all of this is written.
                rooms.extend(room);
                match request {
                    Request::Change(asked) => {
                        change = Some(asked);
                        break;
                    }
                    Request::Close => {
                        requests.close();
                        break;
                    }
                    Request::Append { .. } | Request::Commit { .. } => {}
                }
                bytes += size(&request);
                together.push(request);
                let room = together.len() < MOST_TOGETHER && bytes < MOST_BYTES_TOGETHER;
                next = if room { requests.try_recv().ok() } else { None };
            }
            if !together.is_empty() {
                self.write(together, bytes);
            }
            if let Some(change) = change {
                maintenance::make(&mut self, *change);
            }
        }
    }

    fn write(&mut self, requests: Vec<Request>, bytes: usize) {
        let mut turn = Turn::default();
        if self.disk.refuses(&self.connection, bytes) {
            requests.into_iter().for_each(|request| turn.note(request));
            let error = StoreError::Full(KEPT.to_owned());
            self.trouble.failed(&error);
            return turn.fail(&error, CommitOutcome::Aborted);
        }
        if let Err(error) = self.fill(requests, &mut turn) {
            drop(self.connection.execute_batch("ROLLBACK"));
            let error = trouble::explained(&self.connection, error);
            self.trouble.failed(&error);
            return turn.fail(&error, CommitOutcome::Aborted);
        }
        failpoint!("broker.before-commit");
        if let Err(error) = self.connection.execute_batch("COMMIT").map_err(StoreError::from) {
            drop(self.connection.execute_batch("ROLLBACK"));
            let error = trouble::explained(&self.connection, error);
            self.trouble.failed(&error);
            // What did not fit was not written, and a transaction without its last frame is none.
            // After a failed sync nobody knows what reached the disk.
            return match error {
                StoreError::Full(_) => turn.fail(&error, CommitOutcome::Aborted),
                _ => turn.fail(&error, CommitOutcome::Unknown),
            };
        }
        failpoint!("broker.committed");
        self.trouble.over();
        turn.publish();
    }

    fn fill(&mut self, requests: Vec<Request>, turn: &mut Turn) -> Result<(), StoreError> {
        let mut failed = None;
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            failed = Some(StoreError::from(error));
        }
        for request in requests {
            let filled = match failed {
                // Everybody in the transaction hears of its end.
                Some(_) => {
                    turn.note(request);
                    Ok(())
                }
                None => self.one(request, turn),
            };
            if let Err(error) = filled {
                failed = Some(error);
            }
        }
        if failed.is_none() {
            failed = turn.write_ends(&self.connection).err();
        }
        failed.map_or(Ok(()), Err)
    }

    fn one(&self, request: Request, turn: &mut Turn) -> Result<(), StoreError> {
        match request {
            Request::Append { topic, append, answer } => {
                // What was appended stays so, whatever the topic's limits are today.
                match self.repeats(&topic, &append) {
                    Ok(Some(appended)) => {
                        turn.done.push(Done::Append(answer, appended));
                        return Ok(());
                    }
                    Ok(None) => {}
                    Err(error) => {
                        drop(answer.send(Err(broker_error(&error))));
                        return Ok(());
                    }
                }
                if let Err(error) = self.check_append(&topic, &append) {
                    drop(answer.send(Err(error)));
                    return Ok(());
                }
                match self.guarded(turn, |turn| self.append(&topic, append, turn)) {
                    Ok(Ok(appended)) => turn.done.push(Done::Append(answer, appended)),
                    Ok(Err(error)) => drop(answer.send(Err(broker_error(&error)))),
                    Err(error) => return turn.lost(Done::Append(answer, NOTHING), error),
                }
            }
            Request::Commit { shard, opening, outputs, commit, answer } => {
                if self.holders.get(&shard) != Some(&opening) {
                    drop(answer.send(CommitOutcome::Fenced));
                    return Ok(());
                }
                if let Err(error) = self.check_outputs(&outputs) {
                    drop(answer.send(CommitOutcome::Aborted(error)));
                    return Ok(());
                }
                let work = |turn: &mut Turn| self.commit(shard, outputs, &commit, turn);
                match self.guarded(turn, work) {
                    Ok(Ok(None)) => turn.done.push(Done::Commit(answer)),
                    Ok(Ok(Some(back))) => {
                        drop(answer.send(CommitOutcome::Aborted(BrokerError::Invalid(back))));
                    }
                    Ok(Err(error)) => {
                        drop(answer.send(CommitOutcome::Aborted(broker_error(&error))));
                    }
                    Err(error) => return turn.lost(Done::Commit(answer), error),
                }
            }
            Request::Change(_) | Request::Close => {}
        }
        Ok(())
    }

    /// Work that undoes itself alone where it fails, so that one that does not fit takes nobody with
    /// it. The outer error says that the whole transaction is gone.
    fn guarded<T>(
        &self,
        turn: &mut Turn,
        work: impl FnOnce(&mut Turn) -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        let (ends, fresh) = (turn.ends.clone(), turn.fresh.len());
        self.savepoint("SAVEPOINT request")?;
        let worked = work(turn);
        if worked.is_err() {
            turn.ends = ends;
            turn.fresh.truncate(fresh);
            if self.connection.is_autocommit() {
                return worked.map(Ok);
            }
            self.savepoint("ROLLBACK TO request")?;
        }
        self.savepoint("RELEASE request")?;
        Ok(worked)
    }

    fn savepoint(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// `Some` says which position would move back: nothing was written then.
    fn commit(
        &self,
        shard: ShardId,
        outputs: Vec<Output>,
        commit: &Commit,
        turn: &mut Turn,
    ) -> Result<Option<String>, StoreError> {
        if !commit.rewinds {
            let back = shards::moves_back(&self.connection, shard, &commit.positions)?;
            if back.is_some() {
                return Ok(back);
            }
        }
        for output in outputs {
            self.append_records(&output.topic, output.partition, output.records, turn)?;
        }
        shards::commit(&self.connection, shard, commit)?;
        Ok(None)
    }

    /// The first answer, where this append was made before and its topic is still that one.
    fn repeats(&self, topic: &TopicRef, append: &Append) -> Result<Option<Appended>, StoreError> {
        let Some(token) = append.token.as_ref().filter(|_| self.topics.find(topic).is_ok()) else {
            return Ok(None);
        };
        let count = tokens::find(&self.connection, token, topic.incarnation)?;
        Ok(count.map(|count| Appended { count, repeated: true }))
    }

    fn append(
        &self,
        topic: &TopicRef,
        append: Append,
        turn: &mut Turn,
    ) -> Result<Appended, StoreError> {
        let count = append.records.len() as u64;
        if let Some(token) = &append.token {
            tokens::remember(&self.connection, token, topic.incarnation, count)?;
        }
        let mut pieces: Vec<(u32, Vec<_>)> = Vec::new();
        for (partition, record) in append.records {
            match pieces.iter_mut().find(|(number, _)| *number == partition) {
                Some((_, records)) => records.push(record),
                None => pieces.push((partition, vec![record])),
            }
        }
        for (partition, records) in pieces {
            self.append_records(topic, partition, records, turn)?;
        }
        Ok(Appended { count, repeated: false })
    }

    fn append_records(
        &self,
        topic: &TopicRef,
        partition: u32,
        records: Vec<host_events::Record>,
        turn: &mut Turn,
    ) -> Result<(), StoreError> {
        let found = self.topics.find(topic).ok();
        let log = found.as_ref().and_then(|topic| topic.logs.get(partition as usize));
        // Checked before; nobody but this thread takes topics away.
        let (Some(log), false) = (log, records.is_empty()) else { return Ok(()) };
        let (base, bytes) = match turn.ends.get(&log.id) {
            Some((_, next, bytes)) => (*next, *bytes),
            None => {
                let span = *log.span.borrow();
                (span.next, span.bytes)
            }
        };
        let next = base + records.len() as u64;
        let newest = records.iter().map(|record| record.timestamp).max().unwrap_or_default();
        let encoded = blob::encode(&records);
        let size = encoded.len();
        // SELECT and not VALUES: SQLite then keeps a statement journal, and a batch that does not fit
        // undoes its statement instead of the whole transaction.
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO batches (log, base, next, newest, size, records) SELECT ?1, ?2, ?3, ?4, ?5, ?6",
        )?;
        insert.execute((log.id, base, next, newest, size, &encoded[..]))?;
        turn.ends.insert(log.id, (Arc::clone(log), next, bytes + size as u64));
        if log.is_read() {
            let stored = (base..).zip(records).map(|(offset, record)| Stored { offset, record });
            turn.fresh.push((Arc::clone(log), base, next, size, stored.collect()));
        }
        Ok(())
    }

    fn check_append(&self, topic: &TopicRef, append: &Append) -> Result<(), BrokerError> {
        let topic = self.topics.find(topic)?;
        for (partition, record) in &append.records {
            check_record(&topic, *partition, record.size())?;
        }
        Ok(())
    }

    fn check_outputs(&self, outputs: &[Output]) -> Result<(), BrokerError> {
        for output in outputs {
            let topic = self.topics.find(&output.topic)?;
            for record in &output.records {
                check_record(&topic, output.partition, record.size())?;
            }
        }
        Ok(())
    }
}

fn check_record(
    topic: &super::topics::Topic,
    partition: u32,
    size: usize,
) -> Result<(), BrokerError> {
    if topic.logs.get(partition as usize).is_none() {
        // The flow may be about to gain it: trying again helps then.
        let words = format!("{} has no partition {partition}", topic.name);
        return Err(BrokerError::Unavailable(words));
    }
    let limit = topic.max_message();
    if size > limit { Err(BrokerError::TooLarge { size, limit }) } else { Ok(()) }
}

impl Turn {
    /// One more to be told of the transaction's end.
    fn lost(&mut self, done: Done, error: StoreError) -> Result<(), StoreError> {
        self.done.push(done);
        Err(error)
    }

    fn note(&mut self, request: Request) {
        match request {
            Request::Append { answer, .. } => {
                self.done.push(Done::Append(answer, NOTHING));
            }
            Request::Commit { answer, .. } => self.done.push(Done::Commit(answer)),
            Request::Change(_) | Request::Close => {}
        }
    }

    fn write_ends(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut update =
            connection.prepare_cached("UPDATE logs SET next = ?2, bytes = ?3 WHERE id = ?1")?;
        for (log, next, bytes) in self.ends.values() {
            update.execute((log.id, next, bytes))?;
        }
        Ok(())
    }

    /// The transaction is on disk: readers see it, then everybody is answered.
    fn publish(self) {
        for (log, base, next, size, records) in self.fresh {
            log.keep(base, next, size, records);
        }
        for (log, next, bytes) in self.ends.into_values() {
            log.span.send_modify(|span| (span.next, span.bytes) = (next, bytes));
        }
        for done in self.done {
            match done {
                // Whoever no longer waits for the answer does not get it.
                Done::Append(answer, appended) => drop(answer.send(Ok(appended))),
                Done::Commit(answer) => drop(answer.send(CommitOutcome::Committed)),
            }
        }
    }

    fn fail(self, error: &StoreError, outcome: fn(BrokerError) -> CommitOutcome) {
        for done in self.done {
            match done {
                Done::Append(answer, _) => drop(answer.send(Err(broker_error(error)))),
                Done::Commit(answer) => drop(answer.send(outcome(broker_error(error)))),
            }
        }
    }
}

/// What a store's error means to a broker's caller.
pub(crate) fn broker_error(error: &StoreError) -> BrokerError {
    match error {
        StoreError::Full(words) => BrokerError::Full(words.clone()),
        StoreError::Damaged(words) => BrokerError::Damaged(words.clone()),
        other => BrokerError::Unavailable(other.to_string()),
    }
}

/// Payload bytes of a request.
pub(crate) fn size(request: &Request) -> usize {
    match request {
        Request::Append { append, .. } => {
            append.records.iter().map(|(_, record)| record.size()).sum()
        }
        Request::Commit { outputs, .. } => {
            outputs.iter().flat_map(|output| &output.records).map(host_events::Record::size).sum()
        }
        Request::Change(_) | Request::Close => 0,
    }
}
