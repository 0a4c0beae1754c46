//! Records in pieces that a topic takes at once.
//!
//! A topic's limit is one of batches. librdkafka makes them of what waits and knows nothing of a topic's
//! limit, so where that is a small one, no more is handed over at a time than one batch may hold.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use host_events::Record;

use super::outlets::BATCH_OVERHEAD;
use crate::broker::Output;

/// The largest batch that our producers make of several records. Below Kafka's default limit, with room for
/// what compression may add to what does not compress.
pub(super) const BATCH_BYTES: usize = 1_000_000;

/// What a record takes at most beside its payload: seven lengths and numbers.
const RECORD_OVERHEAD: usize = 40;

/// Some records of one output of one load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) load: usize,
    pub(super) output: usize,
    pub(super) records: Range<usize>,
}

/// What is handed over at once, one list after the other. There is at least one.
pub(super) fn waves(loads: &[Arc<Vec<Output>>], limit: impl Fn(&str) -> usize) -> Vec<Vec<Piece>> {
    let mut waves = vec![Vec::new()];
    // Where each partition of a topic with a small limit stands: its wave, and the bytes in it.
    let mut stand: HashMap<(&str, u32), (usize, usize)> = HashMap::new();
    for (load, outputs) in loads.iter().enumerate() {
        for (index, output) in outputs.iter().enumerate() {
            let topic = &*output.topic.topic;
            let limit = limit(topic);
            if limit > BATCH_BYTES {
                put(&mut waves, 0, Piece { load, output: index, records: 0..output.records.len() });
                continue;
            }
            let (wave, bytes) =
                stand.entry((topic, output.partition)).or_insert((0, BATCH_OVERHEAD));
            let mut begin = 0;
            for (at, record) in output.records.iter().enumerate() {
                let size = largest(record);
                if *bytes > BATCH_OVERHEAD && *bytes + size > limit {
                    put(&mut waves, *wave, Piece { load, output: index, records: begin..at });
                    (*wave, *bytes, begin) = (*wave + 1, BATCH_OVERHEAD, at);
                }
                *bytes += size;
            }
            let records = begin..output.records.len();
            put(&mut waves, *wave, Piece { load, output: index, records });
        }
    }
    waves
}

fn put(waves: &mut Vec<Vec<Piece>>, wave: usize, piece: Piece) {
    if waves.len() <= wave {
        waves.resize_with(wave + 1, Vec::new);
    }
    if let Some(wave) = waves.get_mut(wave).filter(|_| !piece.records.is_empty()) {
        wave.push(piece);
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
    fn what_fits_goes_at_once() {
        let loads = [Arc::new(vec![output("a", 0, &[900_000, 900_000]), output("b", 0, &[1])])];
        assert_eq!(waves(&loads, |_| 1_048_588), [[piece(0, 0, 0..2), piece(0, 1, 0..1)]]);
        assert_eq!(waves(&[], |_| 100), [[]]);
    }

    #[test]
    fn no_partition_of_a_topic_with_a_small_limit_gets_more_than_that_at_once() {
        let loads = [
            Arc::new(vec![output("a", 0, &[300, 300, 300]), output("b", 0, &[300, 300])]),
            Arc::new(vec![output("a", 0, &[300]), output("a", 1, &[5000, 300])]),
        ];
        let limit = |topic: &str| if topic == "a" { 800 } else { 1_048_588 };
        let expected = [
            vec![piece(0, 0, 0..2), piece(0, 1, 0..2), piece(1, 1, 0..1)],
            vec![piece(0, 0, 2..3), piece(1, 0, 0..1), piece(1, 1, 1..2)],
        ];
        assert_eq!(waves(&loads, limit), expected);
    }
}
