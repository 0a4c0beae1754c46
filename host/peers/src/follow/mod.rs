//! Flows of other hosts, followed: one connection for each host and flow's domain, one stream for each partition.
//!
//! A connection is opened when somebody wants something, and closed when nobody has for a while. Nothing is kept: who
//! follows attaches again from what is committed. Decides nothing about subscriptions.

mod link;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fnap::name::{FlowName, Name};
use fnap::reply::Failure;
use fnap::stream::Partition;
use host_brokers::BrokerError;
use host_events::Stored;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::reach::{Reach, Unreached};

/// Asks of one link that wait: each is somebody who waits for its answer.
const ASKS: usize = 1_024;

/// How long a host may take to say what there is of a flow; its broker may be slow.
const ANSWER: Duration = Duration::from_secs(30);

/// Octets of a stream that may be under way or wait here: a fast path's round trip, and no more than some
/// hundred streams can hold at once.
pub(crate) const CREDIT: u64 = 4 << 20;

/// All links, by the host they lead to.
pub(crate) struct Links {
    reach: Arc<dyn Reach>,
    /// How this host is called in traces.
    own: Arc<str>,
    open: Mutex<HashMap<Name, mpsc::Sender<Ask>>>,
    held: Arc<Holds>,
}

/// Which streams their owners hold, as far as somebody listens.
#[derive(Default)]
struct Holds(Mutex<BTreeSet<(Name, u32)>>);

impl Holds {
    fn set(&self) -> MutexGuard<'_, BTreeSet<(Name, u32)>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, place: &(Name, u32), held: bool) {
        let mut set = self.set();
        if held {
            set.insert(place.clone());
        } else {
            set.remove(place);
        }
    }
}

/// What is asked of a link.
pub(super) enum Ask {
    /// What there is of a flow.
    Look { flow: FlowName, answer: oneshot::Sender<Result<Seen, Lost>> },
    /// One partition, from there on.
    Follow { flow: FlowName, partition: u32, next: u64, told: mpsc::UnboundedSender<Told> },
    /// A batch was taken.
    Used { stream: u32, cost: u64 },
    /// Somebody wants no more.
    Leave { stream: u32 },
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
pub(super) enum Told {
    /// The stream has begun.
    Began { stream: u32, incarnation: String },
    /// Its owner holds it, or lets it go on.
    Held(bool),
    /// Records.
    Batch { records: Vec<Stored>, next: u64, cost: u64 },
    /// That is all.
    Over(Lost),
}

/// What came of a partition.
pub(crate) struct Came {
    /// The records, in the order of their offsets.
    pub(crate) records: Vec<Stored>,
    /// The position behind them.
    pub(crate) next: u64,
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
        Self { reach, own, open: Mutex::default(), held: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Name, mpsc::Sender<Ask>>> {
        // Nothing panics while it holds the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link to the host that has a flow; what is asked of it says by itself whether it leads anywhere.
    fn to(&self, flow: &Name) -> mpsc::Sender<Ask> {
        let domain = flow.parent().unwrap_or_else(|| flow.clone());
        let mut open = self.open();
        open.retain(|_, link| !link.is_closed());
        let link = open.entry(domain).or_insert_with(|| {
            let (asks, asked) = mpsc::channel(ASKS);
            let (reach, own, flow) = (Arc::clone(&self.reach), Arc::clone(&self.own), flow.clone());
            tokio::spawn(link::keep(reach, own, flow, asked));
            asks
        });
        link.clone()
    }

    /// Whether the owner of a flow holds it, as far as he has said so to somebody who follows.
    pub(crate) fn is_held(&self, flow: &Name) -> bool {
        let from = (flow.clone(), 0);
        self.held.set().range(from..).next().is_some_and(|(held, _)| held == flow)
    }

    /// What a flow has now.
    pub(crate) async fn look(&self, flow: &FlowName, at: &Name) -> Result<Seen, Lost> {
        // A link that closes just now is opened again once.
        for _ in 0..2 {
            let (answer, answered) = oneshot::channel();
            let ask = Ask::Look { flow: flow.clone(), answer };
            if self.to(at).send(ask).await.is_err() {
                continue;
            }
            match timeout(ANSWER, answered).await {
                Ok(Ok(seen)) => return seen,
                Ok(Err(_)) => {}
                Err(_) => return Err(Lost::Away(link::silent())),
            }
        }
        Err(Lost::Away(link::closed()))
    }

    /// Follows one partition of a flow.
    pub(crate) async fn follow(
        &self,
        flow: &FlowName,
        at: &Name,
        partition: u32,
        next: u64,
    ) -> Result<Following, Lost> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the stream's credit bounds what waits in it"
        )]
        let (told, hears) = mpsc::unbounded_channel();
        let link = self.to(at);
        let ask = Ask::Follow { flow: flow.clone(), partition, next, told };
        if link.send(ask).await.is_err() {
            return Err(Lost::Away(link::closed()));
        }
        let place = (Name::clone(flow), partition);
        let (stream, incarnation) = (None, String::new());
        let held = Arc::clone(&self.held);
        let mut following = Following { link, hears, stream, incarnation, place, held };
        let heard = timeout(ANSWER, following.hears.recv()).await;
        let Ok(heard) = heard else { return Err(Lost::Away(link::silent())) };
        match heard {
            Some(Told::Began { stream, incarnation }) => {
                (following.stream, following.incarnation) = (Some(stream), incarnation);
                Ok(following)
            }
            Some(Told::Over(lost)) => Err(lost),
            Some(Told::Batch { .. } | Told::Held(_)) | None => Err(Lost::Away(link::closed())),
        }
    }
}

/// A partition that is followed, until it is dropped. What waits in it is bounded by [`CREDIT`].
pub(crate) struct Following {
    link: mpsc::Sender<Ask>,
    hears: mpsc::UnboundedReceiver<Told>,
    stream: Option<u32>,
    pub(crate) incarnation: String,
    place: (Name, u32),
    held: Arc<Holds>,
}

impl Following {
    /// The next batch. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Came, Lost> {
        let mut told = self.hears.recv().await;
        while let Some(Told::Held(held)) = told {
            self.held.mark(&self.place, held);
            told = self.hears.recv().await;
        }
        match told {
            Some(Told::Batch { records, next, cost }) => {
                if let Some(stream) = self.stream {
                    // A link that is gone needs no credit.
                    drop(self.link.try_send(Ask::Used { stream, cost }));
                }
                Ok(Came { records, next })
            }
            Some(Told::Over(lost)) => Err(lost),
            Some(Told::Began { .. } | Told::Held(_)) | None => Err(Lost::Away(link::closed())),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.held.mark(&self.place, false);
        if let Some(stream) = self.stream {
            drop(self.link.try_send(Ask::Leave { stream }));
        }
    }
}

/// What each stream of a link is for.
type Streams = BTreeMap<u32, Stream>;

enum Stream {
    Looks(oneshot::Sender<Result<Seen, Lost>>),
    Follows { partition: u32, told: mpsc::UnboundedSender<Told>, began: bool },
}
