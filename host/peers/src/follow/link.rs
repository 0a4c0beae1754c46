//! One connection to another host, and the streams on it.

use std::sync::Arc;
use std::time::Duration;

use fnap::name::{FlowName, Name};
use fnap::reply::{Code, Failure};
use fnap::stream::{Batch, Begin, Followed, Follower, Refused, StreamError, Wanted};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Ask, CREDIT, Lost, Seen, Stream, Streams, Told};
use crate::reach::{Octets, Reach, Unreached};
use crate::trace;
use crate::wire::{StreamConnection, Turn, unpack};

/// A connection that nobody has used for so long is closed: subscriptions that come and go share one.
const IDLE: Duration = Duration::from_secs(60);

/// How long a host may take to let us in before those who wait are told.
const OPENING: Duration = Duration::from_secs(30);

/// Wait before a host is tried again whose connection broke.
const AGAIN: Duration = Duration::from_secs(1);

/// What is said of a link that is gone.
pub(super) fn closed() -> Unreached {
    away("the connection to the other host has ended")
}

/// What is said of a host that leaves a question without an answer.
pub(super) fn silent() -> Unreached {
    away("the other host does not say what there is of the flow")
}

fn away(words: impl Into<String>) -> Unreached {
    Unreached { again: Some(AGAIN), ..Unreached::never(Failure::new(Code::ConnError, words)) }
}

/// Serves what is asked, until nobody asks any more or the connection breaks.
pub(super) async fn keep(
    reach: Arc<dyn Reach>,
    own: Arc<str>,
    flow: Name,
    mut asks: mpsc::Receiver<Ask>,
) {
    let opened = tokio::time::timeout(OPENING, reach.stream(&flow)).await;
    let opened = opened.unwrap_or_else(|_| Err(away("the other host takes too long")));
    let why = match opened {
        // Everything that came from there would be taken for what was here before.
        Ok(opened) if *opened.host == *own => away("the other host is called as this one"),
        Ok(opened) => {
            let connection = StreamConnection::new(opened.octets, Follower::new(true));
            let mut link = Link { connection, streams: Streams::new(), own, host: opened.host };
            let why = link.run(&mut asks).await;
            link.lost(&why);
            why
        }
        Err(unreached) => unreached,
    };
    asks.close();
    while let Some(ask) = asks.recv().await {
        refuse(ask, Lost::Away(why.clone()));
    }
}

fn refuse(ask: Ask, lost: Lost) {
    match ask {
        Ask::Look { answer, .. } => drop(answer.send(Err(lost))),
        Ask::Follow { told, .. } => drop(told.send(Told::Over(lost))),
        Ask::Used { .. } | Ask::Leave { .. } => {}
    }
}

struct Link {
    connection: StreamConnection<Box<dyn Octets>, Follower>,
    streams: Streams,
    /// How this host is called in traces.
    own: Arc<str>,
    /// How the other one is.
    host: String,
}

impl Link {
    async fn run(&mut self, asks: &mut mpsc::Receiver<Ask>) -> Unreached {
        let mut idle_until = Instant::now() + IDLE;
        loop {
            let idle = self.streams.is_empty();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return closed(),
                },
                turn = self.connection.next() => match turn {
                    Ok(Turn::Event(event)) => {
                        if let Some(over) = self.happened(event) {
                            return over;
                        }
                    }
                    Ok(Turn::Room) => {}
                    Ok(Turn::Over) => return closed(),
                    Err(error) => return away(error.to_string()),
                },
                () = sleep_until(idle_until), if idle => return closed(),
            }
            if !self.streams.is_empty() {
                idle_until = Instant::now() + IDLE;
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        let wanted = |flow: &FlowName, at: Option<(u32, u64)>, credit| Wanted {
            flow: flow.clone(),
            incarnation: String::new(),
            positions: at.into_iter().collect(),
            begin: Begin::None,
            credit,
        };
        match ask {
            Ask::Look { flow, answer } => {
                match self.connection.side().attach(wanted(&flow, None, 1)) {
                    Ok(stream) => drop(self.streams.insert(stream, Stream::Looks(answer))),
                    Err(refused) => drop(answer.send(Err(not_now(&refused)))),
                }
            }
            Ask::Follow { flow, partition, next, told } => {
                let at = Some((partition, next));
                match self.connection.side().attach(wanted(&flow, at, CREDIT)) {
                    Ok(stream) => {
                        self.streams
                            .insert(stream, Stream::Follows { partition, told, began: false });
                    }
                    Err(refused) => drop(told.send(Told::Over(not_now(&refused)))),
                }
            }
            Ask::Used { stream, cost } => self.connection.side().used(stream, cost),
            Ask::Leave { stream } => self.leave(stream),
        }
    }

    /// Where it cannot be said now, what comes of the stream is dropped all the same, and its credit runs out.
    fn leave(&mut self, stream: u32) {
        if self.streams.remove(&stream).is_some() {
            let left = self.connection.side().detach(stream);
            tracing::trace!(stream, ?left, "stream left");
        }
    }

    /// Deals with what happened; gives why the connection is over where it is.
    fn happened(&mut self, event: Followed) -> Option<Unreached> {
        match event {
            Followed::Hello | Followed::Added { .. } => {}
            Followed::Held { stream, held } => {
                if let Some(Stream::Follows { told, .. }) = self.streams.get(&stream) {
                    // Who does not listen is found with the next records.
                    drop(told.send(Told::Held(held)));
                }
            }
            Followed::Attached { stream, incarnation, partitions } => {
                self.attached(stream, Seen { incarnation, partitions });
            }
            Followed::Records(batch) => {
                if let Err(error) = self.records(&batch) {
                    let words = error.to_string();
                    self.connection.side().fail(error);
                    return Some(away(words));
                }
            }
            Followed::Ended { stream, failure } => {
                let lost = Lost::Ended(failure);
                match self.streams.remove(&stream) {
                    Some(Stream::Looks(answer)) => drop(answer.send(Err(lost))),
                    Some(Stream::Follows { told, .. }) => drop(told.send(Told::Over(lost))),
                    None => {}
                }
            }
            Followed::Closed(failure) => {
                return Some(Unreached { again: Some(AGAIN), ..Unreached::never(failure) });
            }
        }
        None
    }

    fn attached(&mut self, stream: u32, seen: Seen) {
        match self.streams.remove(&stream) {
            Some(Stream::Looks(answer)) => {
                drop(answer.send(Ok(seen)));
                let left = self.connection.side().detach(stream);
                tracing::trace!(stream, ?left, "looked");
            }
            Some(Stream::Follows { partition, told, began: false }) => {
                let began = Told::Began { stream, incarnation: seen.incarnation };
                if told.send(began).is_ok() {
                    self.streams.insert(stream, Stream::Follows { partition, told, began: true });
                } else {
                    drop(self.connection.side().detach(stream));
                }
            }
            _ => {}
        }
    }

    fn records(&mut self, batch: &Batch) -> Result<(), StreamError> {
        let Some(Stream::Follows { partition, told, .. }) = self.streams.get(&batch.stream) else {
            return Ok(());
        };
        if batch.partition != *partition {
            return Err(StreamError::Malformed { what: "partition that nobody asked for" });
        }
        let records = batch.open(unpack)?;
        let records = trace::received(records, &self.host, &self.own);
        let batch = Told::Batch { records, next: batch.next, cost: batch.cost };
        if told.send(batch).is_err() {
            let left: Vec<u32> = self.gone();
            left.into_iter().for_each(|stream| self.leave(stream));
        }
        Ok(())
    }

    /// Streams that nobody listens to any more.
    fn gone(&self) -> Vec<u32> {
        let gone = |stream: &Stream| match stream {
            Stream::Looks(answer) => answer.is_closed(),
            Stream::Follows { told, .. } => told.is_closed(),
        };
        let streams = self.streams.iter().filter(|(_, stream)| gone(stream));
        streams.map(|(number, _)| *number).collect()
    }

    fn lost(&mut self, why: &Unreached) {
        for (_, stream) in std::mem::take(&mut self.streams) {
            let lost = Lost::Away(why.clone());
            match stream {
                Stream::Looks(answer) => drop(answer.send(Err(lost))),
                Stream::Follows { told, .. } => drop(told.send(Told::Over(lost))),
            }
        }
    }
}

fn not_now(refused: &Refused) -> Lost {
    Lost::Away(away(refused.to_string()))
}
