//! The inputs of one shard, taking turns.
//!
//! A task for each input reads ahead into a short queue, so that the next batch is there when the
//! plugin is done with the last one. It decides nothing about events.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use host_brokers::{BatchLimits, BrokerError, Source};
use host_events::{Batch, Incarnation, Position};
use host_plugins::Limits;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::shard::Failure;
use crate::spec::Spec;
use crate::start::StartError;

/// Batches read ahead of an input: one to be taken while the next is read.
const READ_AHEAD: usize = 1;

/// A batch and the input it came from.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    pub(crate) input: u32,
    pub(crate) batch: Batch,
}

impl Next {
    /// Where the input stands after it.
    pub(crate) fn moves(&self) -> [(Incarnation, u32, u64); 1] {
        [(self.batch.flow, self.batch.partition, self.batch.next)]
    }
}

/// How much is read at once.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Events, as of now.
    pub(crate) events: Arc<AtomicUsize>,
    /// Octets of them.
    pub(crate) bytes: usize,
}

impl Reading {
    pub(crate) fn new(events: Arc<AtomicUsize>, limits: &Limits) -> Self {
        Self { events, bytes: usize::try_from(limits.batch_bytes).unwrap_or(usize::MAX) }
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { records: self.events.load(Ordering::Relaxed), bytes: self.bytes }
    }
}

/// The readers of a shard.
pub(crate) struct Inputs {
    readers: Vec<Reader>,
    turn: usize,
}

/// A position that is not in the log is a gap in a flow.
fn failure(flow: &Arc<str>, error: BrokerError) -> Failure {
    match error {
        BrokerError::OutOfRange { partition, wanted: position, earliest, latest } => {
            let flow = flow.to_string();
            StartError::Gap { flow, partition, position, earliest, latest }.into()
        }
        error => error.into(),
    }
}

struct Reader {
    input: u32,
    flow: Arc<str>,
    queue: mpsc::Receiver<Result<Batch, BrokerError>>,
    task: JoinHandle<()>,
}

impl Inputs {
    /// Opens a source for each input that has this shard's partition.
    pub(crate) async fn open(
        spec: &Spec,
        shard: u32,
        positions: &Position,
        reading: &Reading,
    ) -> Result<Self, Failure> {
        let mut readers = BTreeMap::new();
        for (input, endpoint) in spec.inputs.iter().enumerate().filter(|(_, end)| !end.paused) {
            let Some(from) = positions.get(endpoint.topic.incarnation, shard) else {
                continue;
            };
            // A flow that is named twice is read once for each time.
            let source = endpoint.broker.source(&endpoint.topic, shard, from).await;
            let source = source.map_err(|error| failure(&endpoint.name, error))?;
            let flow = Arc::clone(&endpoint.name);
            readers.insert(input, Reader::start(input as u32, flow, source, reading.clone()));
        }
        Ok(Self { readers: readers.into_values().collect(), turn: 0 })
    }

    /// The next batch, inputs taking turns. Waits for ever where there is no input; dropping the
    /// future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Next, Failure> {
        let Self { readers, turn } = self;
        let count = readers.len();
        poll_fn(|context| {
            for step in 0..count {
                let index = (*turn + step) % count;
                let Some(reader) = readers.get_mut(index) else { continue };
                if let Poll::Ready(read) = reader.queue.poll_recv(context) {
                    *turn = (index + 1) % count;
                    let ended = || Err(BrokerError::Unavailable("the reader ended".into()));
                    let input = reader.input;
                    return Poll::Ready(
                        read.unwrap_or_else(ended)
                            .map(|batch| Next { input, batch })
                            .map_err(|error| failure(&reader.flow, error)),
                    );
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Reader {
    fn start(input: u32, flow: Arc<str>, mut source: Box<dyn Source>, reading: Reading) -> Self {
        let (sender, queue) = mpsc::channel(READ_AHEAD);
        let task = tokio::spawn(async move {
            loop {
                let read = source.next(reading.limits()).await;
                let failed = read.is_err();
                if sender.send(read).await.is_err() || failed {
                    return;
                }
            }
        });
        Self { input, flow, queue, task }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
