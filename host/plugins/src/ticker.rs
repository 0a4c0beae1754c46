//! The clock that running guests look at: an operating-system thread that counts up the epoch.
//!
//! A guest yields or is stopped only at a tick, so a dead ticker would let one loop hold a thread for
//! ever: the process ends instead. While no guest runs the thread sleeps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{Builder, Thread, park_timeout, sleep};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How long a tick is. Two looping guests on two threads made their neighbours wait 3 ms with ticks of
/// 1 ms and 30 ms with ticks of 10 ms.
const TICK: Duration = Duration::from_millis(1);

/// Ticks of a time in milliseconds.
pub(crate) fn ticks(millis: u64) -> u32 {
    const { assert!(TICK.as_millis() == 1) };
    u32::try_from(millis).unwrap_or(u32::MAX).max(1)
}

/// Starts the thread; it ends with the engine.
pub(crate) fn start(engine: &Engine) -> io::Result<Pulse> {
    let shared = Arc::new(Shared::default());
    let ticker = Ticker { engine: engine.weak(), shared: Arc::clone(&shared) };
    let thread = Builder::new().name("plugin-ticks".to_owned()).spawn(move || ticker.run())?;
    Ok(Pulse { shared, thread: thread.thread().clone() })
}

/// What keeps the ticker awake.
#[derive(Debug)]
pub(crate) struct Pulse {
    shared: Arc<Shared>,
    thread: Thread,
}

/// A guest runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Beating<'a>(&'a Shared);

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    beats: AtomicU64,
}

impl Pulse {
    /// Says that a guest runs.
    pub(crate) fn running(&self) -> Beating<'_> {
        // The ticker says that it sleeps and then looks whether one runs; here it is the other way
        // round, in one order for all threads, so that one of the two sees the other.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Beating(&self.shared)
    }

    /// Grows as long as the ticker lives: at least every [`NAP`].
    pub(crate) fn beats(&self) -> u64 {
        self.shared.beats.load(Ordering::Relaxed)
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Ticker {
    engine: EngineWeak,
    shared: Arc<Shared>,
}

impl Ticker {
    fn run(self) {
        let mut idle = 0;
        while let Some(engine) = self.engine.upgrade() {
            engine.increment_epoch();
            self.shared.beats.fetch_add(1, Ordering::Relaxed);
            drop(engine);
            let running = self.shared.running.load(Ordering::SeqCst) > 0;
            idle = if running { 0 } else { idle + 1 };
            if idle < IDLE_TICKS {
                sleep(TICK);
            } else {
                self.nap();
            }
        }
    }

    fn nap(&self) {
        self.shared.asleep.store(true, Ordering::SeqCst);
        if self.shared.running.load(Ordering::SeqCst) == 0 {
            park_timeout(NAP);
        }
        self.shared.asleep.store(false, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if self.engine.upgrade().is_some() {
            tracing::error!("the plugin ticker ended, no guest can be stopped any more");
            std::process::abort();
        }
    }
}

/// Ticks without a running guest before the thread sleeps: waking it costs a call some microseconds.
const IDLE_TICKS: u32 = 200;

/// How long it sleeps at most: the engine may have ended.
const NAP: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn becomes(what: impl Fn() -> bool) -> bool {
        (0..10_000).any(|_| {
            sleep(TICK);
            what()
        })
    }

    #[test]
    fn the_ticker_sleeps_while_nothing_runs_and_wakes_for_a_call() {
        let engine = Engine::default();
        let pulse = start(&engine).unwrap();
        let asleep = || pulse.shared.asleep.load(Ordering::SeqCst);
        assert!(becomes(asleep));
        let _beating = pulse.running();
        assert!(becomes(|| !asleep()));
    }

    #[test]
    fn the_ticker_ends_with_its_engine() {
        let pulse = start(&Engine::default()).unwrap();
        assert!(becomes(|| Arc::strong_count(&pulse.shared) == 1));
    }
}
