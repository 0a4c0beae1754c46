//! Where a call runs: beside the others while it is short, in the slow lane when it is not.
//!
//! A call is a future that yields at each tick. It is polled on the caller's runtime until it has
//! yielded as often as its soft budget allows; then the future is handed, as it is, to a second
//! runtime whose threads have a low priority, and awaited from there.
//!
//! A guest yields only while its own code runs, so what the host does for it between two ticks is
//! measured and counted as ticks, too.
//!
//! What a call runs for is added up poll by poll, whoever polls it: in the time of the thread, or by the
//! ordinary clock where calls are so short that looking at the thread's would cost as much as they do.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::ticker::ticks;
use crate::usage::Usage;

/// Ticks that the present call has seen. The guest's store counts, the lane looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    ticks: AtomicU32,
    /// The thread's time, in microseconds, when it was last given to the call; 0 before the first tick.
    given: AtomicU64,
    /// Nanoseconds that the present call has run for.
    ran: AtomicU64,
    /// The call before took long enough for the thread's clock.
    long: AtomicBool,
    usage: Arc<Usage>,
}

impl Meter {
    /// Adds up there what calls run for.
    pub(crate) fn of(usage: &Arc<Usage>) -> Self {
        Self(Arc::new(Counts { usage: Arc::clone(usage), ..Counts::default() }))
    }

    /// A new call begins.
    pub(crate) fn reset(&self) {
        self.0.ticks.store(0, Ordering::Relaxed);
        self.0.given.store(0, Ordering::Relaxed);
        let before = self.0.ran.swap(0, Ordering::Relaxed);
        self.0.long.store(before >= LONG, Ordering::Relaxed);
    }

    /// One tick more, or as many as the thread has spent since it was given to the call: a call into
    /// the host sees no tick however long it is. Gives how many there were.
    pub(crate) fn tick(&self) -> u32 {
        let given = self.0.given.swap(0, Ordering::Relaxed);
        let spent = if given > 0 { thread_micros().saturating_sub(given) } else { 0 };
        let more = ticks(spent / 1000);
        self.0.ticks.fetch_add(more, Ordering::Relaxed).saturating_add(more)
    }

    /// What the present call has run for.
    pub(crate) fn ran(&self) -> Duration {
        Duration::from_nanos(self.0.ran.load(Ordering::Relaxed))
    }

    /// How many there were.
    pub(crate) fn ticks(&self) -> u32 {
        self.0.ticks.load(Ordering::Relaxed)
    }

    /// The present thread is given to the call. Looking at its clock costs more than a short call,
    /// so that begins with the first tick.
    fn given(&self) {
        if self.ticks() > 0 {
            self.0.given.store(thread_micros(), Ordering::Relaxed);
        }
    }

    /// The same call, measured.
    fn measure<T: Send + 'static>(&self, mut call: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
        let meter = self.clone();
        Box::pin(poll_fn(move |context| meter.poll(&mut call, context)))
    }

    fn poll<T>(&self, call: &mut BoxFuture<'static, T>, context: &mut Context<'_>) -> Poll<T> {
        self.given();
        let clock = Clock::start(self.ticks() > 0 || self.0.long.load(Ordering::Relaxed));
        let polled = call.as_mut().poll(context);
        let nanos = clock.nanos();
        self.0.ran.fetch_add(nanos, Ordering::Relaxed);
        self.0.usage.ran(nanos);
        polled
    }
}

/// A call that ran for so many nanoseconds has the next one measured by the thread's clock: two looks at that
/// cost up to 1.5 µs, at the ordinary one 60 ns. Who is put off for a moment within a shorter one is rare.
const LONG: u64 = 100_000;

/// Since when something runs.
enum Clock {
    /// The thread's own time.
    Thread(u64),
    Wall(Instant),
}

impl Clock {
    fn start(exact: bool) -> Self {
        if exact { Self::Thread(thread_nanos()) } else { Self::Wall(Instant::now()) }
    }

    fn nanos(&self) -> u64 {
        match self {
            Self::Thread(since) => thread_nanos().saturating_sub(*since),
            Self::Wall(since) => u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// What the present thread has run for, in nanoseconds.
fn thread_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec);
    u64::try_from(nanos).unwrap_or(0)
}

/// The same in microseconds; never 0.
fn thread_micros() -> u64 {
    (thread_nanos() / 1_000).max(1)
}

/// Which calls of an instance ended in the slow lane.
#[derive(Debug, Default)]
pub(crate) struct History {
    calls: u64,
    slow: u64,
    in_a_row: u32,
}

impl History {
    /// Whether the next call shall start in the slow lane.
    pub(crate) fn starts_slow(&self) -> bool {
        self.in_a_row >= SLOW_IN_A_ROW
    }

    /// One call more.
    pub(crate) fn record(&mut self, slow: bool) {
        self.calls += 1;
        self.slow += u64::from(slow);
        self.in_a_row = if slow { self.in_a_row.saturating_add(1) } else { 0 };
    }

    /// Share of all calls.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub(crate) fn share(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.slow as f64 / self.calls as f64 }
    }
}

/// The second runtime.
#[derive(Debug)]
pub(crate) struct SlowLane(Option<Runtime>);

impl SlowLane {
    /// Starts its threads.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("plugin-slow")
            .on_thread_start(lower_priority)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Does something that takes a while without waiting. `None` when it panicked or the lane is gone.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.0.as_ref()?.spawn(async move { work() }).await.ok()
    }

    /// Runs a call to its end. `None` when it panicked or the lane is gone: host code failed.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: BoxFuture<'static, T>,
        meter: &Meter,
        soft: u32,
        starts_slow: bool,
    ) -> Option<T> {
        let handed_over =
            if starts_slow { Err(call) } else { poll_until_slow(call, meter, soft).await };
        match handed_over {
            Ok(result) => Some(result),
            Err(call) => Ended(self.0.as_ref()?.spawn(meter.measure(call))).wait().await,
        }
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which a task must not do.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Gives the result, or the call itself once it has seen more ticks than `soft`.
async fn poll_until_slow<T>(
    call: BoxFuture<'static, T>,
    meter: &Meter,
    soft: u32,
) -> Result<T, BoxFuture<'static, T>> {
    let mut call = Some(call);
    poll_fn(move |context| {
        let Some(running) = call.as_mut() else { return Poll::Pending };
        match meter.poll(running, context) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending if meter.ticks() < soft => Poll::Pending,
            Poll::Pending => call.take().map_or(Poll::Pending, |call| Poll::Ready(Err(call))),
        }
    })
    .await
}

/// A call in the slow lane: whoever gives up waiting for it ends it.
struct Ended<T>(JoinHandle<T>);

impl<T> Ended<T> {
    async fn wait(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives the present thread a low priority. On Linux priorities belong to threads.
pub(crate) fn lower_priority() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "cannot lower the priority of a thread");
    }
}

/// Calls in a row that ended in the slow lane before the next starts there: one may be an accident.
const SLOW_IN_A_ROW: u32 = 3;

/// Niceness of slow threads: a tenth of the time of an ordinary thread, where both want all.
const NICE: i32 = 10;

#[cfg(test)]
mod tests;
