//! What a processor type may do beyond [`Processor`]. A trait that is implemented is exported by naming it
//! behind the type: `flow_sdk::export!(Counts: Timer);`. The host looks for it by its name.

use std::time::Duration;

use crate::{Action, Error, Processor};

/// Called by the clock, also where no event comes.
///
/// ```
/// # use flow_sdk::{Action, Batch, Error, Event, Info, Processor, Setup, Timer};
/// # use std::time::Duration;
/// # pub struct Heartbeat;
/// # impl Processor for Heartbeat {
/// #     fn describe() -> Info { Info::new("heartbeat", "0.1.0").unnamed_dropped() }
/// #     fn init(_setup: &Setup) -> Result<Self, Error> { Ok(Self) }
/// #     fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> { Ok(Vec::new()) }
/// # }
/// impl Timer for Heartbeat {
///     fn interval(&self) -> Duration {
///         Duration::from_secs(10)
///     }
///
///     fn tick(&mut self, now: i64) -> Result<Vec<Action>, Error> {
///         Ok(vec![Action::emit(0, Event::new(&now.to_string(), "/heartbeat", "alive"))])
///     }
/// }
///
/// flow_sdk::export!(Heartbeat: Timer);
/// ```
pub trait Timer: Processor {
    /// How long from one tick to the next, 100 ms to a day; zero for none. Asked after `init`.
    fn interval(&self) -> Duration;

    /// Acts at `now`, milliseconds since 1970 UTC, never before that of a committed tick. What it emits and
    /// writes is committed together; one that does neither leaves no trace. Ticks that were missed are one.
    ///
    /// # Errors
    /// As in [`Processor::process`], but for [`Error::Reject`]: there is no event.
    fn tick(&mut self, now: i64) -> Result<Vec<Action>, Error>;
}
