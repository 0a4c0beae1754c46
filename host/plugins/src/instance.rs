//! One running copy of a plugin: its memory, its state, its log. Serves one shard and belongs to one
//! task.

mod migrate;
mod reconfigure;
mod timer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use host_events::Batch;

use crate::action::Action;
use crate::call::{Caller, Deadline};
use crate::engine::Engine;
use crate::error::{CallError, LoadError};
use crate::limits::Limits;
use crate::lines::Lines;
use crate::log::{LogSink, NoLog};
use crate::plugin::{Info, Plugin};
use crate::said::Said;
use crate::state::SharedState;
use crate::usage::Usage;
use crate::v1::{self, Linked};
use crate::view::View;

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
    /// What it uses up is counted here.
    pub usage: Arc<Usage>,
    /// What instances before this one said in `init`, for the same shard: said again, it is not heard.
    pub said: Arc<Said>,
    /// The version that made the state, where that is another one and this one shall take it over. Call
    /// [`crate::ShardState::begin`] first.
    pub takes_over: Option<String>,
}

impl Setup {
    /// A setup with no flows, an empty configuration and an empty state of its own.
    #[must_use]
    pub fn empty(processor: &str) -> Self {
        Self {
            processor: processor.to_owned(),
            shard: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            config: "{}".to_owned(),
            state: SharedState::default(),
            limits: Limits::default(),
            log: Arc::new(NoLog),
            more: "{}".to_owned(),
            usage: Arc::default(),
            said: Arc::default(),
            takes_over: None,
        }
    }

    fn for_guest(self) -> v1::Setup {
        v1::Setup {
            config: self.config,
            inputs: self.inputs,
            outputs: self.outputs,
            processor: self.processor,
            shard: self.shard,
            more: self.more,
        }
    }
}

/// What a batch cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Time in which the guest ran, or the host for it.
    pub time: Duration,
    /// New or changed events.
    pub events: u32,
    /// Bytes of them.
    pub bytes: u64,
}

/// A running copy. A call that is dropped before it ended leaves it dead.
pub struct Instance {
    plugin: Plugin,
    caller: Caller,
    limits: Limits,
    outputs: u32,
    usage: Arc<Usage>,
    shard: u32,
    interval: Option<Duration>,
    cost: Cost,
}

impl Instance {
    pub(crate) async fn start(plugin: &Plugin, setup: Setup) -> Result<Self, CallError> {
        let usage = Arc::clone(&setup.usage);
        let started = Self::start_uncounted(plugin, setup).await;
        match &started {
            Ok(_) => usage.made(),
            Err(error) => usage.failed(error),
        }
        started
    }

    async fn start_uncounted(plugin: &Plugin, setup: Setup) -> Result<Self, CallError> {
        let usage = Arc::clone(&setup.usage);
        setup.said.meet(plugin.digest());
        let mut caller = Caller::new(&plugin.0.engine, &setup).with_lines(&plugin.0.lines);
        let limits = setup.limits.clone();
        let (outputs, shard) =
            (u32::try_from(setup.outputs.len()).unwrap_or(u32::MAX), setup.shard);
        caller.instantiate(plugin.0.component.clone()).await?;
        migrate::take_over(&mut caller, &setup).await?;
        let done = caller.call(Deadline::Init, move |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                let answer = guest.init.call(&mut *store, (setup.for_guest(),)).await;
                store.data_mut().gate().end_init();
                answer
            })
        });
        done.await?.map_err(|error| v1::refused(error, None))?;
        let plugin = plugin.clone();
        let (interval, cost) = (None, Cost::default());
        let mut instance = Self { plugin, caller, limits, outputs, usage, shard, interval, cost };
        instance.ask_interval().await?;
        Ok(instance)
    }

    /// Hands a batch over and gives back what the plugin decided, checked. Call
    /// [`crate::ShardState::begin`] first, or the plugin cannot write state.
    ///
    /// # Errors
    /// See [`CallError`]; after one that is not [`CallError::is_alive`] every call is `Dead`.
    pub async fn process(
        &mut self,
        input: u32,
        flow: &Arc<str>,
        batch: Batch,
    ) -> Result<Vec<Action>, CallError> {
        let view = View::new(input, Arc::clone(flow), batch);
        let answer = self.process_uncounted(view).await;
        answer.inspect_err(|error| self.usage.failed(error))
    }

    async fn process_uncounted(&mut self, view: View) -> Result<Vec<Action>, CallError> {
        let shown = view.clone();
        let answer = self.caller.call(Deadline::Call, move |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                let handle = store.data_mut().begin(shown)?;
                let answer = guest.process.call(store, (handle,)).await;
                store.data_mut().end();
                answer
            })
        });
        let actions = answer.await?.map_err(|error| v1::refused(error, Some(&view)))?;
        let answer = v1::check(actions, &view, &self.terms(self.plugin.info().unnamed_dropped))?;
        self.cost = Cost { time: self.caller.ran(), events: answer.events, bytes: answer.bytes };
        Ok(answer.actions)
    }

    /// What its decisions are held against.
    fn terms(&self, unnamed_dropped: bool) -> v1::Terms<'_> {
        let version = self.plugin.0.component.version();
        v1::Terms { outputs: self.outputs, unnamed_dropped, limits: &self.limits, version }
    }

    /// Calls `pause`.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn pause(&mut self) -> Result<(), CallError> {
        let done = self.caller.call(Deadline::Call, |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                guest.pause.call(store, ()).await
            })
        });
        let done = done.await.and_then(|done| done.map_err(|error| v1::refused(error, None)));
        done.inspect_err(|error| self.usage.failed(error))
    }

    /// Calls `resume`.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn resume(&mut self) -> Result<(), CallError> {
        let done = self.caller.call(Deadline::Call, |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                guest.resume.call(store, ()).await
            })
        });
        let done = done.await.and_then(|done| done.map_err(|error| v1::refused(error, None)));
        done.inspect_err(|error| self.usage.failed(error))
    }

    /// Calls `destroy`, once, when the processor is deleted.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn destroy(&mut self) -> Result<(), CallError> {
        let done = self.caller.call(Deadline::Call, |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                guest.destroy.call(store, ()).await
            })
        });
        let done = done.await.and_then(|done| done.map_err(|error| v1::refused(error, None)));
        done.inspect_err(|error| self.usage.failed(error))
    }

    /// The version it runs.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Bytes of its linear memories after the latest call.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.caller.memory()
    }

    /// What the latest batch cost that went well.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Share of its calls that ended in the slow lane, 0 to 1.
    #[must_use]
    pub fn slow_share(&self) -> f64 {
        self.caller.history().share()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alive = if self.caller.is_alive() { "alive" } else { "dead" };
        write!(out, "Instance({:?}, {alive})", self.plugin)
    }
}

/// Asks a component what it is, in an instance of its own that is told nothing and given nothing.
pub(crate) async fn describe(
    engine: &Engine,
    component: Linked,
    lines: Arc<Lines>,
    limits: Limits,
) -> Result<Info, LoadError> {
    let failed = |error: CallError| LoadError::Describe(error.to_string());
    let setup = Setup { limits, ..Setup::empty("describe") };
    let mut caller = Caller::new(engine, &setup).with_lines(&lines);
    caller.instantiate(component).await.map_err(failed)?;
    let said = caller.call(Deadline::Init, |running| {
        Box::pin(async move {
            let (guest, store) = running.exports()?;
            guest.describe.call(store, ()).await
        })
    });
    v1::info(said.await.map_err(failed)?)
}
