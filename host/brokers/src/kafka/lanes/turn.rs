//! One transaction of a lane: outputs, positions and state of many shards, and appends with a token.
//!
//! What one of them does wrong is his alone: the transaction is aborted, he is told, and the others go again
//! without him. Where nobody can say whose fault it was, each goes alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host_events::Record;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::timeout;

use super::format::{self, Seen};
use super::lane::{Appending, Committing, Held, record};
use super::ours::Ours;
use super::producer::LaneProducer;
use super::recover;
use super::truth::{Truth, now};
use crate::broker::{Appended, BrokerError, CommitOutcome, Output, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::Fault;
use crate::kafka::native::produce::Trouble;
use crate::kafka::outlets::Outlets;
use crate::kafka::parcel::{Parcel, Refused};
use crate::kafka::waves::{alone, waves};

/// How often it is looked whether records still travel.
const LOOK: Duration = Duration::from_millis(50);

/// After so many looks the topics are asked for that are waited for: one that was deleted takes nothing.
const LOOKS: u32 = 20;

/// How often a transaction is made again because of news about a topic.
const MOST_AGAIN: u32 = 5;

/// Old tokens that are deleted with one transaction.
const MOST_EXPIRED: usize = 100;

/// What goes into a transaction.
pub(super) enum Entry {
    Commit(Committing),
    Append(Appending),
}

/// How a transaction ended.
enum End {
    Committed,
    /// Aborted; these are to blame, each for what is said.
    Blamed(Vec<(usize, BrokerError)>),
    /// Aborted, and nobody in it is to blame.
    Aborted(BrokerError),
    /// Aborted, and it cannot be said who is to blame.
    Unclear(BrokerError),
    /// Aborted; the same goes well when it is done again with what is known now.
    Again(BrokerError),
    /// Aborted, and the producer is of no use any more.
    Broken(BrokerError),
    /// Somebody else has the lane.
    Fenced,
    Unknown(BrokerError),
}

/// What a turn works with.
pub(super) struct Turn<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) outlets: &'a Arc<Outlets>,
    pub(super) ours: &'a Ours,
    pub(super) lane: u32,
    fenced: AtomicBool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        outlets: &'a Arc<Outlets>,
        ours: &'a Ours,
        lane: u32,
    ) -> Self {
        Self { cluster, outlets, ours, lane, fenced: AtomicBool::new(false) }
    }

    /// Whether somebody else turned out to have the lane.
    pub(super) fn was_fenced(&self) -> bool {
        self.fenced.load(Ordering::Relaxed)
    }

    /// Carries all that can be carried, and answers everybody. Whether the lane is still held.
    pub(super) async fn make(&self, held: &mut Held, entries: Vec<Entry>) -> bool {
        let (mut groups, mut again) = (vec![entries], 0);
        while let Some(entries) = groups.pop() {
            let entries = check(held, entries);
            if entries.is_empty() {
                continue;
            }
            let ours = self.ours_of(held, &entries);
            match self.transact(held, &entries, ours).await {
                End::Committed => entries.into_iter().for_each(|entry| entry.committed(held)),
                End::Blamed(blamed) => groups.extend(without(entries, blamed)),
                End::Again(_) if again < MOST_AGAIN => {
                    again += 1;
                    groups.push(entries);
                }
                End::Unclear(_) if entries.len() > 1 => {
                    groups.extend(entries.into_iter().rev().map(|one| vec![one]));
                }
                End::Aborted(error) | End::Unclear(error) | End::Again(error) => {
                    entries.into_iter().for_each(|entry| entry.aborted(error.clone()));
                }
                End::Broken(error) => {
                    return gone(groups, entries, |entry| entry.aborted(error.clone()));
                }
                End::Fenced => return gone(groups, entries, |entry| entry.nobody_holds(None)),
                End::Unknown(error) => {
                    return gone(groups, entries, |entry| entry.unknown(error.clone()));
                }
            }
        }
        true
    }

    /// Writes records of the lane's own. Whether the lane is still held, and how it ended.
    pub(super) async fn write_alone(
        &self,
        held: &mut Held,
        positions: Vec<Record>,
        state: Vec<Record>,
    ) -> (bool, Result<(), BrokerError>) {
        match self.transact(held, &[], self.load(positions, state)).await {
            End::Committed => (true, Ok(())),
            End::Blamed(mut blamed) => {
                (true, Err(blamed.pop().map_or_else(|| self.closed(), |(_, error)| error)))
            }
            End::Aborted(error) | End::Unclear(error) | End::Again(error) => (true, Err(error)),
            End::Broken(error) | End::Unknown(error) => (false, Err(error)),
            End::Fenced => (false, Err(self.closed())),
        }
    }

    /// Somebody else has the lane.
    pub(super) fn closed(&self) -> BrokerError {
        let words = format!("lane {} was taken over by another host", self.lane);
        BrokerError::Unavailable(self.cluster.words("", &words))
    }

    async fn transact(&self, held: &mut Held, entries: &[Entry], ours: Vec<Output>) -> End {
        if let Err(trouble) = held.producer.begin().await {
            return self.broken(&trouble);
        }
        let mut loads: Vec<_> = entries.iter().map(|entry| Arc::clone(entry.outputs())).collect();
        loads.push(Arc::new(ours));
        let mut sent: Vec<(usize, Arc<Parcel>)> = Vec::new();
        let begun = Instant::now();
        for wave in waves(&loads, |topic| self.outlets.known_limit(topic)) {
            let from = sent.len();
            for piece in &wave {
                if let Some(load) = loads.get(piece.load) {
                    sent.push((piece.load, held.producer.send(load, piece).await));
                }
            }
            let news = sent.get(from..).unwrap_or_default();
            if let Err(end) = self.delivered(held, news, entries.len()).await {
                return self.abort(held, end).await;
            }
        }
        let unconfirmed = self.unconfirmed(&loads, entries.len()).await;
        if !unconfirmed.is_empty() {
            return self.abort(held, Some(End::Blamed(unconfirmed))).await;
        }
        if let Some(first) = sent.iter().filter_map(|(_, parcel)| parcel.first_report()).min() {
            held.producer.reported_after(first.duration_since(begun));
        }
        self.commit(held).await
    }

    /// Whose topics turned out to be gone, or of another life, while records travelled.
    async fn unconfirmed(
        &self,
        loads: &[Arc<Vec<Output>>],
        ours: usize,
    ) -> Vec<(usize, BrokerError)> {
        let mut blamed = Vec::new();
        for (load, outputs) in loads.iter().enumerate().take(ours) {
            let topics = outputs.iter().map(|output| &output.topic);
            blamed.extend(self.outlets.confirm(topics).await.map(|error| (load, error)));
        }
        blamed
    }

    /// Waits until all of it is reported and taken; or says how the transaction is to end.
    async fn delivered(
        &self,
        held: &Held,
        sent: &[(usize, Arc<Parcel>)],
        ours: usize,
    ) -> Result<(), Option<End>> {
        let mut looks = 0;
        let all = async {
            for (_, parcel) in sent {
                parcel.done().await;
            }
        };
        tokio::pin!(all);
        while timeout(LOOK, &mut all).await.is_err() {
            looks += 1;
            if !held.producer.is_sound() {
                break;
            }
            if looks % LOOKS == 0
                && let Some(end) = self.dead_outlets(sent, ours).await
            {
                return Err(Some(end));
            }
        }
        let refused: Vec<_> = sent
            .iter()
            .filter_map(|(load, parcel)| Some((*load, parcel, parcel.refused()?)))
            .collect();
        if refused.is_empty() && sent.iter().all(|(_, parcel)| parcel.is_done()) {
            return Ok(());
        }
        // The library counts what the cluster refused, not what it refused itself: a commit that leaves that
        // out would succeed.
        let unclear = refused.iter().find(|(_, _, refused)| !refused.is_swept());
        let unclear = unclear.map(|(_, _, refused)| {
            let fault = Fault::new(refused.code, refused.code.to_string());
            End::Unclear(self.cluster.fault("", &fault))
        });
        Err(self.blame(&refused, ours).await.or(unclear))
    }

    /// Who waits for a topic that is not there.
    async fn dead_outlets(&self, sent: &[(usize, Arc<Parcel>)], ours: usize) -> Option<End> {
        let mut blamed: Vec<(usize, BrokerError)> = Vec::new();
        for (load, parcel) in sent.iter().filter(|(load, parcel)| *load < ours && !parcel.is_done())
        {
            let topics = parcel.outputs().iter().map(|output| &output.topic);
            if !blamed.iter().any(|(other, _)| other == load)
                && let Some(error) = self.outlets.check_lives(topics).await
            {
                blamed.push((*load, error));
            }
        }
        (!blamed.is_empty()).then_some(End::Blamed(blamed))
    }

    /// Who is to blame, as far as the reports say.
    async fn blame(&self, refused: &[(usize, &Arc<Parcel>, Refused)], ours: usize) -> Option<End> {
        let mut blamed: Vec<(usize, BrokerError)> = Vec::new();
        for (load, parcel, refused) in refused {
            let Some(output) = parcel.outputs().get(refused.output) else { continue };
            if refused.is_swept() || blamed.iter().any(|(other, _)| other == load) {
                continue;
            }
            if refused.code == Code::MessageSizeTooLarge {
                match self.too_large(output).await {
                    // Whose record of ours it is shows when each goes alone.
                    Ok(Some(error)) if *load == ours => return Some(End::Unclear(error)),
                    Ok(Some(error)) => blamed.push((*load, error)),
                    // A batch has records of several entries, and all of them fall with it.
                    Ok(None) => {}
                    Err(end) => return Some(end),
                }
                continue;
            }
            // Whatever was known of it is no longer so.
            self.outlets.forget(&output.topic.topic);
            let fault = Fault::new(refused.code, refused.code.to_string());
            let error = self.cluster.fault(&output.topic.topic, &fault);
            if *load == ours {
                return Some(End::Aborted(error));
            }
            blamed.push((*load, error));
        }
        (!blamed.is_empty()).then_some(End::Blamed(blamed))
    }

    /// Whether an output has a record that its topic does not take.
    async fn too_large(&self, output: &Output) -> Result<Option<BrokerError>, End> {
        let used = self.outlets.known_limit(&output.topic.topic);
        let limit = self.outlets.fresh_limit(&output.topic).await.map_err(End::Aborted)?;
        let size = output.records.iter().map(Record::size).max().unwrap_or_default();
        let wire = output.records.iter().map(alone).max().unwrap_or_default();
        let error = |size| BrokerError::TooLarge { size, limit };
        if size > limit {
            return Ok(Some(error(size)));
        }
        if limit != used {
            return Err(End::Again(error(size)));
        }
        Ok((wire > limit).then(|| error(wire)))
    }

    /// Aborts, for a known reason or for the one that the library gives.
    async fn abort(&self, held: &mut Held, end: Option<End>) -> End {
        let end = match end {
            Some(end) => end,
            None => match held.producer.commit().await {
                // It cannot be: something was refused or not reported.
                Ok(()) => return End::Unknown(self.closed()),
                Err(trouble) if trouble.is_fatal => return self.broken(&trouble),
                Err(trouble) => match self.cluster.fault("", &trouble.fault) {
                    away @ BrokerError::Unavailable(_) => End::Aborted(away),
                    other => End::Unclear(other),
                },
            },
        };
        let Err(trouble) = held.producer.abort().await else { return end };
        match self.broken(&trouble) {
            // Those who are not to blame go on as if it had been aborted, where nothing else happened.
            End::Broken(error) => match self.renew(held).await {
                Ok(true) => end,
                _ => End::Broken(error),
            },
            fenced => fenced,
        }
    }

    /// A new producer for one that is of no use any more. It settles what was left behind. Whether what is
    /// true of the lane is still what is known here.
    async fn renew(&self, held: &mut Held) -> Result<bool, BrokerError> {
        held.producer = LaneProducer::open(self.cluster, self.lane).await?;
        let mut truth = Truth::default();
        recover::read(self.cluster, self.ours, self.lane, &mut truth).await?;
        let same = truth.has_same_shards(&held.truth);
        held.truth = truth;
        Ok(same)
    }

    async fn commit(&self, held: &mut Held) -> End {
        let Err(trouble) = held.producer.commit().await else { return End::Committed };
        if trouble.needs_abort && !trouble.is_fatal {
            let error = self.cluster.fault("", &trouble.fault);
            return self.abort(held, Some(End::Aborted(error))).await;
        }
        self.note(&trouble);
        // Also where it was fenced: the first attempt may have been heard before.
        End::Unknown(self.cluster.fault("", &trouble.fault))
    }

    /// The producer is of no use, and nothing of the transaction was committed.
    fn broken(&self, trouble: &Trouble) -> End {
        if self.note(trouble) {
            return End::Fenced;
        }
        End::Broken(match self.cluster.fault("", &trouble.fault) {
            refused @ BrokerError::Refused(_) => refused,
            other => BrokerError::Unavailable(other.to_string()),
        })
    }

    fn note(&self, trouble: &Trouble) -> bool {
        let fenced = is_fenced(trouble.fault.code);
        self.fenced.fetch_or(fenced, Ordering::Relaxed);
        fenced
    }

    /// Positions and state as the entries leave them.
    fn ours_of(&self, held: &mut Held, entries: &[Entry]) -> Vec<Output> {
        let (mut positions, mut state) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Commit(Committing { shard, commit, .. }) => {
                    let truth = held.truth.shards.entry(*shard).or_default();
                    positions.push(record(format::shard_key(*shard), Some(truth.after(commit))));
                    state.extend(
                        commit.state.iter().map(|(key, value)| {
                            record(format::state_key(*shard, key), value.clone())
                        }),
                    );
                }
                Entry::Append(append) => {
                    let seen = Seen { count: append.count(), at: now() };
                    let key = format::token_key(&append.token);
                    state.push(record(key, Some(format::seen(seen))));
                }
            }
        }
        if entries.iter().any(|entry| matches!(entry, Entry::Append(_))) {
            let expired = held.truth.tokens.expire(MOST_EXPIRED);
            state.extend(expired.iter().map(|id| record(format::token_key(id), None)));
        }
        self.load(positions, state)
    }

    fn load(&self, positions: Vec<Record>, state: Vec<Record>) -> Vec<Output> {
        let output = |topic: &TopicRef, records| Output {
            topic: topic.clone(),
            partition: self.lane,
            records,
        };
        vec![output(&self.ours.positions, positions), output(&self.ours.state, state)]
    }
}

impl Entry {
    pub(super) fn outputs(&self) -> &Arc<Vec<Output>> {
        match self {
            Self::Commit(commit) => &commit.outputs,
            Self::Append(append) => &append.outputs,
        }
    }

    // Who no longer waits for an answer does not get it.

    fn committed(self, held: &mut Held) {
        match self {
            Self::Commit(Committing { shard, commit, answer, .. }) => {
                held.truth.committed(shard, commit);
                drop(answer.send(CommitOutcome::Committed));
            }
            Self::Append(append) => {
                let count = append.count();
                held.truth.tokens.insert(append.token, Seen { count, at: now() });
                drop(append.answer.send(Ok(Appended { count, repeated: false })));
            }
        }
    }

    fn aborted(self, error: BrokerError) {
        match self {
            Self::Commit(commit) => drop(commit.answer.send(CommitOutcome::Aborted(error))),
            Self::Append(append) => drop(append.answer.send(Err(error))),
        }
    }

    fn unknown(self, error: BrokerError) {
        match self {
            Self::Commit(commit) => drop(commit.answer.send(CommitOutcome::Unknown(error))),
            Self::Append(append) => drop(append.answer.send(Err(error))),
        }
    }

    /// The lane is not held: whoever wants to commit has to open his shard again.
    pub(super) fn nobody_holds(self, cause: Option<&BrokerError>) {
        match self {
            Self::Commit(commit) => drop(commit.answer.send(CommitOutcome::Fenced)),
            Self::Append(append) => {
                let fenced = || BrokerError::Unavailable("another host took the lane over".into());
                drop(append.answer.send(Err(cause.cloned().unwrap_or_else(fenced))));
            }
        }
    }
}

impl Appending {
    fn count(&self) -> u64 {
        self.outputs.iter().map(|output| output.records.len() as u64).sum()
    }
}

/// Answers what can be answered without writing, and gives the rest.
fn check(held: &Held, entries: Vec<Entry>) -> Vec<Entry> {
    let mut rest = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry {
            Entry::Commit(commit) if held.holders.get(&commit.shard) != Some(&commit.opening) => {
                drop(commit.answer.send(CommitOutcome::Fenced));
            }
            Entry::Commit(commit) => match moves_back(held, &commit) {
                Some(words) => Entry::Commit(commit).aborted(BrokerError::Invalid(words)),
                None => rest.push(Entry::Commit(commit)),
            },
            Entry::Append(append) => match held.truth.tokens.find(&append.token) {
                Some(Seen { count, .. }) => {
                    drop(append.answer.send(Ok(Appended { count, repeated: true })));
                }
                None => rest.push(Entry::Append(append)),
            },
        }
    }
    rest
}

fn moves_back(held: &Held, committing: &Committing) -> Option<String> {
    let commit = &committing.commit;
    let truth = held.truth.shards.get(&committing.shard).filter(|_| !commit.rewinds)?;
    truth.moves_back(&commit.positions)
}

/// Tells those who are to blame, and gives the others.
fn without(entries: Vec<Entry>, mut blamed: Vec<(usize, BrokerError)>) -> Option<Vec<Entry>> {
    let mut rest = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        match blamed.iter().position(|(guilty, _)| *guilty == index) {
            Some(at) => entry.aborted(blamed.swap_remove(at).1),
            None => rest.push(entry),
        }
    }
    (!rest.is_empty()).then_some(rest)
}

/// The lane is gone: those of the transaction are told what became of it, the others to open again.
fn gone(groups: Vec<Vec<Entry>>, entries: Vec<Entry>, told: impl Fn(Entry)) -> bool {
    entries.into_iter().for_each(told);
    groups.into_iter().flatten().for_each(|entry| entry.nobody_holds(None));
    false
}

fn is_fenced(code: Code) -> bool {
    matches!(code, Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fenced)
}
