//! A follower and a source talk through pieces of any size, in any order of steps, on connections that break at any octet:
//! each record comes once and in order, and never more than the credit is under way.

use std::collections::BTreeMap;

use bytes::Buf;
use proptest::prelude::*;

use super::*;
use crate::reply::{Code, Failure};

const FLOWS: u64 = 3;
const PARTITIONS: u32 = 2;
const RECORDS: u64 = 30;
/// Some records are larger than this, alone.
const CREDIT: u64 = 1_500;

/// A place of a partition of a flow.
type Key = (u64, u32);

/// Octets of a record's value: other ones for each, and each the same at any time.
fn value(flow: u64, partition: u32, offset: u64) -> Vec<u8> {
    let mixed = (flow * 31 + u64::from(partition) * 17 + offset * 7) % 11;
    vec![offset as u8; (mixed * mixed * 25) as usize]
}

/// Compaction has left out some.
fn exists(flow: u64, offset: u64) -> bool {
    !(offset + flow).is_multiple_of(5)
}

fn log(flow: u64, partition: u32, from: u64, count: u64) -> (Vec<Record>, u64) {
    let next = (from + count).min(RECORDS);
    let offsets = (from..next).filter(|offset| exists(flow, *offset));
    (offsets.map(|offset| record(offset, &value(flow, partition, offset))).collect(), next)
}

struct Model {
    follower: Follower,
    source: Source,
    /// What is committed at the follower's broker: position and offsets of records.
    committed: BTreeMap<Key, (u64, Vec<u64>)>,
    /// On this connection: which stream is which flow, for each side.
    follows: BTreeMap<u32, u64>,
    sends: BTreeMap<u32, u64>,
    /// Got and not dealt with.
    got: Vec<Batch>,
    /// Octets under way to each stream, by what was sent and what was dealt with.
    under_way: BTreeMap<u32, u64>,
    positions: BTreeMap<(u32, u32), u64>,
}

impl Model {
    fn new() -> Self {
        Self {
            follower: Follower::new(false),
            source: Source::new(false),
            committed: BTreeMap::new(),
            follows: BTreeMap::new(),
            sends: BTreeMap::new(),
            got: Vec::new(),
            under_way: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    /// The connection is gone with all that was under way; only what is committed is left.
    fn break_off(&mut self) {
        let committed = std::mem::take(&mut self.committed);
        *self = Self { committed, ..Self::new() };
    }

    fn step(&mut self, what: u8, how: u64) {
        match what {
            0 => self.attach(how % FLOWS),
            1 | 2 => carry(self.follower.outgoing(), how, |bytes| self.source.receive(bytes)),
            3 | 4 => carry(self.source.outgoing(), how, |bytes| self.follower.receive(bytes)),
            5 => self.hear_source(),
            6 => self.hear_follower(),
            7 | 8 => self.send(how),
            9 | 10 => self.deal(),
            11 => self.ack(how),
            12 if how < 100 => self.detach(how),
            13 if how < 100 => self.end(how),
            14 if how < 40 => self.break_off(),
            _ => {}
        }
    }

    fn attach(&mut self, flow: u64) {
        if self.follows.values().any(|known| *known == flow) {
            return;
        }
        let of_flow = self.committed.iter().filter(|((of, _), _)| *of == flow);
        let positions = of_flow.map(|((_, partition), (next, _))| (*partition, *next)).collect();
        let name = format!("f{flow}.flows.unix.ar").parse().unwrap();
        let wanted = Wanted { flow: name, positions, ..wanted(&[], CREDIT) };
        let stream = self.follower.attach(wanted).unwrap();
        self.follows.insert(stream, flow);
    }

    fn hear_follower(&mut self) {
        let Some(event) = self.source.next_event().unwrap() else { return };
        match event {
            Sourced::Attach { stream, wanted } => {
                let flow = u64::from(wanted.flow.as_str().as_bytes()[1] - b'0');
                let next = |partition| wanted.positions.get(&partition).copied().unwrap_or(0);
                let numbers = 0..PARTITIONS;
                let partitions: Vec<Partition> =
                    numbers.map(|number| partition(number, 0, next(number), RECORDS)).collect();
                self.source.attached(stream, "life", &partitions).unwrap();
                self.sends.insert(stream, flow);
                for partition in partitions {
                    self.positions.insert((stream, partition.partition), partition.next);
                }
            }
            Sourced::Detached { stream } => drop(self.sends.remove(&stream)),
            Sourced::Ack { stream, positions } => {
                for (partition, offset) in positions {
                    assert!(offset <= self.positions[&(stream, partition)]);
                }
            }
            Sourced::Hello | Sourced::Credit { .. } => {}
            Sourced::Closed(failure) => panic!("{failure}"),
        }
    }

    fn send(&mut self, how: u64) {
        let stream = self.sends.keys().nth(how as usize % self.sends.len().max(1)).copied();
        if let Some(stream) = stream {
            self.send_to(stream, (how >> 8) as u32 % PARTITIONS, (how >> 16) % 7 + 1);
        }
    }

    fn send_to(&mut self, stream: u32, number: u32, count: u64) {
        let from = self.positions[&(stream, number)];
        let (records, next) = log(self.sends[&stream], number, from, count);
        let Some(room) = self.source.room(stream) else { return };
        let (packed, count) = Packed::of(&records, room).unwrap();
        // Up to the first record that had to stay behind.
        let next = records.get(count).map_or(next, |left| left.offset);
        let piece = Piece { partition: number, next, latest: Some(RECORDS), records: &packed };
        if next == from || self.source.send(stream, &piece).is_err() {
            return;
        }
        self.positions.insert((stream, number), next);
        let under_way = self.under_way.entry(stream).or_default();
        let alone = *under_way == 0 && packed.count() <= 1;
        *under_way += packed.cost();
        assert!(*under_way <= CREDIT || alone, "{under_way} octets under way");
    }

    /// Everybody does all that there is to do.
    fn go_on(&mut self) {
        (0..FLOWS).for_each(|flow| self.attach(flow));
        carry(self.follower.outgoing(), 0, |bytes| self.source.receive(bytes));
        (0..50).for_each(|_| self.hear_follower());
        let streams: Vec<u32> = self.sends.keys().copied().collect();
        for (stream, number) in streams.iter().flat_map(|stream| [(*stream, 0), (*stream, 1)]) {
            self.send_to(stream, number, 5);
        }
        carry(self.source.outgoing(), 0, |bytes| self.follower.receive(bytes));
        (0..50).for_each(|_| self.hear_source());
        (0..50).for_each(|_| self.deal());
    }

    fn hear_source(&mut self) {
        match self.follower.next_event().unwrap() {
            Some(Followed::Records(batch)) => self.got.push(batch),
            Some(Followed::Ended { stream, .. }) => {
                self.follows.remove(&stream);
                self.got.retain(|batch| batch.stream != stream);
            }
            Some(Followed::Closed(failure)) => panic!("{failure}"),
            _ => {}
        }
    }

    /// Commits the oldest batch, as one transaction with its position.
    fn deal(&mut self) {
        if self.got.is_empty() {
            return;
        }
        let batch = self.got.remove(0);
        let flow = self.follows[&batch.stream];
        let records = batch.open_plain().unwrap();
        let (next, offsets) = self.committed.entry((flow, batch.partition)).or_default();
        assert_eq!(*next, batch.from);
        for record in records {
            assert_eq!(record.value.unwrap(), value(flow, batch.partition, record.offset));
            offsets.push(record.offset);
        }
        *next = batch.next;
        self.follower.used(batch.stream, batch.cost);
        if let Some(under_way) = self.under_way.get_mut(&batch.stream) {
            *under_way -= batch.cost;
        }
    }

    fn ack(&mut self, how: u64) {
        let Some((&stream, &flow)) = self.follows.iter().nth(how as usize % FLOWS as usize) else {
            return;
        };
        let number = (how >> 8) as u32 % PARTITIONS;
        let next = self.committed.get(&(flow, number)).map(|(next, _)| *next);
        if let Some(next) = next
            && self.follower.positions(stream).is_some()
        {
            self.follower.ack(stream, &map(&[(number, next)])).unwrap();
        }
    }

    fn detach(&mut self, how: u64) {
        let stream = self.follows.keys().nth(how as usize % FLOWS as usize).copied();
        if let Some(stream) = stream
            && self.follower.detach(stream).is_ok()
        {
            self.got.retain(|batch| batch.stream != stream);
        }
    }

    fn end(&mut self, how: u64) {
        let stream = self.sends.keys().nth(how as usize % FLOWS as usize).copied();
        if let Some(stream) = stream {
            self.sends.remove(&stream);
            self.source.end(stream, &Failure::new(Code::Unavailable, "moved")).unwrap();
        }
    }

    fn is_complete(&self) -> bool {
        let keys = (0..FLOWS).flat_map(|flow| (0..PARTITIONS).map(move |number| (flow, number)));
        keys.into_iter()
            .all(|key| self.committed.get(&key).is_some_and(|(next, _)| *next == RECORDS))
    }
}

/// Takes some octets over, maybe all.
fn carry(out: &mut Outgoing, how: u64, mut to: impl FnMut(&[u8])) {
    let most = if how.is_multiple_of(3) { out.remaining() } else { how as usize % 400 };
    let mut bytes = vec![0; most.min(out.remaining())];
    out.copy_to_slice(&mut bytes);
    to(&bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_record_comes_once_and_in_order_whatever_breaks_and_never_beyond_the_credit(
        steps in prop::collection::vec((0_u8..15, any::<u32>()), 0..600),
    ) {
        let mut model = Model::new();
        for (what, how) in steps {
            model.step(what, u64::from(how % 997) | u64::from(how) << 8);
        }
        // From here on nothing stands in the way: it has to come to an end, however it stood.
        let mut rounds = 0;
        while !model.is_complete() {
            rounds += 1;
            prop_assert!(rounds < 500, "stands still");
            model.go_on();
        }
        for ((flow, _), (_, offsets)) in &model.committed {
            let all: Vec<u64> = (0..RECORDS).filter(|offset| exists(*flow, *offset)).collect();
            prop_assert_eq!(offsets, &all);
        }
    }
}
