//! What a processor type may do beyond [`Processor`]. A trait that is implemented is exported by naming it
//! behind the type: `flow_sdk::export!(Counts: Timer);`. The host looks for it by its name.

use std::time::Duration;

use crate::{Action, Error, Processor, Setup};

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

/// Takes another configuration without a restart, so that what the instance remembers stays.
///
/// ```
/// # use flow_sdk::{Action, Batch, Error, Info, Processor, Reconfigure, Setup};
/// # #[derive(serde::Deserialize)]
/// # struct Limit { limit: u64 }
/// # pub struct Throttle { limit: u64, seen: u64 }
/// # impl Processor for Throttle {
/// #     fn describe() -> Info { Info::new("throttle", "0.1.0").unnamed_dropped() }
/// #     fn init(setup: &Setup) -> Result<Self, Error> {
/// #         Ok(Self { limit: setup.config::<Limit>()?.limit, seen: 0 })
/// #     }
/// #     fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> { Ok(Vec::new()) }
/// # }
/// impl Reconfigure for Throttle {
///     fn reconfigure(&mut self, setup: &Setup) -> Result<(), Error> {
///         let Limit { limit } = setup.config()?; // refused: nothing has changed yet
///         if limit < self.seen {
///             return Err(Error::config("limit", "more than that were seen"));
///         }
///         self.limit = limit;
///         Ok(())
///     }
/// }
///
/// flow_sdk::export!(Throttle: Reconfigure);
/// ```
pub trait Reconfigure: Processor {
    /// Goes on with another configuration; all else of `setup` is as it was. Called between two batches. State
    /// can be read but not written. [`Processor::init`] has accepted it before, in an instance that was thrown
    /// away. It may be called with the old one again, where another shard refused.
    ///
    /// # Errors
    /// [`Error::Fatal`] with `path: reason` refuses it for all shards; then nothing may have changed here.
    fn reconfigure(&mut self, setup: &Setup) -> Result<(), Error>;
}
