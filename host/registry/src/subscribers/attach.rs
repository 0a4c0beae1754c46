//! Whoever carries events asks here: what a subscription is, when that changes, and how far it is.
//!
//! How far somebody is, is kept in memory: he knows it himself and says it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fnap::subject::Subject;
use host_events::clock::now;
use tokio::sync::watch;

use super::sent::{Counts, Sent};
use super::{Subscriber, Why};
use crate::Name;
use crate::error::RegistryError;
use crate::registry::{Note, Registry, Settled};
use crate::state::{Row, State};

/// How far a subscription is.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// How many are attached to it now.
    pub connected: usize,
    /// Next offset of each partition that is safe at the subscriber's.
    pub acked: BTreeMap<u32, u64>,
    /// Why nothing was sent when somebody was attached last, for the owner of the flow.
    pub trouble: Option<String>,
    counts: Arc<Counts>,
}

impl Standing {
    /// What was sent since the host started.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.counts.look()
    }

    /// How many offsets lie between what is safe at the subscriber's and the ends of the partitions; none where nobody
    /// has said how far he is.
    #[must_use]
    pub fn lag(&self, ends: &[u64]) -> Option<u64> {
        let behind = |(partition, next): (&u32, &u64)| {
            ends.get(*partition as usize).map_or(0, |end| end.saturating_sub(*next))
        };
        (!self.acked.is_empty()).then(|| self.acked.iter().map(behind).sum())
    }
}

/// Somebody is attached, until this is dropped.
#[derive(Debug)]
pub struct Attachment {
    registry: Registry,
    name: Name,
    counts: Arc<Counts>,
}

impl Attachment {
    /// So much was sent.
    pub fn sent(&self, events: u64, bytes: u64) {
        self.counts.sent(events, bytes);
    }

    /// What is done to its events took so much of a processor's time.
    pub fn viewed(&self, time: Duration) {
        self.counts.viewed(time);
    }

    /// Takes what is safe at the subscriber's: the next offset of some partitions. It may go back: he has his reasons.
    pub fn acked(&self, positions: &BTreeMap<u32, u64>) {
        self.registry.standing_of(&self.name, |standing| standing.acked.extend(positions));
    }

    /// Takes down why nothing is sent, or that it is again.
    pub fn trouble(&self, trouble: Option<String>) {
        self.registry.standing_of(&self.name, |standing| standing.trouble = trouble);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.registry.standing_of(&self.name, |standing| {
            standing.connected = standing.connected.saturating_sub(1)
        });
        self.registry.let_go().send_modify(|count| *count += 1);
    }
}

impl State {
    /// A subscription that its subscriber may attach to now.
    fn attachable(&self, who: &Subject, name: &Name) -> Result<&Subscriber, RegistryError> {
        let row = self.his(who, name)?;
        if row.lent.is_some() {
            let words = format!("subscription {name} has a topic: its transport is kafka");
            return Err(RegistryError::conflict(words));
        }
        Ok(row)
    }

    /// A subscription that is its subscriber's to have events of.
    pub(super) fn his(&self, who: &Subject, name: &Name) -> Result<&Subscriber, RegistryError> {
        let none = || RegistryError::not_found("subscription", name);
        let row = self.find_subscriber(name)?;
        if row.principal != *who {
            return Err(none());
        }
        match &row.ended {
            Some(end) if matches!(end.why, Why::Removed | Why::Revoked) => {
                return Err(RegistryError::Denied { words: end.words.clone() });
            }
            Some(_) => return Err(none()),
            None => {}
        }
        let flow = self.flow_in_use(&row.flow)?;
        if flow.incarnation == row.incarnation { Ok(row) } else { Err(none()) }
    }

    fn attach(
        &self,
        who: &Subject,
        name: &Name,
        at: i64,
    ) -> Result<Settled<Subscriber>, RegistryError> {
        self.attached(self.attachable(who, name)?, at)
    }

    /// Notes the first time.
    pub(super) fn attached(
        &self,
        row: &Subscriber,
        at: i64,
    ) -> Result<Settled<Subscriber>, RegistryError> {
        if row.attached_at.is_some() {
            return Ok(Settled::nothing(row.clone()));
        }
        let row = Subscriber {
            attached_at: Some(at),
            handed_at: row.handed_at.or(Some(at)),
            ..row.clone()
        };
        Ok(Settled {
            rows: vec![Row::PutSubscriber(Box::new(row.clone()))],
            notes: vec![Note::new(&row.name, "attachment", String::new())],
            answer: row,
        })
    }
}

impl Registry {
    /// Its subscriber attaches to a subscription; from the first time on it does not end for want of anybody. What
    /// it says of holding and filters may change: [`Self::subscriber_changes`].
    ///
    /// # Errors
    /// `NotFound`, also where it is somebody else's; `Denied` where the owner or a right that is gone has ended it.
    pub async fn attach(
        &self,
        who: &Subject,
        name: &Name,
    ) -> Result<(Subscriber, Attachment), RegistryError> {
        let (who, wanted) = (who.clone(), name.clone());
        let row = match self.look(|state| state.attachable(&who, &wanted).cloned())? {
            known if known.attached_at.is_some() => known,
            _ => self.settled(move |state| state.attach(&who, &wanted, now())).await?,
        };
        let mut counts = Arc::default();
        self.standing_of(name, |standing| {
            standing.connected += 1;
            standing.counts.attached();
            counts = Arc::clone(&standing.counts);
        });
        Ok((row, Attachment { registry: self.clone(), name: name.clone(), counts }))
    }

    /// Waits until nobody is attached any more to a subscription that is meant and has ended: whoever carried it sends
    /// nothing more then.
    pub async fn until_let_go(&self, is_meant: impl Fn(&Subscriber) -> bool) {
        let mut changes = self.let_go().subscribe();
        loop {
            changes.mark_unchanged();
            let connected = |(name, standing): (&Name, &Standing)| {
                (standing.connected > 0).then(|| name.clone())
            };
            let held: Vec<Name> = self.standings().iter().filter_map(connected).collect();
            // Of one that is forgotten nobody knows whether it is meant.
            let waits = |state: &State, name: &Name| match state.subscribers.get(name) {
                Some(row) => !row.is_live() && is_meant(row),
                None => true,
            };
            if self.look(|state| !held.iter().any(|name| waits(state, name))) {
                return;
            }
            // The sender is part of this registry.
            let Ok(()) = changes.changed().await else { return };
        }
    }

    /// Counts changes of subscriptions: who carries one looks at it again, with [`Self::subscriber`], which costs
    /// a look at memory.
    #[must_use]
    pub fn subscriber_changes(&self) -> watch::Receiver<u64> {
        self.subscriber_watch().subscribe()
    }

    /// How far a subscription is, where somebody was attached since the host started.
    #[must_use]
    pub fn standing(&self, name: &Name) -> Option<Standing> {
        self.standings().get(name).cloned()
    }

    /// Changes how far one is, while it is there.
    fn standing_of(&self, name: &Name, change: impl FnOnce(&mut Standing)) {
        let mut standings = self.standings();
        change(standings.entry(name.clone()).or_default());
        if standings.len() > super::MAX_SUBSCRIBERS {
            standings.retain(|_, standing| standing.connected > 0);
        }
    }
}
