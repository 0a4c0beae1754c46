//! The flows of other hosts, as a broker that can only be read: so an ordinary processor carries a subscription, and its commit
//! makes events and position durable together at its own broker.

mod inner;
mod source;
mod standstill;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fnap::name::Name;
use fnap::reply::Failure;
use futures::future::join_all;
use host_brokers::{
    Append, Appended, BatchLimits, Broker, BrokerError, Opened, ShardId, Source, TopicChange,
    TopicInfo, TopicRef, TopicSpec,
};
use host_events::Position;
use host_registry::{Registry, Transport};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::borrowed::{BorrowRules, Borrowed};
use crate::follow::{ANSWER, GLANCE, Links};
use crate::home::Ways;
pub(crate) use inner::tell;
use inner::{Inner, Whence, read_only, silent};
use source::first;
pub use standstill::Standstill;
use standstill::Standstills;

/// How long a host may take where all hosts are looked at together, every few seconds: less than whoever looks waits for
/// all of them, so that of a host that is silent nothing is known, and of others everything.
const SWEEP: Duration = Duration::from_millis(1_500);

/// Steps over gaps in a topic until the first record behind a position is given up.
const MOST_GAPS: u32 = 16;

const ONE: BatchLimits = BatchLimits { records: 1, bytes: 1 };

/// A broker of flows that lie with others. Topics are the names that their owners gave to subscriptions.
pub struct PeerBroker(Arc<Inner>);

/// A subscription that its owner's host does not know, or not any more.
#[derive(Debug)]
pub struct Gone {
    /// `id.flow`.
    pub name: Name,
    /// The owner's host's word.
    pub failure: Failure,
}

impl PeerBroker {
    /// One that asks the hosts that `ways` lead to; `own` is how this host is called in traces. What it is told the end
    /// of goes to `gone`. Topics at brokers of others are read as `rules` allow.
    #[must_use]
    pub fn new(
        ways: Ways,
        registry: Registry,
        own: Arc<str>,
        rules: BorrowRules,
        gone: mpsc::Sender<Gone>,
    ) -> Self {
        let outside = || Arc::clone(&ways.outside);
        let borrowed = Borrowed::new(outside(), Arc::clone(&own), rules, gone.clone());
        Self(Arc::new(Inner {
            links: Arc::new(Links::new(outside(), Arc::clone(&own))),
            near: Mutex::default(),
            ways,
            own,
            borrowed,
            registry,
            gone,
            standstills: Standstills::default(),
            tellers: Mutex::default(),
            dark: Mutex::default(),
        }))
    }

    /// Whether events of a flow may come from a topic.
    pub(crate) fn may_borrow(&self, flow: &Name) -> bool {
        self.0.borrowed.allows(flow)
    }

    /// Nothing more is wanted of a subscription.
    pub(crate) async fn give_back(&self, name: &Name) {
        self.0.borrowed.give_back(name).await;
    }

    /// Whether the owner of a subscription's flow holds it, as far as he has said so.
    #[must_use]
    pub fn is_held(&self, subscription: &Name) -> bool {
        let held = |links: &Arc<Links>| links.is_held(subscription);
        held(&self.0.links) || self.0.near().values().any(held)
    }

    /// Why no events of a subscription come, where they do not.
    #[must_use]
    pub fn standstill(&self, name: &Name) -> Option<Standstill> {
        self.0.standstills.of(name)
    }
}

#[async_trait]
impl Broker for PeerBroker {
    fn kind(&self) -> &'static str {
        "peer"
    }

    fn server(&self) -> String {
        String::new()
    }

    async fn create(&self, _: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        read_only()
    }

    async fn update(&self, _: &TopicRef, _: &TopicChange) -> Result<(), BrokerError> {
        read_only()
    }

    /// What stands against it is why nothing comes, unless it does.
    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        let described = self.0.look(topic, ANSWER).await;
        if let Err(error) = &described
            && !self.0.is_followed(&topic.topic)
        {
            self.0.standstills.begins(&topic.topic, error);
        }
        described
    }

    /// All hosts side by side: one that is silent is unknown alone.
    async fn look(&self, topics: &[TopicRef]) -> Vec<Result<TopicInfo, BrokerError>> {
        let looks = join_all(topics.iter().map(|topic| async {
            // What lies with a broker of theirs has patience of its own, and more of it.
            let looked = tokio::time::timeout(SWEEP, self.0.look(topic, SWEEP)).await;
            looked.unwrap_or_else(|_| Err(silent(topic)))
        }))
        .await;
        for (topic, look) in topics.iter().zip(&looks) {
            match look {
                Ok(_) => self.0.dark().remove(&*topic.topic),
                Err(_) => self.0.dark().insert(Arc::clone(&topic.topic)),
            };
        }
        self.0.tidy();
        looks
    }

    async fn delete(&self, _: &TopicRef) -> Result<(), BrokerError> {
        read_only()
    }

    async fn purge(&self, _: &TopicRef) -> Result<(), BrokerError> {
        read_only()
    }

    async fn append(&self, _: &TopicRef, _: Append) -> Result<Appended, BrokerError> {
        read_only()
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let source = self.0.source(topic, partition, from).await;
        match &source {
            Ok(_) => self.0.standstills.ends(&topic.topic),
            Err(error) => self.0.standstills.begins(&topic.topic, error),
        }
        source
    }

    async fn offset_at(&self, _: &TopicRef, _: u32, _: i64) -> Result<u64, BrokerError> {
        let words = "a time as the start of what another participant sends";
        Err(BrokerError::Invalid(words.to_owned()))
    }

    /// One record, and no more than one is sent for it. A host of which nothing was heard just now is not asked.
    async fn time_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Option<i64>, BrokerError> {
        if self.0.dark().contains(&*topic.topic) {
            return Err(silent(topic));
        }
        let whence = self.0.of(topic)?;
        let looked = tokio::time::timeout(SWEEP, async {
            if whence.transport == Transport::Kafka {
                let Whence { name, at, .. } = whence;
                let mut source = self.0.borrowed.source(topic, name, at, partition, from).await?;
                for _ in 0..MOST_GAPS {
                    if let Some(stored) = source.next(ONE).await?.records.first() {
                        return Ok(Some(stored.record.timestamp));
                    }
                }
                return Ok(None);
            }
            let following = self.0.follow(topic, &whence, (partition, from), GLANCE);
            first(&mut following.await?).await
        });
        looked.await.unwrap_or_else(|_| Err(silent(topic)))
    }

    fn safe(&self, topic: &TopicRef, partition: u32, next: u64) {
        let Ok(name) = topic.topic.parse() else { return };
        if let Some(teller) = self.0.tellers().get(&(name, partition)) {
            teller.safe(next);
        }
    }

    async fn open(&self, _: ShardId) -> Result<Opened, BrokerError> {
        read_only()
    }

    async fn reposition(&self, _: ShardId, _: Position, _: bool) -> Result<(), BrokerError> {
        read_only()
    }

    /// Positions lie at the broker that is written to.
    async fn forget(&self, _: Uuid) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) {
        self.0.borrowed.close().await;
    }
}
