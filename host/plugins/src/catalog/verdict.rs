//! What is found out about a version that took over: that it fails where the one before does not, or that
//! it has proved itself.

use std::time::SystemTime;

use host_events::clock::millis;
use host_failpoints::failpoint;

use super::{Active, Catalog, Rejected, Snapshot, known};
use crate::plugin::Plugin;
use crate::store::{Activation, Rollout, StoreError, Withheld};
use crate::version::Optional;

/// Why a shard does not begin with a version.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// It was found to fail meanwhile, and is not tried again; why.
    #[error("{0}")]
    Withheld(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What becomes of a version that failed where the one before does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs nowhere any more, as soon as everybody is told.
    Rejected,
    /// It goes on: it is not on probation any more.
    Proven,
    /// It goes on: the version before may not be able to read what it has written.
    NoWayBack,
}

impl Catalog {
    /// A version that is on probation failed where the one before does not: that one runs again, for
    /// everybody, and this one is not tried again. Nothing happens where it is not on probation: somebody
    /// else was quicker. Nor where the one before may not be able to read what it has written.
    ///
    /// # Errors
    /// When the store fails; then nothing changes.
    pub async fn blame(&self, digest: &str, reason: &str) -> Result<Verdict, StoreError> {
        let _turn = self.0.turn.lock().await;
        let snapshot = self.snapshot();
        let found = snapshot.types.iter().find(|(_, active)| **active.plugin.digest() == *digest);
        let Some((name, active)) = found else { return Ok(Verdict::Rejected) };
        if active.before.is_none() {
            return Ok(Verdict::Proven);
        }
        let Some(before) = way_back(&snapshot, name) else { return Ok(Verdict::NoWayBack) };
        let (plugin, at) = (&active.plugin, SystemTime::now());
        let mut state = self.state(name);
        state.rollout = None;
        state.withhold(Withheld {
            version: known(plugin),
            reason: reason.to_owned(),
            at: millis(at),
            by_operator: false,
        });
        failpoint!("plugins.before-verdict");
        let why = format!("digest {digest} rejected: {reason}");
        let (version, name) = (known(&before), name.clone());
        let activation = Activation { version, name, state: state.clone(), why };
        let name = activation.name.clone();
        let generation = self.0.store.activate(activation).await?;
        failpoint!("plugins.verdict");
        tracing::warn!(
            plugin = name,
            version = plugin.info().version,
            digest,
            reason,
            generation,
            "new version rejected, the one before goes on"
        );
        let rejected =
            Rejected { reason: reason.to_owned(), digest: Some(plugin.digest().clone()), at };
        let (available, file) = (active.available, format!("{name}.wasm"));
        if available {
            self.note_file(&file, Some(&rejected)).await;
        }
        self.change(|snapshot| {
            if available {
                snapshot.rejected.insert(file, rejected);
            }
            snapshot.states.insert(name.clone(), state);
            let active = Active { plugin: before, generation, available, before: None };
            snapshot.types.insert(name, active);
        });
        Ok(Verdict::Rejected)
    }

    /// The version before, where processors may go back to it from one that is on probation.
    #[must_use]
    pub fn way_back(&self, name: &str, digest: &str) -> Option<Plugin> {
        let snapshot = self.snapshot();
        let active = snapshot.types.get(name)?;
        way_back(&snapshot, name).filter(|_| **active.plugin.digest() == *digest)
    }

    /// A shard begins with a version: durable before it writes anything, because from then on the version before
    /// may not be able to read the state.
    ///
    /// # Errors
    /// Where it must not begin.
    pub async fn begin(&self, name: &str, digest: &str) -> Result<(), BeginError> {
        if let Some(reason) = self.withheld(name, digest) {
            return Err(BeginError::Withheld(reason));
        }
        if !self.is_first(name, digest) {
            return Ok(());
        }
        let _turn = self.0.turn.lock().await;
        if let Some(reason) = self.withheld(name, digest) {
            return Err(BeginError::Withheld(reason));
        }
        let mut state = self.state(name);
        let Some(rollout) = state.rollout.as_mut().filter(|_| self.is_first(name, digest)) else {
            return Ok(());
        };
        rollout.begun = true;
        failpoint!("plugins.before-begun");
        self.0.store.keep(name, &state).await?;
        failpoint!("plugins.begun");
        self.change(|snapshot| drop(snapshot.states.insert(name.to_owned(), state)));
        Ok(())
    }

    /// Whether nobody has begun with a version that may write what the one before cannot read.
    fn is_first(&self, name: &str, digest: &str) -> bool {
        let snapshot = self.snapshot();
        let found = snapshot.types.get(name).filter(|active| **active.plugin.digest() == *digest);
        let Some(Active { plugin, before: Some(before), .. }) = found else { return false };
        let rollout = snapshot.states.get(name).and_then(|state| state.rollout.as_ref());
        !reads(before, plugin) && rollout.is_some_and(|rollout| !rollout.begun)
    }

    /// Why a version is not tried again, if that is so. Known the moment it is decided, before those who
    /// run it are told.
    #[must_use]
    pub fn withheld(&self, name: &str, digest: &str) -> Option<String> {
        let snapshot = self.snapshot();
        Some(snapshot.states.get(name)?.withheld(digest)?.reason.clone())
    }

    /// How far a version is that is on probation.
    ///
    /// # Errors
    /// When the store fails; then nothing changes.
    pub async fn advance(
        &self,
        name: &str,
        digest: &str,
        rollout: Rollout,
    ) -> Result<(), StoreError> {
        let _turn = self.0.turn.lock().await;
        let Some(active) = self.active(name) else { return Ok(()) };
        if **active.plugin.digest() != *digest || active.before.is_none() {
            return Ok(());
        }
        let mut state = self.state(name);
        // Who looked did so before this turn.
        let begun = state.rollout.as_ref().is_some_and(|rollout| rollout.begun);
        state.rollout = Some(Rollout { begun: begun || rollout.begun, ..rollout });
        failpoint!("plugins.before-advance");
        self.0.store.keep(name, &state).await?;
        failpoint!("plugins.advanced");
        self.change(|snapshot| drop(snapshot.states.insert(name.to_owned(), state)));
        Ok(())
    }

    /// A version that is on probation has proved itself.
    ///
    /// # Errors
    /// When the store fails; then nothing changes.
    pub async fn prove(&self, name: &str, digest: &str) -> Result<(), StoreError> {
        let _turn = self.0.turn.lock().await;
        let Some(active) = self.active(name) else { return Ok(()) };
        if **active.plugin.digest() != *digest || active.before.is_none() {
            return Ok(());
        }
        let mut state = self.state(name);
        state.rollout = None;
        self.0.store.keep(name, &state).await?;
        tracing::info!(plugin = name, digest, "new version has proved itself");
        self.change(|snapshot| {
            snapshot.states.insert(name.to_owned(), state);
            if let Some(active) = snapshot.types.get_mut(name) {
                active.before = None;
            }
        });
        self.clean().await;
        Ok(())
    }
}

/// The version before, where it can read what has been written since it ran alone; by one that came before the one on
/// probation, too, so that what that one exports says nothing.
fn way_back(snapshot: &Snapshot, name: &str) -> Option<Plugin> {
    let Active { before, .. } = snapshot.types.get(name)?;
    let rollout = snapshot.states.get(name).and_then(|state| state.rollout.as_ref());
    let begun = rollout.is_some_and(|rollout| rollout.begun);
    before.clone().filter(|before| !begun || before.exports(Optional::Migrate))
}

/// Whether a version can read what another one, which came after it, writes.
fn reads(before: &Plugin, plugin: &Plugin) -> bool {
    before.exports(Optional::Migrate) || !plugin.exports(Optional::Migrate)
}
