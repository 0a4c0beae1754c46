//! What a participant stands on: brokers, the registry, the engine and the catalog of plugins, opened in this
//! order. Starts nothing.

use std::sync::Arc;

use anyhow::{Context, Result};
use host_iam::{Grants, Quotas};
use host_observe::traces::Traces;
use host_peers::Subscriptions;
use host_peers::home::HomeWay;
use host_plugins::{Catalog, Engine, EngineOptions, Watcher};
use host_processors::{Brokers, Options, Processors, TrialHook};
use host_registry::Registry;

use crate::brokers::open_brokers;
use crate::config::Config;
use crate::included;
use crate::observed::Measures;
use crate::peers;
use crate::plugin_store::RegistryPlugins;

/// All of it, open.
pub(crate) struct Ground {
    pub(crate) brokers: Brokers,
    pub(crate) measures: Vec<Arc<Measures>>,
    pub(crate) registry: Registry,
    pub(crate) peers: Subscriptions,
    pub(crate) home: HomeWay,
    pub(crate) engine: Engine,
    pub(crate) catalog: Catalog,
    trial: Arc<TrialHook>,
}

impl Ground {
    /// Opens everything.
    ///
    /// # Errors
    /// Says which part cannot be opened and why.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let (mut brokers, measures) = open_brokers(config).await?;
        let registry =
            Registry::open(&config.data_dir.join("registry.db")).await.context("registry")?;
        let (peers, home) = peers::open(config, &registry, &mut brokers)?;
        let compiled = EngineOptions::new(config.data_dir.join("compiled"));
        // What one processor may be granted, its plugin may need to say what it is.
        let engine = Engine::new(&EngineOptions { describe: config.most.clone(), ..compiled })
            .context("plugin engine")?;
        let trial = Arc::new(TrialHook::default());
        let store = Arc::new(RegistryPlugins(registry.clone()));
        let catalog = Catalog::open(engine.clone(), store, Arc::clone(&trial) as _)
            .await
            .context("plugin catalog")?;
        let brokers = Arc::new(brokers);
        Ok(Self { brokers, measures, registry, peers, home, engine, catalog, trial })
    }

    /// The processors, none of them started; plugins are tried with what they are configured with.
    pub(crate) fn processors(
        &self,
        config: &Config,
        grants: &Grants,
        quotas: &Quotas,
        traces: &Traces,
    ) -> Processors {
        let options = Options {
            limits: config.limits.clone(),
            most: config.most.clone(),
            first: config.upgrades.first,
            shadow: config.upgrades.shadow,
            snapshots: Some(config.data_dir.join("snapshots")),
            grants: grants.clone(),
            quotas: quotas.clone(),
            traces: traces.clone(),
            ..Options::default()
        };
        let Self { brokers, registry, catalog, trial, .. } = self;
        let processors =
            Processors::new(registry.clone(), Arc::clone(brokers), catalog.clone(), options);
        trial.connect(processors.clone());
        processors
    }

    /// Takes in what lies in the plugin directory, now and later.
    ///
    /// # Errors
    /// When the directory cannot be read, or our own plugins cannot be put there.
    pub(crate) async fn watch_plugins(&self, config: &Config) -> Result<Watcher> {
        included::put(&config.plugins_dir)?;
        let watcher =
            Watcher::start(self.catalog.clone(), &config.plugins_dir, &included::names()).await;
        watcher.with_context(|| format!("plugin directory {}", config.plugins_dir.display()))
    }
}
