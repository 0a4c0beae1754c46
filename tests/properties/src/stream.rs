//! Both sides of a stream: whatever the other says, nothing panics, what is held is bounded, records are in order and within
//! the credit, what is sent can be read, the end is told, and the same octets in other pieces mean the same.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use fnap::reply::{Code, Failure};
use fnap::stream::messages::{Hello, Message, Partition, Record};
use fnap::stream::{
    Batch, Begin, FRAME_COST, Followed, Follower, FrameDecoder, MAX_CONTROL, MAX_QUEUED, Outgoing,
    Packed, Piece, Refused, SILENCE, Source, Sourced, StreamError, Wanted, decode, encode,
};

use crate::input::Input;

/// A peer's octets. The first control chooses the side, and whether a Hello has gone before; the others cut the octets, and
/// choose what the side does between them.
pub fn stream(data: &[u8]) {
    let input = Input::of(data);
    let mut pieces = input.pieces();
    let hello = encode(Message::Hello(Hello { version: 1, offers: vec!["zstd".to_owned()] }));
    if input.choice(0) & 2 != 0 {
        pieces.insert(0, (&hello, 0));
    }
    let whole: Vec<u8> = pieces.iter().flat_map(|(piece, _)| *piece).copied().collect();
    if input.choice(0) & 1 == 0 {
        let cut = Sending::default().hear(&pieces);
        // What is said by the way comes at other times then.
        if pieces.iter().all(|(_, control)| control & 0xc0 == 0) {
            assert_eq!(Sending::default().hear(&[(&whole, 0)]), cut);
        }
    } else {
        let cut = Following::new().hear(&pieces);
        if pieces.iter().all(|(_, control)| control & 0xc0 == 0) {
            assert_eq!(Following::new().hear(&[(&whole, 0)]), cut);
        }
    }
}

/// What came of it: what happened, in words, what was sent, and what ended it.
type Heard = (Vec<String>, Vec<Message>, Option<StreamError>);

struct Sending {
    source: Source,
    /// Of each stream: what Attach gave, what is under way by the follower's own Credits, and the position.
    streams: BTreeMap<u32, (i64, i64, u64)>,
}

impl Default for Sending {
    fn default() -> Self {
        Self { source: Source::new(true), streams: BTreeMap::new() }
    }
}

impl Sending {
    fn hear(mut self, pieces: &[(&[u8], u8)]) -> Heard {
        let (mut events, mut sent, mut error) = (Vec::new(), Vec::new(), None);
        for (piece, control) in pieces {
            self.source.receive(piece);
            let mut told = self.source.outgoing().remaining();
            loop {
                match self.source.next_event() {
                    Ok(Some(event)) => {
                        events.push(format!("{event:?}"));
                        self.answer(event);
                        self.send();
                    }
                    Ok(None) => break,
                    Err(why) => {
                        assert!(self.source.is_over());
                        error = Some(why);
                        break;
                    }
                }
                told = told.max(self.source.outgoing().remaining());
            }
            assert!(told <= MAX_CONTROL + MAX_QUEUED + (1 << 16), "{told}");
            if control & 0x40 != 0 {
                self.end();
            }
            if control & 0x80 != 0 {
                self.source.passed(SILENCE / 4);
            }
            sent.extend(written(self.source.outgoing()));
        }
        assert!(error.is_none() || matches!(sent.last(), Some(Message::Close(_))));
        // Records that wait are taken back at an end, one Pong answers all Pings that were heard.
        sent.retain(|message| !matches!(message, Message::Pong(_) | Message::Records(_)));
        (events, sent, error)
    }

    fn answer(&mut self, event: Sourced) {
        match event {
            Sourced::Attach { stream, wanted } => {
                let mut places = wanted.positions.clone();
                places.entry(0).or_insert(0);
                let partitions: Vec<Partition> = places
                    .iter()
                    .map(|(&partition, &next)| Partition {
                        partition,
                        earliest: next,
                        latest: next,
                        next,
                    })
                    .collect();
                self.source.attached(stream, "life", &partitions).unwrap();
                let credit = i64::try_from(wanted.credit).unwrap();
                self.streams.insert(stream, (credit, credit, places[&0]));
            }
            Sourced::Detached { stream } => drop(self.streams.remove(&stream)),
            Sourced::Closed(_) => self.streams.clear(),
            Sourced::Credit { stream } => {
                // How much it was, only the room tells; it never lies about what is left.
                let room = self.source.room(stream).unwrap();
                let (window, left, _) = self.streams.get_mut(&stream).unwrap();
                assert_eq!(room.idle, i64::try_from(room.octets).unwrap() >= *window);
                if room.octets > 0 {
                    *left = i64::try_from(room.octets).unwrap();
                }
            }
            Sourced::Hello | Sourced::Ack { .. } => {}
        }
    }

    /// A record to each stream that may have one.
    fn send(&mut self) {
        for (stream, (window, left, position)) in &mut self.streams {
            let value = Some(Bytes::from(vec![7; 300]));
            let record = Record { offset: *position, value, ..Record::default() };
            let Some(room) = self.source.room(*stream) else { continue };
            let Ok((records, _)) = Packed::of(&[record], room) else { continue };
            let next = position.saturating_add(1);
            let piece = Piece { partition: 0, next, latest: None, records: &records };
            match self.source.send(*stream, &piece) {
                Ok(()) => {
                    let cost = i64::try_from(records.cost()).unwrap();
                    assert!(cost <= *left || *left >= *window, "{cost} of {left}");
                    (*left, *position) = (*left - cost, next);
                }
                Err(Refused::NoCredit | Refused::Invalid { .. } | Refused::Over) => {}
                Err(refused) => panic!("{refused}"),
            }
        }
    }

    fn end(&mut self) {
        if let Some((stream, _)) = self.streams.pop_first() {
            let ended = self.source.end(stream, &Failure::new(Code::Forbidden, "revoked"));
            assert!(ended.is_ok() || self.source.is_over());
        }
    }
}

struct Following {
    follower: Follower,
    /// Of each stream and partition, the position.
    places: BTreeMap<(u32, u32), u64>,
    /// What is not given back yet, of each stream.
    held: BTreeMap<u32, u64>,
    got: Vec<Batch>,
}

/// What each stream may have under way.
const CREDIT: u64 = 200;

impl Following {
    fn new() -> Self {
        let mut follower = Follower::new(true);
        for positions in [BTreeMap::new(), BTreeMap::from([(0, 3)])] {
            let wanted = Wanted {
                flow: "a.example".parse().unwrap(),
                incarnation: String::new(),
                positions,
                begin: Begin::Earliest,
                credit: CREDIT,
            };
            follower.attach(wanted).unwrap();
        }
        Self { follower, places: BTreeMap::new(), held: BTreeMap::new(), got: Vec::new() }
    }

    fn hear(mut self, pieces: &[(&[u8], u8)]) -> Heard {
        let (mut events, mut sent, mut error) = (Vec::new(), Vec::new(), None);
        for (piece, control) in pieces {
            self.follower.receive(piece);
            loop {
                match self.follower.next_event() {
                    Ok(Some(event)) => {
                        events.push(format!("{event:?}"));
                        self.take(event);
                        self.deal();
                        // What is given back counts from when it is on its way.
                        sent.extend(written(self.follower.outgoing()));
                    }
                    Ok(None) => break,
                    Err(why) => {
                        assert!(self.follower.is_over());
                        error = Some(why);
                        break;
                    }
                }
            }
            if control & 0x40 != 0 {
                // Refused where it was said already, or there is no such stream.
                let _detached = self.follower.detach(u32::from(control & 1) + 1);
            }
            if control & 0x80 != 0 {
                self.follower.passed(SILENCE / 4);
            }
            sent.extend(written(self.follower.outgoing()));
        }
        assert!(error.is_none() || matches!(sent.last(), Some(Message::Close(_))));
        // Credit comes in lumps that depend on the pace.
        sent.retain(|message| !matches!(message, Message::Pong(_) | Message::Credit(_)));
        (events, sent, error)
    }

    fn take(&mut self, event: Followed) {
        match event {
            Followed::Attached { stream, partitions, .. }
            | Followed::Added { stream, partitions } => {
                for Partition { partition, next, .. } in partitions {
                    assert!(self.places.insert((stream, partition), next).is_none());
                }
            }
            Followed::Records(batch) => {
                let place = self.places.get_mut(&(batch.stream, batch.partition)).unwrap();
                assert!(batch.from == *place && batch.next >= batch.from);
                *place = batch.next;
                let held = self.held.entry(batch.stream).or_default();
                *held += batch.cost;
                assert!(*held <= CREDIT || (*held == batch.cost && batch.count <= 1));
                self.got.push(batch);
            }
            Followed::Ended { stream, .. } => {
                self.places.retain(|(of, _), _| *of != stream);
                self.held.remove(&stream);
                self.got.retain(|batch| batch.stream != stream);
            }
            Followed::Hello | Followed::Held { .. } | Followed::Closed(_) => {}
        }
    }

    /// Opens what came; what costs an odd number is kept for a while.
    fn deal(&mut self) {
        if self.got.len() < 2 && self.got.iter().any(|batch| batch.cost % 2 == 1) {
            return;
        }
        for batch in std::mem::take(&mut self.got) {
            match batch.open(|packed, size| (packed.len() == size).then(|| packed.clone())) {
                Ok(records) => {
                    assert!(batch.cost >= FRAME_COST + 2 * records.len() as u64);
                    assert_eq!(records.len(), batch.count);
                    assert!(records.iter().map(|record| record.offset).is_sorted_by(|a, b| a < b));
                }
                Err(error) => self.follower.fail(error),
            }
            self.follower.used(batch.stream, batch.cost);
            *self.held.entry(batch.stream).or_default() -= batch.cost;
        }
    }
}

/// Everything that waits to be written, which has to be messages within all limits.
fn written(out: &mut Outgoing) -> Vec<Message> {
    let mut frames = FrameDecoder::default();
    frames.push(&out.copy_to_bytes(out.remaining()));
    let mut messages = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        messages.push(decode(frame).unwrap());
    }
    assert_eq!(frames.held(), 0);
    messages
}
