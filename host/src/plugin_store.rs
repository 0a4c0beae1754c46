//! The plugin catalog's store, in the registry.

use async_trait::async_trait;
use bytes::Bytes;
use host_plugins::store::{PluginStore, StoreError, StoredActive};
use host_registry::{Registry, RegistryError};

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

    async fn activate(&self, name: &str, digest: &str) -> Result<u64, StoreError> {
        self.0.activate_plugin(name, digest).await.map_err(failed)
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

fn failed(error: RegistryError) -> StoreError {
    StoreError(error.to_string())
}
