//! Records from a broker to a follower's side of the state machine, and who shares what is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use fnap::stream::{Batch, Begin, Followed, Follower, Partition, Source, Wanted};
use host_brokers::embedded::{Embedded, EmbeddedOptions};
use host_brokers::{
    Append, Appended, BatchLimits, Broker, BrokerError, Opened, ShardId, TopicChange, TopicInfo,
    TopicRef, TopicSpec,
};
use host_events::{Headers, Incarnation, Position, Record, Stored};
use host_observe::Traffic;
use uuid::Uuid;

use super::attach::{Carried, Extent};
use super::give::{Given, Giving, Place, Stream};
use super::logs::{Found, Log, Logs, Waiter, Wakes};
use crate::trace::HEADER as TRACE;
use crate::wire::unpack;

const LIFE: Incarnation = Incarnation(Uuid::from_u128(1));

/// Ten records a read, 10,000 in all; counts reads, and what its own end is made known by.
#[derive(Default)]
struct Counting {
    reads: Arc<AtomicU64>,
}

struct Reader {
    reads: Arc<AtomicU64>,
    next: u64,
}

const END: u64 = 10_000;

#[async_trait]
impl host_brokers::Source for Reader {
    async fn next(&mut self, _: BatchLimits) -> Result<host_events::Batch, BrokerError> {
        // All others have their turns before it is there.
        tokio::task::yield_now().await;
        if self.next >= END {
            std::future::pending::<()>().await;
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let from = self.next;
        self.next = from + 10;
        let value = Some(Bytes::from(vec![7; 40_000]));
        let record = |offset| Stored {
            offset,
            record: Record { value: value.clone(), ..Record::default() },
        };
        let records = (from..self.next).map(record).collect();
        Ok(host_events::Batch { flow: LIFE, partition: 0, records, next: self.next })
    }
}

#[async_trait]
impl Broker for Counting {
    fn kind(&self) -> &'static str {
        "counting"
    }
    fn server(&self) -> String {
        String::new()
    }
    async fn create(&self, _: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        unreachable!()
    }
    async fn update(&self, _: &TopicRef, _: &TopicChange) -> Result<(), BrokerError> {
        unreachable!()
    }
    async fn describe(&self, _: &TopicRef) -> Result<TopicInfo, BrokerError> {
        unreachable!()
    }
    async fn delete(&self, _: &TopicRef) -> Result<(), BrokerError> {
        unreachable!()
    }
    async fn purge(&self, _: &TopicRef) -> Result<(), BrokerError> {
        unreachable!()
    }
    async fn append(&self, _: &TopicRef, _: Append) -> Result<Appended, BrokerError> {
        unreachable!()
    }
    async fn source(
        &self,
        _: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn host_brokers::Source>, BrokerError> {
        match partition {
            0 => Ok(Box::new(Reader { reads: Arc::clone(&self.reads), next: from })),
            _ => Err(BrokerError::OutOfRange { partition, wanted: from, earliest: 5, latest: 9 }),
        }
    }
    async fn offset_at(&self, _: &TopicRef, _: u32, _: i64) -> Result<u64, BrokerError> {
        unreachable!()
    }
    async fn open(&self, _: ShardId) -> Result<Opened, BrokerError> {
        unreachable!()
    }
    async fn reposition(&self, _: ShardId, _: Position, _: bool) -> Result<(), BrokerError> {
        unreachable!()
    }
    async fn forget(&self, _: Uuid) -> Result<(), BrokerError> {
        unreachable!()
    }
}

fn topic() -> TopicRef {
    TopicRef::new("t", LIFE)
}

fn counted() -> (Logs, Arc<dyn Broker>, Arc<AtomicU64>) {
    let broker = Counting::default();
    let reads = Arc::clone(&broker.reads);
    (Logs::default(), Arc::new(broker), reads)
}

/// Follows a partition from a place to the end; gives how many records came.
async fn follow(log: Arc<Log>, mut next: u64) -> u64 {
    let (wakes, mut count) = (Arc::new(Wakes::default()), 0);
    while next < END {
        let waiter = Waiter { wakes: Arc::clone(&wakes), place: (1, 0) };
        match log.at(next, waiter) {
            Found::Batch(batch) => {
                count += batch.records.iter().filter(|stored| stored.offset >= next).count() as u64;
                next = batch.next;
            }
            Found::Later(want) => {
                wakes.bell.notified().await;
                assert!(wakes.take().iter().all(|woken| woken.failed.is_none()));
                drop(want);
            }
        }
    }
    count
}

#[tokio::test]
async fn followers_at_the_same_place_share_each_read() {
    let (logs, broker, reads) = counted();
    let follower = |_| tokio::spawn(follow(logs.open(("b", &broker), &topic(), 0, END), 0));
    let all: Vec<_> = (0..20).map(follower).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), END);
    }
    // In step they read each once; who fell a little behind found it kept.
    assert_eq!(reads.load(Ordering::Relaxed), END / 10);
}

#[tokio::test]
async fn who_is_far_behind_reads_for_himself_and_what_is_kept_is_bounded() {
    let (logs, broker, reads) = counted();
    let log = logs.open(("b", &broker), &topic(), 0, END);
    // 4 GB pass, and 64 MiB of them are kept.
    assert_eq!(follow(Arc::clone(&log), 0).await, END);
    assert!(logs.octets() <= 64 << 20, "{}", logs.octets());
    assert_eq!(follow(Arc::clone(&log), 10).await, END - 10);
    assert_eq!(reads.load(Ordering::Relaxed), 2 * END / 10 - 1);
    // The end is kept.
    assert_eq!(follow(Arc::clone(&log), END - 100).await, 100);
    assert_eq!(reads.load(Ordering::Relaxed), 2 * END / 10 - 1);
    drop(log);
    assert!(logs.is_unused());
}

#[tokio::test]
async fn a_wait_that_is_given_up_ends_its_read_and_an_error_is_told_to_all() {
    let (logs, broker, _) = counted();
    let wakes = Arc::new(Wakes::default());
    let waiter = |partition| Waiter { wakes: Arc::clone(&wakes), place: (1, partition) };
    let log = logs.open(("b", &broker), &topic(), 0, END);
    let Found::Later(want) = log.at(END, waiter(0)) else { panic!("beyond the end") };
    let Found::Later(other) = log.at(END, waiter(0)) else { panic!("beyond the end") };
    tokio::task::yield_now().await;
    drop((want, other, log));
    while !logs.is_unused() {
        tokio::task::yield_now().await;
    }
    let gone = logs.open(("b", &broker), &topic(), 1, END);
    let _wants = [gone.at(3, waiter(1)), gone.at(3, waiter(1))];
    let mut told = Vec::new();
    while told.len() < 2 {
        wakes.bell.notified().await;
        told.extend(wakes.take());
    }
    for woken in told {
        let out = Some(BrokerError::OutOfRange { partition: 1, wanted: 3, earliest: 5, latest: 9 });
        let failed = woken.failed.map(|failed| {
            assert!(!failed.of_view);
            failed.error
        });
        assert_eq!(format!("{failed:?}"), format!("{out:?}"));
    }
}

#[tokio::test]
async fn what_was_read_of_a_topic_is_forgotten_when_it_is_purged_and_nothing_else_is() {
    let (logs, broker, reads) = counted();
    let log = logs.open(("b", &broker), &topic(), 0, END);
    let other = logs.open(("b", &broker), &TopicRef::new("other", LIFE), 0, END);
    for log in [&log, &other] {
        assert_eq!(follow(Arc::clone(log), END - 100).await, 100);
    }
    assert_eq!(reads.load(Ordering::Relaxed), 20);
    let wakes = Arc::new(Wakes::default());
    let waiter = || Waiter { wakes: Arc::clone(&wakes), place: (1, 0) };
    let Found::Later(_waits) = log.at(END, waiter()) else { panic!("beyond the end") };
    // Somebody is in the middle of reading.
    let Found::Later(_reads) = log.at(0, waiter()) else { panic!("kept") };
    let octets = logs.octets();
    logs.forget("b", &topic());
    assert!(logs.octets() < octets && logs.octets() > 0);
    assert!(matches!(log.at(END - 100, waiter()), Found::Later(_)), "it was purged");
    let kept = other.at(END - 100, waiter());
    assert!(matches!(kept, Found::Batch(_)), "that is another topic");
    // Those who waited ask anew.
    let told = wakes.take();
    assert_eq!((told.len(), told.iter().all(|woken| woken.failed.is_none())), (2, true));
    assert_eq!(follow(Arc::clone(&log), END - 100).await, 100);
}

/// Records as nobody expects them.
fn odd() -> Vec<Record> {
    let headers = |all: &[(&[u8], Option<&[u8]>)]| all.iter().copied().collect::<Headers>();
    let big = Bytes::from((0..100_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
    let all = [
        (None, None, headers(&[]), 0),
        (Some(""), Some(Bytes::new()), headers(&[(b"", None), (b"", Some(b""))]), -5),
        (Some("k"), Some(big), headers(&[(b"a", None), (b"a", Some(b"\xff\x00"))]), 1),
        (
            None,
            Some(Bytes::from(vec![7; 5_000])),
            headers(&[(TRACE, Some(b"one.ar,two.ar"))]),
            i64::MAX,
        ),
    ];
    let record = |(key, value, headers, timestamp): (Option<&'static str>, _, _, _)| Record {
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        value,
        headers,
        timestamp,
    };
    all.into_iter().map(record).collect()
}

fn carry(from: &mut impl Buf, to: &mut Follower) {
    while from.has_remaining() {
        let piece = from.copy_to_bytes(from.chunk().len());
        to.receive(&piece);
    }
}

/// A stream of one partition from its beginning.
fn stream<'a>(log: Arc<Log>, traffic: &'a Traffic) -> Stream<'a> {
    let name: fnap::name::Name = "a.flows.unix.ar".parse().unwrap();
    let carried = Carried {
        name: name.clone(),
        subscription: false,
        flow: name,
        incarnation: LIFE,
        view: vec![],
    };
    Stream {
        carried,
        attachment: None,
        extent: Extent { known: 1, all: true },
        held: false,
        settling: None,
        places: BTreeMap::from([(0, Place { log, next: 0, want: None, dull: 0 })]),
        stalled: Vec::new(),
        well: false,
        viewed: std::time::Duration::ZERO,
        _counted: traffic.streams_open.hold(),
    }
}

#[tokio::test]
async fn records_cross_byte_for_byte_packed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker: Arc<dyn Broker> =
        Embedded::open(dir.path(), EmbeddedOptions::default()).await.unwrap();
    let spec =
        TopicSpec { topic: topic(), partitions: 1, replication: None, config: BTreeMap::new() };
    broker.create(&spec).await.unwrap();
    let records = odd().into_iter().map(|record| (0, record)).collect();
    broker.append(&topic(), Append { records, token: None }).await.unwrap();
    for zstd in [false, true] {
        let (logs, traffic, wakes) = (Logs::default(), Traffic::new(&[]), Arc::default());
        let log = logs.open(("b", &broker), &topic(), 0, 4);
        let (mut source, mut follower) = (Source::new(true), Follower::new(zstd));
        let flow = "a.flows.unix.ar".parse().unwrap();
        let (incarnation, begin, credit) = (String::new(), Begin::Earliest, 100_000);
        let wanted = Wanted { flow, incarnation, positions: BTreeMap::new(), begin, credit };
        let number = follower.attach(wanted).unwrap();
        let mut stream = stream(log, &traffic);
        let (mut came, mut begun): (Vec<Batch>, bool) = (Vec::new(), false);
        while came.iter().map(|batch| batch.count).sum::<usize>() < 4 {
            let said = follower.outgoing();
            while said.has_remaining() {
                source.receive(&said.copy_to_bytes(said.chunk().len()));
            }
            while source.next_event().unwrap().is_some() {}
            if !begun {
                let partition = Partition { partition: 0, earliest: 0, latest: 4, next: 0 };
                source.attached(number, &LIFE.to_string(), &[partition]).unwrap();
                begun = true;
            }
            let mut giving =
                Giving { source: &mut source, wakes: &wakes, traffic: &traffic, seat: None };
            if let Given::Over(failure) = giving.give(&mut stream, (number, 0)) {
                panic!("{failure}");
            }
            if let Some(want) = stream.places.get_mut(&0).and_then(|place| place.want.take()) {
                wakes.bell.notified().await;
                drop(want);
            }
            carry(source.outgoing(), &mut follower);
            while let Some(event) = follower.next_event().unwrap() {
                let Followed::Records(batch) = event else { continue };
                follower.used(number, batch.cost);
                came.push(batch);
            }
        }
        let came = came.iter().flat_map(|batch| batch.open(unpack).unwrap());
        for ((offset, sent), came) in (0..).zip(odd()).zip(came) {
            let headers =
                came.headers.iter().map(|header| (&*header.name, header.value.as_deref()));
            let headers: Headers = headers.collect();
            let trace = came.trace.join(",");
            assert_eq!((came.offset, came.key, came.value), (offset, sent.key, sent.value));
            assert_eq!(came.timestamp, sent.timestamp);
            if offset == 3 {
                assert_eq!((headers.is_empty(), trace.as_str()), (true, "one.ar,two.ar"));
            } else {
                assert_eq!((headers, trace.as_str()), (sent.headers, ""));
            }
        }
        assert_eq!(traffic.stream_events.get(), 4);
    }
}
