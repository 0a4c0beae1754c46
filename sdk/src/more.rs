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

/// Takes over the state that another version left.
///
/// ```
/// # use flow_sdk::{Action, Batch, Error, Info, Migrate, Processor, Setup, state};
/// # pub struct Counts;
/// # impl Processor for Counts {
/// #     fn describe() -> Info { Info::new("counts", "2.0.0").unnamed_dropped() }
/// #     fn init(_setup: &Setup) -> Result<Self, Error> { Ok(Self) }
/// #     fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> { Ok(Vec::new()) }
/// # }
/// impl Migrate for Counts {
///     fn migrate(from: &str, _config: &str) -> Result<(), Error> {
///         if !from.starts_with("1.") {
///             return Err(Error::fatal(format!("cannot read the state of {from}")));
///         }
///         let old = state::get(b"count").unwrap_or_default(); // as text, until 1.x
///         let count: u64 = String::from_utf8_lossy(&old).parse().unwrap_or(0);
///         Ok(state::set(b"count", &count.to_be_bytes())?)
///     }
/// }
///
/// flow_sdk::export!(Counts: Migrate);
/// ```
pub trait Migrate: Processor {
    /// Makes of the state what this version reads. Called before [`Processor::init`], for each shard that has
    /// state of another version; `from` is that one's version, empty where nobody knows it any more. What is
    /// written is in the commit in which this version takes over. It is called on copies first.
    ///
    /// # Errors
    /// [`Error::Fatal`] says that this version cannot read the state: then no shard takes it.
    fn migrate(from: &str, config: &str) -> Result<(), Error>;
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::testing::Harness;
    use crate::{Batch, Info, state};

    /// Keeps a number as eight bytes; versions before 1.0.0 kept it as text.
    #[derive(Debug)]
    struct Number(u64);

    impl Processor for Number {
        fn describe() -> Info {
            Info::new("number", "1.0.0").unnamed_dropped()
        }

        fn init(_setup: &Setup) -> Result<Self, Error> {
            let kept = state::get(b"n")
                .map_or(Some(0), |kept| Some(u64::from_be_bytes(kept.try_into().ok()?)));
            kept.map(Self).ok_or_else(|| Error::fatal("the state is none of mine"))
        }

        fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> {
            Ok(Vec::new())
        }
    }

    impl Timer for Number {
        fn interval(&self) -> Duration {
            Duration::from_millis(self.0)
        }

        fn tick(&mut self, _now: i64) -> Result<Vec<Action>, Error> {
            Ok(Vec::new())
        }
    }

    impl Migrate for Number {
        fn migrate(from: &str, _config: &str) -> Result<(), Error> {
            let text = state::get(b"n").unwrap_or_default();
            state::set(b"n", b"half done")?;
            if !from.starts_with("0.") {
                return Err(Error::fatal(format!("cannot read the state of {from}")));
            }
            let number: u64 = String::from_utf8_lossy(&text).parse().unwrap_or(0);
            Ok(state::set(b"n", &number.to_be_bytes())?)
        }
    }

    #[test]
    fn a_state_is_taken_over_before_init_and_a_refusal_leaves_it_as_it_was() {
        let mut plugin = Harness::<Number>::new("{}").unwrap();
        plugin.write(b"n", b"250").unwrap();
        let refused = plugin.migrate("2.0.0").unwrap_err().to_string();
        assert_eq!(refused, "cannot read the state of 2.0.0");
        assert_eq!(state::get(b"n").as_deref(), Some(&b"250"[..]));
        plugin.migrate("0.9.0").unwrap();
        assert_eq!(plugin.processor().0, 250);
        assert!(state::set(b"n", b"").is_err(), "only while it migrates");
    }

    #[test]
    fn an_interval_that_no_host_takes_is_refused() {
        let mut plugin = Harness::<Number>::new("{}").unwrap();
        for (number, refused) in
            [(99_u64, true), (100, false), (86_400_000, false), (86_400_001, true)]
        {
            plugin.processor().0 = number;
            assert_eq!(plugin.tick(0).is_err(), refused, "{number}");
        }
    }
}
