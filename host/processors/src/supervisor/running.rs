//! The tasks of one processor, and what they are told while they run.

use std::sync::Arc;

use host_events::Position;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Processors;
use crate::control::Mode;
use crate::dead::DeadFlow;
use crate::episodes::{Episode, Tally};
use crate::probation::Offer;
use crate::reconfigure::Ask;
use crate::shadow::Beside;
use crate::shard::Shard;
use crate::size::Size;
use crate::spec::Spec;
use crate::status::{Phase, ShardStatus};

pub(super) struct Running {
    pub(super) spec: Arc<Spec>,
    pub(super) mode: watch::Sender<Mode>,
    pub(super) plugin: watch::Sender<Option<Offer>>,
    shadow: watch::Sender<Beside>,
    pub(super) asks: Vec<mpsc::Sender<Ask>>,
    pub(super) statuses: Vec<Arc<ShardStatus>>,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl Processors {
    /// Starts the tasks; `before` are the shards that did the same until now, whose counts go on.
    pub(super) async fn start(
        &self,
        spec: Arc<Spec>,
        shadow: Beside,
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
            said: Arc::default(),
            retry: self.0.options.retry,
            found: Position::default(),
            cuts: Default::default(),
            dead: DeadFlow::of(spec, &self.0.registry, &self.0.options.grants),
            size: Size::new(&limits),
            limits,
            row: 0,
            retries: 0,
            refusals: 0,
            refused_ticks: Default::default(),
            careful: None,
            traces: self.0.options.traces.clone(),
            episode: Episode::default(),
            tally: Tally::default(),
        }
    }
}

impl Running {
    /// Whether every shard processes, or waits for events.
    pub(super) fn is_up(&self) -> bool {
        let runs = |status: &Arc<ShardStatus>| status.report(0).phase == Phase::Running;
        *self.mode.borrow() == Mode::Run && self.statuses.iter().all(runs)
    }

    /// Tells of the version to run. That it has proved itself is no reason to wake anybody.
    pub(super) fn offer(&self, mut offer: Option<Offer>) {
        // Shards that wait for each other go on waiting where they do.
        if let (Some(now), Some(offer)) = (&*self.plugin.borrow(), &mut offer)
            && now.plugin.digest() == offer.plugin.digest()
        {
            offer.meeting = Arc::clone(&now.meeting);
        }
        tell(&self.plugin, offer, |offer| {
            offer.as_ref().map(|offer| Arc::clone(offer.plugin.digest()))
        });
    }

    /// Tells of what shall run beside it.
    pub(super) fn beside(&self, beside: Beside) {
        tell(&self.shadow, beside, Beside::key);
    }
}

/// Tells of something, and wakes whoever listens if it is another one.
fn tell<T, K: PartialEq>(to: &watch::Sender<T>, wanted: T, key: impl Fn(&T) -> K) {
    to.send_if_modified(|now| {
        let differs = key(now) != key(&wanted);
        *now = wanted;
        differs
    });
}
