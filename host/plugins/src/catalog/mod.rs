//! Which processor types are installed, and which version of each runs.
//!
//! Bytes and the choice of the version lie in a [`PluginStore`]. A new version is tried with everything
//! that runs before it becomes active; whatever fails changes nothing and is kept with its reason. Then
//! it is on probation: the version before goes on where it fails. Swapping what runs, and finding out
//! that a version fails, is the business of whoever subscribes.

mod offer;
mod operator;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use host_events::clock::millis;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::engine::Engine;
use crate::error::LoadError;
use crate::limits::{AT_ONCE, LARGE};
use crate::plugin::{self, Plugin};
use crate::store::{Known, PluginStore, StoreError, StoredActive, StoredRejected, TypeState};

/// Tries a new version with everything that runs of its type, before it becomes active.
#[async_trait]
pub trait Trial: Send + Sync {
    /// Makes an instance with every running configuration of the type `plugin.info().name`. The words
    /// of a refusal are shown to the operator.
    async fn trial(&self, plugin: &Plugin) -> Result<(), String>;
}

/// A trial for a host on which nothing runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrial;

#[async_trait]
impl Trial for NoTrial {
    async fn trial(&self, _: &Plugin) -> Result<(), String> {
        Ok(())
    }
}

pub use operator::OperatorError;
pub use verdict::{BeginError, Verdict};

/// What is installed at a moment. A new snapshot is made at each change.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By the type's name.
    pub types: BTreeMap<String, Active>,
    /// By the file's name.
    pub rejected: BTreeMap<String, Rejected>,
    /// What else is known, by the type's name; also of types of which nothing runs.
    pub states: BTreeMap<String, TypeState>,
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
    /// The version that goes on where this one fails, while this one is on probation.
    pub before: Option<Plugin>,
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

/// Why a version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It was never here, or is not kept any more.
    #[error("its bytes are not in the store")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be run.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// What became of an offered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs from now on.
    Activated {
        /// Its generation.
        generation: u64,
    },
    /// It is what runs already.
    Unchanged,
    /// Its type stays with another version, as an operator wants it; it is kept for later.
    Waiting,
    /// It changed nothing; the reason is in the snapshot.
    Rejected,
    /// The store failed: the same file may do later.
    StoreFailed,
}

/// The installed types. Cloning shares them.
#[derive(Clone)]
pub struct Catalog(Arc<Shared>);

struct Shared {
    engine: Engine,
    store: Arc<dyn PluginStore>,
    trial: Arc<dyn Trial>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Older versions that somebody stays with, by digest.
    kept: Mutex<BTreeMap<String, Weak<plugin::Inner>>>,
    /// One file of a name at a time, so that its versions cannot pass each other. Held while a file is
    /// compiled: what is asked of other names does not wait for it.
    names: std::sync::Mutex<BTreeMap<String, Weak<Mutex<()>>>>,
    /// Held while something is stored and then shown; never while anybody's plugin is called.
    turn: Mutex<()>,
}

impl Catalog {
    /// Loads what the store says is active. None of it is available before its file was seen in the
    /// directory; all of it can run.
    ///
    /// # Errors
    /// When the store fails. A version that does not load is kept as rejected.
    pub async fn open(
        engine: Engine,
        store: Arc<dyn PluginStore>,
        trial: Arc<dyn Trial>,
    ) -> Result<Self, StoreError> {
        let snapshot = watch::Sender::new(Arc::default());
        let kept = Mutex::default();
        let (names, turn) = (std::sync::Mutex::default(), Mutex::default());
        let shared = Shared { engine, store, trial, snapshot, kept, names, turn };
        let catalog = Self(Arc::new(shared));
        let states = catalog.0.store.states().await?;
        catalog.change(|snapshot| snapshot.states = states);
        // A full disk keeps nobody from running what is there.
        if let Err(cause) = catalog.0.store.forget_files().await {
            tracing::warn!(%cause, "why files were rejected before is not forgotten");
        }
        catalog.restore_all(catalog.0.store.active().await?).await;
        Ok(catalog)
    }

    /// What is installed now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.snapshot.borrow())
    }

    /// The version of a type that runs.
    #[must_use]
    pub fn active(&self, name: &str) -> Option<Active> {
        self.0.snapshot.borrow().types.get(name).cloned()
    }

    /// A version by its digest, whether it runs or not; for whoever stays with one.
    ///
    /// # Errors
    /// When its bytes are not in the store, or are no plugin any more.
    pub async fn version(&self, digest: &str) -> Result<Plugin, VersionError> {
        let running = |active: &&Active| **active.plugin.digest() == *digest;
        if let Some(active) = self.snapshot().types.values().find(running) {
            return Ok(active.plugin.clone());
        }
        if let Some(plugin) = self.kept(digest).await {
            return Ok(plugin);
        }
        // Loading takes long: nobody who wants another version waits for this one.
        let component = self.0.store.get(digest).await?.ok_or(VersionError::Gone)?;
        let plugin = self.0.engine.load(component).await?;
        if let Some(quicker) = self.kept(digest).await {
            return Ok(quicker);
        }
        self.0.kept.lock().await.insert(digest.to_owned(), Arc::downgrade(&plugin.0));
        Ok(plugin)
    }

    /// A version that somebody has.
    async fn kept(&self, digest: &str) -> Option<Plugin> {
        let mut kept = self.0.kept.lock().await;
        kept.retain(|_, plugin| plugin.strong_count() > 0);
        kept.get(digest).and_then(Weak::upgrade).map(Plugin)
    }

    /// Tells of every change; the receiver holds the newest snapshot.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.snapshot.subscribe()
    }

    /// Several at once, since compiled code may be gone: a host of many types would start for minutes.
    async fn restore_all(&self, rows: Vec<StoredActive>) {
        let large = Mutex::new(());
        let all = rows.into_iter().map(|row| self.restore(row, &large));
        stream::iter(all).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn restore(&self, row: StoredActive, large: &Mutex<()>) {
        let StoredActive { name, digest, generation } = row;
        let component = self.0.store.get(&digest).await;
        let _one = match &component {
            Ok(Some(bytes)) if bytes.len() as u64 >= LARGE => Some(large.lock().await),
            _ => None,
        };
        let loaded = match component {
            Ok(Some(component)) => self.load(&name, component).await,
            Ok(None) => Err("its bytes are not in the store".to_owned()),
            // What is damaged takes its own type away, not the whole host.
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok(plugin) => {
                let before = self.restore_before(&name).await;
                if before.is_none() {
                    self.end_rollout(&name).await;
                }
                self.change(|snapshot| {
                    let active = Active { plugin, generation, available: false, before };
                    snapshot.types.insert(name, active);
                });
            }
            Err(reason) => {
                self.rejected(&format!("{name}.wasm"), Some(digest.into()), reason).await;
            }
        }
    }

    /// The version before one that is on probation. Where it cannot be had any more, nothing goes back.
    async fn restore_before(&self, name: &str) -> Option<Plugin> {
        let before = self.state(name).rollout?.before;
        let loaded = self.version(&before.digest).await;
        loaded
            .inspect_err(|error| {
                tracing::warn!(plugin = name, digest = before.digest, cause = %error, "the version before is gone");
            })
            .ok()
    }

    /// A version that nothing can go back from is on no probation, or it would be for ever.
    async fn end_rollout(&self, name: &str) {
        let mut state = self.state(name);
        if state.rollout.take().is_none() {
            return;
        }
        if let Err(cause) = self.0.store.keep(name, &state).await {
            // It is ended for this host; the next one tries again.
            tracing::warn!(plugin = name, %cause, "the end of a probation is not noted");
        }
        self.change(|snapshot| drop(snapshot.states.insert(name.to_owned(), state)));
    }

    /// What is known of a type.
    #[must_use]
    pub fn state(&self, name: &str) -> TypeState {
        self.0.snapshot.borrow().states.get(name).cloned().unwrap_or_default()
    }

    async fn load(&self, name: &str, component: Bytes) -> Result<Plugin, String> {
        let plugin =
            self.0.engine.load(component).await.map_err(|error: LoadError| error.to_string())?;
        let said = &plugin.info().name;
        if said != name {
            return Err(format!("describes itself as {said}, so its file must be {said}.wasm"));
        }
        Ok(plugin)
    }

    /// Keeps others from changing what is installed under a name.
    async fn one_of(&self, name: &str) -> OwnedMutexGuard<()> {
        let own = {
            let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.retain(|_, lock| lock.strong_count() > 0);
            let known = names.get(name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                names.insert(name.to_owned(), Arc::downgrade(&new));
                new
            })
        };
        own.lock_owned().await
    }

    /// Bytes that nobody may need any more are forgotten; where that fails, later. Whoever calls has the turn: what is
    /// stored and not shown yet would be among them.
    async fn clean(&self) {
        let snapshot = self.snapshot();
        let named = snapshot.states.values().flat_map(|state| state.needed().cloned());
        let needed: BTreeSet<String> = named.collect();
        if let Err(cause) = self.0.store.clean(needed).await {
            tracing::warn!(%cause, "old versions of plugins are not forgotten");
        }
    }

    /// For whoever looks at the store while the host runs, or not.
    async fn note_file(&self, file: &str, rejected: Option<&Rejected>) {
        let stored = rejected.map(|rejected| StoredRejected {
            digest: rejected.digest.as_ref().map(ToString::to_string),
            reason: rejected.reason.clone(),
            at: millis(rejected.at),
        });
        if let Err(cause) = self.0.store.file(file, stored.as_ref()).await {
            tracing::warn!(file, %cause, "why a file is rejected is not kept");
        }
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.0.snapshot.send_modify(|snapshot| change(Arc::make_mut(snapshot)));
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Catalog").field(&self.snapshot()).finish()
    }
}

/// The name of the type that a file is for.
fn stem(file: &str) -> &str {
    file.strip_suffix(".wasm").unwrap_or(file)
}

fn known(plugin: &Plugin) -> Known {
    Known { digest: plugin.digest().to_string(), version: plugin.info().version.clone() }
}
