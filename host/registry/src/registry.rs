//! The registry: reads of what should be, the journal, and how a decision becomes both.
//!
//! A command is decided on the rows in memory, written in one transaction, and only then seen by
//! readers. Nothing outside the registry is touched here.

mod entries;
mod inner;
mod settled;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use rusqlite::{Connection, Transaction};
use tokio::sync::watch;

use crate::error::RegistryError;
use crate::grants::Told;
use crate::journal::JournalId;
use crate::model::{Flow, Namespace, Processor};
use crate::state::{Decision, Row, State};
use crate::subscribers::Standing;
use crate::{Name, audit, store};
use inner::Inner;
pub(crate) use settled::{Note, Settled};

/// What should be. Cloning shares it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Registry").finish_non_exhaustive()
    }
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
