//! A version with a state of its own, whose answers are only looked at.

use std::sync::Arc;
use std::time::Duration;

use host_plugins::state::Change;
use host_plugins::{CallError, Instance, Plugin, Setup, ShardState, SharedState};

use crate::inputs::Next;
use crate::living::Growth;
use crate::pieces;
use crate::shadow::answer::Effects;

/// One of two versions that are compared.
pub(super) struct Side {
    plugin: Plugin,
    setup: Setup,
    /// The version whose state it takes over, where it does.
    from: Option<String>,
    interval: Option<Duration>,
    /// Not there while nothing comes.
    instance: Option<Instance>,
    growth: Growth,
}

impl Side {
    /// Makes an instance on the state in `setup`, which is nobody else's.
    pub(super) async fn start(
        plugin: Plugin,
        setup: Setup,
        from: Option<String>,
    ) -> Result<Self, CallError> {
        let (interval, instance, growth) = (None, None, Growth::default());
        let mut side = Self { plugin, setup, from, interval, instance, growth };
        side.begin().await?;
        Ok(side)
    }

    /// Goes on from another state.
    pub(super) async fn go_on(&mut self, state: ShardState) -> Result<(), CallError> {
        // Two at a time would need twice the room.
        self.instance = None;
        self.setup.state = SharedState::new(state);
        self.begin().await
    }

    /// How often it wants to be called by the clock.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Gives the instance back until something comes.
    pub(super) fn rest(&mut self) {
        self.instance = None;
    }

    /// Whether it is given back.
    pub(super) fn rests(&self) -> bool {
        self.instance.is_none()
    }

    /// What it does at a moment, and how it changes the state.
    ///
    /// # Errors
    /// Where it cannot go on at all.
    pub(super) async fn tick(&mut self, now: i64) -> Result<(Effects, Vec<Change>), CallError> {
        let mut effects = Effects::of(0);
        self.there().await?;
        self.setup.state.lock().begin();
        let Some(instance) = &mut self.instance else { return Err(CallError::Dead) };
        match instance.tick(now).await {
            Ok(actions) => {
                self.growth.ticked(instance);
                let mut state = self.setup.state.lock();
                let changes = state.take_changes();
                state.committed();
                effects.decided(actions);
                Ok((effects, changes))
            }
            Err(cause @ (CallError::Fatal(_) | CallError::Busy(_))) => Err(cause),
            Err(cause) => {
                self.setup.state.lock().abandon();
                self.instance = None;
                effects.failed_alone(cause.to_string());
                Ok((effects, Vec::new()))
            }
        }
    }

    /// Answers a batch: what it does to each event, and how it changes the state. Where it fails, the batch is cut
    /// until the event that fails alone is found, as for the version that counts.
    ///
    /// # Errors
    /// Where it cannot go on at all.
    pub(super) async fn answer(
        &mut self,
        next: &Next,
        flow: &Arc<str>,
    ) -> Result<(Effects, Vec<Change>), CallError> {
        let mut effects = Effects::of(next.batch.records.len());
        let mut changes = Vec::new();
        let mut first = 0;
        let mut left = vec![next.clone()];
        while let Some(piece) = left.pop() {
            let len = piece.batch.records.len();
            self.there().await?;
            self.setup.state.lock().begin();
            let Some(instance) = &mut self.instance else { return Err(CallError::Dead) };
            match instance.process(piece.input, flow, piece.batch.clone()).await {
                Ok(actions) => {
                    self.growth.worked(instance);
                    let mut state = self.setup.state.lock();
                    changes.extend(state.take_changes());
                    state.committed();
                    effects.add(first, &piece.batch, actions);
                    first += len;
                }
                // It asks to be stopped, or there is no room for it.
                Err(cause @ (CallError::Fatal(_) | CallError::Busy(_))) => return Err(cause),
                Err(cause) => {
                    self.setup.state.lock().abandon();
                    self.instance = None;
                    if len > 1 {
                        left.extend(pieces::split(&piece, &cause, false).into_iter().rev());
                    } else {
                        effects.failed(first, cause.to_string());
                        first += len;
                    }
                }
            }
        }
        Ok((effects, changes))
    }

    /// Sees to it that there is an instance, and no grown one; what was to be taken over has been.
    async fn there(&mut self) -> Result<(), CallError> {
        let limits = &self.setup.limits;
        let grown = |instance: &mut Instance| self.growth.is_too_large(instance, limits);
        if let Some(instance) = self.instance.take_if(grown) {
            let (processor, shard) = (&self.setup.processor, self.setup.shard);
            let memory = instance.memory();
            tracing::debug!(processor, shard, memory, "instance to compare with is made anew");
        }
        if self.instance.is_none() {
            let setup = Setup { takes_over: None, ..self.setup.clone() };
            self.now_is(self.plugin.instantiate(setup).await?);
        }
        Ok(())
    }

    fn now_is(&mut self, instance: Instance) {
        self.growth = Growth::default();
        self.instance = Some(instance);
    }

    /// An instance on a new copy of a state, which it takes over where it reads it otherwise.
    async fn begin(&mut self) -> Result<(), CallError> {
        let state = &self.setup.state;
        state.lock().begin();
        let takes_over = self.from.clone().filter(|_| !state.lock().is_empty());
        let made = self.plugin.instantiate(Setup { takes_over, ..self.setup.clone() }).await;
        state.lock().committed();
        let instance = made?;
        self.interval = instance.interval();
        self.now_is(instance);
        Ok(())
    }
}
