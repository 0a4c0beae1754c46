//! Topics looked at: how far their logs reach, their settings, and who else reads them.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::known;
use crate::broker::{BrokerError, Consumer, PartitionInfo, TopicInfo, TopicRef};
use crate::kafka::cluster::{Cluster, REQUEST};
use crate::kafka::native::admin::{self, Fault, Group, Seen, Setting, TopicDescription, Wanted};

/// Settings that are told even where they come from the broker: they decide what is kept and taken.
const TOLD: [&str; 5] = [
    "cleanup.policy",
    "max.message.bytes",
    "min.insync.replicas",
    "retention.bytes",
    "retention.ms",
];

/// Groups that are asked for their offsets at the same time: each is a request of its own.
const ASKED_AT_ONCE: usize = 8;

/// Groups of a cluster that are looked at for one topic. More would take minutes; which groups those
/// are is up to the cluster.
const MOST_GROUPS: usize = 2000;

/// Groups that one question describes.
const DESCRIBED_AT_ONCE: usize = 100;

/// The ends are what readers of committed records can reach.
pub(in crate::kafka) async fn describe(
    cluster: &Cluster,
    topic: &TopicRef,
) -> Result<TopicInfo, BrokerError> {
    let there = known(cluster, topic).await?;
    let settings = settings(cluster, &topic.topic).await?;
    let spans = spans(cluster, &there, Seen::Committed).await?;
    let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
    let partitions = spans
        .into_iter()
        .map(|(earliest, latest)| PartitionInfo {
            earliest: offset(earliest),
            latest: offset(latest.max(earliest)),
        })
        .collect();
    let replicas = there.partitions.iter().map(|one| one.replicas).min();
    Ok(TopicInfo {
        id: there.id,
        replication: replicas.and_then(|count| u16::try_from(count).ok()),
        partitions,
        bytes: None,
        config: settings
            .into_iter()
            .filter(|setting| setting.own || TOLD.contains(&&*setting.name))
            .map(|setting| (setting.name, setting.value))
            .collect(),
    })
}

pub(super) async fn settings(cluster: &Cluster, name: &str) -> Result<Vec<Setting>, BrokerError> {
    let handle = cluster.handle()?;
    cluster.answer(name, admin::settings(&handle, name, REQUEST)).await
}

/// First and next offset of each partition, in their order.
pub(super) async fn spans(
    cluster: &Cluster,
    topic: &TopicDescription,
    seen: Seen,
) -> Result<Vec<(i64, i64)>, BrokerError> {
    // The end after the beginning: what is deleted meanwhile cannot make an end lie before it.
    let earliest = offsets(cluster, topic, Wanted::Earliest, seen).await?;
    let latest = offsets(cluster, topic, Wanted::Latest, seen).await?;
    Ok(earliest.into_values().zip(latest.into_values()).collect())
}

async fn offsets(
    cluster: &Cluster,
    topic: &TopicDescription,
    wanted: Wanted,
    seen: Seen,
) -> Result<BTreeMap<i32, i64>, BrokerError> {
    let (handle, name) = (cluster.handle()?, &*topic.name);
    let numbers: Vec<_> = topic.partitions.iter().map(|one| one.number).collect();
    let asked = admin::list_offsets(&handle, name, &numbers, wanted, seen, REQUEST);
    let answers = cluster.answer(name, asked).await?;
    let known = |(partition, offset): (i32, Result<i64, Fault>)| {
        Ok((partition, offset.map_err(|fault| cluster.fault(name, &fault))?))
    };
    let offsets = answers.into_iter().map(known).collect::<Result<BTreeMap<_, _>, _>>()?;
    if offsets.len() != numbers.len() {
        return Err(BrokerError::Unavailable(cluster.words(name, "offsets are missing")));
    }
    Ok(offsets)
}

pub(in crate::kafka) async fn offset_at(
    cluster: &Cluster,
    topic: &TopicRef,
    partition: u32,
    time: i64,
) -> Result<u64, BrokerError> {
    let mut there = known(cluster, topic).await?;
    there.partitions.retain(|one| u32::try_from(one.number) == Ok(partition));
    if there.partitions.is_empty() {
        let words = cluster.words(&topic.topic, &format!("no partition {partition}"));
        return Err(BrokerError::Invalid(words));
    }
    let mut offset = -1;
    for wanted in [Wanted::At(time), Wanted::Latest] {
        if offset < 0 {
            let found = offsets(cluster, &there, wanted, Seen::Committed).await?;
            offset = found.into_values().next().unwrap_or(-1);
        }
    }
    Ok(u64::try_from(offset).unwrap_or(0))
}

/// Groups that have members or offsets at the topic; ours are left out.
pub(in crate::kafka) async fn consumers(
    cluster: &Cluster,
    topic: &TopicRef,
) -> Result<Vec<Consumer>, BrokerError> {
    let there = known(cluster, topic).await?;
    let ends = offsets(cluster, &there, Wanted::Latest, Seen::Committed).await?;
    let earliest = offsets(cluster, &there, Wanted::Earliest, Seen::Committed).await?;
    let spans: Spans = earliest
        .into_iter()
        .zip(ends.into_values())
        .map(|((p, from), to)| (p, (from, to)))
        .collect();
    let groups = groups(cluster).await?;
    let asked = groups.into_iter().map(|group| reads(cluster, &there, &spans, group));
    let consumers: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await?;
    Ok(consumers.into_iter().flatten().collect())
}

type Spans = BTreeMap<i32, (i64, i64)>;

async fn groups(cluster: &Cluster) -> Result<Vec<Group>, BrokerError> {
    let handle = cluster.handle()?;
    let mut names = cluster.answer("", admin::list_groups(&handle, REQUEST)).await?;
    let ours = format!("fnaa.{}.", cluster.options().identity);
    names.retain(|name| !name.starts_with(&ours));
    names.sort_unstable();
    names.truncate(MOST_GROUPS);
    let mut groups = Vec::new();
    for names in names.chunks(DESCRIBED_AT_ONCE) {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let asked = admin::describe_groups(&handle, &names, REQUEST);
        groups.extend(cluster.answer("", asked).await?);
    }
    Ok(groups)
}

/// What a group does with the topic, if anything.
async fn reads(
    cluster: &Cluster,
    topic: &TopicDescription,
    spans: &Spans,
    group: Group,
) -> Result<Option<Consumer>, BrokerError> {
    let handle = cluster.handle()?;
    let numbers: Vec<_> = spans.keys().copied().collect();
    let asked = admin::committed(&handle, &group.name, &topic.name, &numbers, REQUEST);
    let committed: BTreeMap<_, _> = cluster
        .answer(&topic.name, asked)
        .await?
        .into_iter()
        .filter_map(|(partition, offset)| Some((partition, offset.ok().filter(|at| *at >= 0)?)))
        .collect();
    if committed.is_empty() && !group.topics.contains(&topic.name) {
        return Ok(None);
    }
    let Group { name, state, members, .. } = group;
    let lag = lag(spans, &committed);
    Ok(Some(Consumer { group: name, state: state.to_owned(), members, lag }))
}

/// `None` where a partition has records and nothing was committed of it.
fn lag(spans: &Spans, committed: &BTreeMap<i32, i64>) -> Option<u64> {
    let one = |(partition, (earliest, latest)): (&i32, &(i64, i64))| {
        let behind = match committed.get(partition) {
            Some(offset) => latest - offset.max(earliest),
            None if earliest == latest => 0,
            None => return None,
        };
        Some(u64::try_from(behind).unwrap_or(0))
    };
    spans.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_is_behind_counts_where_everything_is_known() {
        let spans: Spans = [(0, (5, 10)), (1, (0, 0)), (2, (0, 7))].into();
        assert_eq!(lag(&spans, &[(0, 8), (2, 7)].into()), Some(2));
        assert_eq!(lag(&spans, &[(0, 2), (2, 9)].into()), Some(5));
        assert_eq!(lag(&spans, &[(0, 8)].into()), None);
    }
}
