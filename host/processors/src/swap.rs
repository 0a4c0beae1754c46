//! A new version takes over at a batch boundary, from the same position and state.
//!
//! This is the one place where one version follows another in a shard that runs; what a version needs to
//! take over the state of another belongs into [`Worker::hand_over`].

use std::time::Instant;

use host_failpoints::failpoint;
use host_plugins::{Instance, Level, Optional, Plugin};

use crate::living::Living;
use crate::migrate::takes_over;
use crate::shard::Failure;
use crate::worker::Worker;

impl Worker<'_> {
    /// Changes to the plugin that is offered now. If no instance of it can be made where the old one could,
    /// the old one goes on, here and everywhere; where there is only no room beside the old one, the shard
    /// begins again with the new one.
    pub(crate) async fn swap(&mut self) -> Result<(), Failure> {
        let Ok(plugin) = self.shard.current_plugin() else { return Ok(()) };
        if plugin.digest() == self.plugin.digest() {
            return Ok(());
        }
        let began = Instant::now();
        failpoint!("processors.before-swap");
        let made = match plugin.exports(Optional::Migrate) {
            true => self.made_with_all(&plugin).await,
            // While the last commit of the old one is still on its way.
            false => {
                let made = self.shard.instantiate(&plugin, &self.state).await;
                made.map(|instance| (instance, false))
            }
        };
        let (instance, migrates) = match made {
            Ok(made) => made,
            Err(failure) if failure.keeps_running() => {
                let (processor, shard) = (&self.shard.spec.name, self.shard.shard);
                tracing::warn!(%processor, shard, digest = %plugin.digest(), cause = %failure, "kept the running plugin");
                self.shard.log.host_line(
                    Level::Warn,
                    "kept the running version",
                    &[("cause", &failure)],
                );
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        self.send_off().await?;
        self.hand_over(plugin, instance, migrates).await?;
        let pause = began.elapsed();
        self.shard.swaps.observe(pause);
        self.shard.status.paused_for(pause);
        failpoint!("processors.swapped");
        Ok(())
    }

    /// Sees to it that everything that was decided is at least on its way.
    async fn send_off(&mut self) -> Result<(), Failure> {
        if self.in_flight.is_some() && self.waiting.has_something() {
            // There is one commit at a time.
            return self.drain().await;
        }
        self.commit_if_idle();
        Ok(())
    }

    /// An instance that takes over the state of the old one, where there is any, once all shards of the processor have
    /// one; what it writes comes behind everything that was decided.
    async fn made_with_all(&mut self, plugin: &Plugin) -> Result<(Instance, bool), Failure> {
        self.drain().await?;
        let migrates = takes_over(plugin, self.plugin.digest(), &self.state);
        let instance = if migrates {
            let from = self.plugin.info().version.clone();
            match self.shard.taking_over(plugin, &self.state, &from).await {
                Ok(instance) => instance,
                Err(cause) => return Err(self.shard.cannot_read(plugin, &cause).await),
            }
        } else {
            self.shard.instantiate(plugin, &self.state).await?
        };
        if let Err(failure) = self.shard.agreed(plugin, true).await {
            if migrates {
                self.state.lock().abandon();
            }
            return Err(failure);
        }
        Ok((instance, migrates))
    }

    /// Everything that the old one decided is committed, or on its way: where that fails, the shard begins again from
    /// what is true, whoever runs. The new one is made on the same state.
    async fn hand_over(
        &mut self,
        plugin: Plugin,
        mut instance: Instance,
        migrates: bool,
    ) -> Result<(), Failure> {
        // The old one is told so, but what it answers cannot hold up its successor.
        if let Some(old) = self.living.there()
            && let Err(error) = old.pause().await
        {
            tracing::info!(processor = %self.shard.spec.name, cause = %error, "pause of the old version failed");
        }
        if let Err(cause) = instance.resume().await {
            return Err(match self.shard.before(&plugin) {
                Some(_) => self.shard.blame(&plugin, "resume", &cause).await,
                None => cause.into(),
            });
        }
        self.shard.status.plugin(plugin.digest(), &plugin.info().version);
        tracing::info!(
            processor = %self.shard.spec.name, shard = self.shard.shard,
            version = plugin.info().version, digest = %plugin.digest(), "new plugin version took over"
        );
        let version = &plugin.info().version;
        self.shard.log.host_line(Level::Info, "new version took over", &[("version", version)]);
        self.living = Living::new(instance);
        self.plugin = plugin;
        self.shard.size.begin_again();
        self.shard.row = 0;
        self.shard.retries = 0;
        if migrates {
            self.migrated();
        }
        self.waiting.due = true;
        Ok(())
    }
}
