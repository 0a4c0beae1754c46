//! The running of one shard: batches through the plugin, commits, swaps, and a clean end.
//!
//! While a commit is in flight the next batches are read and processed; what they decide is gathered
//! and goes into the next commit as soon as the one before has ended. So commits are frequent when
//! there is little to do and grow with the load.

use std::sync::Arc;

use host_brokers::{Commit, CommitOutcome, Fence};
use host_events::Position;
use host_plugins::{Instance, Plugin, SharedState};
use tokio::task::JoinHandle;

use crate::control::Mode;
use crate::inputs::{Inputs, Next};
use crate::outputs::Outputs;
use crate::shard::{Failure, Held, Shard, settle};

/// Batches that may wait for a commit: enough to fill it while the one before is written.
const MOST_WAITING_BATCHES: usize = 8;
/// Bytes that may wait for a commit. With the commit in flight a busy shard holds twice this.
const MOST_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How a run ended when nothing went wrong.
pub(crate) enum End {
    /// Somebody asked for another mode.
    ModeChanged,
    /// The processor was deleted and `destroy` was called.
    Destroyed,
}

pub(crate) struct Worker<'a> {
    shard: &'a mut Shard,
    plugin: Plugin,
    instance: Instance,
    state: SharedState,
    inputs: Inputs,
    /// Absent while a commit is in flight.
    fence: Option<Box<dyn Fence>>,
    in_flight: Option<InFlight>,
    waiting: Waiting,
}

/// Decided, not yet committed.
#[derive(Default)]
struct Waiting {
    outputs: Outputs,
    positions: Position,
    state: Vec<(bytes::Bytes, Option<bytes::Bytes>)>,
    batches: usize,
    events_in: u64,
    /// A commit that is due even without events: the plugin changed.
    due: bool,
}

struct InFlight {
    task: JoinHandle<(Box<dyn Fence>, CommitOutcome)>,
    positions: Position,
    batches: usize,
    events_in: u64,
    events_out: u64,
}

enum Wake {
    Settled(Result<(Box<dyn Fence>, CommitOutcome), tokio::task::JoinError>),
    Mode,
    Plugin,
    Batch(Next),
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        shard: &'a mut Shard,
        plugin: Plugin,
        instance: Instance,
        held: Held,
        inputs: Inputs,
    ) -> Self {
        Self {
            shard,
            plugin,
            instance,
            state: held.state,
            inputs,
            fence: Some(held.fence),
            in_flight: None,
            waiting: Waiting::default(),
        }
    }

    pub(crate) async fn run(mut self) -> Result<End, Failure> {
        loop {
            match self.wake().await? {
                Wake::Settled(settled) => self.settled(settled)?,
                Wake::Mode => {
                    let mode = *self.shard.mode.borrow_and_update();
                    if let Some(end) = self.obey(mode).await? {
                        return Ok(end);
                    }
                }
                Wake::Plugin => self.swap().await?,
                Wake::Batch(next) => self.process(next).await?,
            }
            self.commit_if_idle();
        }
    }

    async fn obey(&mut self, mode: Mode) -> Result<Option<End>, Failure> {
        match mode {
            Mode::Run => Ok(None),
            Mode::Pause | Mode::Stop => {
                self.finish().await?;
                Ok(Some(End::ModeChanged))
            }
            Mode::Destroy => {
                self.finish().await?;
                self.instance.destroy().await?;
                Ok(Some(End::Destroyed))
            }
        }
    }

    async fn wake(&mut self) -> Result<Wake, Failure> {
        let room = self.waiting.batches < MOST_WAITING_BATCHES
            && self.waiting.outputs.bytes() < MOST_WAITING_BYTES;
        let in_flight = async {
            match &mut self.in_flight {
                Some(in_flight) => (&mut in_flight.task).await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            biased;
            settled = in_flight => Wake::Settled(settled),
            changed = self.shard.mode.changed() => {
                // The supervisor is gone: the host is ending.
                changed.map_err(|_| Failure::Fenced)?;
                Wake::Mode
            }
            Ok(()) = self.shard.plugin.changed() => Wake::Plugin,
            next = self.inputs.next(), if room => Wake::Batch(next?),
        })
    }

    async fn process(&mut self, next: Next) -> Result<(), Failure> {
        let Next { input, batch } = next;
        let flow = self.shard.spec.inputs.get(input as usize).map(|end| Arc::clone(&end.name));
        let flow = flow.unwrap_or_else(|| "".into());
        self.state.lock().begin();
        if !batch.records.is_empty() {
            let actions = self.instance.process(input, &flow, batch.clone()).await?;
            let (outputs, shard) = (&self.shard.spec.outputs, self.shard.shard);
            self.waiting.outputs.apply(outputs, shard, &batch, actions)?;
        }
        self.waiting.state.extend(self.state.lock().take_changes());
        self.waiting.positions.set(batch.flow, batch.partition, batch.next);
        self.waiting.batches += 1;
        self.waiting.events_in += batch.records.len() as u64;
        Ok(())
    }

    fn commit_if_idle(&mut self) {
        if self.in_flight.is_some() || !self.waiting.has_something() {
            return;
        }
        let Some(mut fence) = self.fence.take() else { return };
        let waiting = std::mem::take(&mut self.waiting);
        let events_out = waiting.outputs.records();
        let commit = Commit {
            positions: waiting.positions.clone(),
            state: waiting.state,
            digest: Arc::clone(self.plugin.digest()),
        };
        let outputs = waiting.outputs.into_ready();
        let task = tokio::spawn(async move {
            let outcome = commit_all(fence.as_mut(), outputs, commit).await;
            (fence, outcome)
        });
        self.in_flight = Some(InFlight {
            task,
            positions: waiting.positions,
            batches: waiting.batches,
            events_in: waiting.events_in,
            events_out,
        });
    }

    fn settled(
        &mut self,
        settled: Result<(Box<dyn Fence>, CommitOutcome), tokio::task::JoinError>,
    ) -> Result<(), Failure> {
        let Some(in_flight) = self.in_flight.take() else { return Ok(()) };
        let (fence, outcome) = settled.map_err(|error| {
            host_brokers::BrokerError::Unavailable(format!("the commit's task ended: {error}"))
        })?;
        settle(outcome)?;
        self.fence = Some(fence);
        for _ in 0..in_flight.batches {
            self.state.lock().committed();
        }
        let InFlight { positions, events_in, events_out, .. } = in_flight;
        self.shard.status.committed(&positions, events_in, events_out);
        Ok(())
    }

    /// Waits until all that was decided is durable.
    async fn drain(&mut self) -> Result<(), Failure> {
        loop {
            if let Some(in_flight) = &mut self.in_flight {
                let settled = (&mut in_flight.task).await;
                self.settled(settled)?;
            }
            if !self.waiting.has_something() {
                return Ok(());
            }
            self.commit_if_idle();
        }
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        self.drain().await?;
        Ok(self.instance.pause().await?)
    }

    /// The new version takes over at this batch boundary, from the same position and state. If it
    /// cannot be made, the old one goes on.
    async fn swap(&mut self) -> Result<(), Failure> {
        let Ok(plugin) = self.shard.current_plugin() else { return Ok(()) };
        if plugin.digest() == self.plugin.digest() {
            return Ok(());
        }
        self.drain().await?;
        let mut instance = match self.shard.instantiate(&plugin, &self.state).await {
            Ok(instance) => instance,
            Err(error) => {
                let processor = &self.shard.spec.name;
                tracing::warn!(%processor, digest = %plugin.digest(), cause = %error, "kept the running plugin");
                return Ok(());
            }
        };
        // The old one is told so, but what it answers cannot hold up its successor.
        if let Err(error) = self.instance.pause().await {
            tracing::info!(processor = %self.shard.spec.name, cause = %error, "pause of the old version failed");
        }
        instance.resume().await?;
        self.shard.status.plugin(plugin.digest(), &plugin.info().version);
        tracing::info!(
            processor = %self.shard.spec.name, shard = self.shard.shard,
            version = plugin.info().version, digest = %plugin.digest(), "new plugin version took over"
        );
        self.instance = instance;
        self.plugin = plugin;
        self.waiting.due = true;
        Ok(())
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // A commit in flight is left to end by itself: aborting it would not undo it. The next
        // beginning fences it and reads what is true.
        self.in_flight.take();
    }
}

impl Waiting {
    fn has_something(&self) -> bool {
        self.due || self.batches > 0
    }
}

async fn commit_all(
    fence: &mut dyn Fence,
    outputs: Vec<host_brokers::Output>,
    commit: Commit,
) -> CommitOutcome {
    let mut transaction = fence.begin();
    if let Err(error) = transaction.send(outputs).await {
        return CommitOutcome::Aborted(error);
    }
    transaction.commit(commit).await
}
