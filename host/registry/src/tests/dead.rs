//! Dead letters in the registry: which are dealt with, replays that several shards end, versions that
//! stay.

use super::*;
use host_events::Incarnation;
use uuid::Uuid;

const FLOW: Incarnation = Incarnation(Uuid::from_u128(7));

fn letters(ranges: &[(u32, u64, u64)]) -> Letters {
    let mut letters = Letters::default();
    ranges.iter().for_each(|(partition, from, to)| letters.add(*partition, *from, *to));
    letters
}

/// A registry whose steps are made at once, and its processor.
async fn started(dir: &Path) -> (Registry, Reconciler, Name) {
    let registry = furnished(dir).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir)));
    (registry, reconciler, name("p.n.test"))
}

async fn dead(registry: &Registry) -> (Uuid, Box<DeadLetters>) {
    let row = registry.processor(&name("p.n.test")).await.unwrap().unwrap();
    (row.id, row.dead)
}

#[tokio::test]
async fn the_dead_letter_flow_lies_in_the_processors_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    assert_eq!(registry.dead_flow_of(&name("p.n.test")).unwrap(), name("p.dead.n.test"));
    assert_eq!(registry.dead_flow_of(&name("a.b.n.test")).unwrap(), name("a.b.dead.n.test"));
    assert!(registry.dead_flow_of(&name("p.else.test")).is_err());
    // Too long for a name with what the dead letters add: refused when it is asked for.
    let label = |n: usize| "x".repeat(n);
    let long = format!("{}.{}.{}.n.test", label(63), label(63), label(61));
    let new = new_processor(&long, &["a.n.test"], &["b.n.test"]);
    let refused = registry.create_processor(new).await.unwrap_err().to_string();
    assert!(refused.contains("dead letters"), "{refused}");
}

#[tokio::test]
async fn a_replay_ends_when_every_shard_is_through_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, reconciler, p) = started(dir.path()).await;
    let asked = registry.replay(&p, FLOW, letters(&[(0, 0, 3)]), Letters::default()).await.unwrap();
    reconciler.wait(asked).await.unwrap();
    let second =
        registry.replay(&p, FLOW, letters(&[(0, 3, 4)]), Letters::default()).await.unwrap_err();
    assert!(matches!(second, RegistryError::Conflict { .. }), "{second}");
    let (id, now) = dead(&registry).await;
    let number = now.replay.unwrap().number;
    registry.replayed(id, number, 0, 2).await.unwrap();
    registry.replayed(id, number, 0, 2).await.unwrap();
    assert!(dead(&registry).await.1.handled.is_empty());
    registry.replayed(id, number, 1, 2).await.unwrap();
    let (_, now) = dead(&registry).await;
    assert_eq!((now.handled, now.replay), (letters(&[(0, 0, 3)]), None));
    // Said again after a crash.
    registry.replayed(id, number, 1, 2).await.unwrap();
    let none =
        registry.replay(&p, FLOW, letters(&[(0, 0, 3)]), Letters::default()).await.unwrap_err();
    assert!(matches!(none, RegistryError::Conflict { .. }), "{none}");
    drop(registry);
    drop(reconciler);
    let registry = open(dir.path()).await;
    assert_eq!(dead(&registry).await.1.handled, letters(&[(0, 0, 3)]));
}

#[tokio::test]
async fn discarded_letters_are_closed_and_another_life_of_the_flow_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, _reconciler, p) = started(dir.path()).await;
    registry.discard(&p, FLOW, letters(&[(0, 0, 2), (3, 5, 6)]), Letters::default()).await.unwrap();
    registry.discard(&p, FLOW, letters(&[(0, 1, 4)]), Letters::default()).await.unwrap();
    assert_eq!(dead(&registry).await.1.handled, letters(&[(0, 0, 4), (3, 5, 6)]));
    assert!(registry.discard(&p, FLOW, letters(&[(0, 0, 4)]), Letters::default()).await.is_err());
    let other = Incarnation(Uuid::from_u128(8));
    registry.discard(&p, other, letters(&[(0, 0, 1)]), Letters::default()).await.unwrap();
    let (_, now) = dead(&registry).await;
    assert_eq!((now.flow, now.handled), (Some(other), letters(&[(0, 0, 1)])));
}

#[tokio::test]
async fn more_single_letters_than_a_row_may_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, _reconciler, p) = started(dir.path()).await;
    let every_second: Vec<_> = (0..4_001).map(|n| (0, 2 * n, 2 * n + 1)).collect();
    registry.discard(&p, FLOW, letters(&every_second[..4_000]), Letters::default()).await.unwrap();
    let full =
        registry.discard(&p, FLOW, letters(&every_second), Letters::default()).await.unwrap_err();
    assert!(full.to_string().contains("too many single dead letters"), "{full}");
    // What lies between makes room.
    registry.discard(&p, FLOW, letters(&[(0, 0, 8_002)]), Letters::default()).await.unwrap();
    assert_eq!(dead(&registry).await.1.handled.ranges(), 1);
}

#[tokio::test]
async fn a_pinned_processor_keeps_the_version_of_the_moment_it_was_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, reconciler, p) = started(dir.path()).await;
    let set = async |upgrade: &str, pin: &str| {
        let options = config(&[("upgrade", upgrade)]);
        let change = ProcessorChange { options, pin: Some(pin.to_owned()), ..Default::default() };
        let entry = registry.update_processor(&p, change).await.unwrap();
        reconciler.wait(entry).await.unwrap();
        registry.processor(&p).await.unwrap().unwrap().pinned
    };
    assert_eq!(set("pinned", "d1").await.as_deref(), Some("d1"));
    assert_eq!(set("pinned", "d2").await.as_deref(), Some("d1"));
    assert_eq!(set("auto", "d2").await, None);
    assert_eq!(set("pinned", "d2").await.as_deref(), Some("d2"));
}
