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

    /// The same where somebody wants it so, for the audit log.
    async fn keep_as_wanted(
        &self,
        name: &str,
        state: &TypeState,
        why: &str,
    ) -> Result<(), StoreError>;

    /// Versions of a type whose bytes are kept and that ran, the latest first.
    async fn versions(&self, name: &str) -> Result<Vec<Known>, StoreError>;

    /// Forgets a type and its versions, but for those that a processor stays with.
    async fn forget(&self, name: &str, why: &str) -> Result<(), StoreError>;

    /// Forgets the bytes that nobody may need any more: not what runs, nor what ran before it, nor what a
    /// processor stays with, nor what is named here.
    async fn clean(&self, needed: BTreeSet<String>) -> Result<(), StoreError>;

    /// Keeps why a file was rejected, for whoever looks at the store, or forgets it.
    async fn file(&self, file: &str, rejected: Option<&StoredRejected>) -> Result<(), StoreError>;

    /// Forgets why files were rejected: the directory is looked at anew.
    async fn forget_files(&self) -> Result<(), StoreError>;

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
    /// The version that an operator wants it to stay with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Known>,
    /// The newest that came since, and is kept for later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Known>,
    /// Versions that are not tried again, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

/// A version that took over, until it has proved itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that goes on where this one fails.
    pub before: Known,
    /// When it took over; where others wait for the first, when they followed it.
    pub began: i64,
    /// The processor that runs it before those do that wait for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    /// Whether everybody runs it.
    #[serde(default)]
    pub everywhere: bool,
    /// Whether a shard has begun with it, and may have written what the version before cannot read.
    #[serde(default = "may_have_begun")]
    pub begun: bool,
}

/// What was stored before it was noted says nothing, and going back must not read what it does not know.
fn may_have_begun() -> bool {
    true
}

/// The processor that tries a version for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// Its name.
    pub processor: String,
    /// Since when.
    pub since: i64,
    /// Events that it has done with that version.
    pub events: u64,
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
    /// Whether an operator went back from it, and not the host.
    #[serde(default)]
    pub by_operator: bool,
}

/// Why a file in the directory changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRejected {
    /// Digest of its bytes, where they could be read.
    pub digest: Option<String>,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
}

impl TypeState {
    /// Digests of all that is named in it and may be wanted again.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &String> {
        let before = self.rollout.iter().map(|rollout| &rollout.before);
        let known = before.chain(&self.pinned).chain(&self.waiting);
        known.map(|known| &known.digest)
    }

    /// Why a version is not tried again, if that is so.
    #[must_use]
    pub fn withheld(&self, digest: &str) -> Option<&Withheld> {
        self.withheld.iter().find(|withheld| withheld.version.digest == digest)
    }

    /// Adds a version that is not tried again; of very many the oldest is forgotten.
    pub fn withhold(&mut self, withheld: Withheld) {
        self.let_go(&withheld.version.digest);
        self.withheld.push(withheld);
        let over = self.withheld.len().saturating_sub(MOST_WITHHELD);
        self.withheld.drain(..over);
    }

    /// A version may be tried again.
    pub fn let_go(&mut self, digest: &str) {
        self.withheld.retain(|withheld| withheld.version.digest != digest);
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
pub struct MemoryStore(Mutex<Memory>, #[cfg(test)] std::sync::OnceLock<tokio::sync::Barrier>);

#[derive(Debug, Default)]
struct Memory {
    bytes: BTreeMap<String, Bytes>,
    active: BTreeMap<String, StoredActive>,
    ran: Vec<(String, Known)>,
    states: BTreeMap<String, TypeState>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets bytes that somebody may still need.
    #[cfg(test)]
    pub(crate) fn lose(&self, digest: &str) {
        self.lock().bytes.remove(digest);
    }

    /// From now on bytes are given to so many at once only.
    #[cfg(test)]
    pub(crate) fn meet(&self, count: usize) {
        self.1.get_or_init(|| tokio::sync::Barrier::new(count));
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
        #[cfg(test)]
        if let Some(all) = self.1.get() {
            all.wait().await;
        }
        Ok(self.lock().bytes.get(digest).cloned())
    }

    async fn activate(&self, activation: Activation) -> Result<u64, StoreError> {
        let Activation { version, name, state, .. } = activation;
        let digest = version.digest.clone();
        let mut memory = self.lock();
        if !memory.bytes.contains_key(&digest) {
            return Err(StoreError(format!("no bytes of {digest}")));
        }
        let generation = memory.active.get(&name).map_or(1, |active| active.generation + 1);
        memory.active.insert(name.clone(), StoredActive { name: name.clone(), digest, generation });
        memory.ran.push((name.clone(), version));
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

    async fn keep_as_wanted(
        &self,
        name: &str,
        state: &TypeState,
        _: &str,
    ) -> Result<(), StoreError> {
        self.keep(name, state).await
    }

    async fn versions(&self, name: &str) -> Result<Vec<Known>, StoreError> {
        let memory = self.lock();
        let mut found: Vec<Known> = Vec::new();
        for (_, version) in memory.ran.iter().rev().filter(|(of, _)| of == name) {
            if !found.iter().any(|known| known.digest == version.digest) {
                found.push(version.clone());
            }
        }
        Ok(found)
    }

    async fn forget(&self, name: &str, _: &str) -> Result<(), StoreError> {
        let mut memory = self.lock();
        memory.active.remove(name);
        memory.states.remove(name);
        memory.ran.retain(|(of, _)| of != name);
        Ok(())
    }

    async fn clean(&self, _: BTreeSet<String>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn file(&self, _: &str, _: Option<&StoredRejected>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget_files(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn states(&self) -> Result<BTreeMap<String, TypeState>, StoreError> {
        Ok(self.lock().states.clone())
    }
}
