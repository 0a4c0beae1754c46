//! From a plugin's decisions to records for partitions.
//!
//! The partitioner is Kafka's, everywhere: a forwarded record keeps its partition number where the
//! output has it, else its key is hashed, else it goes to shard mod n.

use std::collections::HashMap;

use host_brokers::Output;
use host_events::{Batch, Record, Stored, partition_for_key};
use host_plugins::Action;

use crate::dead::{self, Kind, Scene};
use crate::spec::Endpoint;

/// The number that stands for the dead-letter flow among the outputs; no processor has so many.
const DEAD: u32 = u32::MAX;

/// Why an answer cannot be turned into records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The engine checks indexes and outputs before they come here.
    #[error("action names {what} {number}, which does not exist")]
    Unknown { what: &'static str, number: u32 },
}

/// Where records go.
pub(crate) struct Route<'a> {
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) shard: u32,
    /// The dead-letter flow, where an action needs it.
    pub(crate) dead: Option<&'a Endpoint>,
    pub(crate) scene: Scene<'a>,
}

/// Records gathered for one commit, in the order they were decided.
#[derive(Default)]
pub(crate) struct Outputs {
    slots: HashMap<(u32, u32), usize>,
    ready: Vec<Output>,
    records: u64,
    letters: u64,
    bytes: usize,
}

impl Outputs {
    /// Adds what a plugin decided about a batch.
    pub(crate) fn apply(
        &mut self,
        route: &Route<'_>,
        batch: &Batch,
        actions: Vec<Action>,
    ) -> Result<(), OutputError> {
        let Route { endpoints, shard, dead, ref scene } = *route;
        for action in actions {
            match action {
                Action::Forward { index, output } => {
                    let record = record_at(batch, index)?.clone();
                    self.forward(endpoints, shard, batch.partition, output, record)?;
                }
                Action::ForwardAll { output } => {
                    for stored in batch.records.iter() {
                        let record = stored.record.clone();
                        self.forward(endpoints, shard, batch.partition, output, record)?;
                    }
                }
                Action::Rewrite { output, record, .. } => {
                    self.forward(endpoints, shard, batch.partition, output, record)?;
                }
                Action::Emit { output, key, mut record } => {
                    record.key = key.or(record.key);
                    let endpoint = endpoint_at(endpoints, output)?;
                    let partition = match &record.key {
                        Some(key) => partition_for_key(key, endpoint.partitions),
                        None => keep_or_wrap(batch.partition, shard, endpoint.partitions),
                    };
                    self.push(endpoint, output, partition, record);
                }
                Action::Drop { .. } => {}
                Action::DeadLetter { index, reason } => {
                    let missing = OutputError::Unknown { what: "output", number: DEAD };
                    let dead = dead.ok_or(missing)?;
                    let stored = stored_at(batch, index)?;
                    self.bury(dead, shard, dead::letter(scene, stored, Kind::Asked, &reason));
                }
            }
        }
        Ok(())
    }

    /// Adds a dead letter.
    pub(crate) fn bury(&mut self, dead: &Endpoint, shard: u32, letter: Record) {
        self.push(dead, DEAD, shard % dead.partitions.max(1), letter);
        self.records -= 1;
        self.letters += 1;
    }

    /// Records and dead letters gathered so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.records, self.letters)
    }

    /// Payload bytes gathered so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records, a piece for each partition.
    pub(crate) fn into_ready(self) -> Vec<Output> {
        self.ready
    }

    fn forward(
        &mut self,
        endpoints: &[Endpoint],
        shard: u32,
        partition: u32,
        output: u32,
        record: Record,
    ) -> Result<(), OutputError> {
        let endpoint = endpoint_at(endpoints, output)?;
        let partition = if partition < endpoint.partitions {
            partition
        } else if let Some(key) = &record.key {
            partition_for_key(key, endpoint.partitions)
        } else {
            shard % endpoint.partitions.max(1)
        };
        self.push(endpoint, output, partition, record);
        Ok(())
    }

    fn push(&mut self, endpoint: &Endpoint, output: u32, partition: u32, record: Record) {
        self.records += 1;
        self.bytes += record.size();
        let slot = *self.slots.entry((output, partition)).or_insert_with(|| {
            self.ready.push(Output {
                topic: endpoint.topic.clone(),
                partition,
                records: Vec::new(),
            });
            self.ready.len() - 1
        });
        if let Some(piece) = self.ready.get_mut(slot) {
            piece.records.push(record);
        }
    }
}

fn keep_or_wrap(partition: u32, shard: u32, partitions: u32) -> u32 {
    if partition < partitions { partition } else { shard % partitions.max(1) }
}

fn record_at(batch: &Batch, index: u32) -> Result<&Record, OutputError> {
    stored_at(batch, index).map(|stored| &stored.record)
}

fn stored_at(batch: &Batch, index: u32) -> Result<&Stored, OutputError> {
    batch.records.get(index as usize).ok_or(OutputError::Unknown { what: "event", number: index })
}

fn endpoint_at(endpoints: &[Endpoint], output: u32) -> Result<&Endpoint, OutputError> {
    endpoints.get(output as usize).ok_or(OutputError::Unknown { what: "output", number: output })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use host_brokers::TopicRef;
    use host_brokers::embedded::{Embedded, EmbeddedOptions};
    use host_events::{Incarnation, Stored};

    use super::*;

    /// An output with so many partitions. The broker behind it is never asked.
    async fn endpoint(dir: &tempfile::TempDir, partitions: u32) -> Endpoint {
        let broker = Embedded::open(dir.path(), EmbeddedOptions::default()).await.unwrap();
        let topic = TopicRef::new("out", Incarnation(uuid::Uuid::nil()));
        Endpoint { name: "out".into(), topic, partitions, broker, paused: false }
    }

    fn batch(partition: u32, keys: &[Option<&'static str>]) -> Batch {
        let record = |key: &Option<&'static str>| Record {
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
            ..Record::default()
        };
        let records =
            keys.iter().zip(0..).map(|(key, offset)| Stored { offset, record: record(key) });
        let records: Arc<[Stored]> = records.collect();
        Batch { flow: Incarnation(uuid::Uuid::nil()), partition, records, next: keys.len() as u64 }
    }

    fn partitions(outputs: Outputs) -> Vec<(u32, usize)> {
        outputs.into_ready().iter().map(|piece| (piece.partition, piece.records.len())).collect()
    }

    fn route(endpoints: &[Endpoint], shard: u32) -> Route<'_> {
        let scene = Scene {
            processor: "p.n",
            kind: "bridge",
            version: "1.0.0",
            digest: "d",
            flow: "in.n",
            partition: shard,
        };
        Route { endpoints, shard, dead: None, scene }
    }

    #[tokio::test]
    async fn a_forwarded_record_keeps_its_partition_where_the_output_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let ends = [endpoint(&dir, 4).await];
        let mut outputs = Outputs::default();
        let all = vec![Action::ForwardAll { output: 0 }];
        outputs.apply(&route(&ends, 3), &batch(3, &[Some("a"), None]), all).unwrap();
        assert_eq!((outputs.counts(), partitions(outputs)), ((2, 0), vec![(3, 2)]));
    }

    #[tokio::test]
    async fn else_its_key_is_hashed_and_without_a_key_the_shard_decides() {
        let dir = tempfile::tempdir().unwrap();
        let ends = [endpoint(&dir, 2).await];
        let mut outputs = Outputs::default();
        let all = vec![Action::ForwardAll { output: 0 }];
        outputs.apply(&route(&ends, 5), &batch(5, &[Some("foobar"), None]), all).unwrap();
        let hashed = partition_for_key(b"foobar", 2);
        let expected = if hashed == 1 { vec![(1, 2)] } else { vec![(hashed, 1), (1, 1)] };
        assert_eq!(partitions(outputs), expected);
    }

    #[tokio::test]
    async fn a_dead_letter_lies_in_its_shards_partition_and_counts_apart() {
        let dir = tempfile::tempdir().unwrap();
        let output = endpoint(&dir, 1).await;
        let ends = [output.clone(), Endpoint { partitions: 4, ..output }];
        let letter = vec![Action::DeadLetter { index: 0, reason: "no".into() }];
        let mut outputs = Outputs::default();
        let route = Route { dead: Some(&ends[1]), ..route(&ends[..1], 6) };
        outputs.apply(&route, &batch(6, &[None]), letter).unwrap();
        assert_eq!((outputs.counts(), partitions(outputs)), ((0, 1), vec![(2, 1)]));
    }
}
