//! A subscription whose events cannot be made into what its subscriber is to see, so that none is sent.

use host_events::clock::now;
use serde::{Deserialize, Serialize};

use super::Subscriber;
use crate::Name;
use crate::error::RegistryError;
use crate::registry::{Registry, Settled};
use crate::state::{Row, State};

/// Time after which the same is noted again, in milliseconds: whoever attaches again fails again every few seconds.
pub const FAILED_AGAIN: i64 = 60 * 60 * 1000;

/// A view that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewFailure {
    /// When it was noted last.
    pub at: i64,
    /// Why.
    pub words: String,
}

impl State {
    fn view_failed(&self, name: &Name, words: &str, at: i64) -> Option<Subscriber> {
        let row = self.subscribers.get(name).filter(|row| row.is_live())?;
        let old = |last: &ViewFailure| at >= last.at.saturating_add(FAILED_AGAIN);
        row.failure.as_ref().is_none_or(old).then(|| {
            let failure = Some(ViewFailure { at, words: words.to_owned() });
            Subscriber { failure, ..row.clone() }
        })
    }
}

impl Registry {
    /// Notes that the events of a subscription do not get through what is done to them on the way; of one, once an
    /// hour.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn view_failed(&self, name: &Name, words: String) -> Result<(), RegistryError> {
        if self.look(|state| state.view_failed(name, &words, now()).is_none()) {
            return Ok(());
        }
        let name = name.clone();
        self.settled(move |state| {
            let row = state.view_failed(&name, &words, now());
            let rows = row.map(|row| Row::PutSubscriber(Box::new(row))).into_iter().collect();
            Ok(Settled { rows, notes: vec![], answer: () })
        })
        .await
    }
}
