//! The running of one shard: what comes next, and a clean end.
//!
//! While a commit is in flight the next batches are read and processed; what they decide is gathered
//! and goes into the next commit as soon as the one before has ended. So commits are frequent when
//! there is little to do and grow with the load.

use host_brokers::Fence;
use host_events::{Incarnation, Position};
use host_plugins::{Instance, Plugin, SharedState};

use crate::commits::{InFlight, Settled, Waiting};
use crate::control::Mode;
use crate::inputs::{Inputs, Next};
use crate::living::{Living, until};
use crate::reconfigure::Ask;
use crate::shadow::Companion;
use crate::shard::{Failure, Held, Shard};
use crate::spec::Endpoint;
use crate::ticks::Ticks;

/// How a run ended when nothing went wrong.
pub(crate) enum End {
    /// Somebody asked for another mode, or for another version in the middle of something.
    ModeChanged,
    /// The processor was deleted and `destroy` was called.
    Destroyed,
}

pub(crate) struct Worker<'a> {
    pub(crate) shard: &'a mut Shard,
    pub(crate) plugin: Plugin,
    pub(crate) living: Living,
    pub(crate) state: SharedState,
    inputs: Inputs,
    /// Absent while a commit is in flight.
    pub(crate) fence: Option<Box<dyn Fence>>,
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) waiting: Waiting,
    /// The dead-letter flow, once it was needed.
    pub(crate) dead: Option<Endpoint>,
    /// Committed when the shard was taken over.
    pub(crate) began_at: Position,
    /// Another version that sees the same.
    pub(crate) companion: Option<Companion>,
    pub(crate) ticks: Ticks,
}

enum Wake {
    Settled(Settled),
    Mode,
    Plugin,
    Shadow,
    Ask(Ask),
    Tick,
    Batch(Next),
    /// Nothing came for a while.
    Idle,
}

/// Where a position moves once a batch is decided.
pub(crate) type Moves<'a> = &'a [(Incarnation, u32, u64)];

impl<'a> Worker<'a> {
    pub(crate) fn new(
        shard: &'a mut Shard,
        plugin: Plugin,
        instance: Instance,
        held: Held,
        inputs: Inputs,
    ) -> Self {
        let ticks = Ticks::after(&held.positions, Incarnation(shard.spec.id));
        Self {
            shard,
            plugin,
            living: Living::new(instance),
            state: held.state,
            inputs,
            fence: Some(held.fence),
            in_flight: None,
            waiting: Waiting::default(),
            dead: None,
            began_at: held.positions,
            companion: None,
            ticks,
        }
    }

    pub(crate) async fn run(mut self) -> Result<End, Failure> {
        if let Some(end) = self.replay().await? {
            return Ok(end);
        }
        self.follow_shadow();
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
                Wake::Shadow => self.follow_shadow(),
                Wake::Idle => self.rest(),
                Wake::Ask(ask) => self.reconfigure(ask).await?,
                Wake::Tick => self.tick().await?,
                Wake::Batch(next) => {
                    if let Some(end) = self.process(next).await? {
                        return Ok(end);
                    }
                }
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
                self.prepare().await?;
                if let Some(instance) = self.living.there() {
                    instance.destroy().await?;
                }
                Ok(Some(End::Destroyed))
            }
        }
    }

    async fn wake(&mut self) -> Result<Wake, Failure> {
        let room = self.has_room();
        let busy = self.in_flight.is_some() || self.waiting.has_something();
        // Another version takes over where nothing that this one decided waits for the commit in flight to end. Until
        // then this one goes on, so that no event waits for a commit because of the other.
        let may_swap = self.in_flight.is_none() || !self.waiting.has_something();
        let idle = if busy { None } else { self.living.until(&self.shard.limits) };
        // What a subscriber gets is made of events: a policy never ticks, and a tick's event would have no trace.
        let ticks = self.shard.spec.lends.is_none();
        let interval = self.living.interval().filter(|_| ticks);
        let tick = interval.map(|interval| self.ticks.due(interval));
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
            Ok(()) = self.shard.plugin.changed(), if may_swap => Wake::Plugin,
            Ok(()) = self.shard.shadow.changed() => Wake::Shadow,
            Some(ask) = self.shard.asks.recv() => Wake::Ask(ask),
            () = until(tick), if room => Wake::Tick,
            next = self.inputs.next(), if room => Wake::Batch(next?),
            () = until(idle) => Wake::Idle,
        })
    }

    /// Whether somebody wants something else of this shard than what it is in the middle of.
    pub(crate) fn is_called_away(&self) -> bool {
        // A sender that is gone: the host is ending.
        self.shard.mode.has_changed().unwrap_or(true)
            || self.shard.plugin.has_changed().unwrap_or(true)
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        self.drain().await?;
        // One that is not there has nothing to end.
        match self.living.there() {
            Some(instance) => Ok(instance.pause().await?),
            None => Ok(()),
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // A commit in flight is left to end by itself: aborting it would not undo it. The next
        // beginning fences it and reads what is true.
        self.in_flight.take();
    }
}
