//! One call into a guest: its deadline, its lane, and what its failure means.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use wasmtime::Store;

use crate::engine::Engine;
use crate::error::{CALL_MS, CallError};
use crate::host::{self, Host, TimeUp};
use crate::instance::Setup;
use crate::lanes::History;
use crate::limits::{self, LIFTED, Limits, MAX_STACK};
use crate::lines::Lines;
use crate::log::cut;
use crate::ticker::ticks;
use crate::trace;
use crate::usage::Usage;
use crate::v1::{Exports, Linked};

/// A store, what runs in it, and how its calls went.
pub(crate) struct Caller {
    engine: Engine,
    /// Away while a call has it; gone once a call failed.
    running: Option<Box<Running>>,
    limits: Limits,
    history: History,
    ran: Duration,
    memory: Memory,
    usage: Arc<Usage>,
    lines: Arc<Lines>,
}

/// A store with what runs in it.
pub(crate) struct Running {
    pub(crate) store: Store<Host>,
    guest: Option<Exports>,
}

/// Which deadline a call has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// Instantiation, `describe`, `init`.
    Init,
    /// Everything else.
    Call,
}

impl Caller {
    /// Makes a store; nothing runs yet.
    pub(crate) fn new(engine: &Engine, setup: &Setup) -> Self {
        let store = host::store(engine.wasm(), setup);
        Self {
            engine: engine.clone(),
            running: Some(Box::new(Running { store, guest: None })),
            limits: setup.limits.clone(),
            history: History::default(),
            ran: Duration::ZERO,
            memory: Memory(0, Arc::clone(&setup.usage)),
            usage: Arc::clone(&setup.usage),
            lines: Arc::default(),
        }
    }

    /// Names the lines of the component's source where it traps.
    pub(crate) fn with_lines(self, lines: &Arc<Lines>) -> Self {
        Self { lines: Arc::clone(lines), ..self }
    }

    /// Instantiates a component.
    pub(crate) async fn instantiate(&mut self, component: Linked) -> Result<(), CallError> {
        self.call(Deadline::Init, move |running| {
            Box::pin(async move {
                running.guest = Some(component.instantiate(&mut running.store).await?);
                Ok(())
            })
        })
        .await
    }

    /// Runs one call with its deadline, here or in the slow lane. After a failure the store is gone.
    pub(crate) async fn call<T, C>(&mut self, deadline: Deadline, call: C) -> Result<T, CallError>
    where
        T: Send + 'static,
        C: FnOnce(&mut Running) -> BoxFuture<'_, wasmtime::Result<T>> + Send + 'static,
    {
        let mut running = self.running.take().ok_or(CallError::Dead)?;
        self.usage.called();
        host::begin_call(&mut running.store, ticks(deadline.of(&self.limits).1));
        let meter = running.store.data().meter.clone();
        let soft = ticks(self.limits.soft_ms);
        let future = Box::pin(async move {
            let result = call(&mut running).await;
            (running, result)
        });
        let starts_slow = self.history.starts_slow();
        let _beating = self.engine.running();
        let ended = self.engine.slow_lane().run(future, &meter, soft, starts_slow).await;
        if matches!(deadline, Deadline::Call) {
            // Starting up says nothing about how long a batch takes.
            self.history.record(meter.ticks() >= soft);
        }
        self.ran = meter.ran();
        let Some((mut running, result)) = ended else {
            self.memory.now(0);
            return Err(host_failed());
        };
        self.memory.now(running.store.data().limiter.memory());
        match result {
            Ok(answer) => {
                self.running = Some(running);
                Ok(answer)
            }
            Err(error) => {
                self.memory.now(0);
                // Where a call was when its time was up says nothing.
                let trace = match error.downcast_ref::<TimeUp>() {
                    Some(_) => String::new(),
                    None => trace::told(&error, &self.lines, &self.engine).await,
                };
                Err(failure(&error, &trace, running.store.data_mut(), &self.limits, deadline))
            }
        }
    }

    /// Bytes of the linear memories after the latest call.
    pub(crate) fn memory(&self) -> usize {
        self.memory.0
    }

    /// What the latest call ran for.
    pub(crate) fn ran(&self) -> Duration {
        self.ran
    }

    /// How the calls went.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Whether it can be called again.
    pub(crate) fn is_alive(&self) -> bool {
        self.running.is_some()
    }
}

/// Bytes of the linear memories after the latest call, counted as long as it lives.
struct Memory(usize, Arc<Usage>);

impl Memory {
    fn now(&mut self, bytes: usize) {
        self.1.memory(self.0, bytes);
        self.0 = bytes;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.now(0);
    }
}

impl Running {
    /// The guest's exports and the store to call them in.
    pub(crate) fn exports(&mut self) -> wasmtime::Result<(&Exports, &mut Store<Host>)> {
        let guest = self.guest.as_ref();
        let guest =
            guest.ok_or_else(|| wasmtime::format_err!("called before it was instantiated"))?;
        Ok((guest, &mut self.store))
    }
}

impl Deadline {
    fn of(self, limits: &Limits) -> (&'static str, u64) {
        match self {
            Self::Init => ("init_ms", limits.init_ms),
            Self::Call => (CALL_MS, limits.call_ms),
        }
    }
}

/// What the end of a call in an error means.
fn failure(
    error: &wasmtime::Error,
    trace: &str,
    host: &mut Host,
    limits: &Limits,
    deadline: Deadline,
) -> CallError {
    if error.downcast_ref::<TimeUp>().is_some() {
        let (which, limit) = deadline.of(limits);
        return CallError::Limit { which, limit, words: "the call ran too long".to_owned() };
    }
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return CallError::Busy(error.to_string());
    }
    let cause = error.root_cause().to_string();
    // wasmtime does not export this error's type.
    if cause.contains("hostcalls has been exhausted") {
        let words = too_much(limits);
        return CallError::Limit { which: LIFTED, limit: limits.lifted_bytes(), words };
    }
    let words = trace::words(trace, &host.gate().take_last_words());
    let words = cut(&words, MAX_TRAP);
    let stack = error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::StackOverflow);
    let (which, limit) = match host.limiter.take_refused() {
        Some("memory") => ("memory", limits.memory),
        Some(which) => (which, limits.table_elements),
        None if stack => ("stack_bytes", MAX_STACK as u64),
        None => match limits::refused(&cause, limits) {
            Some(limit) => limit,
            None => return CallError::Trap(words.into()),
        },
    };
    CallError::Limit { which, limit, words: words.to_owned() }
}

/// What nobody has counted: an answer so large is beyond one of these, whichever it is.
fn too_much(limits: &Limits) -> String {
    let Limits { emit_events, emit_bytes, batch_events, .. } = limits;
    format!(
        "more at once than emit_events={emit_events}, emit_bytes={emit_bytes} and decisions for batch_events={batch_events} allow"
    )
}

/// A panic in the host's own code during a call costs the instance, not the host.
fn host_failed() -> CallError {
    CallError::Trap("the host failed inside a call".into())
}

/// Bytes of a trap's message: what the guest printed last, and a dozen frames.
pub(crate) const MAX_TRAP: usize = 6 * 1024;
