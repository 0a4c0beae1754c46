//! Taking a lane over, beside whatever else its task does: those who need it wait together, for one attempt.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::lane::{Held, QUEUE, Request, World};
use super::ours::Ours;
use super::producer::LaneProducer;
use super::recall::Early;
use super::recover::Reader;
use super::shares::Missing;
use super::{keep, outside, recall, recover};
use crate::broker::BrokerError;
use crate::kafka::cluster::Cluster;

/// A take-over that is under way.
pub(super) struct Taking {
    work: BoxFuture<'static, Result<Held, BrokerError>>,
    /// Whether it no longer waits for the group alone.
    fences: Arc<AtomicBool>,
    /// Those who need the lane, at most [`QUEUE`] of them.
    pub(super) waiting: VecDeque<Request>,
    /// Told when it has ended; the lane is not kept then.
    pub(super) releases: Vec<oneshot::Sender<()>>,
}

/// Waits until a take-over ends, for ever where there is none. May be given up and asked again.
pub(super) async fn end_of(taking: &mut Option<Taking>) -> Result<Held, BrokerError> {
    match taking {
        Some(taking) => taking.work.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Taking {
    pub(super) fn begin(world: Arc<World>) -> Self {
        let fences = Arc::new(AtomicBool::new(false));
        let work = Box::pin(take_over(world, Arc::clone(&fences)));
        Self { work, fences, waiting: VecDeque::new(), releases: Vec::new() }
    }

    /// Lets a request wait for the end.
    pub(super) fn wait(&mut self, request: Request) {
        if self.waiting.len() >= QUEUE {
            self.waiting.retain(|request| !request.is_given_up());
        }
        if self.waiting.len() >= QUEUE {
            let words = "too many wait for the lane";
            return request.fail(&BrokerError::Unavailable(words.to_owned()));
        }
        self.waiting.push_back(request);
    }

    pub(super) fn fences(&self) -> bool {
        self.fences.load(Ordering::Relaxed)
    }
}

async fn take_over(world: Arc<World>, fences: Arc<AtomicBool>) -> Result<Held, BrokerError> {
    let World { number, cluster, ours, shares, recovered, .. } = &*world;
    Early::begin(&world);
    let missing = tokio::select! {
        biased;
        // A group that nobody hears from gives lanes to nobody, and takes none for anybody.
        fault = cluster.is_away() => Some(Missing::Out(cluster.fault("", &fault))),
        waited = shares.wait_for(*number) => waited.err(),
        holder = outside::holder(cluster, ours, *number) => Some(Missing::HeldBy(holder)),
    };
    if let Some(missing) = missing {
        return Err(told(cluster, ours, *number, missing));
    }
    fences.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    // Whatever can be asked at once is: most of a take-over waits for answers.
    let ((producer, fenced), reader, (known, disk)) = tokio::join!(
        timed(fence(&world)),
        recover::reader(cluster, ours, *number),
        timed(recall::known(&world))
    );
    let (producer, reader) = match (producer, reader) {
        (Ok(producer), Ok(reader)) => (producer, reader),
        (Ok(_), Err(error)) => return Err(error),
        (Err(error), reader) => {
            reader.into_iter().for_each(Reader::close);
            return Err(error);
        }
    };
    let is_warm = known.is_some();
    let (read, log) = timed(recall::read(&world, &reader, known)).await;
    reader.close();
    let (truth, read, kept) = read?;
    recovered.fetch_add(read.records, Ordering::Relaxed);
    tracing::info!(
        lane = number,
        shards = truth.shards.len(),
        records = read.records,
        knew = is_warm,
        fenced_ms = millis(fenced),
        disk_ms = millis(disk),
        log_ms = millis(log),
        ms = millis(begun.elapsed()),
        "took a lane over"
    );
    let mut held = Held { producer, truth, kept, holders: HashMap::new() };
    let turn = world.turn();
    if keep::after(&turn, &mut held, read).await {
        return Ok(held);
    }
    if turn.was_fenced() {
        shares.doubt(*number);
        return Err(turn.closed());
    }
    let words = format!("lane {number}: its producer broke while the lane was kept on the disk");
    Err(BrokerError::Unavailable(cluster.words(&ours.positions.topic, &words)))
}

/// Fences whoever had the lane.
async fn fence(World { number, cluster, ours, .. }: &World) -> Result<LaneProducer, BrokerError> {
    ours.confirm(cluster).await?;
    LaneProducer::open(cluster, ours, *number).await
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let done = work.await;
    (done, begun.elapsed())
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn told(cluster: &Cluster, ours: &Ours, number: u32, missing: Missing) -> BrokerError {
    let other = format!("another host of identity {}", cluster.options().identity);
    let words = match missing {
        Missing::Out(error) => return error,
        Missing::HeldBy(holder) => {
            format!("lane {number} is not this host's: {other} holds it, {holder}")
        }
        Missing::NotGiven => format!(
            "lane {number} is not this host's: {other} has it, or they are being shared out"
        ),
    };
    BrokerError::Unavailable(cluster.words(&ours.positions.topic, &words))
}
