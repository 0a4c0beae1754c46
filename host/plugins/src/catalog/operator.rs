//! What an operator wants of a type: to stay with a version, to go back to the one before, to be gone.
//!
//! His word counts for more than a probation: what he chooses is not on any. It is still tried with
//! everything that runs, all or none.

use std::time::SystemTime;

use host_events::clock::millis;
use host_failpoints::failpoint;

use super::{Active, Catalog, VersionError, known};
use crate::plugin::Plugin;
use crate::store::{Activation, Known, StoreError, TypeState, Withheld};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No such type is installed.
    #[error("no processor type {0} is installed")]
    NoType(String),
    /// No such version is kept.
    #[error("no version {wanted} of {name} is kept: there are {kept}")]
    NoVersion {
        /// The type.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        kept: String,
    },
    /// More than one version is called so.
    #[error("{wanted} of {name} may be one of {kept}: say more of the digest")]
    Ambiguous {
        /// The type.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What it may be.
        kept: String,
    },
    /// Nothing ran before.
    #[error("no version of {name} that ran before {running} is kept{}", again(.name, .withheld))]
    NothingBefore {
        /// The type.
        name: String,
        /// What runs.
        running: String,
        /// What an operator went back from before.
        withheld: String,
    },
    /// It does not do with what runs.
    #[error("version {version}: {reason}")]
    Refused {
        /// Which.
        version: String,
        /// Why.
        reason: String,
    },
    /// Its bytes cannot be had.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// Makes a type stay with a version, by what that calls itself or the beginning of its digest. Newer
    /// files are kept and wait.
    ///
    /// # Errors
    /// When there is no such version, or it does not do with what runs; then nothing changes.
    pub async fn pin(&self, name: &str, wanted: &str, why: &str) -> Result<Known, OperatorError> {
        let _one = self.one_of(name).await;
        let chosen = self.choose(name, wanted).await?;
        let mut state = self.state(name);
        let running = self.active(name).map(|active| known(&active.plugin));
        if let Some(running) = running.filter(|running| *running != chosen) {
            state.waiting = Some(running);
        } else if state.waiting.as_ref() == Some(&chosen) {
            state.waiting = None;
        }
        state.pinned = Some(chosen.clone());
        state.let_go(&chosen.digest);
        self.put_in_force(name, &chosen, state, why).await?;
        Ok(chosen)
    }

    /// Lets a type take newer versions again, those too from which an operator went back. Whoever calls has
    /// the directory looked at then.
    ///
    /// # Errors
    /// When there is no such type, or the store fails.
    pub async fn unpin(&self, name: &str, why: &str) -> Result<(), OperatorError> {
        let _one = self.one_of(name).await;
        let _turn = self.0.turn.lock().await;
        self.active(name).ok_or_else(|| OperatorError::NoType(name.to_owned()))?;
        let mut state = self.state(name);
        state.pinned = None;
        state.waiting = None;
        state.withheld.retain(|withheld| !withheld.by_operator);
        self.0.store.keep_as_wanted(name, &state, why).await?;
        self.change(|snapshot| drop(snapshot.states.insert(name.to_owned(), state)));
        Ok(())
    }

    /// Has the version before run again, and the one that runs not be tried any more until the operator says
    /// otherwise.
    ///
    /// # Errors
    /// When none is kept, or it does not do with what runs; then nothing changes.
    pub async fn roll_back(&self, name: &str, why: &str) -> Result<Known, OperatorError> {
        let _one = self.one_of(name).await;
        let active = self.active(name).ok_or_else(|| OperatorError::NoType(name.to_owned()))?;
        let running = known(&active.plugin);
        let mut state = self.state(name);
        let before = match &state.rollout {
            Some(rollout) => Some(rollout.before.clone()),
            None => self.ran_before(name, &running, &state).await?,
        };
        let before = before.ok_or_else(|| nothing_before(name, &running, &state))?;
        let (reason, at) = ("an operator went back from it".to_owned(), millis(SystemTime::now()));
        state.withhold(Withheld { version: running, reason, at, by_operator: true });
        state.pinned = state.pinned.map(|_| before.clone());
        self.put_in_force(name, &before, state, why).await?;
        Ok(before)
    }

    /// Forgets a type. What processors stay with is kept; nobody may run any other version of it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget(&self, name: &str, why: &str) -> Result<(), OperatorError> {
        let _one = self.one_of(name).await;
        let _turn = self.0.turn.lock().await;
        self.0.store.forget(name, why).await?;
        let file = format!("{name}.wasm");
        self.note_file(&file, None).await;
        self.change(|snapshot| {
            snapshot.types.remove(name);
            snapshot.states.remove(name);
            snapshot.rejected.remove(&file);
        });
        self.clean().await;
        Ok(())
    }

    async fn ran_before(
        &self,
        name: &str,
        running: &Known,
        state: &TypeState,
    ) -> Result<Option<Known>, StoreError> {
        let versions = self.0.store.versions(name).await?;
        let other = |known: &Known| {
            known.digest != running.digest && state.withheld(&known.digest).is_none()
        };
        Ok(versions.into_iter().find(other))
    }

    async fn choose(&self, name: &str, wanted: &str) -> Result<Known, OperatorError> {
        let active = self.active(name).ok_or_else(|| OperatorError::NoType(name.to_owned()))?;
        let mut kept = vec![known(&active.plugin)];
        kept.extend(self.state(name).waiting);
        kept.extend(self.0.store.versions(name).await?);
        kept.sort_by(|one, other| one.digest.cmp(&other.digest));
        kept.dedup_by(|one, other| one.digest == other.digest);
        let is_meant = |known: &&Known| {
            let by_digest = wanted.len() >= LEAST_DIGEST && known.digest.starts_with(wanted);
            known.version == wanted || by_digest
        };
        let meant: Vec<Known> = kept.iter().filter(is_meant).cloned().collect();
        let (name, wanted) = (name.to_owned(), wanted.to_owned());
        match meant.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(OperatorError::NoVersion { name, wanted, kept: listed(&kept) }),
            _ => Err(OperatorError::Ambiguous { name, wanted, kept: listed(&meant) }),
        }
    }

    /// What an operator has chosen runs, at once and everywhere.
    async fn put_in_force(
        &self,
        name: &str,
        chosen: &Known,
        mut state: TypeState,
        why: &str,
    ) -> Result<(), OperatorError> {
        let plugin = self.version(&chosen.digest).await?;
        let runs =
            self.active(name).is_some_and(|active| active.plugin.digest() == plugin.digest());
        if !runs {
            self.0.trial.trial(&plugin).await.map_err(|reason| OperatorError::Refused {
                version: chosen.version.clone(),
                reason,
            })?;
        }
        state.rollout = None;
        let _turn = self.0.turn.lock().await;
        failpoint!("plugins.before-wanted");
        if runs {
            self.0.store.keep_as_wanted(name, &state, why).await?;
        } else {
            let (version, name) = (known(&plugin), name.to_owned());
            let why = format!("{why}: digest {}", plugin.digest());
            let activation = Activation { version, name, state: state.clone(), why };
            let generation = self.0.store.activate(activation).await?;
            tracing::info!(
                plugin = plugin.info().name, version = plugin.info().version,
                digest = %plugin.digest(), generation, "plugin is active, as the operator wants it"
            );
            self.show(&plugin, generation);
        }
        failpoint!("plugins.wanted");
        self.change(|snapshot| {
            if let Some(active) = snapshot.types.get_mut(name) {
                active.before = None;
            }
            snapshot.states.insert(name.to_owned(), state);
        });
        self.clean().await;
        Ok(())
    }

    fn show(&self, plugin: &Plugin, generation: u64) {
        let name = &plugin.info().name;
        self.change(|snapshot| {
            let available = snapshot.types.get(name).is_some_and(|active| active.available);
            let active = Active { plugin: plugin.clone(), generation, available, before: None };
            snapshot.types.insert(name.clone(), active);
        });
    }
}

fn nothing_before(name: &str, running: &Known, state: &TypeState) -> OperatorError {
    let left = state.withheld.iter().filter(|withheld| withheld.by_operator);
    let left: Vec<Known> = left.map(|withheld| withheld.version.clone()).collect();
    let (name, running) = (name.to_owned(), running.version.clone());
    OperatorError::NothingBefore { name, running, withheld: listed(&left) }
}

/// Who goes back twice may want what he went back from.
fn again(name: &str, withheld: &str) -> String {
    match withheld {
        "" => String::new(),
        withheld => format!(
            "; somebody went back from {withheld} already, which runs again with \"pin {name} VERSION\", or with \"unpin {name}\" if its file is there"
        ),
    }
}

fn listed(versions: &[Known]) -> String {
    let one = |known: &Known| {
        format!("{} ({})", known.version, known.digest.get(..12).unwrap_or(&known.digest))
    };
    versions.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Characters of a digest that are taken for one: fewer are more likely a mistake.
const LEAST_DIGEST: usize = 6;
