//! What it costs to put records of 1 KiB into frames and to take them out again, in memory: octets of records a
//! second, for bodies that are copied and for bodies whose values are handed over as they are.

use std::hint::black_box;
use std::io::{IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use fnap::stream::{
    Begin, Followed, Follower, Packed, Partition, Piece, Record, Room, Source, Sourced, Wanted,
};

use crate::table::{Reach, Table};

/// Records of a frame, and frames of a round.
const RECORDS: u64 = 512;
const FRAMES: u64 = 200;
/// Octets of a record's value.
const VALUE: usize = 1 << 10;
/// Rounds of which the best counts.
const ROUNDS: usize = 5;
/// Slices of one vectored write.
const SLICES: usize = 64;

pub fn measure(table: &mut Table) {
    let value = Bytes::from(vec![7; VALUE]);
    let record = |offset| Record { offset, value: Some(value.clone()), ..Record::default() };
    let records: Vec<Record> = (0..RECORDS).map(record).collect();
    let best = |round: &dyn Fn() -> Duration| {
        let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
        (RECORDS * FRAMES * VALUE as u64) as f64 / best.as_secs_f64() / 1e9
    };
    let copied = best(&|| packed(&records, usize::MAX));
    table.figure("stream: pack, copied", copied, "GB/s", None, Reach::None);
    let shared = best(&|| packed(&records, 0));
    let ratio = Some(shared / copied);
    table.figure("stream: pack, not copied", shared, "GB/s", ratio, Reach::None);
    let copied = best(&|| written(&records, usize::MAX));
    table.figure("stream: pack and write, copied", copied, "GB/s", None, Reach::None);
    let shared = best(&|| written(&records, 0));
    let ratio = Some(shared / copied);
    table.figure("stream: pack and write, not copied", shared, "GB/s", ratio, Reach::None);
    let through = best(&|| through(&records));
    table.figure("stream: source to follower", through, "GB/s", None, Reach::None);
}

fn packed(records: &[Record], large: usize) -> Duration {
    let began = Instant::now();
    for _ in 0..FRAMES {
        black_box(Packed::with(black_box(records), Room::WHOLE, large).unwrap());
    }
    began.elapsed()
}

/// Into a socket that somebody empties.
fn written(records: &[Record], large: usize) -> Duration {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut far, &mut std::io::sink()).unwrap());
    let began = Instant::now();
    for _ in 0..FRAMES {
        let (packed, _) = Packed::with(records, Room::WHOLE, large).unwrap();
        let mut chunks: std::collections::VecDeque<Bytes> = packed.chunks().cloned().collect();
        while !chunks.is_empty() {
            let slices: Vec<IoSlice> =
                chunks.iter().take(SLICES).map(|chunk| IoSlice::new(chunk)).collect();
            let mut count = near.write_vectored(&slices).unwrap();
            while let Some(chunk) = chunks.front_mut() {
                let step = count.min(chunk.len());
                chunk.advance(step);
                count -= step;
                if !chunk.is_empty() {
                    break;
                }
                chunks.pop_front();
            }
        }
    }
    drop(near);
    reader.join().unwrap();
    began.elapsed()
}

/// All that both sides do but the socket: pack, frame, credit, cut, check, decode.
fn through(records: &[Record]) -> Duration {
    let (mut follower, mut source) = (Follower::new(false), Source::new(false));
    let wanted = Wanted {
        flow: "a.example".parse().unwrap(),
        incarnation: String::new(),
        positions: std::iter::once((0, 0)).collect(),
        begin: Begin::Earliest,
        credit: 4 << 20,
    };
    let stream = follower.attach(wanted).unwrap();
    carry(follower.outgoing(), |bytes| source.receive(bytes));
    while let Some(event) = source.next_event().unwrap() {
        if let Sourced::Attach { .. } = event {
            let begins =
                Partition { partition: 0, earliest: 0, latest: u64::from(u32::MAX), next: 0 };
            source.attached(stream, "life", &[begins]).unwrap();
        }
    }
    let began = Instant::now();
    for frame in 0..FRAMES {
        let mut records = records.to_vec();
        records.iter_mut().for_each(|record| record.offset += frame * RECORDS);
        let room = source.room(stream).unwrap();
        let (packed, count) = Packed::of(&records, room).unwrap();
        assert_eq!(count as u64, RECORDS);
        let next = (frame + 1) * RECORDS;
        source.send(stream, &Piece { partition: 0, next, latest: None, records: &packed }).unwrap();
        carry(source.outgoing(), |bytes| follower.receive(bytes));
        while let Some(event) = follower.next_event().unwrap() {
            if let Followed::Records(batch) = event {
                black_box(batch.open_plain().unwrap());
                follower.used(stream, batch.cost);
            }
        }
        carry(follower.outgoing(), |bytes| source.receive(bytes));
        while source.next_event().unwrap().is_some() {}
    }
    began.elapsed()
}

fn carry(out: &mut impl Buf, mut to: impl FnMut(&[u8])) {
    while out.has_remaining() {
        let len = out.chunk().len();
        to(out.chunk());
        out.advance(len);
    }
}
