//! The interface `timer`, for types that export it.

use self::bindings::exports::flow::processor::timer;
use super::{Component, events, with_instance};
use crate::Timer;

bindings!(
    "flow:more/timed",
    "package flow:more;
     world timed { export flow:processor/timer@1.0.0; }"
);

impl<P: Timer> timer::Guest for Component<P> {
    fn interval() -> u32 {
        let interval = with_instance(|processor: &mut P| Ok(processor.interval()));
        // What does not fit the host refuses, with its limits.
        interval.map_or(0, |interval| u32::try_from(interval.as_millis()).unwrap_or(u32::MAX))
    }

    fn tick(now: i64) -> Result<Vec<events::Action>, events::Error> {
        let actions = with_instance(|processor: &mut P| processor.tick(now))?;
        Ok(actions.into_iter().map(Into::into).collect())
    }
}
