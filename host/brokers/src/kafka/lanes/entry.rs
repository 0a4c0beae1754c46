//! What goes into a transaction of a lane, and how those who wait for it are answered.

use std::sync::Arc;

use super::format::Seen;
use super::lane::{Appending, Committing, Held};
use super::truth::now;
use crate::broker::{Appended, BrokerError, CommitOutcome, Output};

/// What goes into a transaction.
pub(super) enum Entry {
    Commit(Committing),
    Append(Appending),
}

impl Entry {
    pub(super) fn outputs(&self) -> &Arc<Vec<Output>> {
        match self {
            Self::Commit(commit) => &commit.outputs,
            Self::Append(append) => &append.outputs,
        }
    }

    // Who no longer waits for an answer does not get it.

    pub(super) fn committed(self, held: &mut Held) {
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

    pub(super) fn aborted(self, error: BrokerError) {
        match self {
            Self::Commit(commit) => drop(commit.answer.send(CommitOutcome::Aborted(error))),
            Self::Append(append) => drop(append.answer.send(Err(error))),
        }
    }

    pub(super) fn unknown(self, error: BrokerError) {
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
    pub(super) fn count(&self) -> u64 {
        self.outputs.iter().map(|output| output.records.len() as u64).sum()
    }
}

/// Answers what can be answered without writing, and gives the rest.
pub(super) fn check(held: &Held, entries: Vec<Entry>) -> Vec<Entry> {
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
pub(super) fn without(
    entries: Vec<Entry>,
    mut blamed: Vec<(usize, BrokerError)>,
) -> Option<Vec<Entry>> {
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
pub(super) fn gone(groups: Vec<Vec<Entry>>, entries: Vec<Entry>, told: impl Fn(Entry)) -> bool {
    entries.into_iter().for_each(told);
    groups.into_iter().flatten().for_each(|entry| entry.nobody_holds(None));
    false
}
