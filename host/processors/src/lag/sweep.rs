//! One look at all processors: each flow is asked once, a broker that hangs is waited for once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnap::name::Name;
use futures::future::join_all;
use host_brokers::{Broker, BrokerError, TopicRef};
use host_events::{Incarnation, Position};

use super::{Marks, Oldest, Seen};
use crate::spec::{Endpoint, Spec};
use crate::status::ShardStatus;

/// Longest wait for a broker's answer; after it the broker is left alone until the next sweep.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two reads at a partition whose position moves on: its age is at most so much too high.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Reads of one sweep. A record is read with the batch that it was written with, which is up to a
/// megabyte: with more of them a host with a thousand partitions that lag would be busy with that.
pub(super) const MOST_READS: u32 = 64;

/// How old a look may become where the reads do not suffice.
const STALE: Duration = Duration::from_secs(60);

/// Flows after which the sweep lets other tasks have a turn: it waits for nothing where brokers answer
/// from memory.
const TURN: usize = 64;

/// The first record behind a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    position: u64,
    timestamp: i64,
    read: Instant,
}

/// What is known of brokers and flows in this sweep.
#[derive(Default)]
pub(super) struct Sweep {
    ends: HashMap<TopicRef, Option<Arc<[u64]>>>,
    hanging: Vec<Arc<dyn Broker>>,
    reads: u32,
}

impl Sweep {
    /// Asks each broker once about all flows of these processors, outputs too. Gives those that have more
    /// partitions than is known.
    pub(super) async fn survey<'a>(
        &mut self,
        specs: impl Iterator<Item = &'a Spec>,
    ) -> Vec<(Name, Incarnation, u32)> {
        let mut flows: HashMap<&TopicRef, &Endpoint> = HashMap::new();
        for end in specs.flat_map(|spec| spec.inputs.iter().chain(&spec.outputs)) {
            flows.insert(&end.topic, end);
        }
        let mut brokers: HashMap<usize, (&Arc<dyn Broker>, Vec<TopicRef>)> = HashMap::new();
        for (topic, end) in &flows {
            let broker = Arc::as_ptr(&end.broker).cast::<()>() as usize;
            let (_, topics) = brokers.entry(broker).or_insert((&end.broker, Vec::new()));
            topics.push((*topic).clone());
        }
        let asked = brokers.into_values().map(|(broker, topics)| async move {
            let looks = tokio::time::timeout(PATIENCE, broker.look(&topics)).await.ok();
            (broker, topics, looks)
        });
        let mut grown = Vec::new();
        for (broker, topics, looks) in join_all(asked).await {
            if looks.is_none() {
                self.hanging.push(Arc::clone(broker));
            }
            for (topic, look) in topics.into_iter().zip(looks.into_iter().flatten()) {
                let ends = look.ok().map(|info| {
                    info.partitions.iter().map(|log| log.latest).collect::<Arc<[u64]>>()
                });
                let end = flows.get(&topic);
                grown.extend(end.zip(ends.as_ref()).and_then(|(end, ends)| end.grown(ends.len())));
                self.ends.insert(topic, ends);
            }
        }
        grown
    }

    /// How far one processor is behind.
    pub(super) async fn look(
        &mut self,
        spec: &Spec,
        statuses: &[Arc<ShardStatus>],
        mut marks: Marks,
    ) -> Seen {
        let mut committed = Position::default();
        for (status, shard) in statuses.iter().zip(0..) {
            committed.0.extend(status.report(shard).positions.0);
        }
        let mut seen = Seen { events: Some(0), oldest: Oldest::None, marks: Marks::new() };
        for (at, input) in spec.inputs.iter().enumerate() {
            // A flow that is named twice is behind once.
            if spec.inputs.iter().take(at).any(|before| before.topic == input.topic) {
                continue;
            }
            let Some(ends) = self.ends(input).await else {
                (seen.events, seen.oldest) = (None, Oldest::Unknown);
                continue;
            };
            for (end, partition) in ends.iter().zip(0..input.partitions) {
                let position = committed.get(input.topic.incarnation, partition);
                self.partition(input, partition, *end, position, &mut marks, &mut seen).await;
            }
        }
        seen
    }

    async fn partition(
        &mut self,
        input: &Endpoint,
        partition: u32,
        end: u64,
        position: Option<u64>,
        marks: &mut Marks,
        seen: &mut Seen,
    ) {
        let Some(position) = position else {
            (seen.events, seen.oldest) = (None, Oldest::Unknown);
            return;
        };
        input.broker.safe(&input.topic, partition, position);
        let behind = end.saturating_sub(position);
        seen.events = seen.events.map(|events| events.saturating_add(behind));
        if behind == 0 {
            return;
        }
        let key = (input.topic.incarnation, partition);
        let mark = self.mark(input, partition, position, marks.remove(&key)).await;
        seen.marks.extend(mark.map(|mark| (key, mark)));
        seen.oldest = match (seen.oldest, mark) {
            (Oldest::Unknown, _) | (_, None) => Oldest::Unknown,
            (Oldest::None, Some(mark)) => Oldest::Since(mark.timestamp),
            (Oldest::Since(since), Some(mark)) => Oldest::Since(since.min(mark.timestamp)),
        };
    }

    /// The ends of a flow's partitions; none where its broker does not say.
    async fn ends(&mut self, input: &Endpoint) -> Option<Arc<[u64]>> {
        if let Some(known) = self.ends.get(&input.topic) {
            return known.clone();
        }
        let described = self.ask(&input.broker, input.broker.describe(&input.topic)).await;
        let ends = described.map(|info| info.partitions.iter().map(|log| log.latest).collect());
        self.ends.insert(input.topic.clone(), ends.clone());
        if self.ends.len().is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
        ends
    }

    /// The first record behind a position: from the last look where that is good enough, or read.
    async fn mark(
        &mut self,
        input: &Endpoint,
        partition: u32,
        position: u64,
        last: Option<Mark>,
    ) -> Option<Mark> {
        let fresh = |mark: &Mark| mark.position == position || mark.read.elapsed() < READ_AGAIN;
        if let Some(mark) = last.filter(fresh) {
            return Some(mark);
        }
        let last = last.filter(|mark| mark.read.elapsed() < STALE);
        // Half of the reads is kept for those of whom nothing is known.
        if self.reads >= if last.is_some() { MOST_READS / 2 } else { MOST_READS } {
            return last;
        }
        self.reads += 1;
        let first = input.broker.time_at(&input.topic, partition, position);
        let timestamp = self.ask(&input.broker, first).await.flatten()?;
        Some(Mark { position, timestamp, read: Instant::now() })
    }

    async fn ask<T>(
        &mut self,
        broker: &Arc<dyn Broker>,
        question: impl Future<Output = Result<T, BrokerError>>,
    ) -> Option<T> {
        if self.hanging.iter().any(|hanging| Arc::ptr_eq(hanging, broker)) {
            return None;
        }
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                self.hanging.push(Arc::clone(broker));
                None
            }
        }
    }
}

impl Endpoint {
    /// The flow with so many partitions, where they are more than is known.
    fn grown(&self, partitions: usize) -> Option<(Name, Incarnation, u32)> {
        let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
        let flow = self.name.parse().ok()?;
        (partitions > self.partitions).then_some((flow, self.topic.incarnation, partitions))
    }
}
