//! The distributor.

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

/// Forwards every event.
#[derive(Debug)]
pub struct Distributor;

impl Processor for Distributor {
    fn describe() -> Info {
        Info::new("distributor", VERSION).summary("forwards one flow to another")
    }

    fn init(_setup: &Setup) -> Result<Self, Error> {
        Ok(Self)
    }

    fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> {
        Ok(vec![Action::forward_all(0)])
    }
}

flow_sdk::export!(Distributor);

const VERSION: &str = env!("CARGO_PKG_VERSION");
