//! What is behind the broker of other participants' flows: whence each comes, and what is said of what cannot be had.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fnap::name::{FlowName, Name};
use fnap::reply::Code;
use fnap::stream::MAX_OFFSET;
use fnap::subject::Subject;
use host_brokers::{BrokerError, PartitionInfo, Source, TopicInfo, TopicRef};
use host_registry::{Registry, Subscription, Transport};
use tokio::sync::mpsc;

use super::source::PeerSource;
use super::standstill::Standstills;
use super::{Gone, source};
use crate::borrowed::Borrowed;
use crate::follow::{CREDIT, Following, Links, Lost, Place, Seen, Teller};
use crate::home::{Ways, at_home};

pub(super) struct Inner {
    pub(super) ways: Ways,
    /// How this host is called in traces.
    pub(super) own: Arc<str>,
    /// To other hosts.
    pub(super) links: Arc<Links>,
    /// To this one, of each who subscribes to flows of his own host.
    pub(super) near: Mutex<HashMap<Subject, Arc<Links>>>,
    pub(super) borrowed: Borrowed,
    pub(super) registry: Registry,
    pub(super) gone: mpsc::Sender<Gone>,
    /// Why events do not come.
    pub(super) standstills: Standstills,
    /// By whom a host is told how far a partition is.
    pub(super) tellers: Mutex<HashMap<(FlowName, u32), Teller>>,
    /// Topics of which nothing was heard at the last look.
    pub(super) dark: Mutex<HashSet<Arc<str>>>,
}

/// Where a subscription's events come from.
pub(super) struct Whence {
    /// `id.flow`.
    pub(super) name: FlowName,
    /// The flow whose hosts have it.
    pub(super) at: Name,
    pub(super) transport: Transport,
    pub(super) links: Arc<Links>,
}

impl Inner {
    pub(super) fn tellers(&self) -> MutexGuard<'_, HashMap<(FlowName, u32), Teller>> {
        // Nothing panics while it holds the lock.
        self.tellers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something comes of a topic. What lies with a broker of theirs is not known to.
    pub(super) fn is_followed(&self, topic: &str) -> bool {
        let by_stream = |name: &Name| {
            let row = self.registry.subscription(name);
            row.is_some_and(|row| row.transport == Transport::Stream)
        };
        let followed = |(name, _): &(FlowName, u32)| name.as_str() == topic;
        !topic.parse().is_ok_and(|name| by_stream(&name)) || self.tellers().keys().any(followed)
    }

    pub(super) fn dark(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.dark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn near(&self) -> MutexGuard<'_, HashMap<Subject, Arc<Links>>> {
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
    pub(super) fn tidy(&self) {
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
    pub(super) fn lost(&self, name: &FlowName, lost: Lost) -> BrokerError {
        tell(&self.gone, name, &lost);
        lost.broker_error()
    }

    /// Where a topic comes from.
    pub(super) fn of(&self, topic: &TopicRef) -> Result<Whence, BrokerError> {
        let gone = || BrokerError::NotFound(format!("subscription {}", topic.topic));
        let name: FlowName = topic.topic.parse().map_err(|_| gone())?;
        let row = self.registry.subscription(&name).ok_or_else(gone)?;
        let links = self.links_of(&row);
        Ok(Whence { name, at: row.flow, transport: row.transport, links })
    }

    pub(super) async fn look(
        &self,
        topic: &TopicRef,
        patience: Duration,
    ) -> Result<TopicInfo, BrokerError> {
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
    pub(super) async fn source(
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
    pub(super) async fn follow(
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

pub(super) fn silent(topic: &TopicRef) -> BrokerError {
    BrokerError::Unavailable(format!("the host of {}", topic.topic))
}

pub(super) fn read_only<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Invalid("flows of another participant can only be read".to_owned()))
}
