//! The collector.

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

/// Forwards every event.
#[derive(Debug)]
pub struct Collector;

impl Processor for Collector {
    fn describe() -> Info {
        Info::new("collector", VERSION).summary("forwards one flow to another")
    }

    fn init(_setup: &Setup) -> Result<Self, Error> {
        Ok(Self)
    }

    fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> {
        Ok(vec![Action::forward_all(0)])
    }
}

flow_sdk::export!(Collector);

const VERSION: &str = env!("CARGO_PKG_VERSION");
