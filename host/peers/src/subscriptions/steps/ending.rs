//! The last steps of a subscription: what carried it is taken down, and its owner is told.

use fnap::command::Command;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::value::Settings;
use host_events::clock::now;
use host_registry::{REMEMBERED_FOR, Stage, Subscription};

use super::{AGAIN, reference};
use crate::reach::Unreached;
use crate::subscriptions::{Subscriptions, Trouble};

impl Subscriptions {
    /// Takes away what there is, here first; the last that goes is the row.
    pub(super) async fn take_down(&self, row: &Subscription) -> Result<(), Trouble> {
        self.take_down_here(row).await?;
        match &row.remote {
            Some(remote) => self.tell_the_end(row, remote).await?,
            None if row.unheard => {}
            None => self.withdraw(row).await?,
        }
        Ok(self.0.registry.forget_subscription(&row.local).await?)
    }

    async fn tell_the_end(&self, row: &Subscription, remote: &Name) -> Result<(), Trouble> {
        let (subscription, settings) = (remote.clone(), Settings::default());
        let command = Command::Unsubscribe { subscription, settings };
        match self.0.ways.of(row).ask(&row.flow, &command).await {
            // Otherwise there is none any more, or it is somebody else's.
            Err(Unreached { failure, again, .. }) if !is_word(&failure) => {
                Err(Trouble::Later(failure, again.unwrap_or(AGAIN)))
            }
            _ => Ok(()),
        }
    }

    /// Takes back what was asked for, whatever its owner's host has of it by now. A host that takes no word of it, or
    /// cannot be found any more, is left to forget it by itself.
    async fn withdraw(&self, row: &Subscription) -> Result<(), Trouble> {
        let (subscription, settings) = (row.flow.clone(), reference(row)?);
        let command = Command::Unsubscribe { subscription, settings };
        match self.0.ways.of(row).ask(&row.flow, &command).await {
            Err(Unreached { failure, again: Some(after), .. }) if !is_forgotten(row) => {
                Err(Trouble::Later(failure, after))
            }
            _ => Ok(()),
        }
    }

    async fn take_down_here(&self, row: &Subscription) -> Result<(), Trouble> {
        let registry = &self.0.registry;
        if registry.processor(&row.processor).await?.is_some() {
            self.carry_out(registry.delete_processor(&row.processor).await?).await?;
        }
        if let Some(remote) = &row.remote
            && registry.flow(remote).await?.is_some_and(|flow| flow.is_remote())
        {
            self.carry_out(registry.delete_flow(remote).await?).await?;
        }
        if let Some(remote) = &row.remote {
            self.0.broker.give_back(remote).await;
        }
        if !row.carried && row.remote.is_some() && registry.flow(&row.local).await?.is_some() {
            self.carry_out(registry.delete_flow(&row.local).await?).await?;
        }
        Ok(())
    }

    /// Writes down that its owner has taken it away; what there is of it goes afterwards.
    pub(in crate::subscriptions) async fn ended(
        &self,
        row: &Subscription,
        why: String,
    ) -> Result<(), Trouble> {
        let from = row.stage.clone();
        let ended = move |row: &mut Subscription| {
            if row.stage == from {
                (row.stage, row.why, row.cleared) = (Stage::Ended, why, false);
            }
        };
        self.0.registry.advance_subscription(&row.local, ended).await?;
        Ok(())
    }

    /// Takes away what there is of one that has ended; what came of it stays.
    pub(super) async fn clear(&self, row: &Subscription) -> Result<(), Trouble> {
        self.take_down_here(row).await?;
        let cleared = |row: &mut Subscription| row.cleared = true;
        self.0.registry.advance_subscription(&row.local, cleared).await?;
        Ok(())
    }
}

/// Whether its owner's host has forgotten by now what waited there.
fn is_forgotten(row: &Subscription) -> bool {
    now() >= row.since.saturating_add(REMEMBERED_FOR)
}

/// Whether it is the other host's word that there is no such subscription for us, and no trouble on the way.
pub(super) fn is_word(failure: &Failure) -> bool {
    matches!(failure.code, Code::Forbidden | Code::NotFound)
}
