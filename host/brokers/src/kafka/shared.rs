//! The one client of a cluster for admin requests and plain appends, made when it is first needed.
//!
//! An idempotent producer without transactions. A task takes its reports out when librdkafka says that
//! there are some; no thread of ours waits for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use tokio::sync::Notify;

use super::native::handle::{Handle, Queue};
use super::voice::Voice;

/// Who waits for records that the shared client was given.
pub(super) trait Reports: Send + Sync {
    /// The record of this index is safe (at this offset), or is not. Called once for each record that was
    /// handed over.
    fn report(&self, index: usize, result: Result<i64, KafkaError>);
}

/// Goes with a record, as its opaque value.
pub(super) struct Report {
    pub(super) index: usize,
    pub(super) to: Arc<dyn Reports>,
}

/// The context of the shared client.
pub(super) struct Context(Voice);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let result = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        report.to.report(report.index, result);
    }
}

pub(super) type PlainProducer = BaseProducer<Context>;

/// The client that is there, if one is.
#[derive(Default)]
pub(super) struct Shared(Mutex<Option<Arc<SharedClient>>>);

impl Shared {
    /// The client, made if need be. Only to be asked for inside of a runtime.
    pub(super) fn client(
        &self,
        config: &ClientConfig,
        voice: &Voice,
    ) -> Result<Arc<SharedClient>, KafkaError> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = there.as_ref() {
            // After a fatal error a producer stays unusable.
            if client.producer().is_some_and(|one| one.client().fatal_error().is_none()) {
                return Ok(Arc::clone(client));
            }
        }
        let client = SharedClient::make(config, voice)?;
        *there = Some(Arc::clone(&client));
        Ok(client)
    }
}

/// A producer and the watch over its reports. `None` only while it is dropped.
pub(super) struct SharedClient(Option<Watched>);

struct Watched {
    // Goes first: a queue has to be given back before its client.
    reports: Queue,
    producer: Arc<PlainProducer>,
}

impl SharedClient {
    fn make(config: &ClientConfig, voice: &Voice) -> Result<Arc<Self>, KafkaError> {
        let none = || KafkaError::ClientCreation("no client".into());
        let producer: PlainProducer = config.create_with_context(Context(voice.clone()))?;
        let producer = Arc::new(producer);
        let handle =
            Handle::of(Arc::clone(&producer), |producer| producer.client()).ok_or_else(none)?;
        let reports = Queue::main(&handle).ok_or_else(none)?;
        let woken = Arc::clone(reports.woken());
        let client = Arc::new(Self(Some(Watched { reports, producer })));
        tokio::spawn(serve(Arc::downgrade(&client), woken));
        Ok(client)
    }

    /// For appends.
    pub(super) fn producer(&self) -> Option<&PlainProducer> {
        self.0.as_ref().map(|watched| &*watched.producer)
    }

    /// For admin requests.
    pub(super) fn handle(self: &Arc<Self>) -> Option<Handle> {
        let producer = Arc::clone(&self.0.as_ref()?.producer);
        Handle::of(producer, |producer| producer.client())
    }
}

impl Drop for SharedClient {
    fn drop(&mut self) {
        let Some(watched) = self.0.take() else { return };
        watched.reports.woken().notify_one();
        // It waits for the client's threads.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(watched));
        }
    }
}

/// Takes reports, log lines and errors out as they come, for as long as the client is there.
async fn serve(client: Weak<SharedClient>, woken: Arc<Notify>) {
    loop {
        woken.notified().await;
        let Some(client) = client.upgrade() else { return };
        let Some(watched) = &client.0 else { return };
        while watched.reports.len() > 0 {
            watched.producer.poll(Duration::ZERO);
            tokio::task::coop::consume_budget().await;
        }
    }
}
