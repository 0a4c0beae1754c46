//! Reading what is true of a lane, after its producer has settled what was left behind.
//!
//! Reads committed records until the end that the log had then. A transaction of somebody else in the
//! partition would hide newer records: then it waits, and says so at last. Nothing is passed over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::{coop, spawn_blocking};
use tokio::time::timeout;

use super::format::Malformed;
use super::ours::Ours;
use super::truth::Truth;
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::Fault;
use crate::kafka::native::follow::{Found, high_watermark, take};
use crate::kafka::native::handle::{Handle, Queue};
use crate::kafka::voice::Voice;

/// How long nothing may come. Longer than the longest transaction that our producers leave open, and than
/// a broker needs to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a lane, from offsets on up to which it is known already.
pub(super) async fn read(
    cluster: &Cluster,
    ours: &Ours,
    lane: u32,
    truth: &mut Truth,
) -> Result<(), BrokerError> {
    let reader = Reader::open(cluster, lane).await?;
    let read = async {
        let positions = |truth: &mut Truth, key: &Bytes, value: Option<Bytes>| {
            truth.position(key, value.as_deref())
        };
        reader.read(cluster, &ours.positions, truth, positions).await?;
        reader.read(cluster, &ours.state, truth, Truth::state).await
    };
    let read = read.await;
    // Closing it waits for its threads.
    spawn_blocking(move || drop(reader));
    read
}

/// A consumer made for this, and given back after it.
struct Reader {
    // Goes first: a queue has to be given back before its client.
    queue: Queue,
    handle: Handle,
    consumer: Arc<BaseConsumer<Voice>>,
    partition: i32,
}

impl Reader {
    async fn open(cluster: &Cluster, lane: u32) -> Result<Self, BrokerError> {
        let (config, voice) = (config(cluster), cluster.voice().clone());
        let made = spawn_blocking(move || -> Result<_, KafkaError> {
            let none = || KafkaError::ClientCreation("no client".into());
            let consumer = Arc::new(BaseConsumer::from_config_and_context(&config, voice)?);
            let handle = Handle::of(Arc::clone(&consumer), |one| one.client()).ok_or_else(none)?;
            let queue = Queue::consumer(&handle).ok_or_else(none)?;
            Ok((consumer, handle, queue))
        });
        let made = made.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        let (consumer, handle, queue) = made.map_err(|error| cluster.error("", &error))?;
        let partition = i32::try_from(lane).unwrap_or_default();
        Ok(Self { queue, handle, consumer, partition })
    }

    /// Reads one topic's partition to its end.
    async fn read(
        &self,
        cluster: &Cluster,
        topic: &TopicRef,
        truth: &mut Truth,
        take_in: impl Fn(&mut Truth, &Bytes, Option<Bytes>) -> Result<(), Malformed>,
    ) -> Result<(), BrokerError> {
        let name = &*topic.topic;
        let failed = |error: &KafkaError| cluster.error(name, error);
        let mut assigned = TopicPartitionList::new();
        assigned
            .add_partition_offset(name, self.partition, Offset::Beginning)
            .and_then(|()| self.consumer.assign(&assigned))
            .map_err(|error| failed(&error))?;
        let mut end = None;
        loop {
            match self.next(cluster, name).await? {
                Found::Record { offset, key, value } => {
                    let key = key.unwrap_or_default();
                    take_in(truth, &key, value).map_err(|cause| {
                        let words =
                            format!("partition {}: offset {offset}: {cause}", self.partition);
                        BrokerError::Damaged(cluster.words(name, &words))
                    })?;
                }
                Found::End { offset } => {
                    // The first answer came after the producer had settled what was before.
                    end = end.or_else(|| high_watermark(&self.handle, name, self.partition));
                    if end.is_some_and(|end| offset >= end) {
                        return Ok(());
                    }
                }
                Found::Fault(fault) if is_passing(fault.code) => {}
                Found::Fault(fault) => return Err(cluster.fault(name, &fault)),
                Found::Other => {}
            }
        }
    }

    async fn next(&self, cluster: &Cluster, topic: &str) -> Result<Found, BrokerError> {
        let next = async {
            loop {
                if let Some(found) = take(&self.queue) {
                    coop::consume_budget().await;
                    return found;
                }
                self.queue.woken().notified().await;
            }
        };
        timeout(PATIENCE, next).await.map_err(|_| {
            let trouble = cluster.voice().trouble().unwrap_or_else(|| {
                let text = "its end does not come: a transaction of somebody else is open in it";
                Fault::new(RDKafkaErrorCode::OperationTimedOut, text)
            });
            cluster.fault(topic, &trouble)
        })
    }
}

/// What librdkafka mends by itself.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorLoadInProgress
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
    config
}
