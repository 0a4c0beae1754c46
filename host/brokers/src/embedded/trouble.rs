//! What the operator hears of a disk that takes nothing: one line when it begins, one when it is over,
//! however often clients and processors try meanwhile.

use std::time::{Duration, Instant};

use host_store::StoreError;

pub(crate) use host_store::explained;

/// Pause before the same is said again: small writes may fit where large ones do not, and so it may
/// begin and be over many times a second.
const PAUSE: Duration = Duration::from_secs(60);

/// Whether writes fail, and what was said of it.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    failing: bool,
    said: Option<(String, Instant)>,
}

impl Trouble {
    /// A transaction failed.
    pub(crate) fn failed(&mut self, error: &StoreError) {
        let words = error.to_string();
        let lately = |(said, at): &(String, Instant)| *said == words && at.elapsed() < PAUSE;
        if !self.said.as_ref().is_some_and(lately) {
            tracing::warn!(cause = words, "nothing can be written, trying on");
            self.said = Some((words, Instant::now()));
            self.failing = true;
        }
    }

    /// A transaction is on disk.
    pub(crate) fn over(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("written again");
        }
    }
}
