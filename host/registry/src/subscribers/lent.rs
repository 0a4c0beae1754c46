//! Subscriptions whose events lie in a topic of their own, which the subscriber reads with clients of his own.
//!
//! Keeps at which broker that is, what fills the topic, and whether all of it is taken away again. Whoever borrows it
//! has a password, which is kept nowhere.

use fnap::subject::Subject;
use host_events::clock::now;
use serde::{Deserialize, Serialize};

use super::Subscriber;
use crate::Name;
use crate::error::RegistryError;
use crate::model::Flow;
use crate::processors::derived_name;
use crate::registry::{Note, Registry, Settled};
use crate::state::{Row, State};
use crate::views::{FILTERS, Lens, Whose};
use crate::words::some_of;

/// Topics of subscribers: each is a processor as well, and half of those that there may be is left to others.
pub const MAX_LENT: usize = 5_000;

/// Those of one principal: a topic, with its partitions, a user and a processor cost a cluster more than a stream does,
/// and strangers may subscribe to open flows.
pub const MAX_LENT_OF_ONE: usize = 64;

/// Where the events of a subscription lie that has a topic of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// The broker.
    pub broker: String,
    /// The processor that fills the topic.
    pub processor: Name,
    /// Whether, of one that has ended, everything is taken away.
    #[serde(default)]
    pub cleared: bool,
}

impl Subscriber {
    /// Whether nothing is left of it but what is remembered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some() && self.lent.as_ref().is_none_or(|lent| lent.cleared)
    }

    /// What fills its topic from a flow: a processor type with its configuration.
    ///
    /// # Errors
    /// `Conflict` where one processor cannot do all that was said.
    pub fn carrier(&self, flow: &Flow) -> Result<Lens, RegistryError> {
        let mut lenses = self.view(flow);
        match lenses.len() {
            0 | 1 => {
                let all = || Lens {
                    whose: Whose::Owners,
                    kind: FILTERS.to_owned(),
                    config: "{}".to_owned(),
                };
                Ok(lenses.pop().unwrap_or_else(all))
            }
            _ => Err(RegistryError::conflict(
                "transport kafka: a subscription has one filter there or a policy, not several",
            )),
        }
    }
}

impl State {
    /// What a new subscription needs that is to have a topic at a broker.
    pub(super) fn lend(
        &self,
        row: Subscriber,
        broker: String,
    ) -> Result<Subscriber, RegistryError> {
        self.check_room_to_lend(&row.principal)?;
        let flow = self.find_flow(&row.flow)?;
        let Lens { kind, config, .. } = row.carrier(flow)?;
        let ends = ([row.flow.clone()], [row.name.clone()]);
        let processor = derived_name(&kind, &ends.0, &ends.1, &config, &flow.namespace)?;
        self.check_free(&processor)?;
        Ok(Subscriber { lent: Some(Lent { broker, processor, cleared: false }), ..row })
    }

    /// Refuses another view of a flow to those who read it from topics: what lies there stays what it is.
    pub(crate) fn check_lent(&self, before: &Flow, after: &Flow) -> Result<(), RegistryError> {
        let lent = self.subscribers_of(&before.name).filter(|row| row.lent.is_some());
        let changed = lent.filter(|row| row.view(before) != row.view(after));
        let names: Vec<Name> = changed.map(|row| row.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let words = format!(
            "topics are filled as the policy of {} was: REMOVE SUBSCRIBER {}",
            before.name,
            some_of(&names)
        );
        Err(RegistryError::conflict(words))
    }

    /// Refuses whoever would keep the topic of a subscriber from going, or writes to it beside what fills it.
    pub(crate) fn check_topic_of_subscriber(
        &self,
        flow: &Name,
        processor: &Name,
    ) -> Result<(), RegistryError> {
        match self.subscribers.get(flow).filter(|row| !row.is_over()) {
            Some(Subscriber { lent: Some(lent), flow: from, .. })
                if lent.processor != *processor =>
            {
                let words = format!("flow {flow} is the topic of a subscription: take {from}");
                Err(RegistryError::conflict(words))
            }
            _ => Ok(()),
        }
    }

    /// A subscription with a topic that its subscriber may read now.
    fn borrowable(&self, who: &Subject, name: &Name) -> Result<&Subscriber, RegistryError> {
        let row = self.his(who, name)?;
        if row.lent.is_none() {
            let words = format!("subscription {name} has no topic: its transport is stream");
            return Err(RegistryError::conflict(words));
        }
        Ok(row)
    }

    /// Refuses one more topic where there are as many as there may be.
    fn check_room_to_lend(&self, who: &Subject) -> Result<(), RegistryError> {
        let lent = || self.subscribers.values().filter(|row| row.lent.is_some() && !row.is_over());
        if lent().count() >= MAX_LENT {
            return Err(RegistryError::TooMany { what: "topics of subscribers", limit: MAX_LENT });
        }
        if lent().filter(|row| row.principal == *who).count() >= MAX_LENT_OF_ONE {
            let (what, who) = ("subscriptions with a topic", who.to_string());
            return Err(RegistryError::OverQuota { what, who, most: MAX_LENT_OF_ONE as u64 });
        }
        Ok(())
    }

    fn clear(&self, name: &Name) -> Settled<()> {
        let Some(row) = self.subscribers.get(name) else { return Settled::nothing(()) };
        match &row.lent {
            Some(lent) if row.ended.is_some() && !lent.cleared => {
                let lent = Some(Lent { cleared: true, ..lent.clone() });
                Settled {
                    rows: vec![Row::PutSubscriber(Box::new(Subscriber { lent, ..row.clone() }))],
                    notes: vec![Note::new(name, "clearing", String::new())],
                    answer: (),
                }
            }
            _ => Settled::nothing(()),
        }
    }
}

impl Registry {
    /// Subscriptions with a topic of their own, by name, as long as something is left of them.
    #[must_use]
    pub fn lent(&self) -> Vec<Subscriber> {
        self.look(|state| {
            let lent = |row: &&Subscriber| row.lent.is_some() && !row.is_over();
            state.subscribers.values().filter(lent).cloned().collect()
        })
    }

    /// The subscription whose topic a processor fills, if it does.
    #[must_use]
    pub fn lent_through(&self, processor: &Name) -> Option<Subscriber> {
        self.look(|state| {
            let through = |row: &&Subscriber| {
                !row.is_over() && row.lent.as_ref().is_some_and(|lent| lent.processor == *processor)
            };
            state.subscribers.values().find(through).cloned()
        })
    }

    /// The subscription whose topic a flow is, if it is.
    #[must_use]
    pub fn lent_as(&self, flow: &Name) -> Option<Subscriber> {
        let is_lent = |row: &Subscriber| !row.is_over() && row.lent.is_some();
        self.subscriber(flow).filter(is_lent)
    }

    /// A subscription with a topic that its subscriber may read now.
    ///
    /// # Errors
    /// `NotFound`, also where it is somebody else's; `Denied` where the owner or a right that is gone has ended it;
    /// `Conflict` where it has no topic.
    pub fn borrowable(&self, who: &Subject, name: &Name) -> Result<Subscriber, RegistryError> {
        self.look(|state| state.borrowable(who, name).cloned())
    }

    /// Its subscriber has what he needs to read the topic: it does not end any more for want of anybody.
    ///
    /// # Errors
    /// As [`Self::borrowable`].
    pub async fn borrowed(&self, who: &Subject, name: &Name) -> Result<(), RegistryError> {
        if self.borrowable(who, name)?.attached_at.is_some() {
            return Ok(());
        }
        let (who, name) = (who.clone(), name.clone());
        let attached = move |state: &State| state.attached(state.borrowable(&who, &name)?, now());
        self.settled(attached).await.map(drop)
    }

    /// Writes down that nothing is left of what was lent to a subscription that has ended.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn clear(&self, name: &Name) -> Result<(), RegistryError> {
        let name = name.clone();
        self.settled(move |state| Ok(state.clear(&name))).await
    }
}
