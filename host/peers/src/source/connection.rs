//! A connection with followers at its other end: what it hears, and when it sends.

mod attaching;
mod looks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fnap::reply::{Code, Failure};
use fnap::stream::{Source, Sourced, Wanted};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use host_iam::Seat;
use host_registry::Attachment;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::attach::{Begun, Carried, attach};
use super::give::{Given, Giving, Stream};
use super::growth::Grown;
use super::guests::{Ask, Guest};
use super::logs::{Wakes, Woken};
use super::pace::{self, Looks, Pace};
use super::rest::Rest;
use super::{House, Visitor};
use crate::wire::{StreamConnection, Turn, WireError};

/// Attaches of a connection that are looked at side by side: each asks a broker where its log ends.
const ATTACHES: usize = 16;

/// How long a broker may take for one: whoever asks for another flow waits behind it.
const SLOW: Duration = Duration::from_secs(10);

/// How often it is looked whether that rest is gone.
const LOOK: Duration = Duration::from_millis(20);

/// Attaches that were refused and are free of charge, and what each further one waits: an answer to somebody who
/// asks for what there is not costs as little as one to a command.
const FREE_REFUSALS: u32 = 1_024;
const REFUSAL: Duration = Duration::from_millis(5);

type Attaching<'a> = BoxFuture<'a, (u32, Result<Begun, Failure>)>;

struct Serving<'a, S> {
    house: House<'a>,
    visitor: Visitor<'a>,
    connection: StreamConnection<S, Source>,
    changes: Changes,
    streams: BTreeMap<u32, Stream<'a>>,
    /// Wait to be looked at.
    asked: BTreeMap<u32, Wanted>,
    attaching: FuturesUnordered<Attaching<'a>>,
    growing: FuturesUnordered<BoxFuture<'a, (u32, u32, Grown)>>,
    /// Places that may have something to send: stream and partition.
    ready: VecDeque<(u32, u32)>,
    wakes: Arc<Wakes>,
    /// Streams that are held or go on, which is not said yet.
    unsaid: BTreeSet<u32>,
    /// Streams that have ended, of which a frame is still on its way.
    leaving: Vec<Leaving>,
    /// Who wants to know that nothing of before is on its way.
    asks: Vec<Ask>,
    /// Nothing more is sent until then: his quota.
    paused: Option<Instant>,
    refused: u32,
    /// No Attach is looked at before.
    next_attach: Option<Instant>,
    attaches: Pace,
    /// He is not listened to before.
    deaf: Option<Instant>,
    words: Pace,
    looks: Looks,
    /// What he carries, for others; the last, so that all else is gone when it goes.
    guest: Guest,
}

/// A stream that has ended.
struct Leaving {
    number: u32,
    carried: Carried,
    _attachment: Option<Attachment>,
    rest: Rest,
}

/// What may change what streams are about.
struct Changes {
    subscribers: watch::Receiver<u64>,
    registry: watch::Receiver<u64>,
    rights: watch::Receiver<u64>,
}

/// Sends flows to a follower until either side ends the connection; `zstd`: whether bodies may be packed. It has
/// said STREAM, and nothing was read since.
pub async fn serve<S>(io: S, house: House<'_>, visitor: Visitor<'_>, zstd: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut serving = Serving {
        house,
        connection: StreamConnection::new(io, Source::new(zstd)),
        changes: Changes {
            subscribers: house.registry.subscriber_changes(),
            registry: house.registry.subscribe(),
            rights: house.grants.subscribe(),
        },
        visitor,
        streams: BTreeMap::new(),
        asked: BTreeMap::new(),
        attaching: FuturesUnordered::new(),
        growing: FuturesUnordered::new(),
        ready: VecDeque::new(),
        wakes: Arc::default(),
        unsaid: BTreeSet::new(),
        leaving: Vec::new(),
        asks: Vec::new(),
        paused: None,
        refused: 0,
        next_attach: None,
        attaches: Pace::new(pace::ATTACHES),
        deaf: None,
        words: Pace::new(pace::WORDS),
        looks: Looks::default(),
        guest: house.logs.join(),
    };
    let who = serving.visitor.principal;
    match serving.run().await {
        Ok(Some(failure)) => {
            tracing::debug!(principal = %who, %failure, "streams ended");
            serving.connection.close(&failure).await;
        }
        Ok(None) => tracing::debug!(principal = %who, "streams ended by the follower"),
        Err(error) => tracing::debug!(principal = %who, %error, "streams ended"),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Serving<'_, S> {
    /// Gives why it is to be closed; none where the peer has closed it.
    async fn run(&mut self) -> Result<Option<Failure>, WireError> {
        loop {
            self.fill();
            self.look_at_asked();
            self.let_go()?;
            self.say_holds();
            if self.settle() {
                self.fill();
            }
            let Visitor { stop, standing, .. } = &mut self.visitor;
            let leaving = !self.leaving.is_empty() || !self.asks.is_empty();
            let (paused, deaf, due) = (self.paused, self.deaf, self.looks.due);
            let waits = self.next_attach.filter(|_| !self.asked.is_empty());
            tokio::select! {
                failure = Visitor::ends(stop, standing) => return Ok(Some(failure)),
                () = self.changes.come(), if due.is_none() => self.looks.changed(),
                () = at(due) => self.look_again().await,
                () = self.guest.asked() => self.look_for_others().await,
                Some((stream, begun)) = self.attaching.next(), if !self.attaching.is_empty() => {
                    self.begin(stream, begun).await;
                }
                Some((stream, known, grown)) = self.growing.next(), if !self.growing.is_empty() => {
                    self.grew(stream, known, grown);
                }
                () = self.wakes.bell.notified() => self.take_wakes().await,
                () = at(paused) => self.paused = None,
                () = at(waits) => self.next_attach = None,
                () = sleep(LOOK), if leaving => {}
                turn = turn(&mut self.connection, deaf) => match turn? {
                    Some(Turn::Event(event)) => self.hear(event),
                    Some(Turn::Room) => {}
                    Some(Turn::Over) => return Ok(None),
                    None => self.deaf = None,
                },
            }
        }
    }

    /// Sends what may be sent now.
    fn fill(&mut self) {
        while self.paused.is_none()
            && let Some(place) = self.ready.pop_front()
        {
            let Some(stream) = self.streams.get_mut(&place.0) else { continue };
            let mut giving = Giving {
                source: self.connection.side(),
                wakes: &self.wakes,
                traffic: self.house.traffic,
                seat: self.visitor.seat,
            };
            match giving.give(stream, place) {
                Given::More => self.ready.push_back(place),
                Given::Waits => {}
                Given::Full => return self.ready.push_front(place),
                Given::Held(until) => {
                    self.ready.push_back(place);
                    self.paused = Some(until);
                }
                Given::Over(failure) => self.end(place.0, &failure),
            }
        }
    }

    fn hear(&mut self, event: Sourced) {
        let positions = match &event {
            Sourced::Attach { wanted, .. } => wanted.positions.len(),
            Sourced::Ack { positions, .. } => positions.len(),
            _ => 0,
        };
        self.deaf = self.words.take(1 + positions / pace::POSITIONS);
        match event {
            Sourced::Attach { stream, wanted } => drop(self.asked.insert(stream, wanted)),
            Sourced::Credit { stream } => self.wake(stream),
            Sourced::Ack { stream, positions } => {
                let stream = self.streams.get(&stream);
                if let Some(attachment) = stream.and_then(|stream| stream.attachment.as_ref()) {
                    attachment.acked(&positions);
                }
            }
            Sourced::Detached { stream } => {
                self.asked.remove(&stream);
                self.forget(stream);
            }
            // It says so itself when it comes to that.
            Sourced::Hello | Sourced::Closed(_) => {}
        }
    }

    /// Begins to look at what was asked for, some at a time.
    fn look_at_asked(&mut self) {
        while self.attaching.len() < ATTACHES
            && self.next_attach.is_none()
            && let Some((stream, wanted)) = self.asked.pop_first()
        {
            if let Some(Err(limited)) = self.visitor.seat.map(Seat::command) {
                self.end(stream, &Failure::new(Code::RateLimit, limited.to_string()));
                continue;
            }
            self.next_attach = self.attaches.take(1);
            let (house, who) = (self.house, self.visitor.principal);
            let found = async move {
                let begun = timeout(SLOW, attach(house, who, wanted)).await;
                (stream, begun.unwrap_or_else(|_| Err(slow())))
            };
            self.attaching.push(found.boxed());
        }
    }

    /// Lets streams go on of which nothing of before is left, and tells those who wait for that. Gives whether any goes on.
    fn settle(&mut self) -> bool {
        if self.asks.is_empty() {
            return false;
        }
        let (mut settled, mut over) = (Vec::new(), Vec::new());
        for (number, stream) in &mut self.streams {
            let Some(rest) = &mut stream.settling else { continue };
            let left = self.connection.side().sending(*number);
            if left == 0 {
                stream.settling = None;
                settled.push(*number);
            } else if rest.is_late(left) {
                over.push(*number);
            }
        }
        settled.iter().for_each(|number| self.wake(*number));
        for number in over {
            let words = "what was sent before is not taken: attach again";
            self.end(number, &Failure::new(Code::Unavailable, words));
        }
        let (streams, leaving) = (&self.streams, &self.leaving);
        self.asks.retain(|ask| {
            let settling = |stream: &Stream<'_>| {
                ask.stops() && stream.settling.is_some() && ask.is_about(&stream.carried)
            };
            streams.values().any(settling)
                || leaving.iter().any(|leaving| ask.is_about(&leaving.carried))
        });
        !settled.is_empty()
    }

    async fn take_wakes(&mut self) {
        let mut failed = Vec::new();
        for Woken { place, failed: why } in self.wakes.take() {
            let Some(stream) = self.streams.get_mut(&place.0) else { continue };
            match (stream.places.get_mut(&place.1), why) {
                // What has ended it says more than its broker, which may have heard of it first.
                (_, Some(why)) => {
                    let failure = stream.failure(place.1, &why);
                    let name = stream.carried.name.clone();
                    if self.look_at(place.0).await {
                        if why.of_view {
                            failed.push((name, failure.words.clone()));
                        }
                        self.end(place.0, &failure);
                    }
                }
                (Some(waiting), None) => {
                    waiting.want = None;
                    self.ready.push_back(place);
                }
                (None, None) => {}
            }
        }
        for (name, words) in failed {
            if let Err(error) = self.house.registry.view_failed(&name, words).await {
                tracing::warn!(subscription = %name, %error, "a view that fails was not noted");
            }
        }
    }

    /// What stood may go on.
    fn wake(&mut self, number: u32) {
        if let Some(stream) = self.streams.get_mut(&number) {
            self.ready.extend(stream.stalled.drain(..).map(|partition| (number, partition)));
        }
    }

    /// Ends a stream; not one record more of it is begun to be sent.
    fn end(&mut self, number: u32, failure: &Failure) {
        if let Err(refused) = self.connection.side().end(number, failure) {
            tracing::trace!(number, %refused, "stream was over");
        }
        self.forget(number);
    }

    fn forget(&mut self, number: u32) {
        if let Some(Stream { carried, attachment, .. }) = self.streams.remove(&number) {
            let (rest, _attachment) = (Rest::new(), attachment);
            self.leaving.push(Leaving { number, carried, _attachment, rest });
        }
    }

    /// Lets go of streams of which nothing is on its way any more.
    fn let_go(&mut self) -> Result<(), WireError> {
        let (source, guest) = (self.connection.side(), &self.guest);
        let mut stalled = false;
        self.leaving.retain_mut(|Leaving { number, carried, rest, .. }| {
            let left = source.sending(*number);
            let stays = left > 0;
            stalled |= stays && rest.is_late(left);
            if !stays {
                [&carried.name, &carried.flow].into_iter().for_each(|name| guest.lets_go(name));
            }
            stays
        });
        if stalled { Err(WireError::Stalled) } else { Ok(()) }
    }
}

impl Changes {
    /// What has changed until now is known.
    fn seen(&mut self) {
        let Self { subscribers, registry, rights } = self;
        [subscribers, registry, rights].into_iter().for_each(watch::Receiver::mark_unchanged);
    }

    /// Waits for any. May be dropped and called again.
    async fn come(&mut self) {
        let Self { subscribers, registry, rights } = self;
        let gone = tokio::select! {
            change = subscribers.changed() => change.is_err(),
            change = registry.changed() => change.is_err(),
            change = rights.changed() => change.is_err(),
        };
        if gone {
            // The host ends, and says so elsewhere.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for a moment, if there is one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What happens next; where he is not listened to, what waits is written all the same, and none is given when that is
/// over. May be dropped and called again.
async fn turn<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut StreamConnection<S, Source>,
    deaf: Option<Instant>,
) -> Result<Option<Turn<Sourced>>, WireError> {
    let Some(until) = deaf else { return connection.next().await.map(Some) };
    if let Ok(written) = timeout_at(until, connection.flush()).await {
        written?;
        sleep_until(until).await;
    }
    Ok(None)
}

fn slow() -> Failure {
    Failure::new(Code::Unavailable, "the broker does not answer in time")
}
