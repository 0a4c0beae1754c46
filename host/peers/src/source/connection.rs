//! A connection with followers at its other end: what it hears, and when it sends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fnap::reply::{Code, Failure};
use fnap::stream::{Source, Sourced, Wanted};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use host_brokers::BrokerError;
use host_iam::Seat;
use host_registry::Attachment;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::attach::{Begun, acked, attach, held};
use super::give::{Given, Giving, Place, Stream};
use super::logs::{Wakes, Woken};
use super::{House, Visitor};
use crate::wire::{StreamConnection, Turn, WireError};

/// Attaches of a connection that are looked at side by side: each asks a broker where its log ends.
const ATTACHES: usize = 16;

/// How long the rest of a frame of a stream that has ended may take: whoever ended it waits for that. Who does not
/// take it until then loses the connection.
const LAST_FRAME: Duration = Duration::from_secs(5);

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
    /// Places that may have something to send: stream and partition.
    ready: VecDeque<(u32, u32)>,
    wakes: Arc<Wakes>,
    /// Streams that have ended, of which a frame is still on its way, and since when.
    leaving: Vec<(u32, Option<Attachment>, Instant)>,
    /// Nothing more is sent until then: his quota.
    paused: Option<Instant>,
    refused: u32,
    /// No Attach is looked at before.
    next_attach: Option<Instant>,
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
        ready: VecDeque::new(),
        wakes: Arc::default(),
        leaving: Vec::new(),
        paused: None,
        refused: 0,
        next_attach: None,
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
            let Visitor { stop, standing, .. } = &mut self.visitor;
            let (paused, leaving) = (self.paused, !self.leaving.is_empty());
            let waits = self.next_attach.filter(|_| !self.asked.is_empty());
            tokio::select! {
                failure = Visitor::ends(stop, standing) => return Ok(Some(failure)),
                () = self.changes.come() => self.look_again().await,
                Some((stream, begun)) = self.attaching.next(), if !self.attaching.is_empty() => {
                    self.begin(stream, begun).await;
                }
                () = self.wakes.bell.notified() => self.take_wakes().await,
                () = sleep_until(paused.unwrap_or_else(Instant::now)), if paused.is_some() => {
                    self.paused = None;
                }
                () = sleep_until(waits.unwrap_or_else(Instant::now)), if waits.is_some() => {
                    self.next_attach = None;
                }
                () = sleep(LOOK), if leaving => {}
                turn = self.connection.next() => match turn? {
                    Turn::Event(event) => self.hear(event),
                    Turn::Room => {}
                    Turn::Over => return Ok(None),
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
        match event {
            Sourced::Attach { stream, wanted } => drop(self.asked.insert(stream, wanted)),
            Sourced::Credit { stream } => self.wake(stream),
            Sourced::Ack { stream, positions } => {
                let stream = self.streams.get(&stream);
                acked(stream.and_then(|stream| stream.attachment.as_ref()), &positions);
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
            let (house, who) = (self.house, self.visitor.principal);
            let found = async move { (stream, attach(house, who, wanted).await) };
            self.attaching.push(found.boxed());
        }
    }

    async fn begin(&mut self, number: u32, begun: Result<Begun, Failure>) {
        let begun = match begun {
            // What has ended it meanwhile did not see it.
            Ok(begun) => match held(self.house, self.visitor.principal, &begun.carried).await {
                Ok(held) => Ok((begun, held)),
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        match begun {
            Ok((begun, held)) => self.attached(number, begun, held),
            Err(failure) => self.refuse(number, &failure),
        }
    }

    fn attached(&mut self, number: u32, begun: Begun, held: bool) {
        let Begun { carried, attachment, partitions, places } = begun;
        let incarnation = carried.incarnation.to_string();
        let said = self.connection.side().attached(number, &incarnation, &partitions);
        match said {
            Ok(()) => {}
            // He has changed his mind.
            Err(fnap::stream::Refused::Gone | fnap::stream::Refused::Over) => return,
            Err(refused) => {
                return self.refuse(number, &Failure::new(Code::TooLarge, refused.to_string()));
            }
        }
        self.ready.extend(places.iter().map(|(partition, ..)| (number, *partition)));
        let place = |(partition, log, next)| (partition, Place { log, next, want: None, dull: 0 });
        let stream = Stream {
            carried,
            attachment,
            held,
            places: places.into_iter().map(place).collect(),
            stalled: Vec::new(),
            well: false,
            _counted: self.house.traffic.streams_open.hold(),
        };
        self.streams.insert(number, stream);
        if held {
            drop(self.connection.side().hold(number, held));
        }
    }

    fn refuse(&mut self, number: u32, failure: &Failure) {
        self.end(number, failure);
        self.refused = self.refused.saturating_add(1);
        if self.refused > FREE_REFUSALS {
            self.next_attach = Some(Instant::now() + REFUSAL);
        }
    }

    /// Looks at all streams again: whether they may go on.
    async fn look_again(&mut self) {
        let (mut over, mut woken) = (Vec::new(), Vec::new());
        for (number, stream) in &mut self.streams {
            match held(self.house, self.visitor.principal, &stream.carried).await {
                Ok(held) if held == stream.held => {}
                Ok(held) => {
                    stream.held = held;
                    // Who takes no answers hears it with the next change.
                    drop(self.connection.side().hold(*number, held));
                    woken.push(*number);
                }
                Err(failure) => over.push((*number, failure)),
            }
        }
        woken.into_iter().for_each(|stream| self.wake(stream));
        over.iter().for_each(|(stream, failure)| self.end(*stream, failure));
    }

    async fn take_wakes(&mut self) {
        let mut failed = Vec::new();
        for Woken { place, error } in self.wakes.take() {
            let Some(stream) = self.streams.get_mut(&place.0) else { continue };
            match (stream.places.get_mut(&place.1), error) {
                (_, Some(error)) => {
                    let failure = stream.failure(place.1, &error);
                    if matches!(error, BrokerError::Unavailable(_))
                        && !stream.carried.view.is_empty()
                    {
                        failed.push((stream.carried.name.clone(), failure.words.clone()));
                    }
                    self.end(place.0, &failure);
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
        if let Some(stream) = self.streams.remove(&number) {
            self.leaving.push((number, stream.attachment, Instant::now()));
        }
    }

    /// Lets go of streams of which nothing is on its way any more.
    fn let_go(&mut self) -> Result<(), WireError> {
        let source = self.connection.side();
        self.leaving.retain(|(number, ..)| source.is_sending(*number));
        match self.leaving.iter().any(|(.., since)| since.elapsed() >= LAST_FRAME) {
            true => Err(WireError::Stalled),
            false => Ok(()),
        }
    }
}

impl Changes {
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
