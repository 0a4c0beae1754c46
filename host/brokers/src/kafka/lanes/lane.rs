//! One lane: takes requests in, makes transactions of what waits, and answers.
//!
//! A task for each lane that was ever needed. It holds the lane's producer and what is true of the lane, so
//! nobody else changes either. While a transaction is made, requests gather; so transactions are frequent
//! when there is little to do and grow with the load.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use host_events::{Position, Record};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::format::{self, TokenId};
use super::ours::Ours;
use super::producer::LaneProducer;
use super::recover;
use super::shares::{Missing, Shares};
use super::truth::{ShardTruth, Truth};
use super::turn::{Entry, Turn};
use crate::broker::{Appended, BrokerError, Commit, CommitOutcome, Output, ShardId};
use crate::kafka::cluster::Cluster;
use crate::kafka::outlets::Outlets;

/// Requests that wait for a lane before those who ask wait too. A shard has one commit at a time.
pub(super) const QUEUE: usize = 1024;

/// Requests of one transaction.
const MOST_TOGETHER: usize = 1024;

/// Payload bytes of one transaction: it bounds how long the first in it waits, and what is repeated when one
/// of them is refused. A single request may be larger.
const MOST_BYTES_TOGETHER: usize = 16 * 1024 * 1024;

/// Records of one transaction; as above.
const MOST_RECORDS_TOGETHER: usize = 100_000;

/// What a lane is asked.
pub(super) enum Request {
    Open {
        shard: ShardId,
        answer: Answer<Opening>,
    },
    Commit(Committing),
    Append(Appending),
    /// How the append of a token ended, where it is remembered.
    Recall {
        token: TokenId,
        answer: Answer<Option<u64>>,
    },
    Reposition {
        shard: ShardId,
        positions: Position,
        reset_state: bool,
        answer: Answer<()>,
    },
    Forget {
        processor: Uuid,
        answer: Answer<()>,
    },
    /// The group gives the lane to another host.
    Release {
        answer: oneshot::Sender<()>,
    },
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, BrokerError>>;

/// A shard was taken over.
pub(super) struct Opening {
    pub(super) number: u64,
    pub(super) truth: ShardTruth,
}

pub(super) struct Committing {
    pub(super) shard: ShardId,
    pub(super) opening: u64,
    pub(super) outputs: Arc<Vec<Output>>,
    pub(super) commit: Commit,
    pub(super) answer: oneshot::Sender<CommitOutcome>,
}

pub(super) struct Appending {
    pub(super) token: TokenId,
    pub(super) outputs: Arc<Vec<Output>>,
    pub(super) answer: Answer<Appended>,
}

/// The task's world.
pub(super) struct Lane {
    pub(super) number: u32,
    pub(super) cluster: Arc<Cluster>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) ours: Arc<Ours>,
    pub(super) shares: Arc<Shares>,
    /// Openings so far: no two shards, nor two openings of one, get the same number.
    openings: u64,
    held: Option<Held>,
}

/// A lane that is ours: its producer has fenced whoever had it.
pub(super) struct Held {
    pub(super) producer: LaneProducer,
    pub(super) truth: Truth,
    /// Which opening holds each shard.
    pub(super) holders: HashMap<ShardId, u64>,
}

impl Lane {
    pub(super) fn new(
        number: u32,
        cluster: Arc<Cluster>,
        outlets: Arc<Outlets>,
        ours: Arc<Ours>,
        shares: Arc<Shares>,
    ) -> Self {
        Self { number, cluster, outlets, ours, shares, openings: 0, held: None }
    }

    /// Works until the broker is dropped.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut closing: watch::Receiver<()>,
    ) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                tokio::select! {
                    // Nobody sends anything: the broker is gone.
                    _ = closing.changed() => return,
                    request = requests.recv() => match request {
                        Some(request) => waiting.push_back(request),
                        None => return,
                    },
                }
            }
            while waiting.len() < MOST_TOGETHER
                && let Ok(request) = requests.try_recv()
            {
                waiting.push_back(request);
            }
            self.serve(&mut waiting).await;
        }
    }

    /// Serves what comes first, with everything that goes into the same transaction.
    async fn serve(&mut self, waiting: &mut VecDeque<Request>) {
        match waiting.pop_front() {
            Some(Request::Open { shard, answer }) => {
                let opening = self.open(shard).await;
                // Who no longer waits for an answer does not get it; here and below.
                drop(answer.send(opening));
            }
            Some(Request::Recall { token, answer }) => {
                let held = self.hold().await;
                let seen = held.map(|held| held.truth.tokens.find(&token).map(|seen| seen.count));
                drop(answer.send(seen));
            }
            Some(Request::Reposition { shard, positions, reset_state, answer }) => {
                let done = self.reposition(shard, positions, reset_state).await;
                drop(answer.send(done));
            }
            Some(Request::Forget { processor, answer }) => {
                let done = self.forget(processor).await;
                drop(answer.send(done));
            }
            Some(Request::Release { answer }) => {
                self.held = None;
                answer.send(()).ok();
            }
            Some(request) => {
                waiting.push_front(request);
                let entries = together(waiting);
                self.write(entries).await;
            }
            None => {}
        }
    }

    /// The lane, taken over if need be.
    async fn hold(&mut self) -> Result<&mut Held, BrokerError> {
        if self.held.as_ref().is_some_and(|held| held.producer.is_broken()) {
            self.held = None;
        }
        if self.held.is_none() {
            self.shares.wait_for(self.number).await.map_err(|missing| self.missing(missing))?;
            self.ours.confirm(&self.cluster).await?;
            let producer = LaneProducer::open(&self.cluster, self.number).await?;
            let mut truth = Truth::default();
            recover::read(&self.cluster, &self.ours, self.number, &mut truth).await?;
            tracing::debug!(lane = self.number, shards = truth.shards.len(), "took a lane over");
            self.held = Some(Held { producer, truth, holders: HashMap::new() });
        }
        let closed = || BrokerError::Unavailable("the lane is not held".into());
        self.held.as_mut().ok_or_else(closed)
    }

    fn missing(&self, missing: Missing) -> BrokerError {
        if let Missing::Out(error) = missing {
            return error;
        }
        let words = format!(
            "lane {} is not this host's: another host of identity {} has it, or they are being shared out",
            self.number,
            self.cluster.options().identity
        );
        BrokerError::Unavailable(self.cluster.words(&self.ours.positions.topic, &words))
    }

    async fn open(&mut self, shard: ShardId) -> Result<Opening, BrokerError> {
        self.openings += 1;
        let number = self.openings;
        let held = self.hold().await?;
        held.holders.insert(shard, number);
        let truth = held.truth.shards.get(&shard).cloned().unwrap_or_default();
        Ok(Opening { number, truth })
    }

    /// Writes what goes together; whoever is refused is answered, and the others go again without him.
    async fn write(&mut self, entries: Vec<Entry>) {
        let appends = entries.iter().any(|entry| matches!(entry, Entry::Append(_)));
        let failed = if appends { self.hold().await.err() } else { None };
        let Some(held) = &mut self.held else {
            return entries.into_iter().for_each(|entry| entry.nobody_holds(failed.as_ref()));
        };
        let turn = Turn::new(&self.cluster, &self.outlets, &self.ours, self.number);
        if !turn.make(held, entries).await {
            self.held = None;
        }
        if turn.was_fenced() {
            self.shares.doubt(self.number);
        }
    }

    async fn reposition(
        &mut self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        let held = self.hold().await?;
        // Whoever has it open would go on from the old place.
        held.holders.remove(&shard);
        let mut truth = held.truth.shards.get(&shard).cloned().unwrap_or_default();
        truth.positions.0.extend(positions.0);
        let gone = if reset_state { std::mem::take(&mut truth.state) } else { Default::default() };
        let value = format::positions(&truth.positions, truth.digest.as_deref());
        let written = vec![record(format::shard_key(shard), Some(value))];
        let gone = gone.into_keys().map(|key| record(format::state_key(shard, &key), None));
        self.write_alone(written, gone.collect()).await?;
        if let Some(held) = &mut self.held {
            held.truth.shards.insert(shard, truth);
        }
        Ok(())
    }

    async fn forget(&mut self, processor: Uuid) -> Result<(), BrokerError> {
        let held = self.hold().await?;
        held.holders.retain(|shard, _| shard.processor != processor);
        let (mut positions, mut state) = (Vec::new(), Vec::new());
        for (shard, truth) in &held.truth.shards {
            if shard.processor == processor {
                positions.push(record(format::shard_key(*shard), None));
                let keys = truth.state.keys();
                state.extend(keys.map(|key| record(format::state_key(*shard, key), None)));
            }
        }
        if positions.is_empty() {
            return Ok(());
        }
        self.write_alone(positions, state).await?;
        if let Some(held) = &mut self.held {
            held.truth.shards.retain(|shard, _| shard.processor != processor);
        }
        Ok(())
    }

    /// Writes records of the lane's own in a transaction of their own.
    async fn write_alone(
        &mut self,
        positions: Vec<Record>,
        state: Vec<Record>,
    ) -> Result<(), BrokerError> {
        let turn = Turn::new(&self.cluster, &self.outlets, &self.ours, self.number);
        let held = self.held.as_mut().ok_or_else(|| turn.closed())?;
        let (kept, written) = turn.write_alone(held, positions, state).await;
        if !kept {
            self.held = None;
        }
        if turn.was_fenced() {
            self.shares.doubt(self.number);
        }
        written
    }
}

pub(super) fn record(key: bytes::Bytes, value: Option<bytes::Bytes>) -> Record {
    let timestamp = i64::try_from(super::truth::now()).unwrap_or(i64::MAX);
    Record { key: Some(key), value, timestamp, ..Record::default() }
}

/// What goes into one transaction, from the front of what waits: no shard and no token twice.
fn together(waiting: &mut VecDeque<Request>) -> Vec<Entry> {
    let (mut entries, mut bytes, mut records) = (Vec::new(), 0, 0);
    let (mut shards, mut tokens) = (HashSet::new(), HashSet::new());
    while let Some(request) = waiting.pop_front() {
        let entry = match request {
            Request::Commit(commit) if shards.insert(commit.shard) => Entry::Commit(commit),
            Request::Append(append) if tokens.insert(append.token) => Entry::Append(append),
            other => {
                waiting.push_front(other);
                break;
            }
        };
        let outputs = entry.outputs().iter().flat_map(|output| &output.records);
        (bytes, records) = outputs.fold((bytes, records), |(bytes, records), record| {
            (bytes + record.size(), records + 1)
        });
        entries.push(entry);
        if bytes >= MOST_BYTES_TOGETHER || records >= MOST_RECORDS_TOGETHER {
            break;
        }
    }
    entries
}
