//! The flows of other hosts, as a broker that can only be read: so an ordinary processor carries a subscription, and its commit
//! makes events and position durable together at its own broker.

mod source;
mod standstill;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use fnap::stream::MAX_OFFSET;
use fnap::subject::Subject;
use futures::future::join_all;
use host_brokers::{
    Append, Appended, BatchLimits, Broker, BrokerError, Opened, PartitionInfo, ShardId, Source,
    TopicChange, TopicInfo, TopicRef, TopicSpec,
};
use host_events::Position;
use host_registry::{Registry, Subscription, Transport};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::borrowed::{BorrowRules, Borrowed};
use crate::follow::{ANSWER, CREDIT, Following, GLANCE, Links, Lost, Place, Seen, Teller};
use crate::home::{Ways, at_home};
use source::{PeerSource, first};
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

struct Inner {
    ways: Ways,
    /// How this host is called in traces.
    own: Arc<str>,
    /// To other hosts.
    links: Arc<Links>,
    /// To this one, of each who subscribes to flows of his own host.
    near: Mutex<HashMap<Subject, Arc<Links>>>,
    borrowed: Borrowed,
    registry: Registry,
    gone: mpsc::Sender<Gone>,
    /// Why events do not come.
    standstills: Standstills,
    /// By whom a host is told how far a partition is.
    tellers: Mutex<HashMap<(FlowName, u32), Teller>>,
    /// Topics of which nothing was heard at the last look.
    dark: Mutex<HashSet<Arc<str>>>,
}

/// Where a subscription's events come from.
struct Whence {
    /// `id.flow`.
    name: FlowName,
    /// The flow whose hosts have it.
    at: Name,
    transport: Transport,
    links: Arc<Links>,
}

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

impl Inner {
    fn tellers(&self) -> MutexGuard<'_, HashMap<(FlowName, u32), Teller>> {
        // Nothing panics while it holds the lock.
        self.tellers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something comes of a topic. What lies with a broker of theirs is not known to.
    fn is_followed(&self, topic: &str) -> bool {
        let by_stream = |name: &Name| {
            let row = self.registry.subscription(name);
            row.is_some_and(|row| row.transport == Transport::Stream)
        };
        let followed = |(name, _): &(FlowName, u32)| name.as_str() == topic;
        !topic.parse().is_ok_and(|name| by_stream(&name)) || self.tellers().keys().any(followed)
    }

    fn dark(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.dark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn near(&self) -> MutexGuard<'_, HashMap<Subject, Arc<Links>>> {
        // Nothing panics while it holds the lock.
        self.near.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What leads to the host of a subscription's flow.
    fn links_of(&self, row: &Subscription) -> Arc<Links> {
        let Some(who) = at_home(row) else { return Arc::clone(&self.links) };
        let links = || Arc::new(Links::new(self.ways.of(row), Arc::clone(&self.own)));
        Arc::clone(self.near().entry(who).or_insert_with(links))
    }

    /// Forgets what was known of subscriptions that are gone.
    fn tidy(&self) {
        if self.dark().is_empty() && self.standstills.is_empty() && self.near().is_empty() {
            return;
        }
        let rows = self.registry.subscriptions();
        let here: HashSet<Subject> = rows.iter().filter_map(at_home).collect();
        self.near().retain(|who, _| here.contains(who));
        let live: HashSet<&str> =
            rows.iter().filter_map(|row| Some(row.remote.as_ref()?.as_str())).collect();
        self.dark().retain(|topic| live.contains(&**topic));
        self.standstills.keep(&live);
    }

    /// What a loss means to a processor; an end is told of, too.
    fn lost(&self, name: &FlowName, lost: Lost) -> BrokerError {
        tell(&self.gone, name, &lost);
        lost.broker_error()
    }

    /// Where a topic comes from.
    fn of(&self, topic: &TopicRef) -> Result<Whence, BrokerError> {
        let gone = || BrokerError::NotFound(format!("subscription {}", topic.topic));
        let name: FlowName = topic.topic.parse().map_err(|_| gone())?;
        let row = self.registry.subscription(&name).ok_or_else(gone)?;
        let links = self.links_of(&row);
        Ok(Whence { name, at: row.flow, transport: row.transport, links })
    }

    async fn look(&self, topic: &TopicRef, patience: Duration) -> Result<TopicInfo, BrokerError> {
        let Whence { name, at, transport, links } = self.of(topic)?;
        if transport == Transport::Kafka {
            return self.borrowed.look(topic, &name, &at).await;
        }
        let seen = links.look(&name, &at, patience).await;
        let seen = seen.map_err(|lost| self.lost(&name, lost))?;
        check_life(topic, &seen.incarnation)?;
        info(seen)
    }

    /// Reads a partition as it comes.
    async fn source(
        self: &Arc<Self>,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let whence = self.of(topic)?;
        if whence.transport == Transport::Kafka {
            let Whence { name, at, .. } = whence;
            return self.borrowed.source(topic, name, at, partition, from).await;
        }
        let following = self.follow(topic, &whence, (partition, from), CREDIT).await?;
        self.tellers().insert((whence.name.clone(), partition), following.teller());
        let followed = source::Followed { following, whence, topic: topic.clone(), partition };
        Ok(Box::new(PeerSource::new(Arc::clone(self), followed, from)))
    }

    /// Follows a partition.
    async fn follow(
        &self,
        topic: &TopicRef,
        Whence { name, at, links, .. }: &Whence,
        (partition, next): (u32, u64),
        credit: u64,
    ) -> Result<Following, BrokerError> {
        let place = Place { flow: name.clone(), partition, next };
        let following = links.follow(place, at, credit).await.map_err(|lost| {
            out_of_range(&lost, partition, next).unwrap_or_else(|| self.lost(name, lost))
        })?;
        check_life(topic, &following.incarnation)?;
        Ok(following)
    }
}

/// Tells of a subscription that its owner's host does not know any more, or has taken away.
pub(crate) fn tell(gone: &mpsc::Sender<Gone>, name: &FlowName, lost: &Lost) {
    if let Lost::Ended(failure) = lost
        && lost.is_end()
    {
        // Where nobody listens the host is ending; where too many are told of at once, the processor tries again.
        drop(gone.try_send(Gone { name: name.clone(), failure: failure.clone() }));
    }
}

/// Refuses another life of a flow than the one that was subscribed to.
fn check_life(topic: &TopicRef, incarnation: &str) -> Result<(), BrokerError> {
    match topic.id {
        Some(id) if incarnation.parse() != Ok(id) => {
            Err(BrokerError::NotFound(format!("{}: another flow of that name", topic.topic)))
        }
        _ => Ok(()),
    }
}

fn info(seen: Seen) -> Result<TopicInfo, BrokerError> {
    let Seen { incarnation, mut partitions } = seen;
    partitions.sort_by_key(|partition| partition.partition);
    if partitions.iter().zip(0_u32..).any(|(partition, number)| partition.partition != number) {
        return Err(BrokerError::Invalid("the other host leaves partitions out".to_owned()));
    }
    let log = |partition: &fnap::stream::Partition| PartitionInfo {
        earliest: partition.earliest,
        latest: partition.latest,
    };
    Ok(TopicInfo {
        id: incarnation.parse().ok(),
        replication: None,
        partitions: partitions.iter().map(log).collect(),
        bytes: None,
        config: Default::default(),
    })
}

/// A position that is not in the log any more: whoever reads decides whether to go on behind the gap.
fn out_of_range(lost: &Lost, partition: u32, wanted: u64) -> Option<BrokerError> {
    let Lost::Ended(failure) = lost else { return None };
    let fact = |key: &str| {
        let value = |word: &str| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
        failure.words.split_whitespace().find_map(value)
    };
    let (earliest, latest): (u64, u64) = (fact("earliest")?, fact("latest")?);
    let proper = failure.code == Code::OutOfRange
        && earliest <= latest
        && latest <= MAX_OFFSET
        && !(earliest..=latest).contains(&wanted);
    proper.then_some(BrokerError::OutOfRange { partition, wanted, earliest, latest })
}

fn silent(topic: &TopicRef) -> BrokerError {
    BrokerError::Unavailable(format!("the host of {}", topic.topic))
}

fn read_only<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Invalid("flows of another participant can only be read".to_owned()))
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
