//! Where the bytes of plugins lie, and which version of each type runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

/// Keeps plugins. The registry implements it; the directory that files come from is only an inbox.
#[async_trait]
pub trait PluginStore: Send + Sync {
    /// Keeps bytes under their digest; keeping them again changes nothing.
    async fn put(&self, digest: &str, component: Bytes) -> Result<(), StoreError>;

    /// Bytes by digest.
    async fn get(&self, digest: &str) -> Result<Option<Bytes>, StoreError>;

    /// Makes a version the one that runs, and gives its generation: 1 for the first of its name, one
    /// more for each after it. Its bytes have been put before.
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

/// A store that forgets when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    bytes: BTreeMap<String, Bytes>,
    active: BTreeMap<String, StoredActive>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PluginStore for MemoryStore {
    async fn put(&self, digest: &str, component: Bytes) -> Result<(), StoreError> {
        self.lock().bytes.insert(digest.to_owned(), component);
        Ok(())
    }

    async fn get(&self, digest: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.lock().bytes.get(digest).cloned())
    }

    async fn activate(&self, name: &str, digest: &str) -> Result<u64, StoreError> {
        let mut memory = self.lock();
        if !memory.bytes.contains_key(digest) {
            return Err(StoreError(format!("no bytes of {digest}")));
        }
        let generation = memory.active.get(name).map_or(1, |active| active.generation + 1);
        let (name, digest) = (name.to_owned(), digest.to_owned());
        memory.active.insert(name.clone(), StoredActive { name, digest, generation });
        Ok(generation)
    }

    async fn active(&self) -> Result<Vec<StoredActive>, StoreError> {
        Ok(self.lock().active.values().cloned().collect())
    }
}
