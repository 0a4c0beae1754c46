//! Positions that the log no longer holds: whoever has one is told, with figures, and never reads on
//! behind a gap as if nothing had been.

use host_brokers::{Append, BrokerError};

use super::*;

const ONE: BatchLimits = BatchLimits { records: 1, ..LIMITS };

/// Kafka's smallest segments are of one megabyte, and it deletes whole ones.
const RETAINED: &[(&str, &str)] = &[("retention.bytes", "1200000")];

/// Eight records of 300 kB, of which retention leaves about four.
async fn fill(broker: &Arc<dyn Broker>, topic: &TopicRef) {
    for number in 0..8 {
        append(broker, topic, 0, &[&format!("{number}{}", "x".repeat(300_000))]).await;
    }
}

/// Where a reader is told that it cannot go on, and how. One that reads ahead may hand out what it holds
/// before that, record by record; if it holds everything it is told nothing.
async fn told(
    source: &mut Box<dyn Source>,
    mut next: u64,
    end: u64,
    ahead: bool,
) -> Option<(u64, BrokerError)> {
    while next < end {
        match source.next(ONE).await {
            Ok(batch) => {
                assert!(ahead, "{batch:?}");
                assert!(batch.records.iter().all(|stored| stored.offset == next));
                next += batch.records.len() as u64;
                assert_eq!(batch.next, next);
            }
            Err(error) => return Some((next, error)),
        }
    }
    None
}

fn out_of_range(error: &BrokerError, position: u64, log: PartitionInfo) {
    let BrokerError::OutOfRange { partition: 0, wanted, earliest, latest } = *error else {
        panic!("{error}");
    };
    assert_eq!((wanted, PartitionInfo { earliest, latest }), (position, log));
}

pub async fn a_reader_that_retention_overtook_is_told(place: impl Place) {
    let broker = place.open().await;
    let topic = topic_with(&broker, "a", 1, RETAINED).await;
    // One that has read nothing, one that has read a record, and one that holds a part of a batch.
    let mut idle = broker.source(&topic, 0, 0).await.unwrap();
    append(&broker, &topic, 0, &["a", "b", "c"]).await;
    let mut begun = broker.source(&topic, 0, 0).await.unwrap();
    assert_eq!(begun.next(ONE).await.unwrap().next, 1);
    let mut later = broker.source(&topic, 0, 3).await.unwrap();
    fill(&broker, &topic).await;
    eventually(|| async { ends(&broker, &topic, 0).await.earliest > 3 }).await;
    let log = ends(&broker, &topic, 0).await;
    for (source, position) in [(&mut idle, 0), (&mut begun, 1), (&mut later, 3)] {
        let ahead = position == 1 && place.reads_ahead();
        let told = told(source, position, log.latest, ahead).await;
        let Some((position, error)) = told else { continue };
        out_of_range(&error, position, log);
        // Told again as often as it is asked.
        for _ in 0..2 {
            out_of_range(&source.next(ONE).await.unwrap_err(), position, log);
        }
        out_of_range(&broker.source(&topic, 0, position).await.err().unwrap(), position, log);
    }
}

/// Retention works while somebody reads: each record is either next in line or the reader is told.
pub async fn a_reader_that_races_retention_never_jumps(place: impl Place) {
    let broker = place.open().await;
    let (kept, size) = if place.reads_ahead() { ("1200000", 20_000) } else { ("2000", 500) };
    let topic = topic_with(&broker, "a", 1, &[("retention.bytes", kept)]).await;
    let writing = {
        let (broker, topic) = (broker.clone(), topic.clone());
        tokio::spawn(async move {
            for _ in 0..400 {
                let records = vec![(0, record("x".repeat(size)))];
                broker.append(&topic, Append { records, token: None }).await.unwrap();
            }
        })
    };
    let mut next = 0;
    while next < 400 {
        let mut source = match broker.source(&topic, 0, next).await {
            Ok(source) => source,
            Err(BrokerError::OutOfRange { wanted, earliest, .. }) => {
                assert!(wanted == next && earliest > next, "{wanted} {earliest} {next}");
                next = earliest;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        while next < 400 {
            match source.next(BatchLimits { records: 3, ..LIMITS }).await {
                Ok(batch) => {
                    for stored in batch.records.iter() {
                        assert_eq!(stored.offset, next);
                        next += 1;
                    }
                    assert_eq!(batch.next, next);
                }
                Err(BrokerError::OutOfRange { wanted, .. }) => {
                    assert_eq!(wanted, next);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    writing.await.unwrap();
}

pub async fn sources_of_a_life_that_ended_read_nothing_of_the_next(place: impl Place) {
    let broker = place.open().await;
    let old = topic(&broker, "a", 1).await;
    append(&broker, &old, 0, &["old", "old"]).await;
    let mut behind = broker.source(&old, 0, 0).await.unwrap();
    let mut at_end = broker.source(&old, 0, 2).await.unwrap();
    let mut begun = broker.source(&old, 0, 0).await.unwrap();
    begun.next(ONE).await.unwrap();
    broker.delete(&old).await.unwrap();
    let new = topic(&broker, "a", 1).await;
    append(&broker, &new, 0, &["new", "new", "new"]).await;
    for (source, position) in [(&mut behind, 0), (&mut at_end, 2), (&mut begun, 1)] {
        let ahead = position == 1 && place.reads_ahead();
        // Behind its old records there is nothing for it, as long as the new log may be.
        let (_, error) = told(source, position, 3, ahead).await.unwrap();
        assert!(is_not_found(&error));
        assert!(is_not_found(&source.next(ONE).await.unwrap_err()));
    }
    for position in 0..3 {
        assert!(is_not_found(&broker.source(&old, 0, position).await.err().unwrap()));
    }
    assert!(is_not_found(&broker.offset_at(&old, 0, 0).await.unwrap_err()));
    assert_eq!(values(&broker, &new, 0).await, ["new", "new", "new"]);
}

/// The same life made again, as from an old copy of the disk: its log is shorter than a position.
pub async fn a_position_beyond_the_end_of_a_cut_log_is_refused(place: impl Place) {
    let broker = place.open().await;
    let whole = topic(&broker, "a", 1).await;
    append(&broker, &whole, 0, &["x", "y", "z"]).await;
    let id = shard(0);
    let mut opened = broker.open(id).await.unwrap();
    let commit = commit_of(position(whole.incarnation, 0, 3));
    opened.fence.begin().commit(commit).await;
    broker.delete(&whole).await.unwrap();
    let spec = TopicSpec {
        topic: whole.clone(),
        partitions: 1,
        replication: None,
        config: BTreeMap::new(),
    };
    broker.create(&spec).await.unwrap();
    append(&broker, &whole, 0, &["x"]).await;
    // The position is kept as it is, and it is not in the log.
    let at = broker.open(id).await.unwrap().positions.get(whole.incarnation, 0).unwrap();
    let log = PartitionInfo { earliest: 0, latest: 1 };
    out_of_range(&broker.source(&whole, 0, at).await.err().unwrap(), 3, log);
}
