//! Topics looked at: which there are, how far their logs reach, their settings.

use std::collections::BTreeMap;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use super::known;
use super::offsets::{Spans, spans, spans_of};
use crate::broker::{BrokerError, FoundTopic, PartitionInfo, TopicInfo, TopicRef};
use crate::kafka::cluster::{Cluster, REQUEST, is_unknown};
use crate::kafka::native::admin::{self, Fault, Seen, Setting, TopicDescription};

/// Settings that are told even where they come from the broker: they decide what is kept and taken.
const TOLD: [&str; 5] = [
    "cleanup.policy",
    "max.message.bytes",
    "min.insync.replicas",
    "retention.bytes",
    "retention.ms",
];

/// Beginnings of the names of topics that are nobody's flows: Kafka's own, and ours.
const INTERNAL: [&str; 2] = ["__", "_fnaa."];

/// The ends are what readers of committed records can reach.
pub(in crate::kafka) async fn describe(
    cluster: &Cluster,
    topic: &TopicRef,
) -> Result<TopicInfo, BrokerError> {
    let there = known(cluster, topic).await?;
    let settings = settings(cluster, &topic.topic).await?;
    let mut info = info(&there, spans(cluster, &there, Seen::Committed).await?);
    let told = settings.into_iter().filter(|one| one.own || TOLD.contains(&&*one.name));
    info.config = told.map(|setting| (setting.name, setting.value)).collect();
    Ok(info)
}

fn info(topic: &TopicDescription, spans: Spans) -> TopicInfo {
    let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
    let span =
        |(earliest, latest)| PartitionInfo { earliest: offset(earliest), latest: offset(latest) };
    let replicas = topic.partitions.iter().map(|one| one.replicas).min();
    TopicInfo {
        id: topic.id,
        replication: replicas.and_then(|count| u16::try_from(count).ok()),
        partitions: spans.into_values().map(span).collect(),
        bytes: None,
        config: BTreeMap::new(),
    }
}

/// Three requests for all of them together.
pub(in crate::kafka) async fn look(
    cluster: &Cluster,
    topics: &[TopicRef],
) -> Vec<Result<TopicInfo, BrokerError>> {
    match looked(cluster, topics).await {
        Ok(looks) => looks,
        Err(fault) => topics.iter().map(|one| Err(cluster.fault(&one.topic, &fault))).collect(),
    }
}

async fn looked(
    cluster: &Cluster,
    topics: &[TopicRef],
) -> Result<Vec<Result<TopicInfo, BrokerError>>, Fault> {
    let handle = cluster.handle_or_fault()?;
    let names: Vec<_> = topics.iter().map(|topic| &*topic.topic).collect();
    let described = cluster.described(&handle, &names).await?;
    let alive = |topic: &TopicRef| match described.get(&*topic.topic) {
        Some(Err(fault)) if !is_unknown(fault.code) => {
            Err(cluster.fault(&topic.topic, &fault.clone().lacking("Describe")))
        }
        Some(Ok(found)) => cluster.alive(topic, Some(found.clone())),
        _ => cluster.alive(topic, None),
    };
    let there: Vec<_> = topics.iter().map(alive).collect();
    let found: Vec<_> = there.iter().flatten().collect();
    let spans = spans_of(cluster, &found, Seen::Committed).await?;
    let told = |topic: TopicDescription| match spans.get(&topic.name) {
        Some(Ok(spans)) => Ok(info(&topic, spans.clone())),
        Some(Err(fault)) => Err(cluster.fault(&topic.name, fault)),
        None => Ok(info(&topic, Spans::new())),
    };
    Ok(there.into_iter().map(|topic| topic.and_then(told)).collect())
}

/// All topics that are no internal ones.
pub(in crate::kafka) async fn topics(cluster: &Cluster) -> Result<Vec<FoundTopic>, BrokerError> {
    let names = names(cluster).await?;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let found = |(topic, there): (String, Option<TopicDescription>)| {
        let there = there?;
        let partitions = u32::try_from(there.partitions.len()).ok()?;
        Some(FoundTopic { topic, id: there.id, partitions })
    };
    Ok(cluster.topics(&names).await?.into_iter().filter_map(found).collect())
}

/// The binding asks for all names in a call that waits.
async fn names(cluster: &Cluster) -> Result<Vec<String>, BrokerError> {
    let shared = cluster.shared()?;
    let asked = tokio::task::spawn_blocking(move || {
        let producer = shared.producer().ok_or_else(|| Fault::ours("the client is closing"))?;
        let metadata = producer.client().fetch_metadata(None, REQUEST).map_err(|error| {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            Fault::new(code, error.to_string())
        })?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let is_internal = |name: &String| INTERNAL.iter().any(|own| name.starts_with(own));
        Ok(names.filter(|name| !is_internal(name)).collect())
    });
    let asked = async { asked.await.unwrap_or_else(|error| Err(Fault::ours(error.to_string()))) };
    cluster.answer("", asked).await
}

pub(in crate::kafka) async fn settings(
    cluster: &Cluster,
    name: &str,
) -> Result<Vec<Setting>, BrokerError> {
    let handle = cluster.handle()?;
    let asked = cluster.ask(admin::settings(&handle, name, REQUEST)).await;
    asked.map_err(|fault| cluster.fault(name, &fault.lacking("DescribeConfigs")))
}
