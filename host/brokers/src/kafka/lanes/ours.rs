//! The two topics of an identity: what is true of its shards. Made when they are not there; one that is there
//! and is not as it has to be is refused by name and left as it is.

use std::collections::BTreeMap;

use host_events::{Incarnation, murmur2};
use uuid::Uuid;

use crate::broker::{BrokerError, ShardId, TopicRef, TopicSpec};
use crate::kafka::cluster::Cluster;
use crate::kafka::topics;

/// Most lanes of an identity: each costs a client and its threads.
pub(in crate::kafka) const MOST_LANES: u32 = 64;

/// Largest record of both topics. A value of a plugin's state is at most half a megabyte unless an operator
/// allows more; a shard's positions take some 60 bytes a partition.
const LARGEST: u32 = 2 * 1024 * 1024;

/// Kafka compacts no segment that is written to, and taking a lane over reads all of it.
const SEGMENT: u32 = 16 * 1024 * 1024;

/// The topics, and how many lanes they make.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) positions: TopicRef,
    pub(super) state: TopicRef,
    pub(super) lanes: u32,
}

impl Ours {
    /// The topics of an identity, made if need be.
    pub(super) async fn ensure(cluster: &Cluster) -> Result<Self, BrokerError> {
        let identity = &cluster.options().identity;
        let name = |what: &str| {
            TopicRef::new(format!("_fnaa.{identity}.{what}"), Incarnation(Uuid::nil()))
        };
        let (positions, state) = (name("positions"), name("state"));
        let lanes = ensure(cluster, &positions, cluster.options().lanes).await?;
        let also = ensure(cluster, &state, lanes).await?;
        if also != lanes {
            let words = format!("it has {also} partitions, {} has {lanes}", positions.topic);
            return Err(BrokerError::Invalid(cluster.words(&state.topic, &words)));
        }
        Ok(Self { positions, state, lanes })
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

/// Sees that a topic is there, and gives its number of partitions.
async fn ensure(cluster: &Cluster, topic: &TopicRef, lanes: u32) -> Result<u32, BrokerError> {
    let there = match cluster.topic(topic).await {
        Err(BrokerError::NotFound(_)) => {
            let (topic, replication) = (topic.clone(), cluster.options().replication);
            let partitions = lanes.clamp(1, MOST_LANES);
            let spec = TopicSpec { topic, partitions, replication, config: settings() };
            match topics::create(cluster, &spec).await {
                // Another host was quicker.
                Ok(_) | Err(BrokerError::Exists(_)) => cluster.topic(&spec.topic).await?,
                Err(error) => return Err(error),
            }
        }
        there => there?,
    };
    let refused = |words: &str| Err(BrokerError::Invalid(cluster.words(&topic.topic, words)));
    let settings = topics::settings(cluster, &topic.topic).await?;
    let policy = settings.iter().find(|setting| setting.name == "cleanup.policy");
    let policy = policy.map_or("", |setting| &setting.value);
    if policy != "compact" {
        return refused(&format!("its cleanup.policy is {policy}, it has to be compact"));
    }
    match u32::try_from(there.partitions.len()) {
        Ok(partitions) if partitions <= MOST_LANES => Ok(partitions),
        _ => {
            let partitions = there.partitions.len();
            refused(&format!("it has {partitions} partitions, {MOST_LANES} is the most"))
        }
    }
}

fn settings() -> BTreeMap<String, String> {
    [
        ("cleanup.policy", "compact".to_owned()),
        ("max.message.bytes", LARGEST.to_string()),
        ("segment.bytes", SEGMENT.to_string()),
        // What a segment holds that is not full is compacted after that long.
        ("segment.ms", (60 * 60 * 1000).to_string()),
        ("min.cleanable.dirty.ratio", "0.2".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

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
