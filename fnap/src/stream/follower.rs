//! The side that wants records.

mod heard;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::BytesMut;

use super::batch::Batch;
use super::credit::{Account, Taken};
use super::error::{Refused, StreamError};
use super::limits::{
    MAX_CONNECTION_PARTITIONS, MAX_INCARNATION, MAX_OFFSET, MAX_PARTITIONS, MAX_STREAMS,
};
use super::link::{Incoming, Link};
use super::messages::{Ack, Attach, Credit, Detach, Message, Partition, Position};
use super::outgoing::Outgoing;
use super::side::over_a_link;
use super::{Begin, Wanted};
use crate::reply::Failure;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The source has said who it is.
    Hello,
    /// A stream begins.
    Attached {
        /// Which.
        stream: u32,
        /// The life of the flow.
        incarnation: String,
        /// All its partitions, and where each begins.
        partitions: Vec<Partition>,
    },
    /// The flow has more partitions now.
    Added {
        /// Which stream.
        stream: u32,
        /// The new ones.
        partitions: Vec<Partition>,
    },
    /// The flow's owner holds a stream, or lets it go on.
    Held {
        /// Which.
        stream: u32,
        /// Whether it is held.
        held: bool,
    },
    /// Records, or a position that has moved without any. Deal with them, then say [`Follower::used`].
    Records(Batch),
    /// A stream is over, with 220 where it was detached. Nothing more comes of it.
    Ended {
        /// Which.
        stream: u32,
        /// Why.
        failure: Failure,
    },
    /// The source has ended the connection, and all streams with it. Nothing more comes.
    Closed(Failure),
}

/// A connection on which streams are followed. Forget it when the connection breaks: another one attaches again from
/// what is committed.
#[derive(Debug)]
pub struct Follower {
    link: Link,
    streams: BTreeMap<u32, Stream>,
    /// The highest number given to a stream.
    last: u32,
    /// Partitions of all streams: named in an Attach that waits for its answer; known from an Attached.
    asked: usize,
    known: usize,
    /// Streams whose credit is to be given back.
    due: BTreeSet<u32>,
}

#[derive(Debug)]
struct Stream {
    state: State,
    credit: Taken,
}

#[derive(Debug)]
enum State {
    /// Attach was sent, with these positions.
    Attaching(BTreeMap<u32, u64>),
    Attached(BTreeMap<u32, Place>),
    /// Detach was sent, and Ended has not come. So many partitions had been asked for, or were known.
    Detaching {
        asked: usize,
        known: usize,
    },
}

/// Where a partition stands.
#[derive(Debug)]
struct Place {
    /// The position after what has come.
    next: u64,
    acked: u64,
}

over_a_link!(Follower);

impl Follower {
    /// Begins with Hello; `zstd`: whether the caller can unpack Zstandard.
    #[must_use]
    pub fn new(zstd: bool) -> Self {
        Self {
            link: Link::new(zstd),
            streams: BTreeMap::new(),
            last: 0,
            asked: 0,
            known: 0,
            due: BTreeSet::new(),
        }
    }

    /// Asks for a flow, and gives the stream's number.
    ///
    /// # Errors
    /// Refused where it would be beyond a limit or against a rule, or too much waits.
    pub fn attach(&mut self, wanted: Wanted) -> Result<u32, Refused> {
        self.link.may_send()?;
        let Wanted { flow, incarnation, positions, begin, credit } = wanted;
        let account = Account::new(credit).ok_or(Refused::Invalid { what: "credit" })?;
        if incarnation.len() > MAX_INCARNATION {
            return Err(Refused::Invalid { what: "length of the incarnation" });
        }
        if positions.values().any(|offset| *offset > MAX_OFFSET) {
            return Err(Refused::Invalid { what: "offset" });
        }
        if self.streams.len() >= MAX_STREAMS || self.last == u32::MAX {
            return Err(Refused::TooManyStreams);
        }
        if positions.len() > MAX_PARTITIONS
            || self.asked + positions.len() > MAX_CONNECTION_PARTITIONS
        {
            return Err(Refused::TooManyPartitions);
        }
        self.last += 1;
        let stream = self.last;
        let (start, time) = begin.spell();
        self.link.send(Message::Attach(Attach {
            stream,
            flow: flow.to_string(),
            incarnation,
            positions: spell(&positions),
            start: start.into(),
            time,
            credit,
        }));
        self.asked += positions.len();
        let state = State::Attaching(positions);
        self.streams.insert(stream, Stream { state, credit: Taken::new(account) });
        Ok(stream)
    }

    /// What is safe at the follower's broker: for each partition named the next offset.
    ///
    /// # Errors
    /// Refused where a position runs backwards or is beyond what has come, or too much waits; later acks
    /// cover earlier ones, so that one may be left out.
    pub fn ack(&mut self, stream: u32, positions: &BTreeMap<u32, u64>) -> Result<(), Refused> {
        self.link.may_send()?;
        let Some(Stream { state: State::Attached(places), .. }) = self.streams.get_mut(&stream)
        else {
            return Err(Refused::Gone);
        };
        for (partition, offset) in positions {
            let place = places.get(partition).ok_or(Refused::Invalid { what: "partition" })?;
            if !(place.acked..=place.next).contains(offset) {
                return Err(Refused::Invalid { what: "position of an ack" });
            }
        }
        for (partition, offset) in positions {
            if let Some(place) = places.get_mut(partition) {
                place.acked = *offset;
            }
        }
        self.link.send(Message::Ack(Ack { stream, positions: spell(positions) }));
        Ok(())
    }

    /// A batch is dealt with: what it cost is given back, at once or together with others. Whoever does not say this
    /// holds the stream, and only this stream.
    pub fn used(&mut self, stream: u32, cost: u64) {
        if let Some(Stream { state: State::Attached(_), credit }) = self.streams.get_mut(&stream)
            && credit.used(cost)
        {
            self.due.insert(stream);
        }
    }

    /// Wants no more of a stream. What is on its way is dropped; [`Followed::Ended`] comes at the end.
    ///
    /// # Errors
    /// Refused where there is no such stream, it was said already, or too much waits.
    pub fn detach(&mut self, stream: u32) -> Result<(), Refused> {
        self.link.may_send()?;
        let Some(Stream { state, .. }) = self.streams.get_mut(&stream) else {
            return Err(Refused::Gone);
        };
        let (asked, known) = match &state {
            State::Attaching(positions) => (positions.len(), 0),
            State::Attached(places) => (0, places.len()),
            State::Detaching { .. } => return Err(Refused::Gone),
        };
        *state = State::Detaching { asked, known };
        self.due.remove(&stream);
        self.link.send(Message::Detach(Detach { stream }));
        Ok(())
    }

    /// The position after what has come of each partition; none where the stream has not begun or is over.
    #[must_use]
    pub fn positions(&self, stream: u32) -> Option<BTreeMap<u32, u64>> {
        match &self.streams.get(&stream)?.state {
            State::Attached(places) => {
                Some(places.iter().map(|(partition, place)| (*partition, place.next)).collect())
            }
            _ => None,
        }
    }

    /// What happened next; none when more has to be read, or after the end. One frame is looked at at a time: what waits is
    /// what was received.
    ///
    /// # Errors
    /// What the peer did that nobody may do; the connection is over then: send what [`Self::outgoing`]
    /// still has, which tells the peer, and close.
    pub fn next_event(&mut self) -> Result<Option<Followed>, StreamError> {
        while let Some(incoming) = self.link.next()? {
            let event = match incoming {
                Incoming::Hello => Ok(Some(Followed::Hello)),
                Incoming::Close(failure) => Ok(Some(Followed::Closed(failure))),
                Incoming::Message(message) => self.take(message),
            };
            match event {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(error) => return Err(self.link.fail(error)),
            }
        }
        Ok(None)
    }

    /// What to write next. Take it after everything else that was said to this side.
    pub fn outgoing(&mut self) -> &mut Outgoing {
        while self.link.may_send().is_ok()
            && let Some(stream) = self.due.pop_first()
        {
            if let Some(Stream { credit, .. }) = self.streams.get_mut(&stream) {
                let octets = credit.give_back();
                self.link.send(Message::Credit(Credit { stream, octets }));
            }
        }
        self.link.outgoing()
    }

    /// Ends the connection because of what [`Batch::open`] found.
    pub fn fail(&mut self, error: StreamError) {
        self.link.fail(error);
    }
}

impl Begin {
    fn spell(self) -> (super::messages::Start, i64) {
        use super::messages::Start;
        match self {
            Self::Earliest => (Start::Earliest, 0),
            Self::Latest => (Start::Latest, 0),
            Self::Time(millis) => (Start::Time, millis),
            Self::None => (Start::None, 0),
        }
    }
}

fn spell(positions: &BTreeMap<u32, u64>) -> Vec<Position> {
    let positions = positions.iter();
    positions.map(|(&partition, &offset)| Position { partition, offset }).collect()
}
