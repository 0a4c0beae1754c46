//! The steps: what a subscription's row says should be there is made, and taken away when it has ended.
//!
//! Taken away in this order: first what its subscriber may, then what fills the topic, then the topic; so nothing crosses
//! any more before anything else is touched.

use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use host_brokers::Broker;
use host_failpoints::failpoint;
use host_registry::{
    ACCESS, Desired, Flow, Hold, JournalId, Lens, Lent, NewFlow, NewProcessor, PUBLISH,
    RegistryError, Subscriber,
};

use super::{Lender, is_passing, is_wanted, later, unmade};
use crate::subscriptions::Trouble;

/// How long a step at a broker is waited for; it goes on in the background.
const STEP: Duration = Duration::from_secs(30);

impl Lender {
    /// Brings a subscription to where its row says it should be.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn drive(&self, name: &Name) -> Result<(), Trouble> {
        let turn = self.turn(name).await;
        let _turn = turn.lock().await;
        let Some(row) = self.0.registry.subscriber(name) else {
            self.0.under_way.lock().await.remove(name);
            return Ok(());
        };
        self.bring(&row).await?;
        if self.0.registry.subscriber(name).is_none_or(|row| row.is_over()) {
            self.0.under_way.lock().await.remove(name);
        }
        Ok(())
    }

    /// Waits until nothing is left of those that are meant and have ended since a moment, in milliseconds since 1970
    /// UTC.
    ///
    /// # Errors
    /// What is in the way of one of them.
    pub async fn ended_since(
        &self,
        at: i64,
        is_meant: impl Fn(&Subscriber) -> bool,
    ) -> Result<(), Trouble> {
        let since = |row: &Subscriber| row.ended.as_ref().is_some_and(|end| end.at >= at);
        let ended = |row: &Subscriber| since(row) && is_meant(row);
        let rows: Vec<_> = self.0.registry.lent().into_iter().filter(ended).collect();
        let gone = rows.iter().map(|row| self.drive(&row.name));
        futures::future::join_all(gone).await.into_iter().collect()
    }

    /// The same for one whose turn it is.
    pub(super) async fn bring(&self, row: &Subscriber) -> Result<(), Trouble> {
        let Some(lent) = &row.lent else { return Ok(()) };
        let brought = match () {
            () if is_wanted(row) => self.make(row, lent).await,
            () if row.ended.is_some() && !lent.cleared => self.take_away(row, lent).await,
            () => Ok(()),
        };
        brought.map_err(passing)
    }

    /// Whether a row is where it should be; asks no broker.
    pub(super) async fn is_settled(&self, row: &Subscriber) -> Result<bool, RegistryError> {
        let Some(lent) = row.lent.as_ref().filter(|_| is_wanted(row)) else {
            return Ok(row.ended.is_none() || row.is_over());
        };
        let flow = self.0.registry.flow(&row.name).await?;
        let processor = self.0.registry.processor(&lent.processor).await?;
        Ok(flow.is_some_and(|flow| flow.is_usable())
            && processor.is_some_and(|processor| processor.desired == desired(row.hold)))
    }

    async fn make(&self, row: &Subscriber, lent: &Lent) -> Result<(), Trouble> {
        let registry = &self.0.registry;
        let absent = || RegistryError::Conflict { words: format!("flow {} is gone", row.flow) };
        let from = registry.flow(&row.flow).await?.ok_or_else(absent)?;
        match registry.flow(&row.name).await? {
            Some(flow) if flow.is_usable() => {}
            Some(_) => return Err(later(format!("flow {} is being made", row.name))),
            None => {
                self.carry_out(registry.create_flow(topic(row, lent, &from)).await?).await?;
            }
        }
        match registry.processor(&lent.processor).await? {
            None => {
                let new = carrier(row, lent, row.carrier(&from)?);
                self.carry_out(registry.create_processor(new).await?).await?;
            }
            Some(processor) if processor.desired == Desired::Deleted => {
                return Err(later(format!("processor {} is going", lent.processor)));
            }
            Some(_) => {}
        }
        let (wanted, now) = (desired(row.hold), registry.processor(&lent.processor).await?);
        if now.is_some_and(|processor| processor.desired != wanted) {
            self.carry_out(registry.set_desired(&lent.processor, wanted).await?).await?;
        }
        Ok(())
    }

    async fn take_away(&self, row: &Subscriber, lent: &Lent) -> Result<(), Trouble> {
        let registry = &self.0.registry;
        failpoint!("lending.before-taken-back");
        self.broker(&lent.broker)?.take_back(row.name.as_str()).await.map_err(unmade)?;
        failpoint!("lending.taken-back");
        if registry.processor(&lent.processor).await?.is_some() {
            self.carry_out(registry.delete_processor(&lent.processor).await?).await?;
        }
        if registry.flow(&row.name).await?.is_some() {
            self.carry_out(registry.delete_flow(&row.name).await?).await?;
        }
        Ok(registry.clear(&row.name).await?)
    }

    pub(super) async fn carry_out(&self, entry: JournalId) -> Result<(), Trouble> {
        Ok(self.0.registry.wait(entry, STEP).await?)
    }

    pub(super) fn broker(&self, name: &str) -> Result<&Arc<dyn Broker>, Trouble> {
        let broker = self.0.brokers.get(name);
        broker.ok_or_else(|| later(format!("broker {name} is not configured")))
    }
}

/// What the registry says will pass is tried again.
pub(super) fn passing(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Registry(error) if is_passing(&error) => later(error.to_string()),
        trouble => trouble,
    }
}

const fn desired(hold: Hold) -> Desired {
    match hold {
        Hold::Active => Desired::Running,
        Hold::Paused => Desired::Paused,
        Hold::Stopped => Desired::Stopped,
    }
}

/// The flow of a subscription: shaped as what it is filled from, for nobody to find or to subscribe to.
fn topic(row: &Subscriber, lent: &Lent, from: &Flow) -> NewFlow {
    let mut config = from.topic_config();
    config.insert(ACCESS.to_owned(), "closed".to_owned());
    config.insert(PUBLISH.to_owned(), "none".to_owned());
    NewFlow {
        broker: Some(lent.broker.clone()),
        partitions: from.partitions,
        config,
        for_subscription: true,
        ..NewFlow::named(row.name.clone())
    }
}

fn carrier(row: &Subscriber, lent: &Lent, lens: Lens) -> NewProcessor {
    let Lens { kind, config, .. } = lens;
    let (inputs, outputs) = (vec![row.flow.clone()], vec![row.name.clone()]);
    NewProcessor { config, ..NewProcessor::named(lent.processor.clone(), &kind, inputs, outputs) }
}
