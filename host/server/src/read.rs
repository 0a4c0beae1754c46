//! READ: events out, from a place on, as far as the log reached or for ever.
//!
//! Partitions are read side by side; within one the order is kept. A position that is gone is an
//! error with `earliest=` and `latest=`, never a silent jump.

mod ahead;

use fnap::command::{Read, Start};
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::Right;
use host_brokers::{Broker, PartitionInfo, TopicRef};
use host_events::{Incarnation, write_read_line};
use host_iam::{Principal, Share};
use host_observe::Traffic;
use host_registry::{FlowStatus, Registry};
use tokio::sync::watch;

use crate::may;
use crate::perform::{broker_failure, find_flow, registry_failure};
use crate::services::Services;

pub use ahead::ReadRoom;
use ahead::{Ahead, Fetched, Origin, Span};

/// Octets of data lines after which a piece is full: it is what a READ holds whose peer takes nothing, and
/// one event more.
const PIECE: usize = 32 * 1024;

/// What a READ has given at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// Whether that was all.
    pub(crate) ended: bool,
}

/// A READ under way.
pub(crate) struct Reading {
    origin: Origin,
    /// Where each partition goes on.
    spans: Vec<Span>,
    /// None while the room that it takes was given back.
    ahead: Option<Ahead>,
    /// For a READ that follows: it is held while the flow is paused.
    gate: Option<Gate>,
    /// A batch that waits for the gate, or for what was given of it, and how many of its records were given.
    held: Option<(Fetched, usize)>,
    left: u64,
}

/// Lets batches through while the flow is not paused.
struct Gate {
    registry: Registry,
    changes: watch::Receiver<u64>,
    flow: Name,
    incarnation: Incarnation,
}

/// Finds the flow and the place; the outcome is known before anything is sent.
pub(crate) async fn start(
    services: &Services,
    who: &Principal,
    command: &Read,
) -> Result<Reading, Failure> {
    may::on_flow(services, who, Right::Read, &command.flow)?;
    let flow = find_flow(services, &command.flow).await?;
    if flow.status == FlowStatus::Paused && !command.follow {
        return Err(Failure::new(Code::Unavailable, format!("flow {} is paused", flow.name)));
    }
    let (broker, topic) = services.topic_of(&flow)?;
    let info = broker.describe(&topic).await.map_err(|error| broker_failure(&error))?;
    let mut spans = Vec::new();
    for (log, partition) in info.partitions.iter().zip(0..) {
        let from = begin(broker.as_ref(), &topic, command, partition, *log).await?;
        let Some(from) = from else { continue };
        let until = (!command.follow).then_some(log.latest);
        spans.push(Span { partition, from, until });
    }
    if let Some(partition) = missing(command, info.partitions.len()) {
        let words = format!("partition {partition} of flow {} does not exist", flow.name);
        return Err(Failure::new(Code::OutOfRange, words));
    }
    let gate = command.follow.then(|| Gate {
        registry: services.registry.clone(),
        changes: services.registry.subscribe(),
        flow: flow.name,
        incarnation: flow.incarnation,
    });
    let origin = Origin { broker, topic, room: services.read_room.clone() };
    let left = command.limit.unwrap_or(u64::MAX);
    Ok(Reading { origin, spans, ahead: None, gate, held: None, left })
}

/// A partition that is asked for and that the flow does not have.
fn missing(command: &Read, partitions: usize) -> Option<u32> {
    let one = match command.from {
        Some(Start::Offset { partition, .. }) => Some(partition),
        _ => None,
    };
    let all = command.places.iter().map(|(partition, _)| *partition).chain(one);
    all.into_iter().find(|partition| *partition as usize >= partitions)
}

/// The first offset of a partition; none where this partition is not asked for.
async fn begin(
    broker: &dyn Broker,
    topic: &TopicRef,
    command: &Read,
    partition: u32,
    log: PartitionInfo,
) -> Result<Option<u64>, Failure> {
    if !command.places.is_empty() {
        let place = command.places.iter().find(|(named, _)| *named == partition);
        return place.map(|(_, offset)| held(partition, *offset, log)).transpose();
    }
    let from = match command.from {
        Some(Start::Earliest) => log.earliest,
        Some(Start::Latest) => log.latest,
        // People who follow want what comes; people who read want what is there.
        None if command.follow => log.latest,
        None => log.earliest,
        Some(Start::Time(time)) => {
            let found = broker.offset_at(topic, partition, time.unix_millis()).await;
            found.map_err(|error| broker_failure(&error))?
        }
        Some(Start::Offset { partition: named, .. }) if named != partition => return Ok(None),
        Some(Start::Offset { offset, .. }) => held(partition, offset, log)?,
    };
    Ok(Some(from))
}

/// An offset that the log still has, or will have next.
fn held(partition: u32, offset: u64, log: PartitionInfo) -> Result<u64, Failure> {
    let PartitionInfo { earliest, latest } = log;
    if (earliest..=latest).contains(&offset) {
        return Ok(offset);
    }
    let words =
        format!("offset {offset} of partition {partition} earliest={earliest} latest={latest}");
    Err(Failure::new(Code::OutOfRange, words))
}

impl Reading {
    /// The peer has taken nothing for a while: gives back what was fetched for him if others need the room.
    /// It is fetched again when he goes on.
    pub(crate) fn is_stalled(&mut self) {
        if self.origin.room.is_short() {
            (self.ahead, self.held) = (None, None);
        }
    }

    /// Writes the data lines of the next batch, or as much of it as comes at once. Waits while there is none;
    /// dropping the future loses nothing.
    pub(crate) async fn next_chunk(
        &mut self,
        traffic: &Traffic,
        share: Option<Share>,
        out: &mut Vec<u8>,
    ) -> Result<Chunk, Failure> {
        let ended = Chunk { ended: true, ..Chunk::default() };
        if self.left == 0 {
            return Ok(ended);
        }
        if self.held.is_none() {
            let ahead = self.ahead.get_or_insert_with(|| Ahead::of(&self.origin, &self.spans));
            match ahead.next().await {
                None => return Ok(ended),
                Some(fetched) => {
                    self.held = Some((fetched.map_err(|error| broker_failure(&error))?, 0));
                }
            }
        }
        if let Some(gate) = &mut self.gate {
            gate.pass().await?;
        }
        let Some((fetched, given)) = self.held.take() else { return Ok(Chunk::default()) };
        let (batch, left, held) = (&fetched.batch, self.left, out.len());
        let (mut more, mut next) = (false, batch.next);
        for stored in batch.records.iter().skip(given) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            write_read_line(stored, batch.partition, out);
            out.extend_from_slice(b"\r\n");
            let bytes = (out.len() - held) as u64;
            more = out.len() >= PIECE
                || share
                    .is_some_and(|share| left - self.left >= share.events || bytes >= share.bytes);
            if more {
                next = stored.offset + 1;
                break;
            }
        }
        if let Some(span) = self.spans.iter_mut().find(|span| span.partition == batch.partition) {
            span.from = next;
        }
        let (events, bytes) = (left - self.left, (out.len() - held) as u64);
        if more {
            let given = given + usize::try_from(events).unwrap_or(usize::MAX);
            self.held = Some((fetched, given));
        }
        traffic.events_read.add(events);
        traffic.bytes_read.add(bytes);
        Ok(Chunk { events, bytes, ended: false })
    }
}

impl Gate {
    /// Waits until the flow is not paused; an error when it is gone.
    async fn pass(&mut self) -> Result<(), Failure> {
        loop {
            self.changes.mark_unchanged();
            let flow = self.registry.flow(&self.flow).await.map_err(registry_failure)?;
            match flow.filter(|flow| flow.incarnation == self.incarnation).map(|flow| flow.status) {
                Some(FlowStatus::Paused) => {}
                Some(FlowStatus::Active | FlowStatus::Creating) => return Ok(()),
                Some(FlowStatus::Deleting) | None => {
                    return Err(Failure::new(Code::NotFound, format!("flow {}", self.flow)));
                }
            }
            if self.changes.changed().await.is_err() {
                return Err(Failure::new(Code::Unavailable, "the host is shutting down"));
            }
        }
    }
}
