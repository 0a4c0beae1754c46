//! One connection to another host, and the streams on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use fnap::stream::{Batch, Begin, Followed, Follower, Refused, StreamError, Wanted};
use host_names::Found;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::notes::{Note, Notes};
use super::{Ask, Holds, Lost, Place, Seen, Told};
use crate::reach::{Octets, Reach, Unreached};
use crate::wire::{StreamConnection, Turn};

/// A connection that nobody has used for so long is closed: subscriptions that come and go share one.
const IDLE: Duration = Duration::from_secs(60);

/// How long a host may take to let us in before those who wait are told.
const OPENING: Duration = Duration::from_secs(30);

/// Wait before a host is tried again whose connection broke.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a host may leave an Attach or a Detach without an answer, whatever else it says: far longer than whoever asked has
/// waited, since it holds all streams up. Without it, streams that nobody wants any more would gather.
const OVERDUE: Duration = Duration::from_secs(120);

/// How often it is looked whether something is overdue, or can be said that could not be said before.
const LOOK: Duration = Duration::from_secs(1);

/// How this host is called where a flow of its own is followed.
const HERE: &str = "this host";

/// What is said of a link that is gone.
pub(super) fn closed() -> Unreached {
    away("the connection to the other host has ended")
}

/// What is said of a host that leaves a question without an answer.
pub(super) fn silent() -> Unreached {
    away("the other host does not say what there is of the flow")
}

/// What is said of a host that does what nobody may do.
pub(super) fn broke(host: Option<&str>, error: &StreamError) -> Unreached {
    away(format!("stream with {}: {error}", host.unwrap_or(HERE)))
}

/// What is said of an end that is another host's word.
pub(super) fn moved(flow: &Name) -> Unreached {
    away(format!("{flow} is found at another host now"))
}

fn away(words: impl Into<String>) -> Unreached {
    Unreached { again: Some(AGAIN), ..Unreached::never(Failure::new(Code::ConnError, words)) }
}

/// Serves what is asked, until nobody asks any more or the connection breaks.
pub(super) async fn keep(
    reach: Arc<dyn Reach>,
    own: Arc<str>,
    found: Arc<Found>,
    mut asks: mpsc::Receiver<Ask>,
    notes: Arc<Notes>,
) {
    let opened = tokio::time::timeout(OPENING, reach.stream(&found)).await;
    let opened = opened.unwrap_or_else(|_| Err(away("the other host takes too long")));
    let (why, link) = match opened {
        // Everything that came from there would be taken for what was here before.
        Ok(opened) if opened.host.as_deref() == Some(&*own) => {
            (away("the other host is called as this one"), None)
        }
        Ok(opened) => {
            let mut link = Link::new(opened.octets, opened.host.map(Arc::from), notes);
            let why = link.run(&mut asks).await;
            link.lost(&why);
            (why, Some(link))
        }
        Err(unreached) => (unreached, None),
    };
    asks.close();
    while let Some(ask) = asks.recv().await {
        refuse(ask, Lost::Away(why.clone()));
    }
    if let Some(link) = link {
        let words = Failure::new(Code::Ok, "nothing more is wanted");
        link.connection.close(&words).await;
    }
}

fn refuse(ask: Ask, lost: Lost) {
    match ask {
        Ask::Look { answer, .. } => drop(answer.send(Err(lost))),
        Ask::Follow { told, .. } => drop(told.send(Told::Over(lost))),
    }
}

/// What a stream is for.
enum Stream {
    Looks {
        flow: FlowName,
        answers: Vec<oneshot::Sender<Result<Seen, Lost>>>,
        since: Instant,
    },
    Follows {
        follower: u64,
        partition: u32,
        told: mpsc::UnboundedSender<Told>,
        /// Where it is written down that the owner holds it.
        holds: (Arc<Holds>, Name),
        /// Since when it is asked for, until it has begun.
        since: Option<Instant>,
        /// What the other host knows to be safe here.
        safe: Option<u64>,
    },
}

impl Stream {
    fn since(&self) -> Option<Instant> {
        match self {
            Self::Looks { since, .. } => Some(*since),
            Self::Follows { since, .. } => *since,
        }
    }

    fn over(self, lost: Lost) {
        match self {
            Self::Looks { answers, .. } => {
                answers.into_iter().for_each(|answer| drop(answer.send(Err(lost.clone()))));
            }
            Self::Follows { told, .. } => drop(told.send(Told::Over(lost))),
        }
    }
}

struct Link {
    connection: StreamConnection<Box<dyn Octets>, Follower>,
    notes: Arc<Notes>,
    streams: BTreeMap<u32, Stream>,
    /// The streams of followers.
    followers: HashMap<u64, u32>,
    /// The streams that look at flows: one for each, however many want to know.
    looks: HashMap<FlowName, u32>,
    /// Streams of which nothing more is wanted and whose end has not come, and since when.
    leaving: BTreeMap<u32, Instant>,
    /// Those of which that could not be said yet.
    unsaid: BTreeSet<u32>,
    /// How the other host is called in traces; none where that is this one.
    host: Option<Arc<str>>,
}

impl Link {
    fn new(octets: Box<dyn Octets>, host: Option<Arc<str>>, notes: Arc<Notes>) -> Self {
        Self {
            connection: StreamConnection::new(octets, Follower::new(true)),
            notes,
            streams: BTreeMap::new(),
            followers: HashMap::new(),
            looks: HashMap::new(),
            leaving: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            host,
        }
    }

    async fn run(&mut self, asks: &mut mpsc::Receiver<Ask>) -> Unreached {
        let mut idle_until = Instant::now() + IDLE;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let idle = self.streams.is_empty();
            let over = tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => Some(closed()),
                },
                notes = self.notes.heard() => self.hear(notes),
                turn = self.connection.next() => match turn {
                    Ok(Turn::Event(event)) => self.happened(event),
                    Ok(Turn::Room) => None,
                    Ok(Turn::Over) => Some(closed()),
                    Err(error) => {
                        let host = self.host.as_deref().unwrap_or(HERE);
                        Some(away(format!("stream with {host}: {error}")))
                    }
                },
                _ = looks.tick() => self.look_around(),
                () = sleep_until(idle_until), if idle => Some(closed()),
            };
            if let Some(over) = over {
                return over;
            }
            if !self.streams.is_empty() {
                idle_until = Instant::now() + IDLE;
            }
        }
    }

    fn take(&mut self, ask: Ask) -> Option<Unreached> {
        match ask {
            Ask::Look { flow, answer } => self.look(flow, answer),
            // He has left before it came to this.
            Ask::Follow { told, .. } if told.is_closed() => {}
            Ask::Follow { follower, place, credit, told, holds } => {
                self.follow(follower, place, credit, told, holds);
            }
        }
        None
    }

    fn look(&mut self, flow: FlowName, answer: oneshot::Sender<Result<Seen, Lost>>) {
        let looks = self.looks.get(&flow).and_then(|stream| self.streams.get_mut(stream));
        if let Some(Stream::Looks { answers, .. }) = looks {
            answers.retain(|answer| !answer.is_closed());
            answers.push(answer);
            return;
        }
        match self.attach(&flow, None, super::GLANCE) {
            Ok(stream) => {
                self.looks.insert(flow.clone(), stream);
                let (answers, since) = (vec![answer], Instant::now());
                self.streams.insert(stream, Stream::Looks { flow, answers, since });
            }
            Err(refused) => drop(answer.send(Err(not_now(&refused)))),
        }
    }

    fn follow(
        &mut self,
        follower: u64,
        place: Place,
        credit: u64,
        told: mpsc::UnboundedSender<Told>,
        holds: Arc<Holds>,
    ) {
        let Place { flow, partition, next } = place;
        match self.attach(&flow, Some((partition, next)), credit) {
            Ok(stream) => {
                self.followers.insert(follower, stream);
                let since = Some(Instant::now());
                let holds = (holds, Name::clone(&flow));
                let follows =
                    Stream::Follows { follower, partition, told, holds, since, safe: None };
                self.streams.insert(stream, follows);
            }
            Err(refused) => drop(told.send(Told::Over(not_now(&refused)))),
        }
    }

    fn attach(
        &mut self,
        flow: &FlowName,
        at: Option<(u32, u64)>,
        credit: u64,
    ) -> Result<u32, Refused> {
        let positions = at.into_iter().collect();
        let (flow, incarnation) = (flow.clone(), String::new());
        let wanted = Wanted { flow, incarnation, positions, begin: Begin::None, credit };
        self.connection.side().attach(wanted)
    }

    /// Takes what followers have said; gives why the connection is over where it is.
    fn hear(&mut self, notes: BTreeMap<u64, Note>) -> Option<Unreached> {
        for (follower, Note { used, safe, wrong, left }) in notes {
            if let Some(error) = wrong {
                let why = broke(self.host.as_deref(), &error);
                self.connection.side().fail(error);
                return Some(why);
            }
            let Some(stream) = self.followers.get(&follower).copied() else { continue };
            if used > 0 {
                self.connection.side().used(stream, used);
            }
            if let Some(next) = safe {
                self.ack(stream, next);
            }
            if left {
                self.leave(stream);
            }
        }
        None
    }

    fn ack(&mut self, stream: u32, next: u64) {
        let Some(Stream::Follows { partition, safe, .. }) = self.streams.get_mut(&stream) else {
            return;
        };
        if *safe != Some(next) {
            // What is refused for want of room is said with the next one.
            let said = self.connection.side().ack(stream, &[(*partition, next)].into());
            *safe = said.ok().map(|()| next).or(*safe);
        }
    }

    fn leave(&mut self, stream: u32) {
        if self.remove(stream).is_some() {
            self.leaving.insert(stream, Instant::now());
            self.detach(stream);
        }
    }

    fn detach(&mut self, stream: u32) {
        if let Err(Refused::Full) = self.connection.side().detach(stream) {
            self.unsaid.insert(stream);
        }
    }

    /// Forgets a stream, as far as somebody here is meant by it.
    fn remove(&mut self, stream: u32) -> Option<Stream> {
        let removed = self.streams.remove(&stream);
        match &removed {
            Some(Stream::Looks { flow, .. }) => self.looks.remove(flow),
            Some(Stream::Follows { follower, .. }) => self.followers.remove(follower),
            None => None,
        };
        removed
    }

    /// Says what could not be said; gives why the connection is over where the other host owes an answer for too long.
    fn look_around(&mut self) -> Option<Unreached> {
        std::mem::take(&mut self.unsaid).into_iter().for_each(|stream| self.detach(stream));
        let asked = self.streams.values().filter_map(Stream::since);
        let oldest = asked.chain(self.leaving.values().copied()).min()?;
        (oldest.elapsed() >= OVERDUE).then(silent)
    }

    /// Deals with what happened; gives why the connection is over where it is.
    fn happened(&mut self, event: Followed) -> Option<Unreached> {
        match event {
            Followed::Hello | Followed::Added { .. } => None,
            Followed::Held { stream, held } => {
                let stream = self.streams.get(&stream);
                if let Some(Stream::Follows { told, partition, holds: (holds, flow), .. }) = stream
                {
                    holds.mark((flow.clone(), *partition), held, told);
                }
                None
            }
            Followed::Attached { stream, incarnation, partitions } => {
                self.attached(stream, Seen { incarnation, partitions });
                None
            }
            Followed::Records(batch) => {
                let error = self.records(batch).err()?;
                let why = broke(self.host.as_deref(), &error);
                self.connection.side().fail(error);
                Some(why)
            }
            Followed::Ended { stream, failure } => {
                self.leaving.remove(&stream);
                self.unsaid.remove(&stream);
                if let Some(stream) = self.remove(stream) {
                    stream.over(Lost::Ended(failure));
                }
                None
            }
            Followed::Closed(failure) => {
                Some(Unreached { again: Some(AGAIN), ..Unreached::never(failure) })
            }
        }
    }

    fn attached(&mut self, stream: u32, seen: Seen) {
        match self.streams.get_mut(&stream) {
            Some(Stream::Looks { answers, .. }) => {
                for answer in answers.drain(..) {
                    drop(answer.send(Ok(seen.clone())));
                }
                self.leave(stream);
            }
            Some(Stream::Follows { told, since, .. }) => {
                *since = None;
                let (host, incarnation) = (self.host.clone(), seen.incarnation);
                if told.send(Told::Began { incarnation, host }).is_err() {
                    self.leave(stream);
                }
            }
            None => {}
        }
    }

    fn records(&mut self, batch: Batch) -> Result<(), StreamError> {
        let stream = batch.stream;
        let Some(Stream::Follows { partition, told, .. }) = self.streams.get(&stream) else {
            return Ok(());
        };
        if batch.partition != *partition {
            return Err(StreamError::Malformed { what: "partition that nobody asked for" });
        }
        if told.send(Told::Batch(batch)).is_err() {
            self.leave(stream);
        }
        Ok(())
    }

    fn lost(&mut self, why: &Unreached) {
        for (_, stream) in std::mem::take(&mut self.streams) {
            stream.over(Lost::Away(why.clone()));
        }
    }
}

fn not_now(refused: &Refused) -> Lost {
    Lost::Away(away(refused.to_string()))
}
