//! Records to one stream, as far as its credit and the queue of its connection go.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fnap::reply::{Code, Failure};
use fnap::stream::{FRAME_COST, Packed, Piece, Refused, Room, Source};
use host_brokers::BrokerError;
use host_events::{Batch, Stored, text_of};
use host_iam::{Seat, Share};
use host_observe::traces::Work;
use host_observe::{Held, Traffic};
use host_registry::Attachment;
use tokio::time::Instant;

use super::attach::{Carried, Extent, Sending};
use super::logs::{Failed, Found, Log, Waiter, Wakes, Want};
use super::record::Sent;
use super::rest::Rest;
use super::words::{broker_failure, incident};
use crate::wire::pack;

/// Bodies that are sent as they are after one that Zstandard made no smaller.
const DULL: u8 = 15;

/// One stream. Each of its places is either in the connection's queue, or stalled, or wants a batch.
pub(super) struct Stream<'a> {
    pub(super) carried: Carried,
    pub(super) attachment: Option<Attachment>,
    pub(super) extent: Extent,
    pub(super) held: bool,
    /// Nothing is given until what was given before has left.
    pub(super) settling: Option<Rest>,
    pub(super) places: BTreeMap<u32, Place>,
    /// Wait for credit, or for not being held.
    pub(super) stalled: Vec<u32>,
    /// It is taken down that what is sent is well again.
    pub(super) well: bool,
    /// Time of the view that the subscription was told of, or that was before it.
    pub(super) viewed: Duration,
    pub(super) _counted: Held<'a>,
}

/// Where a partition of a stream is.
pub(super) struct Place {
    pub(super) log: Arc<Log>,
    pub(super) next: u64,
    pub(super) want: Option<Want>,
    pub(super) dull: u8,
}

impl Stream<'_> {
    /// What it ends with where a partition cannot be read; the owner may know more of it.
    pub(super) fn failure(&self, partition: u32, Failed { error, of_view }: &Failed) -> Failure {
        let place = self.places.get(&partition).filter(|_| *of_view);
        match (error, place.and_then(|place| place.log.trouble())) {
            // The words of a view, which is no broker.
            (BrokerError::Unavailable(words), Some(trouble)) => {
                if let Some(attachment) = self.attachment.as_ref().filter(|_| !trouble.is_empty()) {
                    attachment.trouble(Some(trouble));
                }
                Failure::new(Code::Unavailable, words.clone())
            }
            _ => broker_failure(error),
        }
    }

    fn is_well(&mut self) {
        self.well = true;
        if let Some(attachment) = self.attachment.as_ref().filter(|_| !self.carried.view.is_empty())
        {
            attachment.trouble(None);
        }
    }
}

/// What came of giving.
pub(super) enum Given {
    /// There may be more.
    More,
    /// It waits for credit, for not being held, or for a batch.
    Waits,
    /// The queue of the connection is full.
    Full,
    /// It may go on only later: it is about his quota.
    Held(Instant),
    /// The stream is over.
    Over(Failure),
}

/// With what records are given.
pub(super) struct Giving<'a, 'b> {
    pub(super) source: &'b mut Source,
    pub(super) wakes: &'b Arc<Wakes>,
    pub(super) traffic: &'a Traffic,
    pub(super) seat: Option<&'a Seat>,
}

impl Giving<'_, '_> {
    /// Gives the next piece of one partition.
    pub(super) fn give(
        &mut self,
        stream: &mut Stream<'_>,
        (number, partition): (u32, u32),
    ) -> Given {
        let Some(place) = stream.places.get_mut(&partition) else { return Given::Waits };
        let Some(room) = self.source.room(number) else { return Given::Full };
        let stands = stream.held || stream.settling.is_some();
        if stands || (!room.idle && room.octets <= FRAME_COST) {
            stream.stalled.push(partition);
            return Given::Waits;
        }
        let waiter = Waiter { wakes: Arc::clone(self.wakes), place: (number, partition) };
        let batch = match place.log.at(place.next, waiter) {
            Found::Batch(batch) => batch,
            Found::Later(want) => {
                place.want = Some(want);
                return Given::Waits;
            }
        };
        let counted = stream.attachment.as_ref();
        let before = place.next;
        let given = self.send(place, (number, partition), &batch, room, counted);
        if let Some(attachment) = counted {
            let time = place.log.view_time();
            attachment.viewed(time.saturating_sub(stream.viewed));
            stream.viewed = time;
        }
        if self.traffic.traces.is_on() {
            self.trace(&stream.carried, &batch, before..place.next);
        }
        if matches!(given, Given::Waits) {
            stream.stalled.push(partition);
        } else if !stream.well {
            stream.is_well();
        }
        given
    }

    fn send(
        &mut self,
        place: &mut Place,
        (number, partition): (u32, u32),
        batch: &Batch,
        room: Room,
        counted: Option<&Attachment>,
    ) -> Given {
        let from = batch.records.partition_point(|stored| stored.offset < place.next);
        let rest = batch.records.get(from..).unwrap_or_default();
        let packed = match self.packed(rest, room) {
            Ok(packed) => packed,
            Err(failure) => return Given::Over(failure),
        };
        let count = packed.count();
        if count == 0 && !rest.is_empty() {
            return Given::Waits;
        }
        let next = match rest.get(count) {
            Some(_) => rest.get(count.saturating_sub(1)).map_or(place.next, |last| last.offset + 1),
            None => batch.next,
        };
        let octets = packed.cost();
        let records = place.compressed(self.source.zstd(), packed);
        let piece = Piece { partition, next, latest: Some(place.log.latest()), records: &records };
        match self.source.send(number, &piece) {
            Ok(()) => {}
            Err(Refused::Full) => return Given::Full,
            Err(Refused::NoCredit) => return Given::Waits,
            Err(Refused::Gone | Refused::Over) => return Given::Full,
            Err(error) => return Given::Over(incident(&error)),
        }
        place.next = next;
        self.traffic.stream_events.add(count as u64);
        self.traffic.stream_bytes.add(records.len() as u64);
        if let Some(attachment) = counted {
            attachment.sent(count as u64, records.len() as u64);
        }
        let until = self.seat.and_then(|seat| seat.read(count as u64, octets));
        until.map_or(Given::More, Given::Held)
    }

    /// Spans of events that have left for somebody.
    fn trace(&self, carried: &Carried, batch: &Batch, sent: Range<u64>) {
        let traces = &self.traffic.traces;
        let events = batch.records.iter().filter(|stored| sent.contains(&stored.offset));
        let texts = events.map(|stored| (stored.offset, text_of(&stored.record, "traceparent")));
        let marked = traces.marked(texts);
        let facts = [("fnaa.subscription", carried.name.as_str())];
        let work = Work {
            verb: "send",
            takes: false,
            flow: carried.flow.as_str(),
            partition: batch.partition,
            began: SystemTime::now(),
            facts: if carried.subscription { &facts } else { &[] },
        };
        traces.done(&marked, &work);
    }

    /// As many as the room and his quota allow at once.
    fn packed(&self, rest: &[Stored], room: Room) -> Result<Packed, Failure> {
        let share = self.seat.and_then(Seat::share);
        let (most, room) = share.map_or((usize::MAX, room), |Share { events, bytes }| {
            let octets = room.octets.min(bytes.max(FRAME_COST));
            (usize::try_from(events.max(1)).unwrap_or(usize::MAX), Room { octets, ..room })
        });
        let records: Vec<Sent<'_>> = rest.iter().take(most).map(Sent).collect();
        match Packed::of(&records, room) {
            Ok((packed, _)) => Ok(packed),
            Err(error) => Err(Failure::new(Code::TooLarge, error.to_string())),
        }
    }
}

impl Place {
    pub(super) fn begin((partition, log, next): Sending) -> (u32, Self) {
        (partition, Self { log, next, want: None, dull: 0 })
    }

    /// In Zstandard where both sides know it, unless the last one gained nothing.
    fn compressed(&mut self, zstd: bool, plain: Packed) -> Packed {
        if !zstd || plain.is_empty() {
            return plain;
        }
        if self.dull > 0 {
            self.dull -= 1;
            return plain;
        }
        let packed = pack(&plain);
        if packed.is_none() && plain.len() > 4_096 {
            self.dull = DULL;
        }
        packed.unwrap_or(plain)
    }
}
