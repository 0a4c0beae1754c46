//! Files that come and go: from settled bytes to the version that runs, or to a refusal with its reason.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use host_events::clock::millis;

use super::{Active, Catalog, Outcome, Rejected, known, stem};
use crate::engine::digest;
use crate::plugin::{Plugin, check_name};
use crate::reason;
use crate::store::{Activation, Rollout, StoreError, TypeState};

impl Catalog {
    /// Takes the settled bytes of a file `NAME.wasm`: checks, compiles, tries, keeps and activates
    /// them. On any failure what runs goes on.
    pub async fn offer(&self, file: &str, component: Bytes) -> Outcome {
        let name = stem(file);
        let _one = self.one_of(name).await;
        let digest = digest_of(component.clone()).await;
        let state = self.state(name);
        if self.active(name).is_some_and(|active| *active.plugin.digest() == digest) {
            return self.is_here(file, TypeState { waiting: None, ..state.clone() }, &state).await;
        }
        if let Some(withheld) = state.withheld(&digest) {
            self.rejected(file, Some(digest), withheld.reason.clone()).await;
            return Outcome::Rejected;
        }
        if state.waiting.as_ref().is_some_and(|waiting| *waiting.digest == *digest) {
            self.is_here(file, state.clone(), &state).await;
            return Outcome::Waiting;
        }
        let plugin = match self.check(name, component.clone()).await {
            Ok(plugin) => plugin,
            Err(reason) => {
                self.rejected(file, Some(digest), reason).await;
                return Outcome::Rejected;
            }
        };
        match self.activate(file, plugin, component).await {
            Ok(Some(generation)) => Outcome::Activated { generation },
            Ok(None) => Outcome::Waiting,
            Err(error) => {
                self.rejected(file, Some(digest), error.to_string()).await;
                Outcome::StoreFailed
            }
        }
    }

    /// Keeps a file that cannot even be read, with the reason.
    pub async fn reject(&self, file: &str, reason: &str) {
        self.rejected(file, None, reason.to_owned()).await;
    }

    /// A file is gone: no new processors of its type, running ones go on.
    pub async fn gone(&self, file: &str) {
        let known = self.snapshot();
        let was_available = known.types.get(stem(file)).is_some_and(|active| active.available);
        if !was_available && !known.rejected.contains_key(file) {
            return;
        }
        tracing::info!(file, "plugin file is gone, what runs goes on");
        self.note_file(file, None).await;
        self.change(|snapshot| {
            snapshot.rejected.remove(file);
            if let Some(active) = snapshot.types.get_mut(stem(file)) {
                active.available = false;
            }
        });
    }

    /// The file is what runs, or what waits: nothing is wrong with it.
    async fn is_here(&self, file: &str, state: TypeState, before: &TypeState) -> Outcome {
        let name = stem(file);
        if state != *before
            && let Err(error) = self.0.store.keep(name, &state).await
        {
            tracing::warn!(plugin = name, cause = %error, "what waits is not forgotten");
            return Outcome::StoreFailed;
        }
        self.note_file(file, None).await;
        self.change(|snapshot| {
            snapshot.rejected.remove(file);
            snapshot.states.insert(name.to_owned(), state);
            if let Some(active) = snapshot.types.get_mut(name) {
                active.available = true;
            }
        });
        Outcome::Unchanged
    }

    async fn check(&self, name: &str, component: Bytes) -> Result<Plugin, String> {
        check_name(name).map_err(|reason| format!("the file's stem {reason}"))?;
        let plugin = self.load(name, component).await?;
        self.0.trial.trial(&plugin).await?;
        Ok(plugin)
    }

    async fn activate(
        &self,
        file: &str,
        plugin: Plugin,
        component: Bytes,
    ) -> Result<Option<u64>, StoreError> {
        let _turn = self.0.turn.lock().await;
        self.0.store.put(plugin.digest(), component).await?;
        let info = plugin.info();
        let (mut state, before) = (self.state(&info.name), self.proven(&info.name));
        if let Some(pinned) = &state.pinned
            && pinned.digest != **plugin.digest()
        {
            state.waiting = Some(known(&plugin));
            self.0.store.keep(&info.name, &state).await?;
            self.waits(file, &plugin, state).await;
            return Ok(None);
        }
        state.waiting = None;
        // What comes back has proved itself already.
        let before = before.filter(|before| before.digest() != plugin.digest());
        let began = millis(SystemTime::now());
        let others = state.rollout.take();
        state.rollout = before.as_ref().map(|before| Rollout {
            before: known(before),
            began,
            first: None,
            everywhere: false,
            // What one that never proved itself has written is there, whatever follows it.
            begun: others.is_some_and(|one| one.begun && one.before == known(before)),
        });
        let (name, version) = (info.name.clone(), known(&plugin));
        let why = format!("digest {}", plugin.digest());
        let activation = Activation { version, name, state: state.clone(), why };
        let generation = self.0.store.activate(activation).await?;
        tracing::info!(
            plugin = info.name, version = info.version, digest = %plugin.digest(), generation,
            "plugin is active"
        );
        let name = info.name.clone();
        self.note_file(file, None).await;
        self.change(|snapshot| {
            snapshot.rejected.remove(file);
            snapshot.states.insert(name.clone(), state);
            let active = Active { plugin, generation, available: true, before };
            snapshot.types.insert(name, active);
        });
        self.clean().await;
        Ok(Some(generation))
    }

    async fn waits(&self, file: &str, plugin: &Plugin, state: TypeState) {
        let name = stem(file);
        tracing::info!(
            plugin = name, version = plugin.info().version, digest = %plugin.digest(),
            "plugin is kept for later, its type is pinned"
        );
        self.note_file(file, None).await;
        self.change(|snapshot| {
            snapshot.rejected.remove(file);
            snapshot.states.insert(name.to_owned(), state);
            if let Some(active) = snapshot.types.get_mut(name) {
                active.available = true;
            }
        });
    }

    /// The latest version of a type that is known to do: of one that is on probation nobody knows.
    fn proven(&self, name: &str) -> Option<Plugin> {
        let active = self.active(name)?;
        Some(active.before.unwrap_or(active.plugin))
    }

    pub(super) async fn rejected(&self, file: &str, digest: Option<Arc<str>>, reason: String) {
        let reason = reason::of(&reason);
        tracing::warn!(
            file,
            digest = digest.as_deref(),
            reason,
            "plugin rejected, nothing changes"
        );
        let rejected = Rejected { reason, digest, at: SystemTime::now() };
        self.note_file(file, Some(&rejected)).await;
        self.change(|snapshot| {
            snapshot.rejected.insert(file.to_owned(), rejected);
            // The last good version stays in use, after a restart too: only a file that is gone
            // takes its type away.
            if let Some(active) = snapshot.types.get_mut(stem(file)) {
                active.available = true;
            }
        });
    }
}

/// Hashing megabytes takes longer than other tasks should wait.
async fn digest_of(component: Bytes) -> Arc<str> {
    let bytes = component.clone();
    let hashed = tokio::task::spawn_blocking(move || digest(&bytes)).await;
    hashed.unwrap_or_else(|_| digest(&component))
}
