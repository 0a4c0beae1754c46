//! Batches through the included bridge, and how much waits when there are many views.

use std::collections::BTreeMap;

use bytes::Bytes;
use host_events::{CloudEvent, Incarnation, Record, Value};
use host_plugins::{Catalog, Engine, EngineOptions, MemoryStore, NoTrial, Outcome};
use host_registry::Registry;
use tempfile::TempDir;
use uuid::Uuid;

use super::parlour::MOST_KEPT;
use super::*;
use crate::supervisor::Options;

async fn processors(dir: &TempDir) -> Processors {
    let options = EngineOptions { pool: 0, ..EngineOptions::new(dir.path().join("cache")) };
    let engine = Engine::new(&options).unwrap();
    let (store, trial) = (Arc::new(MemoryStore::default()), Arc::new(NoTrial));
    let catalog = Catalog::open(engine, store, trial).await.unwrap();
    let bridge = host_builtin::all().into_iter().find(|plugin| plugin.name == "bridge").unwrap();
    let offered = catalog.offer("bridge.wasm", Bytes::from_static(bridge.component)).await;
    assert!(matches!(offered, Outcome::Activated { .. }), "{offered:?}");
    let registry = Registry::open(&dir.path().join("registry.db")).await.unwrap();
    let limits = Limits { batch_events: 7, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    Processors::new(registry, Arc::new(BTreeMap::new()), catalog, options)
}

fn view(processors: &Processors, filter: &str) -> View {
    let lens = Lens::filter(Whose::Subscribers, filter);
    processors.view(&"a.n.test".parse().unwrap(), &[lens], b"trace")
}

/// Events at the offsets 0, 3, 6, …, each of which says its number.
fn batch(numbers: std::ops::Range<u64>) -> Batch {
    let event = |n: u64| {
        let mut event = CloudEvent::new("1", "/s", "t").unwrap();
        event.set("subject", Value::String((n % 10).to_string())).unwrap();
        Stored { offset: n * 3, record: event.to_record(0) }
    };
    let next = numbers.end * 3 + 100;
    let records = numbers.map(event).collect();
    Batch { flow: Incarnation(Uuid::nil()), partition: 0, records, next }
}

fn offsets(batch: &Batch) -> Vec<u64> {
    batch.records.iter().map(|stored| stored.offset).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_somebody_begins_he_sees_what_is_to_be_seen_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let processors = processors(&dir).await;
    let view = view(&processors, "subject == '4'");
    for from in [0, 1, 4, 5, 13, 14, 15, 99, 100] {
        let seen = view.pass(&batch(from..100)).await.unwrap();
        let wanted = (from..100).filter(|n| n % 10 == 4).map(|n| n * 3);
        assert_eq!((offsets(&seen), seen.next), (Vec::from_iter(wanted), 400), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_early_where_it_has_become_large_and_goes_on_there() {
    let dir = tempfile::tempdir().unwrap();
    let processors = processors(&dir).await;
    let view = view(&processors, "true");
    let mut whole = batch(0..30);
    let large = |stored: &Stored| {
        let value = Some(Bytes::from(vec![b'x'; 100_000]));
        Stored { record: Record { value, ..stored.record.clone() }, ..*stored }
    };
    whole.records = whole.records.iter().map(large).collect();
    let seen = view.pass(&whole).await.unwrap();
    // Seven at a time, until there is a mebibyte.
    assert_eq!((seen.records.len(), seen.next), (14, 42));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_evaluated_is_not_let_through() {
    let dir = tempfile::tempdir().unwrap();
    let processors = processors(&dir).await;
    let wrong = view(&processors, "subject ==").pass(&batch(0..1)).await;
    assert!(matches!(wrong, Err(ViewError::Filter(_))), "{wrong:?}");
    let lens = Lens::policy("absent {}");
    let absent = processors.view(&"a.n.test".parse().unwrap(), &[lens], b"trace");
    let error = absent.pass(&batch(0..1)).await.unwrap_err();
    assert_eq!(error.to_string(), "the policy of the flow's owner does not work");
    assert!(error.cause().contains("no processor type absent"), "{}", error.cause());
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_views_there_are_so_many_instances_wait_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let processors = processors(&dir).await;
    let all: Vec<View> =
        (0..MOST_KEPT + 20).map(|n| view(&processors, &format!("id != 'x{n}'"))).collect();
    // The first ones have none any more, and make another one.
    for one in all.iter().chain(&all[..3]) {
        assert_eq!(one.pass(&batch(0..10)).await.unwrap().records.len(), 10);
    }
    let parlour = &processors.0.parlour;
    assert_eq!(parlour.waiting(), MOST_KEPT);
    drop(all);
    assert_eq!(parlour.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_filters_take_no_room_of_owners_policies() {
    use futures::FutureExt as _;

    let dir = tempfile::tempdir().unwrap();
    let processors = processors(&dir).await;
    let parlour = &processors.0.parlour;
    let mut working = Vec::new();
    for slow in [false, true] {
        while let Some(room) = parlour.enter(true, slow).now_or_never() {
            working.push(room);
        }
        assert!(parlour.enter(false, slow).now_or_never().is_some());
    }
    let lens = Lens::filter(Whose::Owners, "true");
    let owners = processors.view(&"a.n.test".parse().unwrap(), &[lens], b"trace");
    assert_eq!(owners.pass(&batch(0..10)).await.unwrap().records.len(), 10);
    let strange = view(&processors, "true");
    let batch = batch(0..10);
    assert!(strange.pass(&batch).now_or_never().is_none(), "theirs is taken");
    drop(working);
    assert_eq!(strange.pass(&batch).await.unwrap().records.len(), 10);
}
