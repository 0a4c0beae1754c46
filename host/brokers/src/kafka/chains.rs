//! Records in pieces that a partition takes at once, one after the other.
//!
//! A topic's limit is one of batches. librdkafka makes them of what waits and knows nothing of a topic's
//! limit, so no more is handed over at a time than one batch may hold.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use host_events::Record;

use super::outlets::BATCH_OVERHEAD;
use crate::broker::Output;

/// The largest batch that our producers make of several records. Below Kafka's default limit, with room for
/// what compression may add to what does not compress.
pub(super) const BATCH_BYTES: usize = 1_000_000;

/// Records of one batch: librdkafka's own limit.
pub(super) const BATCH_RECORDS: usize = 10_000;

/// What a record takes at most beside its payload: seven lengths and numbers.
const RECORD_OVERHEAD: usize = 40;

/// Some records of one output of one load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) load: usize,
    pub(super) output: usize,
    pub(super) records: Range<usize>,
}

/// What of one partition goes into one batch.
pub(super) type Link = Vec<Piece>;

/// One chain of links for each partition. The links of a chain travel one after the other.
pub(super) fn chains(loads: &[Arc<Vec<Output>>], limit: impl Fn(&str) -> usize) -> Vec<Vec<Link>> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut places: HashMap<(&str, u32), usize> = HashMap::new();
    for (load, outputs) in loads.iter().enumerate() {
        for (index, output) in outputs.iter().enumerate() {
            let topic = &*output.topic.topic;
            let place = *places.entry((topic, output.partition)).or_insert(chains.len());
            if place == chains.len() {
                chains.push(Chain::new(limit(topic).min(BATCH_BYTES)));
            }
            if let Some(chain) = chains.get_mut(place) {
                chain.add(load, index, &output.records);
            }
        }
    }
    chains.into_iter().map(|chain| chain.links).collect()
}

/// The links of one partition.
struct Chain {
    limit: usize,
    links: Vec<Link>,
    /// Bytes and records of the last link.
    bytes: usize,
    records: usize,
}

impl Chain {
    fn new(limit: usize) -> Self {
        Self { limit, links: vec![Vec::new()], bytes: BATCH_OVERHEAD, records: 0 }
    }

    fn add(&mut self, load: usize, output: usize, records: &[Record]) {
        let mut begin = 0;
        for (at, record) in records.iter().enumerate() {
            let size = largest(record);
            let is_full = self.bytes + size > self.limit || self.records == BATCH_RECORDS;
            if self.records > 0 && is_full {
                self.put(Piece { load, output, records: begin..at });
                self.links.push(Vec::new());
                (self.bytes, self.records, begin) = (BATCH_OVERHEAD, 0, at);
            }
            self.bytes += size;
            self.records += 1;
        }
        self.put(Piece { load, output, records: begin..records.len() });
    }

    fn put(&mut self, piece: Piece) {
        if let Some(link) = self.links.last_mut().filter(|_| !piece.records.is_empty()) {
            link.push(piece);
        }
    }
}

/// The most that a record takes where it travels alone.
pub(super) fn alone(record: &Record) -> usize {
    BATCH_OVERHEAD + largest(record)
}

/// The most that a record takes in a batch.
fn largest(record: &Record) -> usize {
    // Each header has two lengths, of which ours may be shorter than Kafka's by a byte.
    record.size() + RECORD_OVERHEAD + 2 * record.headers.iter().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::TopicRef;
    use host_events::Incarnation;
    use uuid::Uuid;

    fn output(topic: &str, partition: u32, sizes: &[usize]) -> Output {
        let topic = TopicRef::new(topic, Incarnation(Uuid::nil()));
        let record =
            |size: &usize| Record { value: Some(vec![0; *size].into()), ..Record::default() };
        Output { topic, partition, records: sizes.iter().map(record).collect() }
    }

    fn piece(load: usize, output: usize, records: Range<usize>) -> Piece {
        Piece { load, output, records }
    }

    #[test]
    fn partitions_travel_beside_each_other_and_each_a_batch_at_a_time() {
        let loads = [Arc::new(vec![output("a", 0, &[600_000, 600_000]), output("b", 0, &[1])])];
        let expected =
            [vec![vec![piece(0, 0, 0..1)], vec![piece(0, 0, 1..2)]], vec![vec![piece(0, 1, 0..1)]]];
        assert_eq!(chains(&loads, |_| 1_048_588), expected);
        let many = [Arc::new(vec![output("a", 0, &[1; BATCH_RECORDS + 1])])];
        assert_eq!(chains(&many, |_| 1_048_588)[0].len(), 2);
        assert!(chains(&[], |_| 100).is_empty());
    }

    #[test]
    fn no_partition_of_a_topic_with_a_small_limit_gets_more_than_that_at_once() {
        let loads = [
            Arc::new(vec![output("a", 0, &[300, 300, 300]), output("b", 0, &[300, 300])]),
            Arc::new(vec![output("a", 0, &[300]), output("a", 1, &[5000, 300])]),
        ];
        let limit = |topic: &str| if topic == "a" { 800 } else { 1_048_588 };
        let expected = [
            vec![vec![piece(0, 0, 0..2)], vec![piece(0, 0, 2..3), piece(1, 0, 0..1)]],
            vec![vec![piece(0, 1, 0..2)]],
            vec![vec![piece(1, 1, 0..1)], vec![piece(1, 1, 1..2)]],
        ];
        assert_eq!(chains(&loads, limit), expected);
    }
}
