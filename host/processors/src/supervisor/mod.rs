//! Makes the processors that run agree with the registry.
//!
//! The journal's steps come in through [`Processors::apply`]; changes of the plugin catalog are
//! followed. Every look compares what should be with what is, so a repeated change does no harm.

mod entry;
mod looks;
mod running;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use host_iam::{Grants, Quotas};
use host_observe::Histogram;
use host_observe::traces::Traces;
use host_plugins::{Catalog, Limits};
use host_registry::{Desired, Processor, Registry, RegistryError};
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

use crate::control::Mode;
use crate::intake::Intake;
use crate::lag::Lags;
use crate::logs::Logs;
use crate::rollouts::{FirstDoes, ROLLOUT_LOOK};
use crate::shadow::Pasts;
use crate::shard::Backoff;
use crate::snapshots::Snapshots;
use crate::spec::Brokers;
use crate::status::{Phase, ShardReport};
use crate::successors::Comparisons;
use crate::views::Parlour;
use entry::Entry;

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
    /// What a shadow has to do alike before it follows by itself.
    pub shadow: FirstDoes,
    /// Where snapshots of states are kept; nowhere where that is not said.
    pub snapshots: Option<PathBuf>,
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
    /// How versions do that are to follow where they do the same.
    pub(crate) comparisons: Comparisons,
    pub(crate) snapshots: Snapshots,
    /// Somebody wants new versions looked at.
    pub(crate) look: Notify,
    pub(crate) swaps: Arc<Histogram>,
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
    /// Why a broker of its flows does not answer.
    pub away: Option<String>,
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
        let snapshots = Snapshots::at(options.snapshots.clone());
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
            comparisons: Comparisons::default(),
            snapshots,
            look: Notify::new(),
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
            let tried = self.look_at_rollouts().await | self.look_at_successors().await;
            tokio::select! {
                changed = catalog.changed() => if changed.is_err() { return },
                () = self.0.look.notified() => {}
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
            // One that is being written is waited for, and nothing else of it has to.
            drop(entry);
            self.forget_snapshots(processor.id).await;
            return Ok(());
        }
        if processor.is_shadow_first() {
            self.0.look.notify_one();
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
        let (mut missing, mut back) = (false, Vec::new());
        for entry in self.entries().await {
            if let Some(running) = &entry.lock().await.running {
                let plugin = self.plugin_for(&running.spec).await;
                missing |= plugin.is_none();
                // One that runs goes on, whatever stands against loading it now.
                if plugin.is_some() {
                    running.offer(plugin);
                    let offer = running.plugin.borrow();
                    let (spec, shards) = (&running.spec, &running.statuses);
                    back.extend(self.stays_back(spec, offer.as_ref(), shards));
                }
            }
        }
        for back in back {
            self.keep_back(back).await;
        }
        missing
    }

    async fn entry(&self, id: Uuid) -> Arc<Mutex<Entry>> {
        Arc::clone(self.0.running.lock().await.entry(id).or_default())
    }

    async fn entries(&self) -> Vec<Arc<Mutex<Entry>>> {
        self.0.running.lock().await.values().cloned().collect()
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
