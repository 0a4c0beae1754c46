//! Records from outside: safe when every in-sync copy has them; with a token, once.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use host_events::Record;
use rdkafka::error::RDKafkaErrorCode;

use super::chains::{BATCH_BYTES, alone, chains};
use super::cluster::Cluster;
use super::lanes::Lanes;
use super::native::admin::Fault;
use super::outlets::Outlets;
use super::travel::Travel;
use crate::broker::{Append, Appended, BrokerError, Enqueued, Output, TopicRef};

/// Appends to topics with a small limit, one after the other: the library would put those that wait into one
/// batch. Topics that are waited for.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>);

/// What an append works with.
pub(super) struct Appender<'a> {
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) outlets: &'a Arc<Outlets>,
    pub(super) lanes: &'a Lanes,
    pub(super) turns: &'a Turns,
}

impl Appender<'_> {
    pub(super) async fn enqueue(
        &self,
        topic: &TopicRef,
        append: Append,
    ) -> Result<Enqueued, BrokerError> {
        let outputs = outputs(topic, append.records);
        if let Some(token) = append.token {
            return self.lanes.enqueue(topic, &token, outputs).await;
        }
        self.outlets.check_records(topic, std::iter::empty()).await?;
        self.outlets.check(&outputs).await?;
        if self.outlets.known_limit(&topic.topic) > BATCH_BYTES {
            return self.hand_over(topic, outputs).await;
        }
        let turn = self.turns.of(&topic.topic);
        let written = {
            let _mine = turn.lock().await;
            match self.hand_over(topic, outputs).await {
                Ok(reported) => reported.await,
                Err(error) => Err(error),
            }
        };
        self.turns.tidy(&topic.topic, turn);
        Ok(ready(written).boxed())
    }

    /// Hands records over, and gives what waits for their reports.
    async fn hand_over(
        &self,
        topic: &TopicRef,
        outputs: Vec<Output>,
    ) -> Result<Enqueued, BrokerError> {
        let count = outputs.iter().map(|output| output.records.len() as u64).sum();
        let handle = self.cluster.appending()?;
        let loads = [Arc::new(outputs)];
        let chains = chains(&loads, |topic| self.outlets.known_limit(topic));
        let travel = Travel::new(&handle, &loads);
        travel.hand_over(&chains).await;
        let sent = travel.sent();
        let (cluster, outlets) = (Arc::clone(self.cluster), Arc::clone(self.outlets));
        let topic = topic.clone();
        let reported = async move {
            for (_, parcel) in &sent {
                parcel.done().await;
            }
            // A client that is given back tells nothing more.
            drop(handle);
            for (_, parcel) in &sent {
                if let Some(code) = parcel.refused() {
                    return Err(refusal(&cluster, &outlets, &topic, parcel.output(), code).await);
                }
            }
            Ok(Appended { count, repeated: false })
        };
        Ok(reported.boxed())
    }
}

async fn refusal(
    cluster: &Cluster,
    outlets: &Arc<Outlets>,
    topic: &TopicRef,
    output: Option<&Output>,
    code: RDKafkaErrorCode,
) -> BrokerError {
    if code == RDKafkaErrorCode::MessageSizeTooLarge {
        let records = output.map_or(&[][..], |output| &output.records);
        return match outlets.fresh_limit(topic).await {
            Ok(limit) => {
                let size = records.iter().map(Record::size).max().unwrap_or_default();
                let wire = records.iter().map(alone).max().unwrap_or_default();
                let size = if size > limit { size } else { wire };
                if size <= limit {
                    let words = format!("it takes {limit} bytes at once since a moment ago");
                    return BrokerError::Unavailable(cluster.words(&topic.topic, &words));
                }
                BrokerError::TooLarge { size, limit }
            }
            Err(error) => error,
        };
    }
    // Whatever was known of it is no longer so.
    outlets.forget(&topic.topic);
    cluster.fault(&topic.topic, &Fault::new(code, code.to_string()).lacking("Write"))
}

impl Turns {
    fn of(&self, topic: &Arc<str>) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(Arc::clone(topic)).or_default())
    }

    /// Forgets a topic that nobody waits for.
    fn tidy(&self, topic: &Arc<str>, turn: Arc<tokio::sync::Mutex<()>>) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours.
        if Arc::strong_count(&turn) <= 2 {
            turns.remove(topic);
        }
    }
}

/// One output a partition, in the order of the records.
fn outputs(topic: &TopicRef, records: Vec<(u32, Record)>) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    let mut places = HashMap::new();
    for (partition, record) in records {
        let place = *places.entry(partition).or_insert(outputs.len());
        if place == outputs.len() {
            outputs.push(Output { topic: topic.clone(), partition, records: Vec::new() });
        }
        if let Some(output) = outputs.get_mut(place) {
            output.records.push(record);
        }
    }
    outputs
}
