//! How far logs reach, and what lies at a time.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::{LOOK, known};
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::{Cluster, REQUEST};
use crate::kafka::native::admin::{self, Fault, Seen, TopicDescription, Wanted};

/// Partitions that one question is about.
const ASKED_AT_ONCE: usize = 2000;

/// How long the leader of a partition that was made a moment ago may need to learn that it is: others know
/// it before.
const LED: Duration = Duration::from_secs(15);

/// First and next offset of partitions, by their numbers.
pub(in crate::kafka) type Spans = BTreeMap<i32, (i64, i64)>;

/// First and next offset of each partition of a topic.
pub(in crate::kafka) async fn spans(
    cluster: &Cluster,
    topic: &TopicDescription,
    seen: Seen,
) -> Result<Spans, BrokerError> {
    let deadline = Instant::now() + LED;
    loop {
        let spans = spans_of(cluster, &[topic], seen).await;
        let mut spans = spans.map_err(|fault| cluster.fault(&topic.name, &fault))?;
        match spans.remove(&topic.name).unwrap_or_else(|| Ok(Spans::new())) {
            Err(fault) if is_of_the_leader(fault.code) && Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            spans => return spans.map_err(|fault| cluster.fault(&topic.name, &fault)),
        }
    }
}

/// Whether who leads a partition, and how far, is being found out.
fn is_of_the_leader(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}

/// The same of many topics.
pub(super) async fn spans_of(
    cluster: &Cluster,
    topics: &[&TopicDescription],
    seen: Seen,
) -> Result<HashMap<String, Result<Spans, Fault>>, Fault> {
    let partitions: Vec<_> = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|one| (&*topic.name, one.number)))
        .collect();
    let mut spans = HashMap::new();
    for partitions in partitions.chunks(ASKED_AT_ONCE) {
        // The end after the beginning: what is deleted meanwhile cannot make an end lie before it.
        let earliest = offsets(cluster, partitions, Wanted::Earliest, seen).await?;
        let mut latest = offsets(cluster, partitions, Wanted::Latest, seen).await?;
        for ((topic, number), from) in earliest {
            let to = latest.remove(&(topic.clone(), number)).unwrap_or_else(|| Err(missing()));
            let span = from.and_then(|from| Ok((from, to?.max(from))));
            let of_topic = spans.entry(topic).or_insert_with(|| Ok(Spans::new()));
            match (span, &mut *of_topic) {
                (Ok(span), Ok(spans)) => drop(spans.insert(number, span)),
                (Err(fault), _) => *of_topic = Err(fault),
                (Ok(_), Err(_)) => {}
            }
        }
    }
    Ok(spans)
}

type Offsets = HashMap<(String, i32), Result<i64, Fault>>;

async fn offsets(
    cluster: &Cluster,
    partitions: &[(&str, i32)],
    wanted: Wanted,
    seen: Seen,
) -> Result<Offsets, Fault> {
    let handle = cluster.handle_or_fault()?;
    let asked = admin::list_offsets(&handle, partitions, wanted, seen, REQUEST);
    let found = cluster.ask(asked).await?.into_iter();
    let found: Offsets = found.map(|(topic, number, offset)| ((topic, number), offset)).collect();
    if found.len() == partitions.len() { Ok(found) } else { Err(missing()) }
}

fn missing() -> Fault {
    Fault::ours("offsets are missing in its answer")
}

pub(in crate::kafka) async fn offset_at(
    cluster: &Cluster,
    topic: &TopicRef,
    partition: u32,
    time: i64,
) -> Result<u64, BrokerError> {
    let there = known(cluster, topic).await?;
    let name = &*topic.topic;
    let Some(one) = there.partitions.iter().find(|one| u32::try_from(one.number) == Ok(partition))
    else {
        let words = cluster.words(name, &format!("no partition {partition}"));
        return Err(BrokerError::Invalid(words));
    };
    let mut offset = -1;
    for wanted in [Wanted::At(time), Wanted::Latest] {
        if offset < 0 {
            let found = offsets(cluster, &[(name, one.number)], wanted, Seen::Committed).await;
            let found = found.and_then(|found| found.into_values().next().unwrap_or(Ok(0)));
            offset = found.map_err(|fault| cluster.fault(name, &fault))?;
        }
    }
    Ok(u64::try_from(offset).unwrap_or(0))
}
