//! Makes the processors that run agree with the registry.
//!
//! The journal's steps come in through [`Processors::apply`]; changes of the plugin catalog are
//! followed. Every look compares what should be with what is, so a repeated change does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use host_events::Position;
use host_iam::{Grants, Quotas};
use host_observe::Histogram;
use host_observe::traces::Traces;
use host_plugins::{Active, Catalog, Level, Limits, Optional, Plugin};
use host_registry::{Desired, Processor, Registry, RegistryError};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::control::Mode;
use crate::dead::DeadFlow;
use crate::delivery::Delivery;
use crate::episodes::{Episode, Tally};
use crate::growth::is_keyed;
use crate::intake::Intake;
use crate::lag::{Followed, Lags};
use crate::logs::Logs;
use crate::pieces::Size;
use crate::probation::Offer;
use crate::reconfigure::{self, Ask, Taken};
use crate::rollouts::{FirstDoes, ROLLOUT_LOOK, waits};
use crate::shadow::Pasts;
use crate::shard::{Backoff, Shard};
use crate::spec::{Brokers, Spec};
use crate::status::{Phase, ShardReport, ShardStatus};
use crate::views::Parlour;

/// Time between two tries to load a version that could not be had: the store may have been busy.
const MISSING_PLUGIN: Duration = Duration::from_secs(30);

/// What every processor of this host gets.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Limits of every plugin instance that has none of its own.
    pub limits: Limits,
    /// Waits of a shard after failures.
    pub retry: Backoff,
    /// The highest that one processor may have.
    pub most: Limits,
    /// What the first of a type has to do with a new version before others follow.
    pub first: FirstDoes,
    /// What owners may do.
    pub grants: Grants,
    /// How much may be theirs.
    pub quotas: Quotas,
    /// Where spans go.
    pub traces: Traces,
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
    pub(crate) lags: Lags,
    pub(crate) intake: Intake,
    pub(crate) parlour: Parlour,
    pub(crate) pasts: Pasts,
    /// Events that the first of a type had done at the latest look, by the version's digest and its name.
    pub(crate) counted: std::sync::Mutex<BTreeMap<(String, String), u64>>,
    swaps: Arc<Histogram>,
    running: Mutex<BTreeMap<Uuid, Arc<Mutex<Entry>>>>,
}

/// What the supervisor knows about one processor.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its shards; empty where it cannot run at all.
    pub shards: Vec<ShardReport>,
    /// Why it cannot run at all.
    pub problem: Option<String>,
    /// What its owner may not do any more, where that holds it.
    pub held: Option<String>,
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
    held: Option<String>,
    /// Why the configuration of the row is not what runs.
    refused: Option<String>,
}

struct Running {
    spec: Arc<Spec>,
    mode: watch::Sender<Mode>,
    plugin: watch::Sender<Option<Offer>>,
    shadow: watch::Sender<Option<Plugin>>,
    asks: Vec<mpsc::Sender<Ask>>,
    statuses: Vec<Arc<ShardStatus>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Processors {
    /// A supervisor that runs nothing yet; see [`Self::start_all`].
    #[must_use]
    pub fn new(registry: Registry, brokers: Brokers, catalog: Catalog, options: Options) -> Self {
        let running = Mutex::new(BTreeMap::new());
        let logs = Logs::default();
        let lags = Lags::default();
        let intake = Intake::default();
        let parlour = Parlour::default();
        let pasts = Pasts::default();
        let swaps = Arc::default();
        let inner = Inner {
            registry,
            brokers,
            catalog,
            options,
            logs,
            lags,
            intake,
            parlour,
            pasts,
            counted: std::sync::Mutex::default(),
            swaps,
            running,
        };
        Self(Arc::new(inner))
    }

    /// How long events waited at changes of plugins' versions.
    #[must_use]
    pub fn swaps(&self) -> &Histogram {
        &self.0.swaps
    }

    /// Follows the plugin catalog until the future is dropped.
    pub async fn watch(&self) {
        let mut catalog = self.0.catalog.subscribe();
        loop {
            catalog.mark_unchanged();
            let missing = self.refresh_plugins().await;
            let tried = self.look_at_rollouts().await;
            tokio::select! {
                changed = catalog.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(MISSING_PLUGIN), if missing && !tried => {}
                () = tokio::time::sleep(ROLLOUT_LOOK), if tried => {}
            }
        }
    }

    /// Brings every processor to what the registry says; for the start of the host.
    ///
    /// # Errors
    /// When the registry cannot be read; nothing was changed then.
    pub async fn start_all(&self) -> Result<(), RegistryError> {
        for processor in self.0.registry.processors().await? {
            // A deleted one is taken down when its journal entry is carried out.
            if processor.desired != Desired::Deleted {
                self.entry(processor.id).await.lock().await.agree(self, &processor).await;
            }
        }
        Ok(())
    }

    /// Brings one processor to its desired state and returns when that is so. For a deleted one its
    /// tasks have ended and `destroy` was called. Safe to repeat.
    ///
    /// # Errors
    /// Says why what runs does not take the configuration, and goes on with the one before.
    pub async fn apply(&self, processor: &Processor) -> Result<(), String> {
        let entry = self.entry(processor.id).await;
        let mut entry = entry.lock().await;
        if processor.desired == Desired::Deleted {
            entry.destroy(self, processor).await;
            self.0.running.lock().await.remove(&processor.id);
            self.0.logs.forget(processor.name.as_str());
            self.end_comparison(processor.id);
            return Ok(());
        }
        entry.agree(self, processor).await;
        entry.arrived(processor.desired).await;
        entry.refused.take().map_or(Ok(()), Err)
    }

    /// Looks again at every processor that uses a flow: it may have more partitions now.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn flow_changed(&self, flow: &Name) -> Result<(), RegistryError> {
        for processor in self.0.registry.processors().await? {
            let uses = processor.inputs.contains(flow) || processor.outputs.contains(flow);
            if !uses || processor.desired == Desired::Deleted {
                continue;
            }
            self.agree_with(&processor).await?;
        }
        Ok(())
    }

    /// Brings one processor to what its row and its owner's rights say now.
    pub(crate) async fn agree_again(&self, name: &Name) {
        let found = self.0.registry.processor(name).await;
        if let Ok(Some(processor)) = found
            && let Err(error) = self.agree_with(&processor).await
        {
            tracing::error!(processor = %name, cause = %error, "not looked at again");
        }
    }

    async fn agree_with(&self, processor: &Processor) -> Result<(), RegistryError> {
        let entry = self.entry(processor.id).await;
        let mut entry = entry.lock().await;
        // Read again under the lock: while this waited it may have been paused or deleted, and
        // what was so before must not be brought back.
        match self.0.registry.processor(&processor.name).await? {
            Some(now) if now.id == processor.id && now.desired != Desired::Deleted => {
                entry.agree(self, &now).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Offers each processor its version; says whether a version could not be had.
    async fn refresh_plugins(&self) -> bool {
        let mut missing = false;
        for entry in self.entries().await {
            if let Some(running) = &entry.lock().await.running {
                let plugin = self.plugin_for(&running.spec).await;
                missing |= plugin.is_none();
                // One that runs goes on, whatever stands against loading it now.
                if plugin.is_some() {
                    running.offer(plugin);
                    let offer = running.plugin.borrow().clone();
                    self.keep_back(&running.spec, offer).await;
                }
            }
        }
        missing
    }

    async fn entry(&self, id: Uuid) -> Arc<Mutex<Entry>> {
        Arc::clone(self.0.running.lock().await.entry(id).or_default())
    }

    async fn entries(&self) -> Vec<Arc<Mutex<Entry>>> {
        self.0.running.lock().await.values().cloned().collect()
    }

    /// The shards of a processor that runs.
    pub(crate) async fn shards_of(&self, id: Uuid) -> Vec<Arc<ShardStatus>> {
        let entry = self.0.running.lock().await.get(&id).cloned();
        let Some(entry) = entry else { return Vec::new() };
        let entry = entry.lock().await;
        entry.running.as_ref().map(|running| running.statuses.clone()).unwrap_or_default()
    }

    /// Every processor for a look at its lag.
    pub(crate) async fn followed(&self) -> Vec<(Uuid, Followed)> {
        let entries: Vec<_> = self.0.running.lock().await.clone().into_iter().collect();
        let look = |entry: &Mutex<Entry>| match entry.try_lock() {
            Err(_) => Followed::Busy,
            Ok(entry) => entry.running.as_ref().map_or(Followed::Not, |running| {
                Followed::Is(Arc::clone(&running.spec), running.statuses.clone())
            }),
        };
        entries.into_iter().map(|(id, entry)| (id, look(&entry))).collect()
    }

    /// The version that a processor shall run: the one it is pinned to, or the newest.
    pub(crate) async fn plugin_for(&self, spec: &Spec) -> Option<Offer> {
        let Some(digest) = &spec.pinned else {
            let snapshot = self.0.catalog.snapshot();
            let Active { plugin, before, .. } = snapshot.types.get(&spec.kind)?.clone();
            let rollout = snapshot.states.get(&spec.kind).and_then(|state| state.rollout.as_ref());
            return Some(match before {
                Some(before) if waits(spec.one_first, &spec.name, rollout) => {
                    Offer::new(before, None)
                }
                before => Offer::new(plugin, before),
            });
        };
        match self.0.catalog.version(digest).await {
            Ok(plugin) => Some(Offer::new(plugin, None)),
            Err(error) => {
                // The shards say that they have none; they are asked again and again.
                tracing::debug!(processor = %spec.name, digest, cause = %error, "pinned version cannot be loaded");
                None
            }
        }
    }

    /// Starts the tasks; `before` are the shards that did the same until now, whose counts go on.
    async fn start(
        &self,
        spec: Arc<Spec>,
        shadow: Option<Plugin>,
        mode: Mode,
        before: &[Arc<ShardStatus>],
    ) -> Running {
        let plugin = self.plugin_for(&spec).await;
        let (mode, _) = watch::channel(mode);
        let (plugin, _) = watch::channel(plugin);
        let (shadow, _) = watch::channel(shadow);
        let (asks, statuses, tasks) = (Vec::new(), Vec::new(), Vec::new());
        let mut running = Running { spec, mode, plugin, shadow, asks, statuses, tasks };
        for shard in 0..running.spec.shards() {
            let status = before.get(shard as usize).cloned().unwrap_or_default();
            status.phase(Phase::Starting);
            let (ask, asks) = mpsc::channel(1);
            let task = self.shard(&running, shard, &status, asks);
            running.asks.push(ask);
            running.tasks.push(tokio::spawn(task.run()));
            running.statuses.push(status);
        }
        running
    }

    fn shard(
        &self,
        running: &Running,
        shard: u32,
        status: &Arc<ShardStatus>,
        asks: mpsc::Receiver<Ask>,
    ) -> Shard {
        let spec = &running.spec;
        let limits = spec.limits(&self.0.options);
        Shard {
            spec: Arc::clone(spec),
            shard,
            mode: running.mode.subscribe(),
            plugin: running.plugin.subscribe(),
            shadow: running.shadow.subscribe(),
            catalog: self.0.catalog.clone(),
            swaps: Arc::clone(&self.0.swaps),
            asks,
            status: Arc::clone(status),
            log: self.0.logs.shard(&spec.name, shard),
            retry: self.0.options.retry,
            found: Position::default(),
            cuts: Default::default(),
            dead: DeadFlow::of(spec, &self.0.registry, &self.0.options.grants),
            size: Size::new(limits.batch_events as usize),
            limits,
            row: 0,
            retries: 0,
            refusals: 0,
            rejects: 0,
            refused_ticks: Default::default(),
            careful: None,
            traces: self.0.options.traces.clone(),
            episode: Episode::default(),
            tally: Tally::default(),
        }
    }

    /// How a processor does.
    pub async fn report(&self, id: Uuid) -> Option<Report> {
        let entry = self.0.running.lock().await.get(&id).cloned()?;
        // A look must not wait for a processor that is being stopped.
        let entry = entry.try_lock().ok()?;
        let statuses = entry.running.iter().flat_map(|running| running.statuses.iter());
        let shards = statuses.zip(0..).map(|(status, shard)| status.report(shard)).collect();
        Some(Report { shards, problem: entry.problem.clone(), held: entry.held.clone() })
    }

    /// How often an event of a processor may take effect; none where it cannot run at all.
    pub async fn delivery(&self, processor: &Processor) -> Option<Delivery> {
        let Inner { registry, brokers, .. } = &*self.0;
        Some(Spec::resolve(processor, registry, brokers).await.ok()?.delivery)
    }

    /// What the plugins logged.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// Finishes what is in flight and ends every task; positions are kept.
    pub async fn drain(&self) {
        let entries = self.entries().await;
        for entry in &entries {
            entry.lock().await.tell(Mode::Stop);
        }
        for entry in entries {
            entry.lock().await.stop(Mode::Stop).await;
        }
    }
}

impl Entry {
    /// Starts, restarts or tells the tasks, as the processor's row and its flows demand.
    async fn agree(&mut self, processors: &Processors, processor: &Processor) {
        self.hold(processors, processor);
        let mode = match processor.desired {
            Desired::Running if self.held.is_some() => Mode::Pause,
            Desired::Running => Mode::Run,
            Desired::Paused => Mode::Pause,
            Desired::Stopped | Desired::Deleted => Mode::Stop,
        };
        let Inner { registry, brokers, .. } = &*processors.0;
        let spec = match Spec::resolve(processor, registry, brokers).await {
            Ok(spec) => Arc::new(spec),
            Err(error) => return self.cannot(processors, processor, error.to_string()).await,
        };
        let plugin = processors.plugin_for(&spec).await;
        let keyed = plugin.as_ref().is_some_and(|offer| is_keyed(&offer.plugin));
        let scattered = keyed.then(|| spec.scattered_keys());
        if let Some(problem) = scattered.flatten() {
            return self.cannot(processors, processor, problem).await;
        }
        self.problem = None;
        let shadow = processors.shadow_of(processor).await;
        let plugin = plugin.filter(|_| mode == Mode::Run);
        let fits = self.goes_on_with(&spec, plugin.as_ref().map(|offer| &offer.plugin)).await;
        if !fits || self.has_ended() && mode != Mode::Stop {
            self.stop(Mode::Stop).await;
            let before = self.running.take().map(|running| running.statuses).unwrap_or_default();
            self.running = Some(processors.start(spec, shadow.clone(), mode, &before).await);
        }
        if let Some(running) = &self.running {
            running.offer(processors.plugin_for(&running.spec).await);
            offer(&running.shadow, shadow);
        }
        self.tell(mode);
    }

    /// Whether what runs can stay: nothing has changed, or it has taken, or refused, another configuration.
    async fn goes_on_with(&mut self, spec: &Arc<Spec>, plugin: Option<&Plugin>) -> bool {
        self.refused = None;
        let Some(running) = &mut self.running else { return false };
        if running.spec.same(spec) {
            return true;
        }
        let able = plugin.is_some_and(|plugin| plugin.exports(Optional::Reconfigure));
        if !able || !running.spec.same_but_config(spec) || !running.is_up() {
            return false;
        }
        match reconfigure::ask(&running.asks, spec).await {
            Taken::Yes => running.spec = Arc::clone(spec),
            Taken::No(words) => self.refused = Some(words),
            Taken::Unasked => return false,
        }
        true
    }

    /// Whether its owner may not do what it does; says so once.
    fn hold(&mut self, processors: &Processors, processor: &Processor) {
        let runs = processor.desired == Desired::Running;
        let held = if runs { processors.forbidden(processor) } else { None };
        if runs && self.held != held {
            let name = processor.name.as_str();
            let words = if held.is_some() { "held" } else { "held no longer" };
            let cause = held.clone().unwrap_or_else(|| "its owner may again".to_owned());
            let fields: [(&str, &dyn std::fmt::Display); 1] = [("cause", &cause)];
            processors.0.logs.host_line(name, None, Level::Warn, words, &fields);
        }
        self.held = held;
    }

    /// Ends the tasks of a processor that cannot run, and says why once.
    async fn cannot(&mut self, processors: &Processors, processor: &Processor, problem: String) {
        self.stop(Mode::Stop).await;
        self.running = None;
        if self.problem.as_ref() != Some(&problem) {
            let fields: [(&str, &dyn std::fmt::Display); 1] = [("cause", &problem)];
            let name = processor.name.as_str();
            processors.0.logs.host_line(name, None, Level::Error, "cannot run", &fields);
        }
        self.problem = Some(problem);
    }

    /// Waits until the tasks have done what they were told, or cannot.
    async fn arrived(&mut self, desired: Desired) {
        if desired == Desired::Stopped {
            return self.stop(Mode::Stop).await;
        }
        let Some(running) = &self.running else { return };
        let held = desired == Desired::Paused || self.held.is_some();
        for status in &running.statuses {
            status.settled_as(held).await;
        }
    }

    async fn destroy(&mut self, processors: &Processors, processor: &Processor) {
        if self.has_ended() || self.running.is_none() {
            let Inner { registry, brokers, .. } = &*processors.0;
            if let Ok(spec) = Spec::resolve(processor, registry, brokers).await {
                let spec = Arc::new(spec);
                self.running = Some(processors.start(spec, None, Mode::Destroy, &[]).await);
            }
        }
        self.stop(Mode::Destroy).await;
        self.running = None;
    }

    fn tell(&self, mode: Mode) {
        if let Some(running) = &self.running {
            running.mode.send_if_modified(|now| std::mem::replace(now, mode) != mode);
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
}

impl Running {
    /// Whether every shard processes, or waits for events.
    fn is_up(&self) -> bool {
        let runs = |status: &Arc<ShardStatus>| status.report(0).phase == Phase::Running;
        *self.mode.borrow() == Mode::Run && self.statuses.iter().all(runs)
    }

    fn offer(&self, mut offer: Option<Offer>) {
        let digest =
            |offer: &Option<Offer>| offer.as_ref().map(|offer| Arc::clone(offer.plugin.digest()));
        self.plugin.send_if_modified(|now| {
            let differs = digest(now) != digest(&offer);
            // That a version has proved itself is no reason to wake anybody.
            match (&*now, &mut offer) {
                (Some(now), Some(offer)) if !differs => offer.meeting = Arc::clone(&now.meeting),
                _ => {}
            }
            *now = offer.take();
            differs
        });
    }
}

/// Tells of a version, if it is another one.
fn offer(to: &watch::Sender<Option<Plugin>>, plugin: Option<Plugin>) {
    let digest =
        |plugin: &Option<Plugin>| plugin.as_ref().map(|plugin| Arc::clone(plugin.digest()));
    to.send_if_modified(|now| {
        let differs = digest(now) != digest(&plugin);
        if differs {
            *now = plugin;
        }
        differs
    });
}
