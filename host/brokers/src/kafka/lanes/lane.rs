//! One lane: takes requests in, makes transactions of what waits, and answers.
//!
//! A task for each lane that was ever needed. It holds the lane's producer and what is true of the lane, so
//! nobody else changes either. While a transaction is made, requests gather; so transactions are frequent
//! when there is little to do and grow with the load.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use host_events::{Position, Record};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::entry::Entry;
use super::format::{self, TokenId};
use super::former::Former;
use super::keep::{self, Kept};
use super::ours::Ours;
use super::outside;
use super::producer::LaneProducer;
use super::recall::Early;
use super::shares::Shares;
use super::take::{self, Taking};
use super::truth::{ShardTruth, Truth};
use super::turn::Turn;
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

impl Request {
    /// Tells whoever asked that it cannot be done.
    pub(super) fn fail(self, error: &BrokerError) {
        let error = error.clone();
        match self {
            Self::Open { answer, .. } => drop(answer.send(Err(error))),
            Self::Recall { answer, .. } => drop(answer.send(Err(error))),
            Self::Reposition { answer, .. } | Self::Forget { answer, .. } => {
                drop(answer.send(Err(error)));
            }
            Self::Append(append) => drop(append.answer.send(Err(error))),
            Self::Commit(commit) => Entry::Commit(commit).nobody_holds(None),
            Self::Release { answer } => drop(answer.send(())),
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_given_up(&self) -> bool {
        match self {
            Self::Open { answer, .. } => answer.is_closed(),
            Self::Recall { answer, .. } => answer.is_closed(),
            Self::Reposition { answer, .. } | Self::Forget { answer, .. } => answer.is_closed(),
            Self::Append(append) => append.answer.is_closed(),
            Self::Commit(_) | Self::Release { .. } => false,
        }
    }
}

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

/// What a lane works with.
pub(super) struct World {
    pub(super) number: u32,
    pub(super) cluster: Arc<Cluster>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) ours: Arc<Ours>,
    pub(super) shares: Arc<Shares>,
    /// Records that were read to take lanes over.
    pub(super) recovered: Arc<AtomicU64>,
    pub(super) early: Early,
    pub(super) former: Arc<Former>,
}

/// The task's own.
pub(super) struct Lane {
    world: Arc<World>,
    /// Openings so far: no two shards, nor two openings of one, get the same number.
    openings: u64,
    held: Option<Held>,
    taking: Option<Taking>,
}

/// A lane that is ours: its producer has fenced whoever had it.
pub(super) struct Held {
    pub(super) producer: LaneProducer,
    pub(super) truth: Truth,
    pub(super) kept: Kept,
    /// Which opening holds each shard.
    pub(super) holders: HashMap<ShardId, u64>,
}

impl World {
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn::new(&self.cluster, &self.outlets, &self.ours, self.number)
    }
}

impl Lane {
    pub(super) fn new(world: World) -> Self {
        Self { world: Arc::new(world), openings: 0, held: None, taking: None }
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
                    taken = take::end_of(&mut self.taking) => self.taken(taken, &mut waiting),
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
        if self.held.as_ref().is_some_and(|held| held.producer.is_broken()) {
            self.held = None;
        }
        let Some(request) = waiting.pop_front() else { return };
        if let Request::Release { answer } = request {
            return self.release(answer).await;
        }
        if self.held.is_none() {
            return match request {
                Request::Commit(commit) => Entry::Commit(commit).nobody_holds(None),
                request => self.take_over_for(request),
            };
        }
        match request {
            // Who no longer waits for an answer does not get it; here and below.
            Request::Open { shard, answer } => drop(answer.send(self.open(shard))),
            Request::Recall { token, answer } => {
                let held = self.held.as_ref().ok_or_else(|| self.not_held());
                let seen = held.map(|held| held.truth.tokens.find(&token).map(|seen| seen.count));
                drop(answer.send(seen));
            }
            Request::Reposition { shard, positions, reset_state, answer } => {
                drop(answer.send(self.reposition(shard, positions, reset_state).await));
            }
            Request::Forget { processor, answer } => {
                drop(answer.send(self.forget(processor).await));
            }
            request => {
                waiting.push_front(request);
                let entries = together(waiting);
                self.write(entries).await;
            }
        }
    }

    /// Takes the lane over for a request, together with whatever else comes meanwhile.
    fn take_over_for(&mut self, request: Request) {
        let world = &self.world;
        self.taking.get_or_insert_with(|| Taking::begin(Arc::clone(world))).wait(request);
    }

    /// A take-over has ended: one attempt answers all who waited for it.
    fn taken(&mut self, taken: Result<Held, BrokerError>, waiting: &mut VecDeque<Request>) {
        let Some(Taking { waiting: mut waited, releases, .. }) = self.taking.take() else { return };
        waited.retain(|request| !request.is_given_up());
        let taken = match taken {
            Ok(_) if !releases.is_empty() => Err(self.not_held()),
            taken => taken,
        };
        for answer in releases {
            // Who no longer waits has given the lane up.
            answer.send(()).ok();
        }
        match taken {
            Ok(held) => {
                self.world.former.told(self.world.number, &held.truth.tokens);
                self.held = Some(held);
                waited.append(waiting);
                *waiting = waited;
            }
            Err(error) => waited.into_iter().for_each(|request| request.fail(&error)),
        }
    }

    async fn release(&mut self, answer: oneshot::Sender<()>) {
        if let Some(held) = self.held.take() {
            keep::at_the_end(&self.world.turn(), held).await;
        }
        match &mut self.taking {
            // Whoever gets the lane is not to be fenced by us: it is given up when the fencing has ended.
            Some(taking) if taking.fences() => taking.releases.push(answer),
            _ => drop(answer.send(())),
        }
    }

    fn not_held(&self) -> BrokerError {
        let World { number, cluster, ours, .. } = &*self.world;
        let words = format!("lane {number} is not held");
        BrokerError::Unavailable(cluster.words(&ours.positions.topic, &words))
    }

    fn open(&mut self, shard: ShardId) -> Result<Opening, BrokerError> {
        self.openings += 1;
        let number = self.openings;
        let Some(held) = &mut self.held else { return Err(self.not_held()) };
        held.holders.insert(shard, number);
        let truth = held.truth.shards.get(&shard).cloned().unwrap_or_default();
        Ok(Opening { number, truth })
    }

    /// Writes what goes together; whoever is refused is answered, and the others go again without him.
    async fn write(&mut self, entries: Vec<Entry>) {
        let Some(held) = &mut self.held else {
            return entries.into_iter().for_each(|entry| entry.nobody_holds(None));
        };
        let turn = self.world.turn();
        if !turn.make(held, entries).await {
            self.held = None;
        }
        if turn.was_fenced() {
            self.world.shares.doubt(self.world.number);
        }
    }

    async fn reposition(
        &mut self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        let Some(held) = &mut self.held else { return Err(self.not_held()) };
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
        let Some(held) = &mut self.held else { return Err(self.not_held()) };
        held.holders.retain(|shard, _| shard.processor != processor);
        let (positions, state) = outside::deletions(&held.truth, processor);
        if positions.is_empty() && state.is_empty() {
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
        let turn = self.world.turn();
        let held = self.held.as_mut().ok_or_else(|| turn.closed())?;
        let (kept, written) = turn.write_alone(held, positions, state).await;
        if !kept {
            self.held = None;
        }
        if turn.was_fenced() {
            self.world.shares.doubt(self.world.number);
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
