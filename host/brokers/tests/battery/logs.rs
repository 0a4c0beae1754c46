//! Reading: order, waiting, limits, positions that are not there.

use std::collections::BTreeSet;

use futures::FutureExt;
use host_brokers::{Append, BrokerError};
use host_events::Headers;

use super::*;

pub async fn records_come_back_as_they_were_in_their_order(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 2).await;
    let headers: Headers =
        [(&b"a"[..], Some(&b"1"[..])), (b"a", None), (b"a", Some(b"")), (b"b", Some(b"\xff"))]
            .into_iter()
            .collect();
    let bytes = |bytes: &'static [u8]| Some(Bytes::from_static(bytes));
    let records = vec![
        Record {
            key: bytes(b"k"),
            value: bytes(b"\xff\x00"),
            headers,
            timestamp: 1_780_000_000_001,
        },
        Record { key: bytes(b""), value: bytes(b""), headers: Headers::default(), timestamp: 1 },
        Record {
            key: None,
            value: None,
            headers: Headers::default(),
            timestamp: 1_780_000_000_000,
        },
    ];
    let both = records.iter().flat_map(|record| [(0, record.clone()), (1, record.clone())]);
    broker.append(&topic, Append { records: both.collect(), token: None }).await.unwrap();
    for _ in 0..2 {
        for partition in 0..2 {
            let stored = read_all(&broker, &topic, partition).await;
            let back: Vec<_> = stored.iter().map(|stored| stored.record.clone()).collect();
            assert_eq!(back, records);
            assert!(stored.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        }
    }
    let mut source = broker.source(&topic, 1, 0).await.unwrap();
    let batch = source.next(LIMITS).await.unwrap();
    assert_eq!((batch.flow, batch.partition), (topic.incarnation, 1));
}

pub async fn a_reader_begins_where_it_is_told(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    append(&broker, &topic, 0, &["0", "1", "2"]).await;
    append(&broker, &topic, 0, &["3"]).await;
    for from in 0..4 {
        let mut source = broker.source(&topic, 0, from).await.unwrap();
        let first = source.next(LIMITS).await.unwrap().records[0].clone();
        assert_eq!(first.record.value.unwrap(), from.to_string());
    }
}

pub async fn a_reader_waits_and_is_woken(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let mut source = broker.source(&topic, 0, 0).await.unwrap();
    for round in 0..20 {
        let mut next = source.next(LIMITS);
        assert!(next.as_mut().now_or_never().is_none());
        append(&broker, &topic, 0, &[&round.to_string()]).await;
        let batch = next.await.unwrap();
        assert_eq!(batch.records[0].record.value.as_ref().unwrap(), &round.to_string());
    }
}

pub async fn a_reader_that_was_dropped_while_waiting_lost_nothing(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let mut source = broker.source(&topic, 0, 0).await.unwrap();
    let mut seen = Vec::new();
    for round in 0..50 {
        append(&broker, &topic, 0, &[&format!("{round}a"), &format!("{round}b")]).await;
        // Polled once and thrown away: what it had begun must begin again.
        if let Some(batch) = source.next(LIMITS).now_or_never() {
            seen.extend(batch.unwrap().records.iter().map(|stored| stored.offset));
        }
    }
    while seen.len() < 100 {
        let batch = source.next(LIMITS).await.unwrap();
        seen.extend(batch.records.iter().map(|stored| stored.offset));
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
}

pub async fn a_batch_keeps_its_limits(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let small = "x".repeat(100);
    append(&broker, &topic, 0, &vec![small.as_str(); 50]).await;
    append(&broker, &topic, 0, &[&"y".repeat(5000), "z"]).await;
    for (records, bytes) in [(7, 1 << 20), (1000, 350), (1, 1), (0, 0)] {
        let mut source = broker.source(&topic, 0, 0).await.unwrap();
        let (mut seen, mut next) = (0, 0);
        while next < 52 {
            let batch = source.next(BatchLimits { records, bytes }).await.unwrap();
            let size: usize = batch.records.iter().map(|stored| stored.record.size()).sum();
            // One record comes alone, however large.
            assert!(batch.records.len() <= records.max(1), "{} records", batch.records.len());
            assert!(size <= bytes || batch.records.len() == 1, "{size} bytes");
            seen += batch.records.len();
            next = batch.next;
        }
        assert_eq!(seen, 52);
    }
}

pub async fn a_position_outside_the_log_is_refused(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    append(&broker, &topic, 0, &["x", "y"]).await;
    broker.source(&topic, 0, 2).await.unwrap();
    for wanted in [3, u64::MAX] {
        let error = broker.source(&topic, 0, wanted).await.err().unwrap();
        let BrokerError::OutOfRange { partition, wanted: told, earliest, latest } = error else {
            panic!("{error}");
        };
        assert_eq!((partition, told, earliest, latest), (0, wanted, 0, 2));
    }
    broker.purge(&topic).await.unwrap();
    let error = broker.source(&topic, 0, 1).await.err().unwrap();
    assert!(matches!(error, BrokerError::OutOfRange { earliest: 2, latest: 2, .. }), "{error}");
    assert!(broker.source(&topic, 1, 0).await.is_err());
}

pub async fn a_reader_whose_position_was_purged_is_told(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let mut source = broker.source(&topic, 0, 0).await.unwrap();
    append(&broker, &topic, 0, &["x"]).await;
    broker.purge(&topic).await.unwrap();
    let error = source.next(LIMITS).await.unwrap_err();
    assert!(matches!(error, BrokerError::OutOfRange { wanted: 0, earliest: 1, .. }), "{error}");
}

pub async fn a_reader_of_a_deleted_topic_is_told(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let mut source = broker.source(&topic, 0, 0).await.unwrap();
    let mut next = source.next(LIMITS);
    assert!(next.as_mut().now_or_never().is_none());
    broker.delete(&topic).await.unwrap();
    assert!(is_not_found(&next.await.unwrap_err()));
}

pub async fn an_offset_is_found_by_its_time(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    assert_eq!(broker.offset_at(&topic, 0, 0).await.unwrap(), 0);
    for timestamps in [&[10, 20, 15][..], &[30], &[30, 40]] {
        let at = |timestamp: &i64| (0, Record { timestamp: *timestamp, ..record("x") });
        let records = timestamps.iter().map(at).collect();
        broker.append(&topic, Append { records, token: None }).await.unwrap();
    }
    for (time, offset) in [(i64::MIN, 0), (10, 0), (11, 1), (20, 1), (21, 3), (31, 5), (41, 6)] {
        assert_eq!(broker.offset_at(&topic, 0, time).await.unwrap(), offset, "{time}");
    }
    broker.purge(&topic).await.unwrap();
    assert_eq!(broker.offset_at(&topic, 0, 0).await.unwrap(), 6);
}

pub async fn many_write_and_read_at_once_and_nothing_is_lost_or_repeated(place: impl Place) {
    const WRITERS: u32 = 8;
    const APPENDS: u32 = 40;
    let broker = place.open().await;
    let topic = topic(&broker, "a", 2).await;
    let writer = |writer: u32| {
        let (broker, topic) = (broker.clone(), topic.clone());
        async move {
            for append in 0..APPENDS {
                let size = (append % 5) as usize * 300;
                let value =
                    |partition| format!("{writer}.{append}.{partition}.{}", "x".repeat(size));
                let records = (0..2).map(|partition| (partition, record(value(partition))));
                let append = Append { records: records.collect(), token: None };
                broker.append(&topic, append).await.unwrap();
            }
        }
    };
    let reader = |partition: u32| {
        let (broker, topic) = (broker.clone(), topic.clone());
        async move {
            let mut source = broker.source(&topic, partition, 0).await.unwrap();
            let all = read_until(source.as_mut(), u64::from(WRITERS * APPENDS)).await;
            let mut seen = BTreeSet::new();
            let mut last = vec![None; WRITERS as usize];
            for stored in all {
                let text = String::from_utf8(stored.record.value.unwrap().into()).unwrap();
                let parts: Vec<u32> =
                    text.split('.').take(3).map(|part| part.parse().unwrap()).collect();
                assert_eq!(parts[2], partition);
                assert!(last[parts[0] as usize] < Some(parts[1]), "{text} is out of order");
                last[parts[0] as usize] = Some(parts[1]);
                assert!(seen.insert((parts[0], parts[1])));
            }
            assert_eq!(seen.len(), (WRITERS * APPENDS) as usize);
        }
    };
    let readers: Vec<_> = (0..4).map(|index| tokio::spawn(reader(index % 2))).collect();
    let writers: Vec<_> = (0..WRITERS).map(|index| tokio::spawn(writer(index))).collect();
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
}

pub async fn a_reader_does_not_wait_for_a_broker_that_was_dropped(place: impl Place) {
    let broker = place.open().await;
    let topic = topic(&broker, "a", 1).await;
    let mut source = broker.source(&topic, 0, 0).await.unwrap();
    let mut next = source.next(LIMITS);
    assert!(next.as_mut().now_or_never().is_none());
    drop(broker);
    // Damaged: under fire the read that waits may be the one that is cut.
    let told = next.await;
    assert!(matches!(told, Err(BrokerError::Unavailable(_) | BrokerError::Damaged(_))), "{told:?}");
}
