//! PURGE of a flow of which subscribers have copies: theirs are emptied with it.
//!
//! What fills them is held first, or it would write what it has read before behind the emptying; then the flow is emptied,
//! then the topics, then all go on. Cut off half-way, the background has them go on, and whoever said PURGE has
//! heard no answer and says it again.

use futures::future::join_all;
use host_failpoints::failpoint;
use host_registry::{Desired, FlowStatus, Subscriber};
use tokio::sync::OwnedMutexGuard;

use fnap::name::Name;

use super::steps::passing;
use super::{Lender, is_wanted};
use crate::subscriptions::Trouble;

/// Topics of a flow's subscribers, with what fills them held: nobody else takes a step of theirs. Where it is dropped, all
/// go on in the background.
pub struct Emptying {
    held: Vec<(Subscriber, OwnedMutexGuard<()>)>,
    _goes_on: GoesOn,
}

/// Has the background look at what was held.
struct GoesOn(Lender);

impl Drop for GoesOn {
    fn drop(&mut self) {
        self.0.0.look.notify_one();
    }
}

impl std::fmt::Debug for Emptying {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.held.iter().map(|(row, _)| &row.name)).finish()
    }
}

impl Lender {
    /// Holds what fills the topics of a flow's subscribers.
    ///
    /// # Errors
    /// What is in the way; all go on then, in the background.
    pub async fn begin_emptying(&self, flow: &Name) -> Result<Emptying, Trouble> {
        let goes_on = GoesOn(self.clone());
        let rows = self.0.registry.lent().into_iter().filter(|row| row.flow == *flow);
        let held = join_all(rows.map(|row| self.held(row.name))).await;
        let held: Result<Vec<_>, _> = held.into_iter().collect();
        Ok(Emptying {
            held: held.map_err(passing)?.into_iter().flatten().collect(),
            _goes_on: goes_on,
        })
    }

    /// Empties the topics, and has them filled again.
    ///
    /// # Errors
    /// What is in the way of one of them.
    pub async fn empty(&self, held: Emptying) -> Result<(), Trouble> {
        let emptied = held.held.iter().map(|(row, _turn)| async {
            let purged = self.purged(row).await;
            failpoint!("lending.emptied");
            // Whatever became of that, it is not what was read before that comes now.
            self.bring(row).await.and(purged.map_err(passing))
        });
        join_all(emptied).await.into_iter().collect()
    }

    async fn held(&self, name: Name) -> Result<Option<(Subscriber, OwnedMutexGuard<()>)>, Trouble> {
        let turn = self.turn(&name).await.lock_owned().await;
        let Some(row) = self.0.registry.subscriber(&name) else { return Ok(None) };
        let Some(lent) = row.lent.as_ref().filter(|_| is_wanted(&row)) else {
            // What has ended is to be gone, and has nothing to be emptied.
            self.bring(&row).await?;
            return Ok(None);
        };
        let carrier = self.0.registry.processor(&lent.processor).await?;
        if carrier.is_some_and(|carrier| carrier.desired == Desired::Running) {
            let hold = self.0.registry.set_desired(&lent.processor, Desired::Paused).await?;
            self.carry_out(hold).await?;
        }
        failpoint!("lending.carrier-held");
        Ok(Some((row, turn)))
    }

    async fn purged(&self, row: &Subscriber) -> Result<(), Trouble> {
        let there = self.0.registry.flow(&row.name).await?;
        if there.is_some_and(|flow| matches!(flow.status, FlowStatus::Active | FlowStatus::Paused))
        {
            self.carry_out(self.0.registry.purge_flow(&row.name).await?).await?;
        }
        Ok(())
    }
}
