//! Subscriptions to flows elsewhere, and to flows of this very host, looked after: each row of the registry is brought to where it should be, step by
//! step, each step safe to repeat.
//!
//! `asking` (the owner's host is asked, with a reference that makes a repeat the same) → `making` (the two flows and
//! the processor) → `active`; `pending` while the owner has not said his word, `ending` while things are taken away,
//! `ended` where the owner has taken it away. Carries no event itself.

mod care;
mod steps;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use fnap::reply::{Code, Failure};
use host_registry::{NewSubscription, Registry, RegistryError, Stage, Subscription};
use tokio::sync::{Mutex, mpsc};

use crate::broker::{Gone, PeerBroker, Standstill};
use crate::home::Ways;
pub use steps::CARRIER;
use turns::Turns;

/// Cloning shares it.
#[derive(Clone)]
pub struct Subscriptions(Arc<Inner>);

struct Inner {
    registry: Registry,
    ways: Ways,
    broker: Arc<PeerBroker>,
    /// One step of a subscription at a time.
    turns: Turns,
    /// What other hosts have ended.
    gone: Mutex<mpsc::Receiver<Gone>>,
}

/// Why a subscription is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It never will be.
    #[error("{0}")]
    Refused(Failure),
    /// The owner has to say his word: what the user is told.
    #[error("{0}")]
    Pending(Failure),
    /// It goes on by itself, at the earliest after so long.
    #[error("{0}")]
    Later(Failure, Duration),
    /// It was asked, and what the other host made of that is not known; it goes on as [`Self::Later`].
    #[error("{0}")]
    Unclear(Failure, Duration),
    /// The registry's word.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Subscriptions {
    /// Looks after the rows of a registry; `gone` are those that a [`crate::PeerBroker`] was told the end of.
    #[must_use]
    pub fn new(
        registry: Registry,
        ways: Ways,
        broker: Arc<PeerBroker>,
        gone: mpsc::Receiver<Gone>,
    ) -> Self {
        let (turns, gone) = (Turns::default(), Mutex::new(gone));
        Self(Arc::new(Inner { registry, ways, broker, turns, gone }))
    }

    /// Subscribes, and returns when events flow, or why they do not. What is refused leaves nothing behind; what waits
    /// for the owner's word, or for something that is away after he has given it, goes on by itself.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn subscribe(&self, new: NewSubscription) -> Result<Subscription, Trouble> {
        // Nobody asks in the background while somebody waits for the answer, or he would wait for both.
        let _turn = self.0.turns.take(&new.local).await;
        let row = self.0.registry.begin_subscription(new).await?;
        let is_new =
            row.stage == Stage::Asking && row.why.is_empty() && row.since == row.created_at;
        let outcome = self.drive_in_turn(&row.local).await;
        let granted =
            || self.0.registry.subscription(&row.local).is_some_and(|row| row.remote.is_some());
        match outcome {
            Ok(Some(row)) => Ok(row),
            // Somebody has ended it meanwhile.
            Ok(None) => Err(Trouble::Refused(Failure::new(
                Code::NotFound,
                format!("subscription {}", row.local),
            ))),
            // It goes on by itself, as far as it has come before or now.
            Err(trouble) if trouble.may_pass() && (granted() || !is_new) => Err(trouble),
            Err(Trouble::Pending(failure)) => Err(Trouble::Pending(failure)),
            Err(trouble) => {
                let refused = matches!(trouble, Trouble::Refused(_) | Trouble::Later(..));
                self.ending(&row.local, refused && is_new).await?;
                ended(&row.local, self.drive_in_turn(&row.local).await)?;
                Err(trouble)
            }
        }
    }

    /// Whether the owner of what somebody subscribes to holds it.
    #[must_use]
    pub fn is_held(&self, row: &Subscription) -> bool {
        row.remote.as_ref().is_some_and(|remote| self.0.broker.is_held(remote))
    }

    /// Why no events of an active subscription come, where they do not.
    #[must_use]
    pub fn standstill(&self, row: &Subscription) -> Option<Standstill> {
        let remote = row.remote.as_ref().filter(|_| row.stage == Stage::Active)?;
        self.0.broker.standstill(remote)
    }

    /// Ends a subscription. What there is of it here is gone when this returns; its owner is told, now or when his host
    /// can be reached again. The events that came stay in the local flow.
    ///
    /// # Errors
    /// `NotFound`, or when it could not be written.
    pub async fn end(&self, local: &Name) -> Result<(), RegistryError> {
        self.ending(local, false).await?;
        ended(local, self.drive(local).await)
    }

    /// Writes down that it ends; `unheard` where nothing was granted and its owner has nothing of it.
    async fn ending(&self, local: &Name, unheard: bool) -> Result<(), RegistryError> {
        let ending = move |row: &mut Subscription| {
            // Of what he has ended himself there is nothing more to tell him.
            row.unheard |= unheard || (row.stage == Stage::Ended && row.remote.is_none());
            row.stage = Stage::Ending;
            row.why = String::new();
        };
        self.0.registry.advance_subscription(local, ending).await.map(drop)
    }
}

/// What came of taking one away: what has to be tried again is, in the background.
fn ended(
    local: &Name,
    outcome: Result<Option<Subscription>, Trouble>,
) -> Result<(), RegistryError> {
    match outcome {
        Ok(_) | Err(Trouble::Later(..) | Trouble::Unclear(..)) => Ok(()),
        Err(Trouble::Registry(error)) => Err(error),
        Err(trouble) => {
            tracing::warn!(%local, cause = %trouble, "the end of a subscription goes on later");
            Ok(())
        }
    }
}
