//! A new version takes over at a batch boundary, from the same position and state.

use host_plugins::{CallError, Level};

use crate::living::Living;
use crate::shard::Failure;
use crate::worker::Worker;

impl Worker<'_> {
    /// Changes to the plugin that is offered now. If no instance of it can be made, the old one goes
    /// on; where there is only no room beside the old one, the shard begins again with the new one.
    pub(crate) async fn swap(&mut self) -> Result<(), Failure> {
        let Ok(plugin) = self.shard.current_plugin() else { return Ok(()) };
        if plugin.digest() == self.plugin.digest() {
            return Ok(());
        }
        self.drain().await?;
        let mut instance = match self.shard.instantiate(&plugin, &self.state).await {
            Ok(instance) => instance,
            Err(CallError::Busy(words)) => return Err(CallError::Busy(words).into()),
            Err(error) => {
                let processor = &self.shard.spec.name;
                tracing::warn!(%processor, digest = %plugin.digest(), cause = %error, "kept the running plugin");
                return Ok(());
            }
        };
        // The old one is told so, but what it answers cannot hold up its successor.
        if let Some(old) = self.living.there()
            && let Err(error) = old.pause().await
        {
            tracing::info!(processor = %self.shard.spec.name, cause = %error, "pause of the old version failed");
        }
        instance.resume().await?;
        self.shard.status.plugin(plugin.digest(), &plugin.info().version);
        tracing::info!(
            processor = %self.shard.spec.name, shard = self.shard.shard,
            version = plugin.info().version, digest = %plugin.digest(), "new plugin version took over"
        );
        let version = &plugin.info().version;
        self.shard.log.host_line(Level::Info, "new version took over", &[("version", version)]);
        self.living = Living::new(instance);
        self.plugin = plugin;
        self.shard.row = 0;
        self.waiting.due = true;
        Ok(())
    }
}
