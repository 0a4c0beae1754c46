//! Which processor types are installed, and which version of each runs.
//!
//! Bytes and the choice of the version lie in a [`PluginStore`]; a directory is only
//! an inbox. A new version is tried with everything that runs before it becomes active; whatever fails
//! changes nothing and is kept with its reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::Engine;
use crate::plugin::Plugin;

/// Where the bytes of plugins lie and which of them run. The registry implements it.
#[async_trait]
pub trait PluginStore: Send + Sync {
    /// Keeps bytes under their digest; keeping them again changes nothing.
    async fn put(&self, digest: &str, component: Bytes) -> Result<(), StoreError>;
    /// Bytes by digest.
    async fn get(&self, digest: &str) -> Result<Option<Bytes>, StoreError>;
    /// Makes a version the one that runs, and gives its generation: 1 for the first of its name, one
    /// more for each after it.
    async fn activate(&self, name: &str, digest: &str) -> Result<u64, StoreError>;
    /// What runs.
    async fn active(&self) -> Result<Vec<StoredActive>, StoreError>;
}

/// A row of the store: which version of a type runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredActive {
    /// The type's name.
    pub name: String,
    /// Digest of its bytes.
    pub digest: String,
    /// How many versions of the name there have been.
    pub generation: u64,
}

/// The store failed; its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin store: {0}")]
pub struct StoreError(pub String);

/// Tries a new version with everything that runs of its type, before it becomes active.
#[async_trait]
pub trait Trial: Send + Sync {
    /// Makes an instance with every running configuration of the type `plugin.info().name`. The words
    /// of a refusal are shown to the operator.
    async fn trial(&self, plugin: &Plugin) -> Result<(), String>;
}

/// What is installed now. A new snapshot is made at each change.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By the type's name.
    pub types: BTreeMap<String, Active>,
    /// By the file's name.
    pub rejected: BTreeMap<String, Rejected>,
}

/// A type that is installed.
#[derive(Clone, Debug)]
pub struct Active {
    /// The version that runs.
    pub plugin: Plugin,
    /// How many versions of the name there have been.
    pub generation: u64,
    /// Whether new processors of it may be made: its file is there.
    pub available: bool,
}

/// A file that was looked at and changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why, for the operator.
    pub reason: String,
    /// SHA-256 of its bytes, where they could be read.
    pub digest: Option<Arc<str>>,
    /// When.
    pub at: SystemTime,
}

/// The installed types. Cloning shares them.
#[derive(Clone)]
pub struct Catalog {
    engine: Engine,
    store: Arc<dyn PluginStore>,
    trial: Arc<dyn Trial>,
    snapshot: Arc<tokio::sync::watch::Sender<Arc<Snapshot>>>,
}

impl Catalog {
    /// Loads what the store says is active. None of it is available before its file was seen
    /// in the directory.
    ///
    /// # Errors
    /// When the store fails. A version that does not load is kept as rejected.
    pub async fn open(
        engine: Engine,
        store: Arc<dyn PluginStore>,
        trial: Arc<dyn Trial>,
    ) -> Result<Self, StoreError> {
        let snapshot = Arc::new(tokio::sync::watch::Sender::new(Arc::default()));
        Ok(Self { engine, store, trial, snapshot })
    }

    /// What is installed now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Tells of every change; the receiver holds the newest snapshot.
    #[must_use]
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }
}
