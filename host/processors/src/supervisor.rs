//! Makes the processors that run agree with the registry.
//!
//! Fed by changes of the registry and of the plugin catalog; every look compares what should be with
//! what is, so a missed or repeated change does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_plugins::{Catalog, Limits, Plugin};
use host_registry::{Desired, Processor, Registry};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::control::Mode;
use crate::logs::Logs;
use crate::shard::Shard;
use crate::spec::{Brokers, Spec, SpecError};
use crate::status::{Phase, ShardReport, ShardStatus};

/// What every processor of this host gets.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Limits of every plugin instance.
    pub limits: Limits,
}

/// The processors of this host. Cloning shares them.
#[derive(Clone)]
pub struct Processors(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) brokers: Brokers,
    pub(crate) catalog: Catalog,
    pub(crate) options: Options,
    pub(crate) logs: Logs,
    running: Mutex<BTreeMap<Uuid, Entry>>,
}

/// What the supervisor knows about one processor.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its shards; empty where it cannot run at all.
    pub shards: Vec<ShardReport>,
    /// Why it cannot run at all.
    pub problem: Option<String>,
}

impl Report {
    /// The phase of the whole: the worst of its shards.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if let Some(problem) = &self.problem {
            return Phase::Failed(problem.clone());
        }
        let phases = || self.shards.iter().map(|shard| &shard.phase);
        let failed = phases().find(|phase| matches!(phase, Phase::Failed(_)));
        let starting = || phases().find(|phase| **phase == Phase::Starting);
        failed.or_else(starting).or_else(|| phases().next()).cloned().unwrap_or(Phase::Starting)
    }
}

#[derive(Default)]
struct Entry {
    running: Option<Running>,
    problem: Option<String>,
}

struct Running {
    spec: Arc<Spec>,
    mode: watch::Sender<Mode>,
    plugin: watch::Sender<Option<Plugin>>,
    statuses: Vec<Arc<ShardStatus>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Processors {
    /// A supervisor that runs nothing yet; see [`Self::watch`].
    #[must_use]
    pub fn new(registry: Registry, brokers: Brokers, catalog: Catalog, options: Options) -> Self {
        let running = Mutex::new(BTreeMap::new());
        let logs = Logs::default();
        Self(Arc::new(Inner { registry, brokers, catalog, options, logs, running }))
    }

    /// Follows registry and catalog until the future is dropped.
    pub async fn watch(&self) {
        let mut registry = self.0.registry.subscribe();
        let mut catalog = self.0.catalog.subscribe();
        loop {
            registry.mark_unchanged();
            catalog.mark_unchanged();
            if let Err(error) = self.agree().await {
                tracing::error!(cause = %error, "the registry could not be read");
            }
            tokio::select! {
                changed = registry.changed() => if changed.is_err() { return },
                changed = catalog.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Compares once what should run with what runs.
    ///
    /// # Errors
    /// When the registry cannot be read; nothing was changed then.
    pub async fn agree(&self) -> Result<(), host_registry::RegistryError> {
        let wanted = self.0.registry.processors().await?;
        let mut running = self.0.running.lock().await;
        for processor in &wanted {
            // A deleted one is taken down by `retire`, which the journal drives.
            if processor.desired != Desired::Deleted {
                self.agree_on(running.entry(processor.id).or_default(), processor).await;
            }
        }
        Ok(())
    }

    async fn agree_on(&self, entry: &mut Entry, processor: &Processor) {
        let mode = match processor.desired {
            Desired::Running => Mode::Run,
            Desired::Paused => Mode::Pause,
            Desired::Stopped | Desired::Deleted => Mode::Stop,
        };
        let spec = match Spec::resolve(processor, &self.0.registry, &self.0.brokers).await {
            Ok(spec) => spec,
            Err(error) => return entry.cannot(error).await,
        };
        entry.problem = None;
        let fits = entry.running.as_ref().is_some_and(|running| running.spec.same(&spec));
        if !fits || entry.has_ended() && mode != Mode::Stop {
            entry.stop(Mode::Stop).await;
            entry.running = Some(self.start(spec, mode));
        }
        if let Some(running) = &entry.running {
            let plugin = self.current(&running.spec.kind);
            let same = |a: &Option<Plugin>| {
                a.as_ref().map(|plugin| plugin.digest()) == plugin.as_ref().map(|p| p.digest())
            };
            if !same(&running.plugin.borrow()) {
                running.plugin.send_replace(plugin);
            }
            running.mode.send_if_modified(|now| std::mem::replace(now, mode) != mode);
        }
    }

    fn current(&self, kind: &str) -> Option<Plugin> {
        self.0.catalog.snapshot().plugin(kind)
    }

    fn start(&self, spec: Spec, mode: Mode) -> Running {
        let spec = Arc::new(spec);
        let (mode, mode_seen) = watch::channel(mode);
        let (plugin, plugin_seen) = watch::channel(self.current(&spec.kind));
        let mut running =
            Running { spec, mode, plugin, statuses: Vec::new(), tasks: Vec::new() };
        for shard in 0..running.spec.shards() {
            let status = Arc::new(ShardStatus::default());
            let task = Shard {
                spec: Arc::clone(&running.spec),
                shard,
                mode: mode_seen.clone(),
                plugin: plugin_seen.clone(),
                status: Arc::clone(&status),
                log: self.0.logs.sink(&running.spec.name),
                limits: self.0.options.limits.clone(),
            };
            running.tasks.push(tokio::spawn(task.run()));
            running.statuses.push(status);
        }
        running
    }

    /// Takes a deleted processor down: `destroy` is called, its tasks end, and its positions and
    /// state are forgotten. Safe to repeat.
    ///
    /// # Errors
    /// When a broker cannot be reached; the caller tries again.
    pub async fn retire(&self, processor: &Processor) -> Result<(), host_brokers::BrokerError> {
        let mut running = self.0.running.lock().await;
        let mut entry = running.remove(&processor.id).unwrap_or_default();
        if entry.has_ended() || entry.running.is_none() {
            if let Ok(spec) = Spec::resolve(processor, &self.0.registry, &self.0.brokers).await {
                entry.running = Some(self.start(spec, Mode::Destroy));
            }
        }
        entry.stop(Mode::Destroy).await;
        drop(running);
        self.0.logs.forget(processor.name.as_str());
        for broker in self.0.brokers.values() {
            broker.forget(processor.id).await?;
        }
        Ok(())
    }

    /// How a processor does.
    pub async fn report(&self, id: Uuid) -> Option<Report> {
        let running = self.0.running.lock().await;
        let entry = running.get(&id)?;
        let statuses = entry.running.iter().flat_map(|running| running.statuses.iter());
        let shards = statuses.zip(0..).map(|(status, shard)| status.report(shard)).collect();
        Some(Report { shards, problem: entry.problem.clone() })
    }

    /// What the plugins logged.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// Finishes what is in flight and ends every task; positions are kept.
    pub async fn drain(&self) {
        let mut running = self.0.running.lock().await;
        for entry in running.values() {
            entry.tell(Mode::Stop);
        }
        for entry in running.values_mut() {
            entry.stop(Mode::Stop).await;
        }
    }
}

impl Entry {
    fn tell(&self, mode: Mode) {
        if let Some(running) = &self.running {
            running.mode.send_replace(mode);
        }
    }

    fn has_ended(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.tasks.iter().all(JoinHandle::is_finished))
    }

    /// Tells the tasks and waits for their end.
    async fn stop(&mut self, mode: Mode) {
        self.tell(mode);
        let Some(running) = &mut self.running else { return };
        for task in running.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(processor = %running.spec.name, cause = %error, "a shard's task broke");
            }
        }
    }

    async fn cannot(&mut self, error: SpecError) {
        self.stop(Mode::Stop).await;
        self.running = None;
        self.problem = Some(error.to_string());
    }
}
