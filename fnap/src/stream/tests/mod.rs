//! Both sides as their peers meet them: octets in, octets out.

mod follower;
mod frames;
mod model;
mod schema;
mod source;

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};

use super::messages::{Hello, Message, Position};
use super::*;

/// Everything that waits to be written.
fn written(out: &mut Outgoing) -> Vec<u8> {
    let mut bytes = vec![0; out.remaining()];
    out.copy_to_slice(&mut bytes);
    bytes
}

/// The messages in what was written.
fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut frames = FrameDecoder::default();
    frames.push(bytes);
    let mut messages = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        messages.push(decode(frame).unwrap());
    }
    assert_eq!(frames.held(), 0);
    messages
}

fn hello(offers: &[&str]) -> Message {
    let offers = offers.iter().map(|offer| (*offer).to_owned()).collect();
    Message::Hello(Hello { version: 1, offers })
}

fn wanted(positions: &[(u32, u64)], credit: u64) -> Wanted {
    Wanted {
        flow: "time.flows.unix.ar".parse().unwrap(),
        incarnation: String::new(),
        positions: positions.iter().copied().collect(),
        begin: Begin::Earliest,
        credit,
    }
}

fn record(offset: u64, value: &[u8]) -> Record {
    Record { offset, value: Some(Bytes::copy_from_slice(value)), ..Record::default() }
}

fn pack(records: &[Record]) -> Packed {
    let (packed, count) = Packed::of(records, Room::WHOLE).unwrap();
    assert_eq!(count, records.len());
    packed
}

fn positions(pairs: &[(u32, u64)]) -> Vec<Position> {
    pairs.iter().map(|&(partition, offset)| Position { partition, offset }).collect()
}

fn partition(partition: u32, earliest: u64, next: u64, latest: u64) -> Partition {
    Partition { partition, earliest, latest, next }
}

fn map(pairs: &[(u32, u64)]) -> BTreeMap<u32, u64> {
    pairs.iter().copied().collect()
}
