//! The side that has records.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::credit::{Account, Room};
use super::error::{Refused, StreamError};
use super::frame::PREFIX;
use super::limits::{
    MAX_CONNECTION_PARTITIONS, MAX_INCARNATION, MAX_OFFSET, MAX_PARTITIONS, MAX_RECORDS_FIELDS,
    MAX_STREAMS,
};
use super::link::{Incoming, Link, spell};
use super::messages::{
    Ack, Attach, Attached, Codec, Credit, Ended, Message, Partition, Position, Records, Start,
};
use super::outgoing::Outgoing;
use super::pack::{Packed, put_start};
use super::{Begin, Wanted};
use crate::name::FlowName;
use crate::reply::{Code, Failure};

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

/// Records of one partition, to be sent to a stream.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The partition.
    pub partition: u32,
    /// The position after it: everything before was sent, or is left out for good.
    pub next: u64,
    /// The end of the partition, where it is known.
    pub latest: Option<u64>,
    /// The records; none where the position only moves.
    pub records: &'a Packed,
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

    /// Where to read into; only for appending. Call [`Self::next_event`] afterwards.
    pub fn input(&mut self) -> &mut BytesMut {
        self.link.input()
    }

    /// How much room a read should have.
    #[must_use]
    pub fn input_room(&self) -> usize {
        self.link.room()
    }

    /// Takes octets of the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.link.receive(bytes);
    }

    /// Octets received and not looked at.
    #[must_use]
    pub fn held(&self) -> usize {
        self.link.held()
    }

    /// Whether to go on reading: not while a whole frame waits for [`Self::next_event`], nor after the end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.link.wants_input()
    }

    /// So much time has passed: a Ping may be due, or the end.
    pub fn passed(&mut self, time: Duration) {
        self.link.passed(time);
    }

    /// Ends the connection: the peer is told why.
    pub fn close(&mut self, failure: &Failure) {
        self.link.close(failure);
    }

    /// Whether the connection is over, but for what waits to be written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.link.is_over()
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

    fn take(&mut self, message: Message) -> Result<Option<Sourced>, StreamError> {
        match message {
            Message::Attach(attach) => self.attach(attach),
            Message::Credit(credit) => self.credit(credit),
            Message::Ack(ack) => self.ack(&ack),
            Message::Detach(detach) => self.detach(detach.stream),
            Message::Attached(_) => Err(StreamError::WrongSide { message: "attached" }),
            Message::Records(_) => Err(StreamError::WrongSide { message: "records" }),
            Message::Ended(_) => Err(StreamError::WrongSide { message: "ended" }),
            // The link keeps these.
            Message::Hello(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(None),
        }
    }

    fn attach(&mut self, attach: Attach) -> Result<Option<Sourced>, StreamError> {
        let Attach { stream, flow, incarnation, positions, start, time, credit } = attach;
        if stream <= self.last {
            return Err(StreamError::StreamNumber { stream, last: self.last });
        }
        self.last = stream;
        let account = Account::new(credit).ok_or(StreamError::Credit { stream })?;
        let positions = read_positions(stream, &positions)?;
        if self.streams.len() >= MAX_STREAMS {
            return Err(StreamError::TooManyStreams);
        }
        if self.asked + positions.len() > MAX_CONNECTION_PARTITIONS {
            return Err(StreamError::TooManyPartitions);
        }
        let wanted = flow.parse::<FlowName>().map_err(|error| error.to_string());
        let (flow, begin) = match (wanted, read_begin(start, time)) {
            (Ok(flow), Some(begin)) => (flow, begin),
            // It means this stream alone: a later version may know more names, and more beginnings.
            (Err(words), _) => return Ok(self.refuse(stream, words)),
            (_, None) => return Ok(self.refuse(stream, "unknown start".to_owned())),
        };
        self.asked += positions.len();
        let asked = Some(positions.clone());
        let places = BTreeMap::new();
        self.streams.insert(stream, Stream { credit: account, asked, places });
        let wanted = Wanted { flow, incarnation, positions, begin, credit };
        Ok(Some(Sourced::Attach { stream, wanted }))
    }

    fn refuse(&mut self, stream: u32, words: String) -> Option<Sourced> {
        self.say_ended(stream, &Failure::new(Code::BadFormat, words));
        None
    }

    fn credit(&mut self, credit: Credit) -> Result<Option<Sourced>, StreamError> {
        let Credit { stream, octets } = credit;
        let Some(found) = self.find(stream, "credit")? else {
            return Ok(None);
        };
        if !found.credit.add(octets) {
            return Err(StreamError::Credit { stream });
        }
        Ok(Some(Sourced::Credit { stream }))
    }

    fn ack(&mut self, ack: &Ack) -> Result<Option<Sourced>, StreamError> {
        let stream = ack.stream;
        let Some(found) = self.find(stream, "ack")? else {
            return Ok(None);
        };
        if found.asked.is_some() {
            return Err(StreamError::NotBegun { stream, message: "ack" });
        }
        let positions = read_positions(stream, &ack.positions)?;
        for (&partition, &to) in &positions {
            let place = found
                .places
                .get_mut(&partition)
                .ok_or(StreamError::UnknownPartition { stream, partition })?;
            let from = std::mem::replace(&mut place.acked, to);
            if to < from {
                return Err(StreamError::Backwards { stream, partition, from, to });
            }
            if to > place.next {
                return Err(StreamError::BeyondSent { stream, partition });
            }
        }
        Ok(Some(Sourced::Ack { stream, positions }))
    }

    fn detach(&mut self, stream: u32) -> Result<Option<Sourced>, StreamError> {
        if self.find(stream, "detach")?.is_none() {
            return Ok(None);
        }
        let ended = self.end(stream, &Failure::new(Code::Ok, "detached"));
        Ok(ended.ok().map(|()| Sourced::Detached { stream }))
    }

    /// A stream that is there; none where it has ended, which the follower may not have heard yet.
    fn find(
        &mut self,
        stream: u32,
        message: &'static str,
    ) -> Result<Option<&mut Stream>, StreamError> {
        if !(1..=self.last).contains(&stream) {
            return Err(StreamError::NeverAttached { stream, message });
        }
        Ok(self.streams.get_mut(&stream))
    }
}

impl Stream {
    /// Where partitions begin, if they may.
    fn begin(&self, partitions: &[Partition]) -> Result<BTreeMap<u32, Place>, Refused> {
        let mut places = BTreeMap::new();
        for &Partition { partition, earliest, latest, next } in partitions {
            let asked = self.asked.as_ref().and_then(|asked| asked.get(&partition));
            let known = self.places.contains_key(&partition);
            let twice = places.insert(partition, Place { next, acked: next }).is_some();
            if known || twice {
                return Err(Refused::Invalid { what: "partition" });
            }
            if !(earliest..=latest.min(MAX_OFFSET)).contains(&next) || latest > MAX_OFFSET {
                return Err(Refused::Invalid { what: "places of a partition" });
            }
            if asked.is_some_and(|asked| *asked != next) {
                return Err(Refused::Invalid { what: "another beginning than was asked for" });
            }
        }
        let mut asked = self.asked.iter().flat_map(BTreeMap::keys);
        match asked.find(|asked| !places.contains_key(asked)) {
            Some(_) => Err(Refused::Invalid { what: "a partition that was asked for is missing" }),
            None => Ok(places),
        }
    }
}

impl Piece<'_> {
    fn check(&self, position: u64, zstd: bool) -> Result<(), Refused> {
        if self.next < position || self.next > MAX_OFFSET {
            return Err(Refused::Invalid { what: "position" });
        }
        if self.records.span.is_some_and(|(first, last)| first < position || last >= self.next) {
            return Err(Refused::Invalid { what: "offset of a record" });
        }
        if self.records.codec.is_some() && !zstd {
            return Err(Refused::Invalid { what: "codec" });
        }
        Ok(())
    }

    /// The frame: what stands before the body in one piece, then the body's.
    fn encode(&self, stream: u32) -> VecDeque<Bytes> {
        let Packed { chunks, len, size, count, codec, .. } = self.records;
        let number = |number: &usize| u32::try_from(*number).unwrap_or(u32::MAX);
        let records = Records {
            stream,
            partition: self.partition,
            next: self.next,
            latest: self.latest.unwrap_or_default(),
            count: number(count),
            codec: codec.unwrap_or(Codec::Plain).into(),
            unpacked: codec.map_or(0, |_| number(size)),
            body: Bytes::new(),
        };
        let mut fields = BytesMut::with_capacity(MAX_RECORDS_FIELDS);
        records.encode_raw(&mut fields);
        if *len > 0 {
            put_start(8, *len, &mut fields);
        }
        let mut before = BytesMut::with_capacity(MAX_RECORDS_FIELDS);
        before.put_bytes(0, PREFIX);
        put_start(4, fields.len() + len, &mut before);
        before.put_slice(&fields);
        let frame = before.len() - PREFIX + len;
        if let Some(prefix) = before.first_chunk_mut::<PREFIX>() {
            *prefix = number(&frame).to_be_bytes();
        }
        std::iter::once(before.freeze()).chain(chunks.iter().cloned()).collect()
    }
}

fn read_positions(stream: u32, listed: &[Position]) -> Result<BTreeMap<u32, u64>, StreamError> {
    let mut positions = BTreeMap::new();
    for &Position { partition, offset } in listed {
        if offset > MAX_OFFSET {
            return Err(StreamError::OffsetTooHigh { offset });
        }
        if positions.insert(partition, offset).is_some() {
            return Err(StreamError::PartitionTwice { stream, partition });
        }
    }
    Ok(positions)
}

fn read_begin(start: i32, time: i64) -> Option<Begin> {
    Some(match Start::try_from(start).ok()? {
        Start::Earliest => Begin::Earliest,
        Start::Latest => Begin::Latest,
        Start::Time => Begin::Time(time),
        Start::None => Begin::None,
    })
}
