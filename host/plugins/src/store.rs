//! Where the bytes of plugins lie, which version of each type runs, and what is known of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Keeps plugins. The registry implements it; the directory that files come from is only an inbox.
#[async_trait]
pub trait PluginStore: Send + Sync {
    /// Keeps bytes under their digest; keeping them again changes nothing.
    async fn put(&self, digest: &str, component: Bytes) -> Result<(), StoreError>;

    /// Bytes by digest.
    async fn get(&self, digest: &str) -> Result<Option<Bytes>, StoreError>;

    /// Makes a version the one that runs, in one step with what is known of its type from then on, and
    /// gives its generation: 1 for the first of its name, one more for each after it. Its bytes have been
    /// put before.
    async fn activate(&self, activation: Activation) -> Result<u64, StoreError>;

    /// What runs.
    async fn active(&self) -> Result<Vec<StoredActive>, StoreError>;

    /// Keeps what is known of a type.
    async fn keep(&self, name: &str, state: &TypeState) -> Result<(), StoreError>;

    /// What is known of each type.
    async fn states(&self) -> Result<BTreeMap<String, TypeState>, StoreError>;
}

/// A version that is to run.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Which.
    pub version: Known,
    /// The type's name.
    pub name: String,
    /// What is known of the type from then on.
    pub state: TypeState,
    /// Why, for the audit log.
    pub why: String,
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

/// A version by its digest, and as people call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Digest of its bytes.
    pub digest: String,
    /// What it calls itself.
    pub version: String,
}

/// What is known of a type beside the version that runs. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeState {
    /// The version that runs has to show yet that it can do what the one before could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Versions that are not tried again, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

/// A version that took over, until it has proved itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that goes on where this one fails.
    pub before: Known,
    /// When it took over.
    pub began: i64,
}

/// A version that is not tried again, whatever file it comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Which.
    #[serde(flatten)]
    pub version: Known,
    /// Why.
    pub reason: String,
    /// When.
    pub at: i64,
}

impl TypeState {
    /// Why a version is not tried again, if that is so.
    #[must_use]
    pub fn withheld(&self, digest: &str) -> Option<&Withheld> {
        self.withheld.iter().find(|withheld| withheld.version.digest == digest)
    }

    /// Adds a version that is not tried again; of very many the oldest is forgotten.
    pub fn withhold(&mut self, version: Known, reason: &str, at: i64) {
        self.withheld.retain(|withheld| withheld.version.digest != version.digest);
        self.withheld.push(Withheld { version, reason: reason.to_owned(), at });
        let over = self.withheld.len().saturating_sub(MOST_WITHHELD);
        self.withheld.drain(..over);
    }
}

/// Versions of one type that are remembered as failed: somebody's build server may try one after another
/// for months, and each is a line of a list that a person reads.
pub const MOST_WITHHELD: usize = 32;

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
    states: BTreeMap<String, TypeState>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Digests of what is kept.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<String> {
        self.lock().bytes.keys().cloned().collect()
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

    async fn activate(&self, activation: Activation) -> Result<u64, StoreError> {
        let Activation { version: Known { digest, .. }, name, state, .. } = activation;
        let mut memory = self.lock();
        if !memory.bytes.contains_key(&digest) {
            return Err(StoreError(format!("no bytes of {digest}")));
        }
        let generation = memory.active.get(&name).map_or(1, |active| active.generation + 1);
        memory.active.insert(name.clone(), StoredActive { name: name.clone(), digest, generation });
        memory.states.insert(name, state);
        Ok(generation)
    }

    async fn active(&self) -> Result<Vec<StoredActive>, StoreError> {
        Ok(self.lock().active.values().cloned().collect())
    }

    async fn keep(&self, name: &str, state: &TypeState) -> Result<(), StoreError> {
        self.lock().states.insert(name.to_owned(), state.clone());
        Ok(())
    }

    async fn states(&self) -> Result<BTreeMap<String, TypeState>, StoreError> {
        Ok(self.lock().states.clone())
    }
}
