//! One running copy of a plugin: its memory, its state, its log. Serves one shard and belongs to one
//! task.

use std::sync::Arc;

use host_events::Batch;

use crate::action::Action;
use crate::error::CallError;
use crate::limits::Limits;
use crate::log::LogSink;
use crate::plugin::Plugin;
use crate::state::SharedState;

/// What an instance is made with.
#[derive(Clone)]
pub struct Setup {
    /// The processor's name.
    pub processor: String,
    /// The shard it serves.
    pub shard: u32,
    /// The input flows' names, in order.
    pub inputs: Vec<String>,
    /// The output flows' names, in order.
    pub outputs: Vec<String>,
    /// The configuration, a JSON document.
    pub config: String,
    /// The shard's state.
    pub state: SharedState,
    /// What it may use up.
    pub limits: Limits,
    /// Where its lines go.
    pub log: Arc<dyn LogSink>,
    /// A JSON object for whatever may grow.
    pub more: String,
}

/// A running copy. A call that is dropped before it ended leaves it dead.
#[derive(Debug)]
pub struct Instance {
    _plugin: Plugin,
}

impl Instance {
    pub(crate) async fn start(plugin: &Plugin, _setup: Setup) -> Result<Self, CallError> {
        Ok(Self { _plugin: plugin.clone() })
    }

    /// Hands a batch over and gives back what the plugin decided, checked. Call
    /// [`crate::ShardState::begin`] first, or the plugin cannot write state.
    ///
    /// # Errors
    /// See [`CallError`]; after one that is not [`CallError::is_alive`] every call is `Dead`.
    pub async fn process(
        &mut self,
        _input: u32,
        _flow: &Arc<str>,
        _batch: Batch,
    ) -> Result<Vec<Action>, CallError> {
        Err(CallError::Dead)
    }

    /// Calls `pause`.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn pause(&mut self) -> Result<(), CallError> {
        Err(CallError::Dead)
    }

    /// Calls `resume`.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn resume(&mut self) -> Result<(), CallError> {
        Err(CallError::Dead)
    }

    /// Calls `destroy`, once, when the processor is deleted.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn destroy(&mut self) -> Result<(), CallError> {
        Err(CallError::Dead)
    }

    /// Bytes of its linear memories now.
    #[must_use]
    pub fn memory(&self) -> usize {
        0
    }

    /// Share of its calls that ended in the slow lane, 0 to 1.
    #[must_use]
    pub fn slow_share(&self) -> f64 {
        0.0
    }
}
