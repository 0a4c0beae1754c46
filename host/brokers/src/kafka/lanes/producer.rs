//! The transactional producer of a lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::{coop, spawn_blocking};

use super::ours::Ours;
use super::pace::Pace;
use crate::broker::{BrokerError, Output};
use crate::kafka::chains::{BATCH_BYTES, BATCH_RECORDS, Piece};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::Fault;
use crate::kafka::native::handle::Handle;
use crate::kafka::native::produce::{self, Topic, Trouble};
use crate::kafka::parcel::Parcel;
use crate::kafka::shared::SharedClient;

/// After this the cluster aborts a transaction whose producer says nothing more. It bounds for how long a host
/// that was stopped hides what others write to the same partitions.
pub(super) const TRANSACTION: Duration = Duration::from_secs(15);

/// How long one record may take, all attempts together. Shorter than the transaction, so that its report
/// comes while the transaction can still be aborted.
pub(super) const RECORD: Duration = Duration::from_secs(10);

/// How long one answer may take at most, also where the operator lets clients wait for longer: what the library
/// would take by itself, a little less than the transaction.
const ANSWER: Duration = Duration::from_millis(14_900);

const _: () = assert!(ANSWER.as_millis() < TRANSACTION.as_millis());

/// How long a record outside of a transaction may take: a client waits for the answer.
const APPEND: Duration = Duration::from_secs(30);

/// How long fencing whoever had the lane may take: he may have left a transaction open.
const INIT: Duration = Duration::from_secs(30);

/// How long a commit or an abort may take before it is asked again, and in all: a coordinator that is
/// restarted, or elected, needs some seconds.
const STEP: Duration = Duration::from_secs(10);
const STEPS: Duration = Duration::from_secs(40);

/// Largest record that the library takes: Kafka's own limit of a request. The limit that counts is the topic's.
const LARGEST: usize = 100 * 1024 * 1024;

/// A batch waits a millisecond until all of it is handed over: else the library sends its first records alone,
/// and the others wait for their answer. The library's queue holds a transaction, however small its records.
const UNLESS_SET: [(&str, &str); 3] = [
    ("linger.ms", "1"),
    ("queue.buffering.max.messages", "1000000"),
    ("queue.buffering.max.kbytes", "1048576"),
];

/// A producer that has its lane.
pub(super) struct LaneProducer {
    // Goes first, so that the client is given back where giving it back may wait.
    handle: Handle,
    client: Arc<SharedClient>,
    has_begun: bool,
    pace: Pace,
}

impl LaneProducer {
    /// Fences whoever had the lane, and waits until what he left behind is settled.
    pub(super) async fn open(
        cluster: &Cluster,
        ours: &Ours,
        lane: u32,
    ) -> Result<Self, BrokerError> {
        cluster.check_ours()?;
        let topics = [&ours.positions, &ours.state].map(|topic| Arc::clone(&topic.topic));
        let (config, voice) = (config(cluster, lane), cluster.voice().clone());
        let closing = || Fault::new(RDKafkaErrorCode::Fail, "the client is closing");
        let made = spawn_blocking(move || -> Result<_, Fault> {
            let client = SharedClient::make(&config, &voice)
                .map_err(|error| Fault::new(RDKafkaErrorCode::Fail, error.to_string()))?;
            let handle = client.handle().ok_or_else(closing)?;
            client.meet(&topics);
            produce::init(&handle, INIT).map_err(|trouble| trouble.fault)?;
            Ok((client, handle))
        });
        let made = made.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        let (client, handle) = made.map_err(|fault| cluster.fault("", &fault))?;
        Ok(Self { handle, client, has_begun: false, pace: Pace::default() })
    }

    /// Whether it is of no use any more.
    pub(super) fn is_broken(&self) -> bool {
        self.client.is_broken()
    }

    /// Begins a transaction, unless one has begun already, when the one before is likely to be settled.
    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        if let Some(at) = self.pace.begins_at(Instant::now()) {
            tokio::time::sleep_until(at.into()).await;
        }
        if !self.has_begun {
            blocking(&self.handle, produce::begin).await?;
            self.has_begun = true;
        }
        Ok(())
    }

    /// What records are handed over to.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether the transaction can still be committed as far as the library knows.
    pub(super) fn is_sound(&self) -> bool {
        produce::takes_records(&self.handle)
    }

    /// The first report of the transaction, of so many records, came after so long.
    pub(super) fn reported_after(&mut self, took: Duration, records: usize) {
        self.pace.learn(took, records);
    }

    /// Commits and begins the next one. Everything has to be reported before. When it fails in a way that
    /// says neither that it must be aborted nor that it is fenced, nobody knows.
    pub(super) async fn commit(&mut self) -> Result<(), Trouble> {
        self.has_begun = false;
        self.has_begun = blocking(&self.handle, |handle| {
            patiently(|| produce::commit(handle, STEP))?;
            Ok(produce::begin(handle).is_ok())
        })
        .await?;
        self.pace.ended(Instant::now());
        Ok(())
    }

    /// Aborts. Where this fails the producer is of no use any more.
    pub(super) async fn abort(&mut self) -> Result<(), Trouble> {
        self.has_begun = false;
        let aborted = blocking(&self.handle, |handle| patiently(|| produce::abort(handle, STEP)));
        aborted.await?;
        self.pace.ended(Instant::now());
        Ok(())
    }
}

/// Hands records over, and gives the parcel that tells what becomes of them.
pub(in crate::kafka) async fn send(
    handle: &Handle,
    outputs: &Arc<Vec<Output>>,
    piece: &Piece,
) -> Arc<Parcel> {
    let parcel = Parcel::new(Arc::clone(outputs), piece.output);
    let refused = produce_all(handle, &parcel, piece).await.err();
    parcel.one_less(refused);
    parcel
}

async fn produce_all(
    handle: &Handle,
    parcel: &Arc<Parcel>,
    piece: &Piece,
) -> Result<(), RDKafkaErrorCode> {
    let Some(output) = parcel.output() else { return Ok(()) };
    let topic = Topic::new(handle, &output.topic.topic)?;
    for record in output.records.get(piece.records.clone()).unwrap_or_default() {
        while let Err(code) = topic.produce(output.partition, record, parcel) {
            if code != RDKafkaErrorCode::QueueFull {
                return Err(code);
            }
            // Room comes with the reports of what is under way.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        coop::consume_budget().await;
    }
    Ok(())
}

/// Asks again where librdkafka says that this goes on with the same.
fn patiently(ask: impl Fn() -> Result<(), Trouble>) -> Result<(), Trouble> {
    let begun = Instant::now();
    loop {
        match ask() {
            Err(trouble) if trouble.is_retriable && begun.elapsed() < STEPS => {}
            asked => return asked,
        }
    }
}

async fn blocking<T: Send + 'static>(
    handle: &Handle,
    work: impl FnOnce(&Handle) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let handle = handle.clone();
    let done = spawn_blocking(move || work(&handle)).await;
    done.unwrap_or_else(|error| {
        let fault = Fault::new(RDKafkaErrorCode::Fail, error.to_string());
        Err(Trouble { fault, is_fatal: true, is_retriable: false, needs_abort: false })
    })
}

fn config(cluster: &Cluster, lane: u32) -> ClientConfig {
    let mut config = producer_config(cluster);
    config.set("transactional.id", format!("fnaa.{}.{lane}", cluster.options().identity));
    config.set("transaction.timeout.ms", TRANSACTION.as_millis().to_string());
    config.set("message.timeout.ms", RECORD.as_millis().to_string());
    // Waiting for an answer longer than the transaction lasts is of no use, and the library refuses it.
    let asked = config.get("socket.timeout.ms").and_then(|asked| asked.parse().ok());
    let answer = asked.map_or(ANSWER, |asked| ANSWER.min(Duration::from_millis(asked)));
    config.set("socket.timeout.ms", answer.as_millis().to_string());
    config
}

/// What every producer of ours is configured with. What an operator set for all clients counts, except where
/// correctness hangs on it.
pub(in crate::kafka) fn producer_config(cluster: &Cluster) -> ClientConfig {
    let mut config = cluster.client_config();
    for (key, value) in UNLESS_SET {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    }
    config.set("message.timeout.ms", APPEND.as_millis().to_string());
    config.set("batch.size", BATCH_BYTES.to_string());
    config.set("batch.num.messages", BATCH_RECORDS.to_string());
    config.set("message.max.bytes", LARGEST.to_string());
    config.set("enable.idempotence", "true");
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaOptions;

    #[tokio::test]
    async fn a_lane_waits_for_an_answer_as_long_as_the_operator_says_and_no_longer_than_a_transaction()
     {
        for (asked, waits) in [(None, "14900"), (Some("60000"), "14900"), (Some("5000"), "5000")] {
            let mut options = KafkaOptions::new("orders", "localhost:9", "x", "");
            let asked = asked.map(|asked| ("socket.timeout.ms".to_owned(), asked.to_owned()));
            options.client.extend(asked);
            let cluster = Cluster::new(options).unwrap();
            let config = config(&cluster, 0);
            assert_eq!(config.get("socket.timeout.ms"), Some(waits));
            config.create_native_config().unwrap();
            assert!(SharedClient::make(&config, cluster.voice()).is_ok());
        }
    }
}
