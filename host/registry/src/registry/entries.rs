//! Entries of the journal: looked at, made step by step, undone, and waited for.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Registry;
use crate::error::RegistryError;
use crate::journal::{Entry, JournalId, Outcome, Refusal, Step};

/// How long a command waits for what fails and is tried again: a broker that elects a leader has done so in less, and of one
/// that is away its author is to hear soon.
const FAILING_WAIT: Duration = Duration::from_secs(8);

/// How often it is looked after that whether it fails.
const FAILING_LOOK: Duration = Duration::from_secs(1);

impl Registry {
    /// Entries that have not ended, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Entry> {
        self.0.state().pending.values().cloned().collect()
    }

    /// An entry that has not ended.
    #[must_use]
    pub fn entry(&self, id: JournalId) -> Option<Entry> {
        self.0.state().pending.get(&id).cloned()
    }

    /// How an entry ended; `None` while it is pending.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for one that never was, or ended long ago.
    pub fn outcome(&self, id: JournalId) -> Result<Option<Outcome>, RegistryError> {
        let state = self.0.state();
        match state.ended.get(&id) {
            Some(outcome) => Ok(Some(outcome.clone())),
            None if state.pending.contains_key(&id) => Ok(None),
            None => Err(RegistryError::not_found("journal entry", id)),
        }
    }

    /// Records that a step is made, and the id of a topic that it made; with the last one the entry ends
    /// and the rows follow. Recording it again, or for an entry that ended, changes nothing.
    ///
    /// # Errors
    /// When it could not be written; the step will be made again.
    pub async fn step_done(
        &self,
        id: JournalId,
        step: Step,
        topic: Option<Uuid>,
    ) -> Result<(), RegistryError> {
        let inner = Arc::clone(&self.0);
        host_store::blocking(move || inner.step_done(id, step, topic)).await
    }

    /// Ends an entry that was refused for good, and puts the rows back as they were. `false` when
    /// there is no way back: the entry stays pending.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn undo(&self, id: JournalId, refusal: Refusal) -> Result<bool, RegistryError> {
        let inner = Arc::clone(&self.0);
        host_store::blocking(move || inner.undo(id, refusal)).await
    }

    /// Notes why the last try of an entry's step failed, for whoever waits for it, until the step is made. Not stored.
    pub fn note_trouble(&self, id: JournalId, words: String) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.pending.contains_key(&id) {
            state.trouble.insert(id, words);
        }
    }

    /// Waits until an entry has ended, at most so long; and no longer than [`FAILING_WAIT`] where its steps fail.
    ///
    /// # Errors
    /// [`RegistryError::Pending`] when the time is over and it goes on in the background; the refusal
    /// when it was undone.
    pub async fn wait(&self, id: JournalId, limit: Duration) -> Result<(), RegistryError> {
        let (began, ended) = (Instant::now(), self.ended(id));
        tokio::pin!(ended);
        let mut waits = FAILING_WAIT;
        let outcome = loop {
            let left = limit.saturating_sub(began.elapsed());
            if let Ok(outcome) = timeout(waits.min(left), &mut ended).await {
                break outcome?;
            }
            let trouble = self.0.state().trouble.get(&id).cloned();
            if trouble.is_some() || left <= waits {
                return Err(RegistryError::Pending { trouble: trouble.unwrap_or_default() });
            }
            waits = FAILING_LOOK;
        };
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Undone(refusal) => Err(refusal.into()),
            Outcome::Superseded => Err(RegistryError::conflict("overtaken by its deletion")),
        }
    }

    async fn ended(&self, id: JournalId) -> Result<Outcome, RegistryError> {
        let mut changes = self.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(outcome) = self.outcome(id)? {
                return Ok(outcome);
            }
            if changes.changed().await.is_err() {
                return Err(RegistryError::not_found("journal entry", id));
            }
        }
    }
}
