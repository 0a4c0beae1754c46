//! From a plugin's decisions to records for partitions.
//!
//! The partitioner is Kafka's, everywhere: a forwarded record keeps its partition number where the
//! output has it, else its key is hashed, else it goes to shard mod n.

use std::collections::HashMap;
use std::sync::Arc;

use host_brokers::{Broker, Output};
use host_events::{Batch, Record, Stored, partition_for_key};
use host_plugins::Action;

use crate::dead::{self, Given, Kind, Scene};
use crate::delivery::Aside;
use crate::spec::Endpoint;
use crate::views::with;

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
    /// The header that stays with whatever comes of an event; of a batch with one event.
    pub(crate) beside: Option<&'static [u8]>,
}

/// Records gathered for one commit, in the order they were decided.
#[derive(Default)]
pub(crate) struct Outputs {
    slots: HashMap<(u32, u32), usize>,
    pieces: Vec<Piece>,
    records: u64,
    letters: u64,
    bytes: usize,
    largest: usize,
}

/// What goes to one partition of one output.
struct Piece {
    key: (u32, u32),
    output: Output,
    /// The broker that it is appended at, outside of the commit.
    aside: Option<Arc<dyn Broker>>,
}

/// Records as they are written.
#[derive(Default)]
pub(crate) struct Ready {
    /// In the commit.
    pub(crate) inside: Vec<Output>,
    /// Before it.
    pub(crate) aside: Vec<Aside>,
}

impl Outputs {
    /// Adds what a plugin decided about a batch.
    pub(crate) fn apply(
        &mut self,
        route: &Route<'_>,
        batch: &Batch,
        actions: Vec<Action>,
    ) -> Result<(), OutputError> {
        let Route { shard, dead, ref scene, beside, .. } = *route;
        for action in actions {
            match action {
                Action::Forward { index, output } => {
                    let record = record_at(batch, index)?.clone();
                    self.place(route, batch.partition, output, record, false)?;
                }
                Action::ForwardAll { output } => {
                    for stored in batch.records.iter() {
                        let record = stored.record.clone();
                        self.place(route, batch.partition, output, record, false)?;
                    }
                }
                Action::Rewrite { output, record, keyed, .. } => {
                    self.place(route, batch.partition, output, record, keyed)?;
                }
                Action::Emit { output, key, mut record } => {
                    record.key = key.or(record.key);
                    if let (Some(beside), [only]) = (beside, &*batch.records)
                        && let Some(headers) = with(&record.headers, &only.record.headers, beside)
                    {
                        record.headers = headers;
                    }
                    self.place(route, batch.partition, output, record, true)?;
                }
                Action::Drop { .. } => {}
                Action::DeadLetter { index, reason } => {
                    let missing = OutputError::Unknown { what: "output", number: DEAD };
                    let dead = dead.ok_or(missing)?;
                    let stored = stored_at(batch, index)?;
                    self.bury(
                        dead,
                        shard,
                        dead::letter(scene, stored, &Given::new(Kind::Asked, reason)),
                    );
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

    /// Adds something that is told in the dead-letter flow and is no dead letter.
    pub(crate) fn tell(&mut self, dead: &Endpoint, shard: u32, record: Record) {
        self.push(dead, DEAD, shard % dead.partitions.max(1), record);
        self.records -= 1;
    }

    /// Records and dead letters gathered so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.records, self.letters)
    }

    /// Payload bytes gathered so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Payload bytes of the largest record.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// Adds what was decided after it.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.records += later.records;
        self.letters += later.letters;
        self.bytes += later.bytes;
        self.largest = self.largest.max(later.largest);
        for piece in later.pieces {
            let slot = self.slots.get(&piece.key);
            if let Some(mine) = slot.and_then(|slot| self.pieces.get_mut(*slot)) {
                mine.output.records.extend(piece.output.records);
            } else {
                self.slots.insert(piece.key, self.pieces.len());
                self.pieces.push(piece);
            }
        }
    }

    /// The records: a piece for each partition inside, one for each topic aside.
    pub(crate) fn into_ready(self) -> Ready {
        let mut ready = Ready::default();
        for Piece { output, aside, .. } in self.pieces {
            let Output { topic, partition, records } = output;
            let Some(broker) = aside else {
                ready.inside.push(Output { topic, partition, records });
                continue;
            };
            let records = records.into_iter().map(|record| (partition, record));
            match ready.aside.iter_mut().find(|aside| aside.topic == topic) {
                Some(aside) => aside.records.extend(records),
                None => ready.aside.push(Aside { broker, topic, records: records.collect() }),
            }
        }
        ready
    }

    /// Adds a record to an output, in the partition of its key where that is asked for.
    fn place(
        &mut self,
        route: &Route<'_>,
        from: u32,
        output: u32,
        record: Record,
        by_key: bool,
    ) -> Result<(), OutputError> {
        let endpoint = endpoint_at(route.endpoints, output)?;
        let keeps = from < endpoint.partitions;
        let partition = match &record.key {
            Some(key) if by_key || !keeps => partition_for_key(key, endpoint.partitions),
            _ if keeps => from,
            _ => route.shard % endpoint.partitions.max(1),
        };
        self.push(endpoint, output, partition, record);
        Ok(())
    }

    fn push(&mut self, endpoint: &Endpoint, output: u32, partition: u32, record: Record) {
        self.records += 1;
        self.bytes += record.size();
        self.largest = self.largest.max(record.size());
        let key = (output, partition);
        let slot = *self.slots.entry(key).or_insert_with(|| {
            let topic = endpoint.topic.clone();
            let output = Output { topic, partition, records: Vec::new() };
            let aside = endpoint.aside.then(|| Arc::clone(&endpoint.broker));
            self.pieces.push(Piece { key, output, aside });
            self.pieces.len() - 1
        });
        if let Some(piece) = self.pieces.get_mut(slot) {
            piece.output.records.push(record);
        }
    }
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
    use bytes::Bytes;
    use host_brokers::TopicRef;
    use host_brokers::embedded::{Embedded, EmbeddedOptions};
    use host_events::{Incarnation, Stored};

    use super::*;

    /// An output with so many partitions. The broker behind it is never asked.
    async fn endpoint(dir: &tempfile::TempDir, partitions: u32) -> Endpoint {
        let broker = Embedded::open(dir.path(), EmbeddedOptions::default()).await.unwrap();
        let topic = TopicRef::new("out", Incarnation(uuid::Uuid::nil()));
        Endpoint { name: "out".into(), topic, partitions, broker, paused: false, aside: false }
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
        let inside = outputs.into_ready().inside;
        inside.iter().map(|piece| (piece.partition, piece.records.len())).collect()
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
        Route { endpoints, shard, dead: None, scene, beside: None }
    }

    #[tokio::test]
    async fn a_new_event_keeps_what_stays_beside_the_one_that_it_was_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let ends = [endpoint(&dir, 1).await];
        let headers = |hosts: &str| {
            [(b"fnaa-trace".as_slice(), Some(hosts.as_bytes()))].into_iter().collect()
        };
        let mut batch = batch(0, &[None]);
        let record = Record { headers: headers("a,b"), ..Record::default() };
        batch.records = [Stored { offset: 0, record }].into();
        // A plugin that writes one of its own writes it in vain.
        let record = Record { headers: headers("x"), ..Record::default() };
        let emitted = vec![Action::Emit { output: 0, key: None, record }];
        let mut outputs = Outputs::default();
        let route = Route { beside: Some(host_events::TRACE), ..route(&ends, 0) };
        outputs.apply(&route, &batch, emitted).unwrap();
        let ready = outputs.into_ready();
        let traces: Vec<_> = ready.inside[0].records[0].headers.iter().collect();
        assert_eq!(traces, [(b"fnaa-trace".as_slice(), Some(b"a,b".as_slice()))]);
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
    async fn a_rewrite_goes_where_its_event_was_and_one_that_sets_the_key_where_that_lies() {
        let dir = tempfile::tempdir().unwrap();
        let ends = [endpoint(&dir, 64).await];
        let hashed = partition_for_key(b"foobar", 64);
        let here = hashed + 1;
        for (keyed, partition) in [(false, here), (true, hashed)] {
            let record = batch(0, &[Some("foobar")]).records[0].record.clone();
            let rewritten = vec![Action::Rewrite { output: 0, index: 0, record, keyed }];
            let mut outputs = Outputs::default();
            // Also one that had it before: all of a key lie together behind a plugin that sets it.
            let events = batch(here, &[Some("foobar")]);
            outputs.apply(&route(&ends, here), &events, rewritten).unwrap();
            assert_eq!(partitions(outputs), [(partition, 1)], "{keyed}");
        }
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

    #[tokio::test]
    async fn what_lies_aside_is_one_append_for_each_topic_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let output = endpoint(&dir, 2).await;
        let ends = [Endpoint { aside: true, ..output.clone() }, output];
        let (mut outputs, mut later) = (Outputs::default(), Outputs::default());
        for (outputs, partition) in [(&mut outputs, 1), (&mut later, 0)] {
            for output in [0, 1] {
                let all = vec![Action::ForwardAll { output }];
                let batch = batch(partition, &[Some("a"), None]);
                outputs.apply(&route(&ends, 0), &batch, all).unwrap();
            }
        }
        outputs.absorb(later);
        assert_eq!((outputs.counts(), outputs.largest()), ((8, 0), 1));
        let ready = outputs.into_ready();
        assert_eq!((ready.inside.len(), ready.aside.len()), (2, 1));
        let aside: Vec<_> = ready.aside[0].records.iter().map(|(at, _)| *at).collect();
        assert_eq!(aside, [1, 1, 0, 0]);
    }
}
