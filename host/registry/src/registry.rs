//! The registry: reads of what should be, the journal, and how a decision becomes both.
//!
//! A command is decided on the rows in memory, written in one transaction, and only then seen by
//! readers. Nothing outside the registry is touched here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use host_events::clock::now;
use host_failpoints::failpoint;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::RegistryError;
use crate::grants::{Listener, Told};
use crate::journal::{Entry, Intent, JournalId, Outcome, Refusal, Step};
use crate::model::{Flow, Namespace, Processor};
use crate::state::{Change, Decision, Row, State, rows_when_undone};
use crate::subscribers::Standing;
use crate::{Name, audit, reports, store};

/// Rows that change, what the audit log says of them, and what is answered.
pub(crate) struct Settled<T> {
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<Note>,
    pub(crate) answer: T,
}

impl<T> Settled<T> {
    /// Nothing changes.
    pub(crate) const fn nothing(answer: T) -> Self {
        Self { rows: Vec::new(), notes: Vec::new(), answer }
    }
}

/// One line of the audit log.
pub(crate) struct Note {
    subject: String,
    change: &'static str,
    /// Why, where the host does it by itself.
    words: String,
}

impl Note {
    pub(crate) fn new(subject: &Name, change: &'static str, words: String) -> Self {
        Self { subject: subject.to_string(), change, words }
    }
}

/// What should be. Cloning shares it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Registry").finish_non_exhaustive()
    }
}

struct Inner {
    writer: Mutex<Connection>,
    state: RwLock<State>,
    changes: watch::Sender<u64>,
    /// Counts changes of subscriptions that others have here.
    subscribers: watch::Sender<u64>,
    /// How far they are.
    standings: Mutex<HashMap<Name, Standing>>,
    /// Counts those who are attached no more.
    let_go: watch::Sender<u64>,
    /// Who decides about rights, once there is one.
    listener: OnceLock<Listener>,
    /// Whether reports are written down.
    reporting: AtomicBool,
}

impl Registry {
    /// Opens the registry's database, or makes it.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or of a newer format.
    pub async fn open(path: &Path) -> Result<Self, RegistryError> {
        let path = path.to_owned();
        host_store::blocking(move || {
            let writer = host_store::open(&path, &store::SCHEMA)?;
            let state = store::load(&writer)?;
            let changes = watch::Sender::new(state.revision);
            let (writer, state) = (Mutex::new(writer), RwLock::new(state));
            let listener = OnceLock::new();
            let (subscribers, standings) = (watch::Sender::new(0), Mutex::default());
            let let_go = watch::Sender::new(0);
            let reporting = AtomicBool::new(false);
            let inner = Inner {
                writer,
                state,
                changes,
                subscribers,
                standings,
                let_go,
                listener,
                reporting,
            };
            Ok(Self(Arc::new(inner)))
        })
        .await
    }

    /// Counts changes of rows and of the journal; what was not looked at between two is skipped.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// A namespace.
    ///
    /// # Errors
    /// When the registry cannot be read; so for every read.
    pub async fn namespace(&self, name: &Name) -> Result<Option<Namespace>, RegistryError> {
        Ok(self.0.state().namespaces.get(name).cloned())
    }

    /// All namespaces, by name.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn namespaces(&self) -> Result<Vec<Namespace>, RegistryError> {
        Ok(self.0.state().namespaces.values().cloned().collect())
    }

    /// The namespace that is the longest suffix of a name.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn namespace_of(&self, name: &Name) -> Result<Option<Namespace>, RegistryError> {
        Ok(self.0.state().namespace_of(name).cloned())
    }

    /// A flow, in whatever status.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn flow(&self, name: &Name) -> Result<Option<Flow>, RegistryError> {
        Ok(self.0.state().flows.get(name).cloned())
    }

    /// All flows, or those of a namespace, by name.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] when there is no such namespace.
    pub async fn flows(&self, namespace: Option<&Name>) -> Result<Vec<Flow>, RegistryError> {
        let state = self.0.state();
        if let Some(name) = namespace {
            state.find_namespace(name)?;
        }
        let within = |flow: &&Flow| namespace.is_none_or(|name| flow.namespace == *name);
        Ok(state.flows.values().filter(within).cloned().collect())
    }

    /// A processor, in whatever state.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn processor(&self, name: &Name) -> Result<Option<Processor>, RegistryError> {
        Ok(self.0.state().processors.get(name).cloned())
    }

    /// All processors, by name.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn processors(&self) -> Result<Vec<Processor>, RegistryError> {
        Ok(self.0.state().processors.values().cloned().collect())
    }

    /// Processors that read or write a flow, by name.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn users_of_flow(&self, flow: &Name) -> Result<Vec<Name>, RegistryError> {
        Ok(self.0.state().users_of_flow(flow))
    }

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

    /// Notes why the last try of an entry failed, for whoever waits for it. Not stored.
    pub fn note_trouble(&self, id: JournalId, words: String) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.pending.contains_key(&id) {
            state.trouble.insert(id, words);
        }
    }

    /// Waits until an entry has ended, at most so long.
    ///
    /// # Errors
    /// [`RegistryError::Pending`] when the time is over and it goes on in the background; the refusal
    /// when it was undone.
    pub async fn wait(&self, id: JournalId, limit: Duration) -> Result<(), RegistryError> {
        match tokio::time::timeout(limit, self.ended(id)).await {
            Err(_) => {
                let trouble = self.0.state().trouble.get(&id).cloned();
                Err(RegistryError::Pending { trouble: trouble.unwrap_or_default() })
            }
            Ok(outcome) => match outcome? {
                Outcome::Done => Ok(()),
                Outcome::Undone(refusal) => Err(refusal.into()),
                Outcome::Superseded => Err(RegistryError::conflict("overtaken by its deletion")),
            },
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

    /// Tells somebody of all that is there, and of every change from then on, before anybody else sees it. For
    /// one only: whoever decides about rights.
    pub fn tell(&self, listener: impl Fn(Told<'_>) + Send + Sync + 'static) {
        // Nothing changes between what is there and what comes.
        let _writer = self.0.writer();
        self.0.state().tell_all(&listener);
        drop(self.0.listener.set(Box::new(listener)));
    }

    /// Changes rows that concern the registry alone and that nobody waits for. Gives how many.
    pub(crate) async fn settle<F>(
        &self,
        subject: String,
        change: &'static str,
        decide: F,
    ) -> Result<usize, RegistryError>
    where
        F: FnOnce(&State) -> Result<Vec<Row>, RegistryError> + Send + 'static,
    {
        let (inner, by) = (Arc::clone(&self.0), audit::actor());
        host_store::blocking(move || {
            let noted = |tx: &Transaction<'_>| audit::changed(tx, &by, &subject, change);
            inner.settle(decide, noted)
        })
        .await
    }

    /// Changes rows that concern the registry alone, and gives what was decided.
    pub(crate) async fn settled<T, F>(&self, decide: F) -> Result<T, RegistryError>
    where
        F: FnOnce(&State) -> Result<Settled<T>, RegistryError> + Send + 'static,
        T: Send + 'static,
    {
        let (inner, by) = (Arc::clone(&self.0), audit::actor());
        host_store::blocking(move || inner.settled(&by, decide)).await
    }

    pub(crate) fn subscriber_watch(&self) -> &watch::Sender<u64> {
        &self.0.subscribers
    }

    pub(crate) fn reporting(&self) -> &AtomicBool {
        &self.0.reporting
    }

    pub(crate) fn let_go(&self) -> &watch::Sender<u64> {
        &self.0.let_go
    }

    pub(crate) fn standings(&self) -> MutexGuard<'_, HashMap<Name, Standing>> {
        // Nothing panics while it holds the lock.
        self.0.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the rows as they are.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.state())
    }

    pub(crate) async fn command<F>(&self, decide: F) -> Result<JournalId, RegistryError>
    where
        F: FnOnce(&State) -> Result<Decision, RegistryError> + Send + 'static,
    {
        let (inner, by) = (Arc::clone(&self.0), audit::actor());
        host_store::blocking(move || inner.command(&by, decide)).await
    }

    /// Writes something that no row shows, and tells those who look at changes.
    pub(crate) async fn noted<F>(&self, work: F) -> Result<(), RegistryError>
    where
        F: FnOnce(&Transaction<'_>) -> Result<(), RegistryError> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        host_store::blocking(move || {
            let mut writer = inner.writer();
            inner.transact(&mut writer, work)?;
            inner.publish(&[], |_| {});
            Ok(())
        })
        .await
    }

    /// Does something with the database, for the parts of the registry that keep no rows in memory.
    pub(crate) async fn with_database<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        F: FnOnce(&mut Connection) -> Result<T, RegistryError> + Send + 'static,
        T: Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        host_store::blocking(move || work(&mut inner.writer())).await
    }
}

impl Inner {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        // A writer alters rows only after the commit and cannot panic half-way.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // SQLite rolls back what a panic interrupted.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command<F>(&self, by: &audit::By, decide: F) -> Result<JournalId, RegistryError>
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

    fn settle<F>(
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

    fn settled<T, F>(&self, by: &audit::By, decide: F) -> Result<T, RegistryError>
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

    fn step_done(
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
            });
            return Ok(());
        }
        let rows = self.state().rows_when_done(&entry.intent, topic);
        self.end(&mut writer, id, rows, Outcome::Done, None)
    }

    fn undo(&self, id: JournalId, refusal: Refusal) -> Result<bool, RegistryError> {
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
    fn transact<T>(
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
    fn publish(&self, rows: &[Row], alter: impl FnOnce(&mut State)) {
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
