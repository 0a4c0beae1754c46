//! What the host keeps for one instance, inside its store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::Resource;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::instance::Setup;
use crate::lanes::Meter;
use crate::limiter::Limiter;
use crate::limits::MAX_HANDLES;
use crate::log::Gate;
use crate::state::{SharedState, StateLimits};
use crate::view::{BatchHandle, Batches, View};
use crate::wasi::Wasi;

/// The data of a store.
pub(crate) struct Host {
    pub(crate) limiter: Limiter,
    pub(crate) wasi: Wasi,
    pub(crate) state: SharedState,
    pub(crate) state_limits: StateLimits,
    /// Whether the guest may write state: only while it processes a batch or a tick, or migrates.
    pub(crate) may_write: bool,
    pub(crate) batches: Batches,
    pub(crate) meter: Meter,
    log: Arc<Mutex<Gate>>,
    processor: String,
    shard: u32,
    deadline: u32,
}

/// The guest ran longer than a call may.
#[derive(Debug, thiserror::Error)]
#[error("ran too long")]
pub(crate) struct TimeUp;

impl Host {
    fn new(setup: &Setup) -> Self {
        let gate = Gate::new(Arc::clone(&setup.log), setup.limits.log_lines);
        let gate = gate.before_init(&setup.said);
        let log = Arc::new(Mutex::new(gate));
        let seed: [&[u8]; 2] = [setup.processor.as_bytes(), &setup.shard.to_le_bytes()];
        Self {
            limiter: Limiter::new(&setup.limits),
            wasi: Wasi::new(&log, &seed),
            state: setup.state.clone(),
            state_limits: StateLimits {
                total: setup.limits.state_bytes,
                value: setup.limits.state_value_bytes,
            },
            may_write: false,
            batches: Batches::default(),
            meter: Meter::of(&setup.usage),
            log,
            processor: setup.processor.clone(),
            shard: setup.shard,
            deadline: 0,
        }
    }

    /// The way to the processor's log.
    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch begins: its clock, its random numbers, its handle.
    pub(crate) fn begin(&mut self, view: View) -> wasmtime::Result<Resource<BatchHandle>> {
        self.stand_at(&view);
        self.batches.begin(view)
    }

    /// A call begins that may write: its clock and its random numbers.
    pub(crate) fn stand_at(&mut self, view: &View) {
        let shard = self.shard.to_le_bytes();
        let seed: [&[u8]; 3] = [self.processor.as_bytes(), &shard, &view.position()];
        self.wasi.begin(view.timestamp(), &seed);
        self.may_write = true;
    }

    /// The batch, or the tick, is over.
    pub(crate) fn end(&mut self) {
        self.may_write = false;
        self.batches.end();
    }

    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if self.meter.tick() > self.deadline {
            return Err(TimeUp.into());
        }
        // A plain yield would let tokio poll the same task again before all others.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }
}

/// Makes a store with its limits.
pub(crate) fn store(engine: &Engine, setup: &Setup) -> Store<Host> {
    let mut store = Store::new(engine, Host::new(setup));
    store.limiter(|host| &mut host.limiter);
    store.epoch_deadline_callback(|mut store| store.data_mut().tick());
    let lifted = usize::try_from(setup.limits.lifted_bytes()).unwrap_or(usize::MAX);
    store.set_hostcall_fuel(lifted);
    store.set_max_component_handles(MAX_HANDLES);
    store
}

/// A call begins, and may run for so many ticks.
pub(crate) fn begin_call(store: &mut Store<Host>, deadline: u32) {
    store.set_epoch_deadline(1);
    let host = store.data_mut();
    host.deadline = deadline;
    host.meter.reset();
    host.limiter.take_refused();
    host.gate().take_last_words();
}
