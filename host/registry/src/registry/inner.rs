//! What is behind a registry: the database, what of it is held in memory, and who is told of changes.
//!
//! Blocks: not for an async thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use host_events::clock::now;
use host_failpoints::failpoint;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;
use uuid::Uuid;

use super::settled::{Note, Settled};
use crate::error::RegistryError;
use crate::grants::Listener;
use crate::journal::{Entry, Intent, JournalId, Outcome, Refusal, Step};
use crate::state::{Change, Decision, Row, State, rows_when_undone};
use crate::subscribers::Standing;
use crate::{Name, audit, reports, store};

pub(super) struct Inner {
    pub(super) writer: Mutex<Connection>,
    pub(super) state: RwLock<State>,
    pub(super) changes: watch::Sender<u64>,
    /// Counts changes of subscriptions that others have here.
    pub(super) subscribers: watch::Sender<u64>,
    /// How far they are.
    pub(super) standings: Mutex<HashMap<Name, Standing>>,
    /// Counts those who are attached no more.
    pub(super) let_go: watch::Sender<u64>,
    /// Who decides about rights, once there is one.
    pub(super) listener: OnceLock<Listener>,
    /// Whether reports are written down.
    pub(super) reporting: AtomicBool,
}

impl Inner {
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        // A writer alters rows only after the commit and cannot panic half-way.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        // SQLite rolls back what a panic interrupted.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn command<F>(&self, by: &audit::By, decide: F) -> Result<JournalId, RegistryError>
    where
        F: FnOnce(&State) -> Result<Decision, RegistryError>,
    {
        let mut writer = self.writer();
        let change = match decide(&self.state())? {
            Decision::Already(id) => return Ok(id),
            Decision::Change(change) => *change,
        };
        let Change { rows, intent, supersedes } = change;
        let steps = intent.steps();
        let id = self.transact(&mut writer, |tx| {
            self.write_rows(tx, &rows, &by.who)?;
            for old in &supersedes {
                store::write_outcome(tx, *old, &Outcome::Superseded)?;
            }
            if !rows.is_empty() || !steps.is_empty() {
                audit::decided(tx, by, &intent)?;
            }
            store::write_entry(tx, &intent, &steps, now())
        })?;
        self.publish(&rows, |state| {
            for old in supersedes {
                state.end(old, Outcome::Superseded);
            }
            if steps.is_empty() {
                state.end(id, Outcome::Done);
            } else {
                state.pending.insert(id, Entry { id, intent, steps, done: 0 });
            }
        });
        Ok(id)
    }

    pub(super) fn settle<F>(
        &self,
        decide: F,
        note: impl FnOnce(&Transaction<'_>) -> Result<(), RegistryError>,
    ) -> Result<usize, RegistryError>
    where
        F: FnOnce(&State) -> Result<Vec<Row>, RegistryError>,
    {
        let mut writer = self.writer();
        let rows = decide(&self.state())?;
        if !rows.is_empty() {
            self.transact(&mut writer, |tx| {
                self.write_rows(tx, &rows, HOST)?;
                note(tx)
            })?;
            self.publish(&rows, |_| {});
        }
        Ok(rows.len())
    }

    pub(super) fn settled<T, F>(&self, by: &audit::By, decide: F) -> Result<T, RegistryError>
    where
        F: FnOnce(&State) -> Result<Settled<T>, RegistryError>,
    {
        let mut writer = self.writer();
        let Settled { rows, notes, answer } = decide(&self.state())?;
        if !rows.is_empty() {
            self.transact(&mut writer, |tx| {
                self.write_rows(tx, &rows, &by.who)?;
                for Note { subject, change, words } in notes {
                    let said = if by.command.is_empty() { words } else { by.command.clone() };
                    let by = audit::By { command: said, ..by.clone() };
                    audit::changed(tx, &by, &subject, change)?;
                }
                Ok(())
            })?;
            self.publish(&rows, |_| {});
        }
        Ok(answer)
    }

    pub(super) fn step_done(
        &self,
        id: JournalId,
        step: Step,
        topic: Option<Uuid>,
    ) -> Result<(), RegistryError> {
        let mut writer = self.writer();
        let Some(entry) = self.state().pending.get(&id).cloned() else {
            return Ok(());
        };
        if entry.next_step() != Some(step) {
            return Ok(());
        }
        let done = entry.done + 1;
        if done < entry.steps.len() {
            self.transact(&mut writer, |tx| store::write_done(tx, id, done))?;
            self.publish(&[], |state| {
                if let Some(entry) = state.pending.get_mut(&id) {
                    entry.done = done;
                }
                // What failed before is over: who waits is told of what fails now.
                state.trouble.remove(&id);
            });
            return Ok(());
        }
        let rows = self.state().rows_when_done(&entry.intent, topic);
        self.end(&mut writer, id, rows, Outcome::Done, None)
    }

    pub(super) fn undo(&self, id: JournalId, refusal: Refusal) -> Result<bool, RegistryError> {
        let mut writer = self.writer();
        let Some(entry) = self.state().pending.get(&id).cloned() else {
            return Ok(true);
        };
        let Some(mut rows) = rows_when_undone(&entry.intent).filter(|_| entry.done == 0) else {
            return Ok(false);
        };
        rows.extend(self.state().rights_undone(&entry.intent));
        self.end(&mut writer, id, rows, Outcome::Undone(refusal), Some(&entry.intent))?;
        Ok(true)
    }

    fn end(
        &self,
        writer: &mut Connection,
        id: JournalId,
        rows: Vec<Row>,
        outcome: Outcome,
        failed: Option<&Intent>,
    ) -> Result<(), RegistryError> {
        self.transact(writer, |tx| {
            self.write_rows(tx, &rows, HOST)?;
            if let (Some(intent), Outcome::Undone(refusal)) = (failed, &outcome) {
                audit::undone(tx, id, intent, refusal)?;
            }
            store::write_outcome(tx, id, &outcome)
        })?;
        self.publish(&rows, |state| state.end(id, outcome));
        Ok(())
    }

    /// Writes rows, and with them what somebody has to know of the change.
    fn write_rows(
        &self,
        tx: &Transaction<'_>,
        rows: &[Row],
        by: &str,
    ) -> Result<(), RegistryError> {
        store::write_rows(tx, rows)?;
        if self.reporting.load(Ordering::Acquire) {
            reports::note(tx, &self.state(), rows, by, now())?;
        }
        Ok(())
    }

    /// One transaction, refused when somebody else changed the rows that we have in memory.
    pub(super) fn transact<T>(
        &self,
        writer: &mut Connection,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let revision = self.state().revision;
        let answer = Self::transaction(writer, revision, work);
        answer.map_err(|error| match error {
            RegistryError::Store(error) => host_store::explained(writer, error).into(),
            other => other,
        })
    }

    fn transaction<T>(
        writer: &mut Connection,
        revision: u64,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if store::revision(&tx)? != revision {
            let why = "another process changed it while this host was running";
            return Err(store::damaged("revision", why));
        }
        let answer = work(&tx)?;
        store::set_revision(&tx, revision + 1)?;
        failpoint!("registry.before-commit");
        tx.commit()?;
        failpoint!("registry.committed");
        Ok(answer)
    }

    /// Shows what is on disk: rows to who decides about rights and to everybody else in one moment.
    pub(super) fn publish(&self, rows: &[Row], alter: impl FnOnce(&mut State)) {
        let revision = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.apply(rows);
            if let Some(listener) = self.listener.get() {
                rows.iter().filter_map(Row::told).for_each(listener);
            }
            alter(&mut state);
            state.revision += 1;
            state.revision
        };
        self.changes.send_replace(revision);
        if rows.iter().any(Row::is_of_subscribers) {
            self.subscribers.send_modify(|count| *count += 1);
        }
    }
}

/// Who does what nobody has said.
const HOST: &str = "host";
