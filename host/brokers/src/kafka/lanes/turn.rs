//! One transaction of a lane: outputs, positions and state of many shards, and appends with a token.
//!
//! What one of them does wrong is his alone: the transaction is aborted, he is told, and the others go again
//! without him. Where nobody can say whose fault it was, each goes alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host_events::Record;

use super::end::End;
use super::entry::{Entry, check, gone, without};
use super::format::{self, Seen};
use super::lane::{Committing, Held, record};
use super::ours::Ours;
use super::producer::{RECORD, TRANSACTION};
use super::truth::now;
use crate::broker::{BrokerError, Output, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::outlets::Outlets;
use crate::kafka::travel::Travel;

/// How long records of one transaction may be handed over: after that the last of them can still be reported
/// before the cluster aborts.
pub(super) const WRITING: Duration = Duration::from_secs(5);

const _: () = assert!(WRITING.as_secs() + RECORD.as_secs() <= TRANSACTION.as_secs());

/// How often a transaction is made again because of news about a topic.
const MOST_AGAIN: u32 = 5;

/// What a turn works with.
pub(super) struct Turn<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) outlets: &'a Arc<Outlets>,
    pub(super) ours: &'a Ours,
    pub(super) lane: u32,
    pub(super) fenced: AtomicBool,
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
                End::TooMuch(_) if entries.len() > 1 => {
                    let (rest, half) = halves(entries);
                    groups.extend([rest, half]);
                }
                End::Aborted(error)
                | End::Unclear(error)
                | End::TooMuch(error)
                | End::Again(error) => {
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
            End::Aborted(error) | End::Unclear(error) | End::TooMuch(error) | End::Again(error) => {
                (true, Err(error))
            }
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
        let (handle, begun) = (held.producer.handle().clone(), Instant::now());
        let travel = Travel::new(&handle, &loads);
        match self.delivered(held, &travel, entries.len()).await {
            Ok(()) => {}
            Err(Some(broken @ End::Broken(_))) => return broken,
            Err(None) => {
                self.doubt(&loads);
                return self.abort(held, None).await;
            }
            Err(end) => return self.abort(held, end).await,
        }
        let unconfirmed = self.unconfirmed(&loads, entries.len()).await;
        if !unconfirmed.is_empty() {
            return self.abort(held, Some(End::Blamed(unconfirmed))).await;
        }
        let records: usize =
            loads.iter().flat_map(|load| &**load).map(|one| one.records.len()).sum();
        if let Some(first) = travel.sent().iter().filter_map(|(_, one)| one.first_report()).min() {
            held.producer.reported_after(first.duration_since(begun), records);
        }
        self.commit(held).await
    }

    /// Something was refused and it was not told what: the topics are asked again before the next try, which shows
    /// it where a topic became another.
    fn doubt(&self, loads: &[Arc<Vec<Output>>]) {
        for output in loads.iter().flat_map(|outputs| outputs.iter()) {
            self.outlets.forget(&output.topic.topic);
        }
    }

    pub(super) fn too_much(&self, gone: usize, pieces: usize) -> BrokerError {
        let words = format!("{gone} of its {pieces} batches were written in {WRITING:?}");
        BrokerError::TooMuch(self.cluster.words("", &words))
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
        let appends = entries.iter().filter(|entry| matches!(entry, Entry::Append(_))).count();
        if appends > 0 {
            let expired = held.truth.tokens.make_room(appends);
            state.extend(expired.into_iter().map(|key| record(key, None)));
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

/// The second half of something, and the first.
fn halves<T>(mut all: Vec<T>) -> (Vec<T>, Vec<T>) {
    let rest = all.split_off(all.len() / 2);
    (rest, all)
}
