//! The bridge: one flow into another.

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

/// Forwards every event.
#[derive(Debug)]
pub struct Bridge;

impl Processor for Bridge {
    fn describe() -> Info {
        Info::new("bridge", VERSION).summary("forwards one flow to another")
    }

    fn init(_setup: &Setup) -> Result<Self, Error> {
        Ok(Self)
    }

    fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> {
        Ok(vec![Action::forward_all(0)])
    }
}

flow_sdk::export!(Bridge);

#[cfg(not(feature = "next"))]
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[cfg(feature = "next")]
const VERSION: &str = "0.2.0";
