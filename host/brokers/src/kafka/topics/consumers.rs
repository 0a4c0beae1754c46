//! Who else reads a topic: consumer groups with members or offsets at it.
//!
//! Where the coordinators are silent, nobody waits for them again and again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// A look that is given up after so long was for what coordinators did not answer, and not because whoever asked went away.
/// Shorter than DESCRIBE FLOW waits (5 s).
const SILENT: Duration = Duration::from_secs(3);

/// How long nobody is asked then: who looks at many flows, one behind the other, waits for the first, and a coordinator that
/// is elected anew is there soon enough.
const SPARED: Duration = Duration::from_secs(30);

/// Since when the coordinators of a cluster have been silent.
#[derive(Default)]
pub(in crate::kafka) struct Silence(Mutex<Option<Instant>>);

impl Silence {
    fn lasts(&self) -> bool {
        self.lock().is_some_and(|since| since.elapsed() < SPARED)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at all groups. One that ends without having been answered may say that coordinators are silent.
struct Look<'a, F: Fn() -> bool> {
    silence: &'a Silence,
    begun: Instant,
    is_answered: bool,
    /// Whether nobody of the cluster answers: that is told by itself, and ends with a sign of life.
    is_away: F,
}

impl<'a, F: Fn() -> bool> Look<'a, F> {
    fn begin(silence: &'a Silence, is_away: F) -> Self {
        Self { silence, begun: Instant::now(), is_answered: false, is_away }
    }
}

impl<F: Fn() -> bool> Drop for Look<'_, F> {
    fn drop(&mut self) {
        if !self.is_answered && self.begun.elapsed() >= SILENT && !(self.is_away)() {
            *self.silence.lock() = Some(Instant::now());
        }
    }
}

/// Groups that have members or offsets at the topic; ours are left out. Not asked where coordinators were silent a moment ago.
pub(in crate::kafka) async fn consumers(
    cluster: &Cluster,
    topic: &TopicRef,
) -> Result<Vec<Consumer>, BrokerError> {
    let there = known(cluster, topic).await?;
    if cluster.silence().lasts() {
        let words = format!(
            "coordinators of groups did not answer, and are not asked for {} s",
            SPARED.as_secs()
        );
        return Err(BrokerError::Unavailable(cluster.words(&topic.topic, &words)));
    }
    let spans = spans(cluster, &there, Seen::Committed).await?;
    let mut look = Look::begin(cluster.silence(), || cluster.is_hopeless());
    let groups = groups(cluster).await?;
    let asked = groups.into_iter().map(|group| reads(cluster, &there, &spans, group));
    let consumers: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await?;
    look.is_answered = true;
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

    #[test]
    fn a_look_that_was_given_up_for_long_spares_those_that_follow_and_only_for_a_while() {
        let silence = Silence::default();
        let look = |away: bool, answered: bool| {
            let mut look = Look::begin(&silence, move || away);
            look.is_answered = answered;
            look
        };
        let long = |mut look: Look<'_, _>| look.begun = look.begun.checked_sub(SILENT).unwrap();
        drop(look(false, false));
        assert!(!silence.lasts(), "who asked went away");
        long(look(false, true));
        assert!(!silence.lasts(), "it was answered");
        long(look(true, false));
        assert!(!silence.lasts(), "nobody of the cluster answers");
        long(look(false, false));
        assert!(silence.lasts());
        *silence.lock() = Instant::now().checked_sub(SPARED);
        assert!(!silence.lasts());
    }
}
