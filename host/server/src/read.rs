//! READ: events out, from a place on, as far as the log reached or for ever.
//!
//! Partitions are read side by side; within one the order is kept. A position that is gone is an
//! error with `earliest=` and `latest=`, never a silent jump.

use std::sync::Arc;

use fnap::command::{Read, Start};
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::Right;
use host_brokers::{BatchLimits, Broker, BrokerError, PartitionInfo, TopicRef};
use host_events::{Batch, Incarnation, write_read_line};
use host_iam::{Principal, Share};
use host_observe::Traffic;
use host_registry::{FlowStatus, Registry};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::may;
use crate::perform::{broker_failure, find_flow, registry_failure};
use crate::services::Services;

/// How much a reader fetches at once. Two batches of each partition are in memory at most, beside
/// the one being sent.
const FETCH: BatchLimits = BatchLimits { records: 512, bytes: 512 * 1024 };

/// Batches of all partitions that wait to be sent.
const READ_AHEAD: usize = 2;

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
    batches: mpsc::Receiver<Result<Batch, BrokerError>>,
    /// Ends the readers when it is dropped.
    _readers: JoinSet<()>,
    /// For a READ that follows: it is held while the flow is paused.
    gate: Option<Gate>,
    /// A batch that waits for the gate, and how many of its records were given.
    held: Option<(Batch, usize)>,
    left: u64,
}

/// Lets batches through while the flow is not paused.
struct Gate {
    registry: Registry,
    changes: watch::Receiver<u64>,
    flow: Name,
    incarnation: Incarnation,
}

/// Where one partition is read from, and up to where unless it follows.
struct Span {
    partition: u32,
    from: u64,
    until: Option<u64>,
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
    Ok(Reading::new(&broker, &topic, spans, gate, command.limit))
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
    fn new(
        broker: &Arc<dyn Broker>,
        topic: &TopicRef,
        spans: Vec<Span>,
        gate: Option<Gate>,
        limit: Option<u64>,
    ) -> Self {
        let (sender, batches) = mpsc::channel(READ_AHEAD);
        let mut readers = JoinSet::new();
        for span in spans {
            let (broker, topic, sender) = (Arc::clone(broker), topic.clone(), sender.clone());
            readers.spawn(async move {
                if let Err(error) = read_span(broker.as_ref(), &topic, span, &sender).await {
                    // A receiver that is gone does not want to know.
                    drop(sender.send(Err(error)).await);
                }
            });
        }
        let left = limit.unwrap_or(u64::MAX);
        Self { batches, _readers: readers, gate, held: None, left }
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
            match self.batches.recv().await {
                None => return Ok(ended),
                Some(batch) => {
                    self.held = Some((batch.map_err(|error| broker_failure(&error))?, 0));
                }
            }
        }
        if let Some(gate) = &mut self.gate {
            gate.pass().await?;
        }
        let Some((batch, given)) = self.held.take() else { return Ok(Chunk::default()) };
        let (left, held) = (self.left, out.len());
        let mut more = false;
        for stored in batch.records.iter().skip(given) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            write_read_line(stored, batch.partition, out);
            out.extend_from_slice(b"\r\n");
            let bytes = (out.len() - held) as u64;
            more =
                share.is_some_and(|share| left - self.left >= share.events || bytes >= share.bytes);
            if more {
                break;
            }
        }
        let (events, bytes) = (left - self.left, (out.len() - held) as u64);
        if more {
            let given = given + usize::try_from(events).unwrap_or(usize::MAX);
            self.held = Some((batch, given));
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

async fn read_span(
    broker: &dyn Broker,
    topic: &TopicRef,
    span: Span,
    sender: &mpsc::Sender<Result<Batch, BrokerError>>,
) -> Result<(), BrokerError> {
    let Span { partition, from, until } = span;
    if until.is_some_and(|until| from >= until) {
        return Ok(());
    }
    let mut source = broker.source(topic, partition, from).await?;
    loop {
        let mut batch = source.next(FETCH).await?;
        let next = batch.next;
        if let Some(until) = until {
            cut(&mut batch, until);
        }
        if sender.send(Ok(batch)).await.is_err() || until.is_some_and(|until| next >= until) {
            return Ok(());
        }
    }
}

/// Leaves out what came after the READ began.
fn cut(batch: &mut Batch, until: u64) {
    let kept = batch.records.partition_point(|stored| stored.offset < until);
    if kept < batch.records.len() {
        batch.records = batch.records.iter().take(kept).cloned().collect();
    }
}
