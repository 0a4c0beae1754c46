//! What the guest remembers beside its state, and how it takes another configuration.

use flow_sdk::{Action, Batch, Error, Reconfigure, Setup};

use crate::{Config, Guest};

impl Guest {
    /// Says of each event the how manyth it is that this instance has seen, and the configuration's number.
    pub(crate) fn remember(&mut self, batch: &Batch) -> Vec<Action> {
        let told = |index| {
            self.seen += 1;
            let (seen, times) = (self.seen.to_string(), self.config.times.to_string());
            Action::rewrite(index, 0).set("seen", seen).set("times", times).into()
        };
        (0..batch.len()).map(told).collect()
    }
}

impl Reconfigure for Guest {
    fn reconfigure(&mut self, setup: &Setup) -> Result<(), Error> {
        let config: Config = setup.config()?;
        match config.act.as_str() {
            "unwelcome" => return Err(Error::config("act", "is unwelcome")),
            "unwelcome-at-1" if self.shard == 1 => {
                return Err(Error::config("act", "is unwelcome at shard 1"));
            }
            "trap-in-reconfigure" => crate::trap("deliberate"),
            "loop-in-reconfigure" => crate::spin(),
            _ => {}
        }
        self.config = config;
        Ok(())
    }
}
