//! A follower of streams, as another host is one.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use bytes::Buf;
use fnap::reply::Failure;
use fnap::stream::{Batch, Begin, Followed, Follower, Partition, Record, Wanted};

use crate::Wire;

/// A connection that has become a stream.
pub struct Following {
    wire: Wire,
    side: Follower,
    heard: Option<Vec<u8>>,
}

impl Following {
    /// Says STREAM.
    #[must_use]
    pub fn begin(mut wire: Wire) -> Self {
        wire.ok("STREAM");
        Self { wire, side: Follower::new(false), heard: None }
    }

    /// Keeps every octet that the host sends from now on.
    #[must_use]
    pub fn recording(self) -> Self {
        Self { heard: Some(Vec::new()), ..self }
    }

    /// Whether the host has sent these octets since it is recorded.
    #[must_use]
    pub fn has_heard(&self, octets: &str) -> bool {
        let heard = self.heard.as_deref().expect("recording");
        heard.windows(octets.len()).any(|window| window == octets.as_bytes())
    }

    /// The state machine.
    pub fn side(&mut self) -> &mut Follower {
        &mut self.side
    }

    /// Attaches, with a credit, from the beginning but for what has a position.
    pub fn attach(&mut self, flow: &str, positions: &BTreeMap<u32, u64>, credit: u64) -> u32 {
        self.attach_from(flow, positions, Begin::Earliest, credit)
    }

    /// The same with another beginning.
    pub fn attach_from(
        &mut self,
        flow: &str,
        positions: &BTreeMap<u32, u64>,
        begin: Begin,
        credit: u64,
    ) -> u32 {
        let (flow, positions) = (flow.parse().unwrap(), positions.clone());
        let wanted = Wanted { flow, incarnation: String::new(), positions, begin, credit };
        self.side.attach(wanted).unwrap()
    }

    /// What happens next; none where the host has closed the connection.
    pub fn try_next(&mut self) -> Option<Followed> {
        loop {
            if let Some(event) = self.side.next_event().unwrap() {
                return Some(event);
            }
            self.write();
            let mut octets = [0; 16 << 10];
            match self.wire.octets().read(&mut octets) {
                Ok(read @ 1..) => {
                    self.side.receive(&octets[..read]);
                    if let Some(heard) = &mut self.heard {
                        heard.extend_from_slice(&octets[..read]);
                    }
                }
                Ok(0) => return None,
                Err(error) => panic!("nothing from the host: {error}"),
            }
        }
    }

    /// What happens next.
    #[expect(clippy::should_implement_trait, reason = "a stream has no end")]
    pub fn next(&mut self) -> Followed {
        self.try_next().expect("the host goes on")
    }

    /// Sends what was said.
    pub fn write(&mut self) {
        let (out, socket) = (self.side.outgoing(), self.wire.octets().get_mut());
        while out.has_remaining() {
            let written = socket.write(out.chunk()).unwrap();
            out.advance(written);
        }
        socket.flush().unwrap();
    }

    /// Sends octets that are no frames of a state machine.
    pub fn send(&mut self, octets: &[u8]) {
        self.wire.send(octets);
    }

    /// The partitions of a stream that begins, which has to be next of what happens to it.
    pub fn attached(&mut self, of: u32) -> Vec<Partition> {
        loop {
            match self.next() {
                Followed::Attached { stream, partitions, .. } if stream == of => return partitions,
                Followed::Hello | Followed::Held { .. } => {}
                Followed::Records(batch) if batch.stream != of => {}
                other => panic!("stream {of}: {other:?}"),
            }
        }
    }

    /// Why a stream has ended, and the records of it that came before; those of others are passed over.
    pub fn ended(&mut self, of: u32) -> (Failure, Vec<(u32, Record)>) {
        let mut records = Vec::new();
        loop {
            match self.next() {
                Followed::Ended { stream, failure } if stream == of => return (failure, records),
                Followed::Records(batch) if batch.stream == of => {
                    records.extend(self.take(&batch));
                }
                Followed::Closed(failure) => panic!("closed: {failure}"),
                _ => {}
            }
        }
    }

    /// So many records of a stream at least, credit given back; those of others are passed over.
    pub fn records(&mut self, of: u32, count: usize) -> Vec<(u32, Record)> {
        let mut records = Vec::new();
        while records.len() < count {
            match self.next() {
                Followed::Records(batch) if batch.stream == of => {
                    records.extend(self.take(&batch));
                }
                Followed::Ended { stream, failure } if stream == of => panic!("ended: {failure}"),
                Followed::Closed(failure) => panic!("closed: {failure}"),
                _ => {}
            }
        }
        records
    }

    /// The records of a stream until one partition stands there.
    pub fn until(&mut self, of: u32, partition: u32, next: u64) -> Vec<(u32, Record)> {
        let mut records = Vec::new();
        loop {
            match self.next() {
                Followed::Records(batch) if batch.stream == of => {
                    records.extend(self.take(&batch));
                    if (batch.partition, batch.next) == (partition, next) {
                        return records;
                    }
                }
                Followed::Ended { stream, failure } if stream == of => panic!("ended: {failure}"),
                Followed::Closed(failure) => panic!("closed: {failure}"),
                _ => {}
            }
        }
    }

    fn take(&mut self, batch: &Batch) -> Vec<(u32, Record)> {
        self.side.used(batch.stream, batch.cost);
        let records = batch.open_plain().unwrap();
        records.into_iter().map(|record| (batch.partition, record)).collect()
    }
}
