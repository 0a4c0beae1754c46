//! The one client of a cluster for admin requests and plain appends, made when it is first needed.
//!
//! An idempotent producer without transactions. A task takes its reports out when librdkafka says that
//! there are some; no thread of ours waits for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use tokio::sync::Notify;

use super::meet::meet;
use super::native::handle::{Handle, Queue};
use super::parcel::Parcel;
use super::voice::Voice;

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
        let refused = result.as_ref().err();
        let code =
            |error: &KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        parcel.report(refused.map(|(error, _)| code(error)));
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
        // Not of this client's: a queue that kept what keeps it would never be given back.
        let own = Handle::of(Arc::clone(&producer), |producer| Some(producer.client()));
        let reports = Queue::main(&own.ok_or_else(none)?).ok_or_else(none)?;
        let woken = Arc::clone(reports.woken());
        let client = Arc::new(Self(Some(Watched { reports, producer })));
        tokio::spawn(serve(Arc::downgrade(&client), woken));
        Ok(client)
    }

    /// For questions that the binding asks.
    pub(super) fn producer(&self) -> Option<&PlainProducer> {
        self.0.as_ref().map(|watched| &*watched.producer)
    }

    /// Has it meet its cluster. Blocks.
    pub(super) fn meet(&self, topics: &[Arc<str>]) {
        if let Some(producer) = self.producer() {
            meet(producer.client(), topics);
        }
    }

    /// Whether it is of no use any more.
    pub(super) fn is_broken(&self) -> bool {
        self.producer().is_none_or(|one| one.client().fatal_error().is_some())
    }

    /// For admin requests and appends. Keeps the client, so that reports are taken out for as long as somebody
    /// waits for one, also where another client was made meanwhile.
    pub(super) fn handle(self: &Arc<Self>) -> Option<Handle> {
        Handle::of(Arc::clone(self), |client| client.producer().map(Producer::client))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Output, TopicRef};
    use crate::kafka::chains::Piece;
    use crate::kafka::lanes::send;
    use crate::kafka::native::produce::fail_for_good;
    use host_events::{Incarnation, Record};

    #[tokio::test]
    async fn who_waits_for_a_report_gets_it_also_when_another_client_is_made_meanwhile() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.77.7.7:9").set("enable.idempotence", "true");
        config.set("message.timeout.ms", "5000");
        let (shared, voice) = (Shared::default(), Voice::new("k", None));
        let handle = shared.client(true, &config, &voice).unwrap().handle().unwrap();
        let topic = TopicRef::new("a", Incarnation(uuid::Uuid::nil()));
        let output = Output { topic, partition: 0, records: vec![Record::default()] };
        let piece = Piece { load: 0, output: 0, records: 0..1 };
        let parcel = send(&handle, &Arc::new(vec![output]), &piece).await;
        assert!(!parcel.is_done());
        let before = Arc::downgrade(&shared.client(true, &config, &voice).unwrap());
        fail_for_good(&handle);
        assert!(!Arc::ptr_eq(
            &before.upgrade().unwrap(),
            &shared.client(true, &config, &voice).unwrap()
        ));
        tokio::time::timeout(Duration::from_secs(60), parcel.done()).await.unwrap();
        assert!(parcel.refused().is_some());
        drop(handle);
        // The task that takes reports out may hold it for a moment.
        while before.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
