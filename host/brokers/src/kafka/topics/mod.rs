//! Topics: made, changed, emptied, taken away.
//!
//! What a cluster decides its nodes learn a little later, also when there is one node alone. So every
//! change here waits until it can be seen, and a topic that should be there is looked for more than once.

mod consumers;
mod look;
mod offsets;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use uuid::Uuid;

use super::cluster::{Cluster, REQUEST};
use super::native::admin::{self, Fault, Seen, TopicDescription};
use crate::broker::{BrokerError, TopicChange, TopicRef, TopicSpec};

pub(super) use consumers::{Silence, consumers};
pub(super) use look::{describe, look, settings, topics};
pub(super) use offsets::{offset_at, spans};

/// How long a change may take to be seen by the node that is asked. It is made already: what is not
/// seen after that is told as the broker's trouble, and asking again finds it.
const SEEN: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Most partitions of a topic: each is a directory and open files at every copy, and a mistyped number
/// would take a cluster down.
const MOST_PARTITIONS: u32 = 10_000;

/// Makes a topic and gives its id. One that is there is the same one where its id is the known one. It
/// is taken for the same one, too, where it has the asked shape and nothing was ever written to it:
/// whoever crashed after the creation and before he kept the id asks again, and a flow loses nothing by
/// beginning in an empty topic that somebody else prepared.
pub(super) async fn create(
    cluster: &Cluster,
    spec: &TopicSpec,
) -> Result<Option<Uuid>, BrokerError> {
    let name = &*spec.topic.topic;
    let invalid = |words: &str| Err(BrokerError::Invalid(cluster.words(name, words)));
    if !(1..=MOST_PARTITIONS).contains(&spec.partitions) {
        return invalid(&format!("a topic has between 1 and {MOST_PARTITIONS} partitions"));
    }
    if is_forbidden(name) {
        return invalid(
            "a name of letters, digits, '.', '_' and '-' is needed, at most 249 of them",
        );
    }
    if let Some(there) = cluster.topics(&[name]).await?.remove(name).flatten() {
        return same(cluster, spec, there).await;
    }
    let replication = spec.replication.or(cluster.options().replication);
    let handle = cluster.handle()?;
    let created =
        admin::create_topic(&handle, name, spec.partitions, replication, &spec.config, REQUEST);
    let made = match created.await {
        Ok(()) => true,
        Err(fault) if fault.code == Code::TopicAlreadyExists => false,
        Err(fault) => return Err(cluster.fault(name, &fault.lacking("Create"))),
    };
    let partitions = if made { spec.partitions as usize } else { 1 };
    let there = seen(cluster, name, |topic| is_led(topic, partitions)).await?;
    if made { Ok(there.id) } else { same(cluster, spec, there).await }
}

/// Kafka's own rule, so that what it would say later is said at once and also where it is away.
fn is_forbidden(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(fits)
}

fn is_led(topic: &TopicDescription, partitions: usize) -> bool {
    topic.partitions.len() >= partitions && topic.partitions.iter().all(|one| one.led)
}

async fn same(
    cluster: &Cluster,
    spec: &TopicSpec,
    there: TopicDescription,
) -> Result<Option<Uuid>, BrokerError> {
    let exists = |words: &str| Err(BrokerError::Exists(cluster.words(&spec.topic.topic, words)));
    match (spec.topic.id, there.id) {
        (Some(meant), Some(id)) if meant == id => return Ok(Some(id)),
        (Some(meant), Some(id)) => {
            return exists(&format!("there in another life: its id is {id}, meant is {meant}"));
        }
        _ => {}
    }
    let copies = there.partitions.iter().map(|one| one.replicas).min().unwrap_or(0);
    if there.partitions.len() != spec.partitions as usize
        || spec.replication.is_some_and(|wanted| usize::from(wanted) != copies)
    {
        let words = format!("there with {} partitions and {copies} copies", there.partitions.len());
        return exists(&words);
    }
    if let Some((key, value)) = other_setting(cluster, spec).await? {
        return exists(&format!("there with {key}={value}"));
    }
    let written = |(earliest, latest): &(i64, i64)| *earliest != 0 || *latest != 0;
    if offsets::spans(cluster, &there, Seen::Everything).await?.values().any(written) {
        return exists("there, and not empty");
    }
    Ok(there.id)
}

/// A setting that was asked for and has another value.
async fn other_setting(
    cluster: &Cluster,
    spec: &TopicSpec,
) -> Result<Option<(String, String)>, BrokerError> {
    if spec.config.is_empty() {
        return Ok(None);
    }
    let there = look::settings(cluster, &spec.topic.topic).await?;
    let other = |setting: &&admin::Setting| {
        spec.config.get(&setting.name).is_some_and(|wanted| *wanted != setting.value)
    };
    Ok(there.iter().find(other).map(|setting| (setting.name.clone(), setting.value.clone())))
}

/// Settings first: they are refused whole or taken whole, before a partition is made that nobody can
/// take back.
pub(super) async fn update(
    cluster: &Cluster,
    topic: &TopicRef,
    change: &TopicChange,
) -> Result<(), BrokerError> {
    let there = known(cluster, topic).await?;
    if let Some(wanted) = change.partitions {
        let now = there.partitions.len();
        if (wanted as usize) < now || wanted > MOST_PARTITIONS {
            let words = format!("{now} partitions cannot become {wanted}");
            return Err(BrokerError::Invalid(cluster.words(&topic.topic, &words)));
        }
    }
    if !change.config.is_empty() {
        set(cluster, &topic.topic, &change.config).await?;
    }
    match change.partitions {
        Some(wanted) if wanted as usize > there.partitions.len() => {
            grow(cluster, &topic.topic, wanted).await
        }
        _ => Ok(()),
    }
}

async fn set(
    cluster: &Cluster,
    name: &str,
    config: &BTreeMap<String, String>,
) -> Result<(), BrokerError> {
    let set = admin::set_settings(&cluster.handle()?, name, config, REQUEST).await;
    set.map_err(|fault| cluster.fault(name, &fault.lacking("AlterConfigs")))?;
    let deadline = Instant::now() + SEEN;
    while Instant::now() < deadline {
        let there = look::settings(cluster, name).await?;
        let is_so = |(key, value): (&String, &String)| {
            there.iter().any(|one| one.own && one.name == *key && one.value == *value)
        };
        if config.iter().all(is_so) {
            break;
        }
        // A value that the broker writes in another way is not waited for to no end.
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn grow(cluster: &Cluster, name: &str, wanted: u32) -> Result<(), BrokerError> {
    match admin::create_partitions(&cluster.handle()?, name, wanted, REQUEST).await {
        Ok(()) => {}
        // The node that was asked before had not yet seen an earlier try.
        Err(fault) if fault.code == Code::InvalidPartitions => {
            let there = cluster.topics(&[name]).await?.remove(name).flatten();
            if there.is_none_or(|topic| topic.partitions.len() != wanted as usize) {
                return Err(cluster.fault(name, &fault));
            }
        }
        Err(fault) => return Err(cluster.fault(name, &fault.lacking("Alter"))),
    }
    seen(cluster, name, |topic| is_led(topic, wanted as usize)).await.map(drop)
}

/// Kafka deletes by name alone. The life is looked at right before, and a topic that somebody makes
/// anew in between, within milliseconds, goes with it.
pub(super) async fn delete(cluster: &Cluster, topic: &TopicRef) -> Result<(), BrokerError> {
    let name = &*topic.topic;
    let there = match known(cluster, topic).await {
        Ok(there) => there,
        Err(BrokerError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    match admin::delete_topic(&cluster.handle()?, name, REQUEST).await {
        Ok(()) => {}
        Err(fault) if fault.code == Code::UnknownTopicOrPartition => {}
        Err(fault) => return Err(cluster.fault(name, &fault.lacking("Delete"))),
    }
    let deadline = Instant::now() + SEEN;
    while Instant::now() < deadline {
        let now = cluster.topics(&[name]).await?.remove(name).flatten();
        if now.is_none_or(|now| now.id != there.id) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(BrokerError::Unavailable(cluster.words(name, "deleted, and still to be seen")))
}

/// Everything up to the end, also what belongs to transactions that are open.
pub(super) async fn purge(cluster: &Cluster, topic: &TopicRef) -> Result<(), BrokerError> {
    let name = &*topic.topic;
    let there = known(cluster, topic).await?;
    let ends: Vec<_> = there.partitions.iter().map(|one| (one.number, -1)).collect();
    let purged = admin::delete_records(&cluster.handle()?, name, &ends, REQUEST).await;
    let refused = |fault: Fault| match fault.code {
        Code::PolicyViolation => BrokerError::Invalid(
            cluster.words(name, "a compacted topic keeps what its keys hold and cannot be emptied"),
        ),
        _ => cluster.fault(name, &fault.lacking("Delete")),
    };
    for (_, result) in purged.map_err(refused)? {
        result.map_err(refused)?;
    }
    Ok(())
}

/// A topic in the life that is meant. One whose id is known was there once: it is looked for again
/// before it is said to be gone, since a node may not have heard of it yet.
async fn known(cluster: &Cluster, topic: &TopicRef) -> Result<TopicDescription, BrokerError> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        match cluster.topic(topic).await {
            Err(BrokerError::NotFound(_)) if topic.id.is_some() && Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            found => return found,
        }
    }
}

/// Waits until a change can be seen.
async fn seen(
    cluster: &Cluster,
    name: &str,
    is_so: impl Fn(&TopicDescription) -> bool,
) -> Result<TopicDescription, BrokerError> {
    let deadline = Instant::now() + SEEN;
    loop {
        match cluster.topics(&[name]).await?.remove(name).flatten() {
            Some(topic) if is_so(&topic) => return Ok(topic),
            _ if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            _ => {
                let words = cluster.words(name, "changed, and not to be seen yet");
                return Err(BrokerError::Unavailable(words));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn names_that_kafka_forbids_are_known() {
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
            assert!(is_forbidden(name), "{name}");
        }
        for name in ["a", "A.b_c-9", "...", "_fnaa.x.positions", &"x".repeat(249)] {
            assert!(!is_forbidden(name), "{name}");
        }
    }
}
