//! A version with a state of its own, whose answers are only looked at.

use std::sync::Arc;

use host_plugins::state::Change;
use host_plugins::{CallError, Instance, Plugin, Setup, ShardState, SharedState};

use crate::inputs::Next;
use crate::pieces;
use crate::shadow::answer::Effects;

/// One of two versions that are compared.
pub(super) struct Side {
    plugin: Plugin,
    setup: Setup,
    /// None while another one is made: two at a time would need twice the room.
    instance: Option<Instance>,
}

impl Side {
    /// Makes an instance on the state in `setup`, which is nobody else's.
    pub(super) async fn start(plugin: Plugin, setup: Setup) -> Result<Self, CallError> {
        let instance = begin(&plugin, &setup).await?;
        Ok(Self { plugin, setup, instance: Some(instance) })
    }

    /// Goes on from another state.
    pub(super) async fn go_on(&mut self, state: ShardState) -> Result<(), CallError> {
        self.setup.state = SharedState::new(state);
        self.instance = None;
        self.instance = Some(begin(&self.plugin, &self.setup).await?);
        Ok(())
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
            self.setup.state.lock().begin();
            let answer = match &mut self.instance {
                Some(instance) => instance.process(piece.input, flow, piece.batch.clone()).await,
                None => Err(CallError::Dead),
            };
            match answer {
                Ok(actions) => {
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
                    self.renew().await?;
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

    async fn renew(&mut self) -> Result<(), CallError> {
        // What was to be taken over has been.
        let setup = Setup { takes_over: None, ..self.setup.clone() };
        self.instance = None;
        self.instance = Some(self.plugin.instantiate(setup).await?);
        Ok(())
    }
}

/// An instance on a new copy of a state, which it takes over where it reads it otherwise.
async fn begin(plugin: &Plugin, setup: &Setup) -> Result<Instance, CallError> {
    setup.state.lock().begin();
    let instance = plugin.instantiate(setup.clone()).await;
    setup.state.lock().committed();
    instance
}
