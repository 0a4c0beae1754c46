//! The side that has records.

mod heard;
mod piece;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;

use super::Wanted;
use super::credit::{Account, Room};
use super::error::{Refused, StreamError};
use super::limits::{MAX_CONNECTION_PARTITIONS, MAX_INCARNATION, MAX_PARTITIONS};
use super::link::{Incoming, Link, spell};
use super::messages::{Attached, Ended, Message, Partition};
use super::outgoing::Outgoing;
use super::side::over_a_link;
use crate::reply::Failure;
pub use piece::Piece;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sourced {
    /// The follower has said who it is.
    Hello,
    /// A flow is wanted: say [`Source::attached`] or [`Source::end`], at once or later.
    Attach {
        /// The number of the stream.
        stream: u32,
        /// What is wanted.
        wanted: Wanted,
    },
    /// A stream may send more.
    Credit {
        /// Which.
        stream: u32,
    },
    /// The follower has these safe: each the next offset.
    Ack {
        /// Which stream.
        stream: u32,
        /// Of the partitions that it speaks of.
        positions: BTreeMap<u32, u64>,
    },
    /// A stream is over: the follower wants no more. There is nothing to answer.
    Detached {
        /// Which.
        stream: u32,
    },
    /// The follower has ended the connection, and all streams with it. Nothing more comes.
    Closed(Failure),
}

/// A connection on which streams are sent. Forget it when the connection breaks.
#[derive(Debug)]
pub struct Source {
    link: Link,
    streams: BTreeMap<u32, Stream>,
    /// The highest number of a stream so far.
    last: u32,
    /// Partitions of all streams: named in an Attach that waits for its answer; told in an Attached.
    asked: usize,
    known: usize,
}

#[derive(Debug)]
struct Stream {
    credit: Account,
    /// The positions that are wanted, until the stream has begun.
    asked: Option<BTreeMap<u32, u64>>,
    places: BTreeMap<u32, Place>,
}

/// Where a partition stands.
#[derive(Debug)]
struct Place {
    /// The position after what was sent.
    next: u64,
    acked: u64,
}

over_a_link!(Source);

impl Source {
    /// Begins with Hello; `zstd`: whether the caller would pack with Zstandard.
    #[must_use]
    pub fn new(zstd: bool) -> Self {
        Self { link: Link::new(zstd), streams: BTreeMap::new(), last: 0, asked: 0, known: 0 }
    }

    /// Whether bodies may be packed with Zstandard: both sides have said so.
    #[must_use]
    pub fn zstd(&self) -> bool {
        self.link.zstd()
    }

    /// A stream begins: all partitions of the flow, and where each begins. Said again, it adds partitions of
    /// which nothing was said; `incarnation` does not matter then.
    ///
    /// # Errors
    /// Refused where the stream is gone (the follower may have changed its mind), or it would break a rule: a
    /// partition that was asked for at a place begins there or the stream ends (416).
    pub fn attached(
        &mut self,
        stream: u32,
        incarnation: &str,
        partitions: &[Partition],
    ) -> Result<(), Refused> {
        self.may_send(stream)?;
        let Some(found) = self.streams.get_mut(&stream) else {
            return Err(Refused::Gone);
        };
        if incarnation.len() > MAX_INCARNATION {
            return Err(Refused::Invalid { what: "length of the incarnation" });
        }
        if found.places.len() + partitions.len() > MAX_PARTITIONS
            || self.known + partitions.len() > MAX_CONNECTION_PARTITIONS
        {
            return Err(Refused::TooManyPartitions);
        }
        let places = found.begin(partitions)?;
        let first = found.asked.take();
        self.asked -= first.as_ref().map_or(0, BTreeMap::len);
        self.known += partitions.len();
        found.places.extend(places);
        let incarnation = first.map(|_| incarnation.to_owned()).unwrap_or_default();
        let partitions = partitions.to_vec();
        let held = false;
        self.link.send(Message::Attached(Attached { stream, incarnation, partitions, held }));
        Ok(())
    }

    /// Says whether a stream that has begun is held: that nothing comes because its owner wants it so.
    ///
    /// # Errors
    /// Refused where the stream is gone or has not begun, or too much waits.
    pub fn hold(&mut self, stream: u32, held: bool) -> Result<(), Refused> {
        self.link.may_send()?;
        if self.streams.get(&stream).is_none_or(|found| found.asked.is_some()) {
            return Err(Refused::Gone);
        }
        self.link.send(Message::Attached(Attached { stream, held, ..Attached::default() }));
        Ok(())
    }

    /// What may be sent to a stream now; none where it has not begun, is gone, or too much waits.
    #[must_use]
    pub fn room(&mut self, stream: u32) -> Option<Room> {
        let found = self.streams.get(&stream).filter(|found| found.asked.is_none())?;
        let room = found.credit.room();
        (!self.link.is_over() && self.link.out().takes_records()).then_some(room)
    }

    /// Sends records.
    ///
    /// # Errors
    /// Refused where the stream is gone, its credit does not cover it, too much waits, or it would break a rule.
    pub fn send(&mut self, stream: u32, piece: &Piece<'_>) -> Result<(), Refused> {
        if self.link.is_over() {
            return Err(Refused::Over);
        }
        let zstd = self.link.zstd();
        let Some(found) = self.streams.get_mut(&stream).filter(|found| found.asked.is_none())
        else {
            return Err(Refused::Gone);
        };
        let Some(place) = found.places.get_mut(&piece.partition) else {
            return Err(Refused::Invalid { what: "partition" });
        };
        piece.check(place.next, zstd)?;
        if !self.link.out().takes_records() {
            return Err(Refused::Full);
        }
        if !found.credit.take(piece.records.cost(), piece.records.count()) {
            return Err(Refused::NoCredit);
        }
        place.next = piece.next;
        self.link.out().push_records(stream, piece.encode(stream));
        Ok(())
    }

    /// Ends a stream. Records of it that have not begun to be sent are taken back.
    ///
    /// # Errors
    /// Refused where it is gone.
    pub fn end(&mut self, stream: u32, failure: &Failure) -> Result<(), Refused> {
        if self.link.is_over() {
            return Err(Refused::Over);
        }
        // Never refused for being too much: an end comes once for each Attach, and those are held up.
        let Some(gone) = self.streams.remove(&stream) else {
            return Err(Refused::Gone);
        };
        self.asked -= gone.asked.as_ref().map_or(0, BTreeMap::len);
        self.known -= gone.places.len();
        self.link.out().withdraw(stream);
        self.say_ended(stream, failure);
        Ok(())
    }

    /// Whether records of a stream are still waiting here, or in the middle of being written, also of one that has
    /// ended. When not, nothing of it leaves any more.
    #[must_use]
    pub fn is_sending(&mut self, stream: u32) -> bool {
        self.sending(stream) > 0
    }

    /// How many octets of that there are.
    #[must_use]
    pub fn sending(&mut self, stream: u32) -> usize {
        self.link.out().waiting_of(stream)
    }

    /// What happened next; none when more has to be read, too much waits to be written, or after the end. One frame is
    /// looked at at a time: what waits is what was received.
    ///
    /// # Errors
    /// What the peer did that nobody may do; the connection is over then: send what [`Self::outgoing`]
    /// still has, which tells the peer, and close.
    pub fn next_event(&mut self) -> Result<Option<Sourced>, StreamError> {
        // An answer may follow from each frame: a peer that does not read them is not listened to.
        while self.link.is_over() || self.link.out().takes_control() {
            let Some(incoming) = self.link.next()? else {
                return Ok(None);
            };
            let event = match incoming {
                Incoming::Hello => Ok(Some(Sourced::Hello)),
                Incoming::Close(failure) => Ok(Some(Sourced::Closed(failure))),
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
        self.link.outgoing()
    }

    /// Adding partitions waits where much waits to be written; the answer to an Attach does not, as [`Self::end`].
    fn may_send(&self, stream: u32) -> Result<(), Refused> {
        match self.link.may_send() {
            Err(Refused::Full)
                if self.streams.get(&stream).is_some_and(|found| found.asked.is_some()) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn say_ended(&mut self, stream: u32, failure: &Failure) {
        let (code, name, words) = spell(failure);
        self.link.send(Message::Ended(Ended { stream, code, name, words }));
    }
}
