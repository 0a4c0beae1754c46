//! The clock that running guests look at: an operating-system thread that counts up the epoch.
//!
//! A guest yields or is stopped only at a tick, so a dead ticker would let one loop hold a thread for
//! ever: the process ends instead.

use std::io;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How long a tick is. Two looping guests on two threads made their neighbours wait 3 ms with ticks of
/// 1 ms and 30 ms with ticks of 10 ms.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks of a time in milliseconds.
pub(crate) fn ticks(millis: u64) -> u32 {
    const { assert!(TICK.as_millis() == 1) };
    u32::try_from(millis).unwrap_or(u32::MAX).max(1)
}

/// Starts the thread; it ends with the engine.
pub(crate) fn start(engine: &Engine) -> io::Result<()> {
    let ticker = Ticker(engine.weak());
    let thread = std::thread::Builder::new().name("plugin-ticks".to_owned());
    thread.spawn(move || ticker.run()).map(drop)
}

struct Ticker(EngineWeak);

impl Ticker {
    fn run(self) {
        while let Some(engine) = self.0.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if self.0.upgrade().is_some() {
            tracing::error!("the plugin ticker ended, no guest can be stopped any more");
            std::process::abort();
        }
    }
}
