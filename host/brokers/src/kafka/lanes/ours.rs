//! The two topics of an identity: what is true of its shards. Made when they never were; what is there and is
//! not as it has to be is refused by name and left as it is.
//!
//! Topics that were taken away, or made again, or that have gained partitions, hold other positions than were
//! committed: nothing is read from them and nothing written to them. How that is known: `begin.rs`.

use std::time::{Duration, Instant};

use host_events::{Incarnation, murmur2};
use uuid::Uuid;

use super::mark::{Mark, uneven};
use crate::broker::{BrokerError, ShardId, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::TopicDescription;

/// How long a topic that was seen is looked for where a node says that it is not there, or is another one: what
/// the cluster knows its nodes learn a little later.
const HEARD_OF: Duration = Duration::from_secs(3);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// The topics, and how many lanes they make.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) positions: TopicRef,
    pub(super) state: TopicRef,
    pub(super) lanes: u32,
}

impl Ours {
    /// Positions and state of an identity, in whatever lives.
    pub(super) fn names(cluster: &Cluster) -> [TopicRef; 2] {
        let identity = &cluster.options().identity;
        ["positions", "state"]
            .map(|what| TopicRef::new(format!("_fnaa.{identity}.{what}"), Incarnation(Uuid::nil())))
    }

    /// What a lane has to begin with.
    pub(super) fn mark(&self, lane: u32) -> Mark {
        Mark::new(self.lanes, lane, self.positions.id, self.state.id)
    }

    /// Sees that both topics are the ones that they were, with as many partitions.
    pub(super) async fn confirm(&self, cluster: &Cluster) -> Result<(), BrokerError> {
        let deadline = Instant::now() + HEARD_OF;
        loop {
            let [positions, state] = look(cluster, [&self.positions, &self.state]).await?;
            let is_so = self
                .is_so(cluster, &self.positions, positions)
                .and_then(|()| self.is_so(cluster, &self.state, state));
            if is_so.is_ok() || Instant::now() > deadline {
                return is_so;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_so(
        &self,
        cluster: &Cluster,
        topic: &TopicRef,
        found: Option<TopicDescription>,
    ) -> Result<(), BrokerError> {
        let Some(found) = found else {
            return Err(lost(cluster, topic, "it is not there any more"));
        };
        if let (Some(meant), Some(id)) = (topic.id, found.id)
            && meant != id
        {
            return Err(lost(cluster, topic, &another_life(meant, id)));
        }
        let partitions = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
        if partitions == self.lanes {
            return Ok(());
        }
        Err(grown(cluster, topic, &uneven(partitions, self.lanes)))
    }

    /// Which lane a shard is carried by, for ever.
    pub(super) fn lane_of(&self, shard: ShardId) -> u32 {
        let mut key = [0; 20];
        let (processor, number) = key.split_at_mut(16);
        processor.copy_from_slice(shard.processor.as_bytes());
        number.copy_from_slice(&shard.shard.to_be_bytes());
        self.lane_of_bytes(&key)
    }

    /// The same of anything else.
    pub(super) fn lane_of_bytes(&self, bytes: &[u8]) -> u32 {
        let positive = murmur2(bytes).cast_unsigned() & 0x7fff_ffff;
        positive.checked_rem(self.lanes).unwrap_or_default()
    }
}

/// Two topics as they are now, whatever their lives.
pub(super) async fn look(
    cluster: &Cluster,
    topics: [&TopicRef; 2],
) -> Result<[Option<TopicDescription>; 2], BrokerError> {
    let names = topics.map(|topic| &*topic.topic);
    let mut found = cluster.topics(&names).await?;
    Ok(names.map(|name| found.remove(name).flatten()))
}

pub(super) fn another_life(meant: Uuid, is: Uuid) -> String {
    format!("another life: its id is {is}, meant is {meant}: it was deleted and made again")
}

/// What processors stood at is not there any more.
pub(super) fn lost(cluster: &Cluster, topic: &TopicRef, cause: &str) -> BrokerError {
    let words = format!(
        "{cause}; where processors stand was in it, and nothing begins anew by itself ({READ})"
    );
    BrokerError::Damaged(cluster.words(&topic.topic, &words))
}

/// The topic has another number of partitions than lanes were begun in it.
pub(super) fn grown(cluster: &Cluster, topic: &TopicRef, cause: &str) -> BrokerError {
    let words = format!("{cause}; shards would be looked for where they are not ({READ})");
    BrokerError::Invalid(cluster.words(&topic.topic, &words))
}

const READ: &str = "docs/operators.md says how to go on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_keeps_its_lane_whatever_else_changes() {
        let topic = TopicRef::new("t", Incarnation(Uuid::nil()));
        let ours = Ours { positions: topic.clone(), state: topic, lanes: 8 };
        let lanes = (0..6).map(|shard| {
            ours.lane_of(ShardId { processor: Uuid::from_u128(0x1234_5678_9abc_def0), shard })
        });
        // Stored data depends on these numbers.
        assert_eq!(lanes.collect::<Vec<_>>(), [6, 4, 4, 7, 4, 0]);
    }
}
