//! What a source says, and what it may not say.

use std::collections::BTreeMap;

use super::{Followed, Follower, Place, State, Stream};
use crate::stream::batch::Batch;
use crate::stream::error::StreamError;
use crate::stream::limits::{MAX_CONNECTION_PARTITIONS, MAX_OFFSET, MAX_PARTITIONS};
use crate::stream::link::read_failure;
use crate::stream::messages::{Attached, Ended, Message, Partition, Records};

impl Follower {
    pub(super) fn take(&mut self, message: Message) -> Result<Option<Followed>, StreamError> {
        match message {
            Message::Attached(attached) => self.attached(attached),
            Message::Records(records) => self.records(records),
            Message::Ended(ended) => self.ended(&ended),
            Message::Attach(_) => Err(StreamError::WrongSide { message: "attach" }),
            Message::Credit(_) => Err(StreamError::WrongSide { message: "credit" }),
            Message::Ack(_) => Err(StreamError::WrongSide { message: "ack" }),
            Message::Detach(_) => Err(StreamError::WrongSide { message: "detach" }),
            // The link keeps these.
            Message::Hello(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(None),
        }
    }

    fn attached(&mut self, attached: Attached) -> Result<Option<Followed>, StreamError> {
        let Attached { stream, incarnation, partitions, held } = attached;
        let found = find(&mut self.streams, self.last, stream, "attached")?;
        let asked = match &mut found.state {
            State::Detaching { .. } => return Ok(None),
            State::Attaching(asked) => Some(std::mem::take(asked)),
            State::Attached(_) => None,
        };
        let empty = BTreeMap::new();
        let named = asked.as_ref().unwrap_or(&empty);
        check_places(stream, &partitions, named)?;
        if let State::Attaching(_) = found.state {
            found.state = State::Attached(BTreeMap::new());
        }
        if let State::Attached(places) = &mut found.state {
            add_places(stream, &partitions, places)?;
            // A partition that was asked for is not passed over in silence.
            if let Some(&partition) = named.keys().find(|named| !places.contains_key(named)) {
                return Err(StreamError::UnknownPartition { stream, partition });
            }
        }
        self.known += partitions.len();
        if self.known > MAX_CONNECTION_PARTITIONS {
            return Err(StreamError::TooManyPartitions);
        }
        let Some(asked) = asked else {
            return Ok(Some(match partitions.is_empty() {
                true => Followed::Held { stream, held },
                false => Followed::Added { stream, partitions },
            }));
        };
        self.asked -= asked.len();
        Ok(Some(Followed::Attached { stream, incarnation, partitions }))
    }

    fn records(&mut self, records: Records) -> Result<Option<Followed>, StreamError> {
        let Records { stream, partition, next, .. } = records;
        let found = find(&mut self.streams, self.last, stream, "records")?;
        let from = match &mut found.state {
            State::Attaching(_) => {
                return Err(StreamError::NotBegun { stream, message: "records" });
            }
            State::Detaching { .. } => None,
            State::Attached(places) => {
                let place = places
                    .get_mut(&partition)
                    .ok_or(StreamError::UnknownPartition { stream, partition })?;
                let from = place.next;
                if next < from {
                    return Err(StreamError::Backwards { stream, partition, from, to: next });
                }
                check_offset(next)?;
                place.next = next;
                Some(from)
            }
        };
        let batch = Batch::of(records, from.unwrap_or_default(), self.link.zstd())?;
        let (cost, left) = (batch.cost, found.credit.account.left());
        if !found.credit.came(cost, batch.count) {
            return Err(StreamError::BeyondCredit { stream, cost, left });
        }
        Ok(from.map(|_| Followed::Records(batch)))
    }

    fn ended(&mut self, ended: &Ended) -> Result<Option<Followed>, StreamError> {
        let stream = ended.stream;
        find(&mut self.streams, self.last, stream, "ended")?;
        let failure = read_failure(ended.code, &ended.name, &ended.words)?;
        let (asked, known) = match self.streams.remove(&stream).map(|stream| stream.state) {
            Some(State::Attaching(positions)) => (positions.len(), 0),
            Some(State::Attached(places)) => (0, places.len()),
            Some(State::Detaching { asked, known }) => (asked, known),
            None => (0, 0),
        };
        self.asked -= asked;
        self.known -= known;
        self.due.remove(&stream);
        Ok(Some(Followed::Ended { stream, failure }))
    }
}

fn find<'a>(
    streams: &'a mut BTreeMap<u32, Stream>,
    last: u32,
    stream: u32,
    message: &'static str,
) -> Result<&'a mut Stream, StreamError> {
    match streams.get_mut(&stream) {
        Some(found) => Ok(found),
        None if (1..=last).contains(&stream) => Err(StreamError::HasEnded { stream, message }),
        None => Err(StreamError::NeverAttached { stream, message }),
    }
}

fn check_offset(offset: u64) -> Result<(), StreamError> {
    if offset > MAX_OFFSET { Err(StreamError::OffsetTooHigh { offset }) } else { Ok(()) }
}

/// Whether partitions are as they can be, and begin where they were asked to.
fn check_places(
    stream: u32,
    partitions: &[Partition],
    asked: &BTreeMap<u32, u64>,
) -> Result<(), StreamError> {
    for &Partition { partition, earliest, latest, next } in partitions {
        check_offset(latest)?;
        let right = asked.get(&partition).is_none_or(|asked| *asked == next);
        if !right || !(earliest..=latest).contains(&next) {
            return Err(StreamError::WrongStart { stream, partition, next });
        }
    }
    Ok(())
}

fn add_places(
    stream: u32,
    partitions: &[Partition],
    places: &mut BTreeMap<u32, Place>,
) -> Result<(), StreamError> {
    for &Partition { partition, next, .. } in partitions {
        if places.insert(partition, Place { next, acked: next }).is_some() {
            return Err(StreamError::PartitionTwice { stream, partition });
        }
    }
    if places.len() > MAX_PARTITIONS {
        return Err(StreamError::TooMany { what: "partition", most: MAX_PARTITIONS });
    }
    Ok(())
}
