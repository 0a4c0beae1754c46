//! Who else reads a topic: consumer groups with members or offsets at it.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::known;
use super::offsets::{Spans, spans};
use crate::broker::{BrokerError, Consumer, TopicRef};
use crate::kafka::cluster::{Cluster, REQUEST};
use crate::kafka::native::admin::{self, Group, Seen, TopicDescription};

/// Groups that are asked for their offsets at the same time: each is a request of its own.
const ASKED_AT_ONCE: usize = 8;

/// Groups of a cluster that are looked at for one topic. More would take minutes; which groups those
/// are is up to the cluster.
const MOST_GROUPS: usize = 2000;

/// Groups that one question describes.
const DESCRIBED_AT_ONCE: usize = 100;

/// Groups that have members or offsets at the topic; ours are left out.
pub(in crate::kafka) async fn consumers(
    cluster: &Cluster,
    topic: &TopicRef,
) -> Result<Vec<Consumer>, BrokerError> {
    let there = known(cluster, topic).await?;
    let spans = spans(cluster, &there, Seen::Committed).await?;
    let groups = groups(cluster).await?;
    let asked = groups.into_iter().map(|group| reads(cluster, &there, &spans, group));
    let consumers: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await?;
    Ok(consumers.into_iter().flatten().collect())
}

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
        let asked =
            cluster.ask_coordinator(async |handle| admin::describe_groups(&handle, &names).await);
        groups.extend(asked.await.map_err(|fault| cluster.fault("", &fault))?);
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
    let numbers: Vec<_> = spans.keys().copied().collect();
    let asked = cluster.ask_coordinator(async |handle| {
        admin::committed(&handle, &group.name, &topic.name, &numbers).await
    });
    let committed: BTreeMap<_, _> = asked
        .await
        .map_err(|fault| cluster.fault(&topic.name, &fault))?
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
