//! Reading one partition of a topic of ours to its end, with a consumer made for it.
//!
//! Reads committed records until the end that the log had when the first answer came. A transaction of somebody
//! else in the partition would hide newer records: then it waits, and says so at last.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::{coop, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::lanes::format::Malformed;
use crate::kafka::meet::meet;
use crate::kafka::native::admin::Fault;
use crate::kafka::native::follow::{Found, high_watermark, take};
use crate::kafka::native::handle::{Handle, Queue};
use crate::kafka::voice::Voice;

/// How long reading may stand still: no record, and no end further on, whatever else happens meanwhile. Longer
/// than the longest transaction that our producers leave open, and than a broker needs to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a topic that was there a moment ago may be unknown to a node: longer than metadata needs to spread.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Octets of one answer: few of a lane's are on their way, and all of a large state is.
const FETCHED: usize = 8 << 20;

/// Kibibytes that wait to be taken in: a host reads as many lanes at once as it was given.
const QUEUED_KIB: usize = 16 << 10;

/// Before a topic that a node does not know is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// A consumer made for this, and given back after it.
pub(in crate::kafka::lanes) struct Reader {
    // Goes first: a queue has to be given back before its client.
    queue: Queue,
    handle: Handle,
    consumer: Arc<BaseConsumer<Voice>>,
    partition: i32,
}

impl Reader {
    /// One that knows already where these topics lie.
    pub(in crate::kafka::lanes) async fn open(
        cluster: &Cluster,
        topics: &[&TopicRef],
        lane: u32,
    ) -> Result<Self, BrokerError> {
        let (config, voice) = (config(cluster), cluster.voice().clone());
        let topics: Vec<_> = topics.iter().map(|topic| Arc::clone(&topic.topic)).collect();
        let made = spawn_blocking(move || -> Result<_, KafkaError> {
            let none = || KafkaError::ClientCreation("no client".into());
            let consumer = Arc::new(BaseConsumer::from_config_and_context(&config, voice)?);
            let handle =
                Handle::of(Arc::clone(&consumer), |one| Some(one.client())).ok_or_else(none)?;
            let queue = Queue::consumer(&handle).ok_or_else(none)?;
            meet(consumer.client(), &topics);
            Ok((consumer, handle, queue))
        });
        let made = made.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        let (consumer, handle, queue) = made.map_err(|error| cluster.error("", &error))?;
        let mut reader = Self { queue, handle, consumer, partition: 0 };
        reader.turn_to(lane);
        Ok(reader)
    }

    /// Reads another lane from now on.
    pub(in crate::kafka::lanes) fn turn_to(&mut self, lane: u32) {
        self.partition = i32::try_from(lane).unwrap_or_default();
    }

    /// Closing it waits for its threads.
    pub(in crate::kafka::lanes) fn close(self) {
        spawn_blocking(move || drop(self));
    }

    /// Reads one topic's partition to its end, or until it is told to stop. The offset that comes next.
    pub(in crate::kafka::lanes) async fn read(
        &self,
        cluster: &Cluster,
        topic: &TopicRef,
        from: Option<u64>,
        mut take_in: impl FnMut(&Bytes, Option<Bytes>) -> Result<ControlFlow<()>, Malformed>,
    ) -> Result<u64, BrokerError> {
        let name = &*topic.topic;
        let (mut progress, mut end) = (Progress::new(from), None);
        self.assign(cluster, name, &progress)?;
        loop {
            let Some(found) = self.next(&progress).await else {
                return Err(stuck(cluster, name));
            };
            match found {
                Found::Record { offset, key, value } => {
                    if !progress.to(offset + 1) {
                        continue;
                    }
                    let taken = take_in(&key.unwrap_or_default(), value).map_err(|cause| {
                        let words =
                            format!("partition {}: offset {offset}: {cause}", self.partition);
                        let words = cluster.words(name, &words);
                        match cause {
                            // Nothing is wrong with it, and a newer host reads it.
                            Malformed::Newer(..) => BrokerError::Unavailable(words),
                            _ => BrokerError::Damaged(words),
                        }
                    })?;
                    if taken.is_break() {
                        return Ok(offset + 1);
                    }
                }
                Found::End { offset } => {
                    progress.to(offset);
                    // The first answer came after the producer had settled what was before.
                    end = end.or_else(|| high_watermark(&self.handle, name, self.partition));
                    if end.is_some_and(|end| offset >= end) {
                        return Ok(offset);
                    }
                }
                Found::Fault(fault) if is_passing(fault.code) && !progress.stands(PATIENCE) => {}
                Found::Fault(fault) if is_unknown(fault.code) && !progress.stands(UNKNOWN_FOR) => {
                    sleep(AGAIN).await;
                    self.assign(cluster, name, &progress)?;
                }
                Found::Fault(fault) => return Err(cluster.fault(name, &fault)),
                Found::Other => {}
            }
        }
    }

    fn assign(&self, cluster: &Cluster, topic: &str, at: &Progress) -> Result<(), BrokerError> {
        let mut assigned = TopicPartitionList::new();
        let from = match at.next {
            Some(next) => Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX)),
            None => Offset::Beginning,
        };
        assigned
            .add_partition_offset(topic, self.partition, from)
            .and_then(|()| self.consumer.assign(&assigned))
            .map_err(|error| cluster.error(topic, &error))
    }

    /// What comes next; nothing where reading has stood still for too long.
    async fn next(&self, progress: &Progress) -> Option<Found> {
        let next = async {
            loop {
                if let Some(found) = take(&self.queue) {
                    coop::consume_budget().await;
                    return found;
                }
                self.queue.woken().notified().await;
            }
        };
        timeout_at(progress.since + PATIENCE, next).await.ok()
    }
}

/// How far reading is. Faults and ends that come again move nothing.
struct Progress {
    next: Option<u64>,
    since: Instant,
}

impl Progress {
    fn new(next: Option<u64>) -> Self {
        Self { next, since: Instant::now() }
    }

    /// Whether this is further than before.
    fn to(&mut self, next: u64) -> bool {
        let is_further = self.next.is_none_or(|now| next > now);
        if is_further {
            *self = Self { next: Some(next), since: Instant::now() };
        }
        is_further
    }

    fn stands(&self, time: Duration) -> bool {
        self.since.elapsed() > time
    }
}

fn stuck(cluster: &Cluster, topic: &str) -> BrokerError {
    let trouble = cluster.voice().trouble().unwrap_or_else(|| {
        let text = "its end does not come: a transaction of somebody else is open in it";
        Fault::new(Code::OperationTimedOut, text)
    });
    cluster.fault(topic, &trouble)
}

/// What librdkafka mends by itself.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::CoordinatorLoadInProgress
    )
}

/// What a node says that has not heard of a topic yet.
fn is_unknown(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
    )
}

fn config(cluster: &Cluster) -> ClientConfig {
    let mut config = cluster.client_config();
    // It joins nothing: the library wants a name to assign partitions.
    config.set("group.id", format!("fnaa.{}", cluster.options().identity));
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "error");
    // A partition without new records is answered at once.
    config.set("fetch.wait.max.ms", "10");
    // A lane is read at once: more comes with each answer, and a queue that was full is filled again soon.
    config.set("max.partition.fetch.bytes", FETCHED.to_string());
    config.set("fetch.queue.backoff.ms", "5");
    config.set("queued.max.messages.kbytes", QUEUED_KIB.to_string());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_further_is_progress() {
        let mut progress = Progress::new(None);
        assert!(progress.to(0), "an end at nothing is the first answer");
        let since = progress.since;
        assert!(!progress.to(0) && progress.since == since);
        assert!(progress.to(5) && !progress.to(4) && progress.next == Some(5));
        assert!(progress.stands(Duration::ZERO) && !progress.stands(PATIENCE));
    }
}
