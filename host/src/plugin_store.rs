//! The plugin catalog's store, in the registry.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;
use host_plugins::store::{
    Activation, Known, PluginStore, StoreError, StoredActive, StoredRejected, TypeState,
};
use host_registry::{NewActivation, Ran, Registry, RegistryError};

/// Keeps plugins in a registry.
pub(crate) struct RegistryPlugins(pub(crate) Registry);

#[async_trait]
impl PluginStore for RegistryPlugins {
    async fn put(&self, digest: &str, component: Bytes) -> Result<(), StoreError> {
        self.0.put_plugin(digest, component).await.map_err(failed)
    }

    async fn get(&self, digest: &str) -> Result<Option<Bytes>, StoreError> {
        self.0.plugin(digest).await.map_err(failed)
    }

    async fn activate(&self, activation: Activation) -> Result<u64, StoreError> {
        let Activation { version: Known { digest, version }, name, state, why } = activation;
        let new = NewActivation { name, digest, version, document: document(&state)?, why };
        self.0.activate_plugin(new).await.map_err(failed)
    }

    async fn keep(&self, name: &str, state: &TypeState) -> Result<(), StoreError> {
        self.0.put_plugin_type(name, document(state)?).await.map_err(failed)
    }

    async fn keep_as_wanted(
        &self,
        name: &str,
        state: &TypeState,
        why: &str,
    ) -> Result<(), StoreError> {
        let changed = self.0.change_plugin_type(name, document(state)?, why.to_owned()).await;
        changed.map_err(failed)
    }

    async fn versions(&self, name: &str) -> Result<Vec<Known>, StoreError> {
        let ran = self.0.kept_versions(name).await.map_err(failed)?;
        let known = |ran: Ran| Known { digest: ran.digest, version: ran.version };
        Ok(ran.into_iter().map(known).collect())
    }

    async fn forget(&self, name: &str, why: &str) -> Result<(), StoreError> {
        self.0.forget_plugin(name, why.to_owned()).await.map_err(failed)
    }

    async fn clean(&self, needed: BTreeSet<String>) -> Result<(), StoreError> {
        let forgotten = self.0.clean_plugins(needed).await.map_err(failed)?;
        if forgotten > 0 {
            tracing::info!(versions = forgotten, "old versions of plugins are forgotten");
        }
        Ok(())
    }

    async fn file(&self, file: &str, rejected: Option<&StoredRejected>) -> Result<(), StoreError> {
        let document = rejected.map(serde_json::to_string).transpose();
        let document = document.map_err(|error| StoreError(error.to_string()))?;
        self.0.put_plugin_file(file, document).await.map_err(failed)
    }

    async fn forget_files(&self) -> Result<(), StoreError> {
        self.0.forget_plugin_files().await.map_err(failed)
    }

    async fn states(&self) -> Result<BTreeMap<String, TypeState>, StoreError> {
        let rows = self.0.plugin_types().await.map_err(failed)?;
        let read = |(name, document): (String, String)| {
            let state = parsed(&document);
            // What is damaged must not keep the host from starting; a version may be tried again then.
            let state = state.inspect_err(|cause| {
                tracing::error!(plugin = name, %cause, "what was known of the plugin is damaged");
            });
            (name, state.unwrap_or_default())
        };
        Ok(rows.into_iter().map(read).collect())
    }

    async fn active(&self) -> Result<Vec<StoredActive>, StoreError> {
        let active = self.0.active_plugins().await.map_err(failed)?;
        let row = |row: host_registry::Activation| StoredActive {
            name: row.name,
            digest: row.digest,
            generation: row.generation,
        };
        Ok(active.into_iter().map(row).collect())
    }
}

fn document(state: &TypeState) -> Result<String, StoreError> {
    serde_json::to_string(state).map_err(|error| StoreError(error.to_string()))
}

fn parsed(document: &str) -> Result<TypeState, StoreError> {
    serde_json::from_str(document).map_err(|error| StoreError(error.to_string()))
}

fn failed(error: RegistryError) -> StoreError {
    StoreError(error.to_string())
}
