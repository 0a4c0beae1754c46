//! What is found out about a version that took over: that it fails where the one before does not, or that
//! it has proved itself.

use std::time::SystemTime;

use host_failpoints::failpoint;

use super::{Active, Catalog, Rejected, known, millis};
use crate::store::{Activation, Rollout, StoreError, TypeState, Withheld};

impl Catalog {
    /// A version that is on probation failed where the one before does not: that one runs again, for
    /// everybody, and this one is not tried again. Nothing happens where it is not on probation: somebody
    /// else was quicker.
    ///
    /// # Errors
    /// When the store fails; then nothing changes.
    pub async fn blame(&self, digest: &str, reason: &str) -> Result<(), StoreError> {
        let _turn = self.0.turn.lock().await;
        let snapshot = self.snapshot();
        let found = snapshot.types.iter().find(|(_, active)| **active.plugin.digest() == *digest);
        let Some((name, active)) = found else { return Ok(()) };
        let Some(before) = active.before.clone() else { return Ok(()) };
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
        Ok(())
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
        let state = TypeState { rollout: Some(rollout), ..self.state(name) };
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
