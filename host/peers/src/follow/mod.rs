//! Flows of other hosts, followed: one connection for each host that was found, one stream for each partition.
//!
//! A connection is opened when somebody wants something, and closed when nobody has for a while. Nothing is kept: who
//! follows attaches again from what is committed. What waits are octets, within the streams' credits; records are made of
//! them as they are taken. Decides nothing about subscriptions.

mod budget;
mod following;
mod hosts;
mod link;
mod notes;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use fnap::stream::{Batch, Partition};
use host_brokers::BrokerError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub(crate) use following::{Came, Following, Place, Teller};

use crate::reach::{Reach, Unreached};
use budget::Budget;
use hosts::{Found, Hosts, Whose};
use notes::Notes;

/// Asks of one link that wait: each is somebody who waits for its answer.
const ASKS: usize = 1_024;

/// How long a host may take to say what there is of a flow; its broker may be slow.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

/// Octets of a stream that may be under way or wait here, where there is room for so much: a fast path's round trip.
pub(crate) const CREDIT: u64 = 4 << 20;

/// Credit of a stream of which one record is wanted: a record may pass alone whatever it takes, and nothing behind it.
pub(crate) const GLANCE: u64 = 1;

/// All links, by the hosts they lead to.
pub(crate) struct Links {
    reach: Arc<dyn Reach>,
    /// How this host is called in traces.
    own: Arc<str>,
    open: Mutex<HashMap<Hosts, Line>>,
    found: Found,
    /// Followers so far, which gives each a number.
    followers: AtomicU64,
    held: Arc<Holds>,
    budget: Budget,
}

/// Which streams their owners hold, as far as somebody listens.
#[derive(Default)]
struct Holds(Mutex<BTreeSet<(Name, u32)>>);

impl Holds {
    fn set(&self) -> MutexGuard<'_, BTreeSet<(Name, u32)>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its owner says, for as long as somebody listens: not in the queue of what he is told, which such words would
    /// fill without credit.
    fn mark(&self, place: (Name, u32), held: bool, told: &mpsc::UnboundedSender<Told>) {
        let mut set = self.set();
        if held && !told.is_closed() {
            set.insert(place);
        } else {
            set.remove(&place);
        }
    }

    fn forget(&self, place: &Place) {
        self.set().remove(&(Name::clone(&place.flow), place.partition));
    }
}

/// How a link is spoken to.
#[derive(Clone)]
struct Line {
    asks: mpsc::Sender<Ask>,
    notes: Arc<Notes>,
}

/// What is asked of a link.
enum Ask {
    /// What there is of a flow.
    Look { flow: FlowName, answer: oneshot::Sender<Result<Seen, Lost>> },
    /// One partition, from there on.
    Follow {
        follower: u64,
        place: Place,
        credit: u64,
        told: mpsc::UnboundedSender<Told>,
        holds: Arc<Holds>,
    },
}

/// What a flow has.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which life of it this is.
    pub(crate) incarnation: String,
    /// Its partitions.
    pub(crate) partitions: Vec<Partition>,
}

/// What whoever follows is told.
enum Told {
    /// The stream has begun.
    Began {
        incarnation: String,
        /// How the host is called in traces; none where it is this one.
        host: Option<Arc<str>>,
    },
    /// Records.
    Batch(Batch),
    /// That is all.
    Over(Lost),
}

/// Why nothing more comes.
#[derive(Clone, Debug)]
pub(crate) enum Lost {
    /// The other host's word about this flow.
    Ended(Failure),
    /// It could not be reached, or went away.
    Away(Unreached),
}

impl Lost {
    /// Whether it says that there is no such flow for us, or not any more.
    pub(crate) fn is_end(&self) -> bool {
        let ends = |failure: &Failure| matches!(failure.code, Code::Forbidden | Code::NotFound);
        matches!(self, Self::Ended(failure) if ends(failure))
    }

    /// Whether the other host says that the same may go well at once.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Ended(failure) if failure.code == Code::Unavailable)
    }

    /// As a broker says it.
    pub(crate) fn broker_error(self) -> BrokerError {
        let failure = match self {
            Self::Away(away) => return BrokerError::Unavailable(away.to_string()),
            Self::Ended(failure) => failure,
        };
        match failure.code.number() {
            401 | 403 => BrokerError::Refused(failure.to_string()),
            404 => BrokerError::NotFound(failure.to_string()),
            400 | 409 | 501 => BrokerError::Invalid(failure.to_string()),
            _ => BrokerError::Unavailable(failure.to_string()),
        }
    }
}

impl Links {
    pub(crate) fn new(reach: Arc<dyn Reach>, own: Arc<str>) -> Self {
        let found = Found::default();
        let (followers, held, budget) = (AtomicU64::new(0), Arc::default(), Budget::default());
        Self { reach, own, open: Mutex::default(), found, followers, held, budget }
    }

    /// The link to the hosts that were found; what is asked of it says by itself whether it leads anywhere.
    fn to(&self, whose: &Whose) -> Line {
        // Nothing panics while it holds the lock.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, line| !line.asks.is_closed());
        let line = open.entry(whose.hosts.clone()).or_insert_with(|| {
            let (asks, asked) = mpsc::channel(ASKS);
            let line = Line { asks, notes: Arc::default() };
            let (reach, own) = (Arc::clone(&self.reach), Arc::clone(&self.own));
            let (notes, found) = (Arc::clone(&line.notes), Arc::clone(&whose.found));
            tokio::spawn(link::keep(reach, own, found, asked, notes));
            line
        });
        line.clone()
    }

    /// Whether the owner of a flow holds it, as far as he has said so to somebody who follows.
    pub(crate) fn is_held(&self, flow: &Name) -> bool {
        let from = (flow.clone(), 0);
        self.held.set().range(from..).next().is_some_and(|(held, _)| held == flow)
    }

    /// Which hosts a flow has.
    async fn whose(&self, flow: &Name) -> Result<Whose, Lost> {
        self.found.find(&*self.reach, flow).await.map_err(Lost::Away)
    }

    /// What a flow has now, asked at the hosts of `at`, if they say so in time.
    pub(crate) async fn look(
        &self,
        flow: &FlowName,
        at: &Name,
        patience: Duration,
    ) -> Result<Seen, Lost> {
        let seen = timeout(patience, self.seen(flow, at)).await;
        seen.unwrap_or_else(|_| Err(Lost::Away(link::silent())))
    }

    async fn seen(&self, flow: &FlowName, at: &Name) -> Result<Seen, Lost> {
        let whose = self.whose(at).await?;
        match self.seen_there(flow, &whose).await {
            Err(lost) => match self.elsewhere(at, &whose, &lost).await {
                Some(now) => self.seen_there(flow, &now).await,
                None => Err(lost),
            },
            seen => seen,
        }
    }

    async fn seen_there(&self, flow: &FlowName, whose: &Whose) -> Result<Seen, Lost> {
        // A link that closes just now is opened again once.
        for _ in 0..2 {
            let (answer, answered) = oneshot::channel();
            let ask = Ask::Look { flow: flow.clone(), answer };
            if self.to(whose).asks.send(ask).await.is_err() {
                continue;
            }
            if let Ok(seen) = answered.await {
                return seen;
            }
        }
        Err(Lost::Away(link::closed()))
    }

    /// Follows one partition of a flow from the hosts of `at`.
    pub(crate) async fn follow(
        &self,
        place: Place,
        at: &Name,
        credit: u64,
    ) -> Result<Following, Lost> {
        let whose = self.whose(at).await?;
        match self.follow_there(place.clone(), whose.clone(), credit).await {
            Err(lost) => match self.elsewhere(at, &whose, &lost).await {
                Some(now) => self.follow_there(place, now, credit).await,
                None => Err(lost),
            },
            following => following,
        }
    }

    async fn follow_there(
        &self,
        place: Place,
        whose: Whose,
        credit: u64,
    ) -> Result<Following, Lost> {
        let follower = self.followers.fetch_add(1, Ordering::Relaxed);
        #[expect(
            clippy::disallowed_methods,
            reason = "the stream's credit bounds what waits in it"
        )]
        let (told, hears) = mpsc::unbounded_channel();
        let Line { asks, notes } = self.to(&whose);
        let own = Arc::clone(&self.own);
        let holds = Arc::clone(&self.held);
        let held = (Arc::clone(&holds), place.clone());
        let share = self.budget.take(credit);
        let credit = share.octets;
        let mut following = Following::new(notes, (follower, hears), own, whose, (held, share));
        if asks.send(Ask::Follow { follower, place, credit, told, holds }).await.is_err() {
            return Err(Lost::Away(link::closed()));
        }
        match timeout(ANSWER, following.begin()).await {
            Ok(Ok(())) => Ok(following),
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(Lost::Away(link::silent())),
        }
    }

    /// An end counts where whoever says it is still a host of the flow: one that has moved is asked for where it is.
    pub(crate) async fn theirs(&self, at: &Name, whose: &Whose, lost: Lost) -> Lost {
        // Who went away is looked for when he cannot be reached again.
        if !lost.is_end() {
            return lost;
        }
        match self.elsewhere(at, whose, &lost).await {
            Some(_) => Lost::Away(link::moved(at)),
            None => lost,
        }
    }

    /// Where a flow is by now, after this has come of where it was; none where it is still there, or whoever says no has a
    /// reason of his own.
    async fn elsewhere(&self, at: &Name, whose: &Whose, lost: &Lost) -> Option<Whose> {
        if matches!(lost, Lost::Ended(_)) && !lost.is_end() {
            return None;
        }
        let now = self.found.anew(&*self.reach, at).await.ok()?;
        now.found.leads_elsewhere(&whose.found).then_some(now)
    }
}
