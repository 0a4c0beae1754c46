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
mod tests;
