//! The one client of a cluster for admin requests and plain appends, made when it is first needed.
//!
//! An idempotent producer without transactions. A task takes its reports out when librdkafka says that
//! there are some; no thread of ours waits for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use tokio::sync::Notify;

use super::native::handle::{Handle, Queue};
use super::parcel::{Parcel, Refused};
use super::voice::Voice;
use crate::broker::Output;

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
    type DeliveryOpaque = Arc<Parcel>;

    fn delivery(&self, result: &DeliveryResult<'_>, parcel: Arc<Parcel>) {
        let Err((error, message)) = result else { return parcel.report(None) };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let is_it = |output: &Output| {
            *output.topic.topic == *message.topic()
                && i32::try_from(output.partition) == Ok(message.partition())
        };
        let output = parcel.outputs().iter().position(is_it).unwrap_or_default();
        parcel.report(Some(Refused { output, code }));
    }
}

pub(super) type PlainProducer = BaseProducer<Context>;

/// The client that is there, if one is.
#[derive(Default)]
pub(super) struct Shared(Mutex<Option<Arc<SharedClient>>>);

impl Shared {
    /// The client, made if need be. Only to be asked for inside of a runtime. After a fatal error a producer
    /// takes no records any more, and who has some gets another one; questions it goes on to ask. A user who
    /// may only read has such a one from the beginning.
    pub(super) fn client(
        &self,
        takes_records: bool,
        config: &ClientConfig,
        voice: &Voice,
    ) -> Result<Arc<SharedClient>, KafkaError> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = there.as_ref()
            && !(takes_records && client.is_broken())
        {
            return Ok(Arc::clone(client));
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
    pub(super) fn make(config: &ClientConfig, voice: &Voice) -> Result<Arc<Self>, KafkaError> {
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

    /// Whether it is of no use any more.
    pub(super) fn is_broken(&self) -> bool {
        self.producer().is_none_or(|one| one.client().fatal_error().is_some())
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
