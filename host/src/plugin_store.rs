//! The plugin catalog's store, in the registry.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use host_plugins::store::{Activation, Known, PluginStore, StoreError, StoredActive, TypeState};
use host_registry::{NewActivation, Registry, RegistryError};

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
