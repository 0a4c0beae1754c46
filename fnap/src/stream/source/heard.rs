//! What a follower says, and what it may not say.

use std::collections::BTreeMap;

use super::{Place, Source, Sourced, Stream};
use crate::name::FlowName;
use crate::reply::{Code, Failure};
use crate::stream::credit::Account;
use crate::stream::error::{Refused, StreamError};
use crate::stream::limits::{MAX_CONNECTION_PARTITIONS, MAX_OFFSET, MAX_STREAMS};
use crate::stream::messages::{Ack, Attach, Credit, Message, Partition, Position, Start};
use crate::stream::{Begin, Wanted};

impl Source {
    pub(super) fn take(&mut self, message: Message) -> Result<Option<Sourced>, StreamError> {
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

    pub(super) fn credit(&mut self, credit: Credit) -> Result<Option<Sourced>, StreamError> {
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
    pub(super) fn begin(&self, partitions: &[Partition]) -> Result<BTreeMap<u32, Place>, Refused> {
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
