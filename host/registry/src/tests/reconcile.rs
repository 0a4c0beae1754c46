//! The reconciler against a world that fails, refuses, or stops at each step.

use std::time::Duration;

use tokio::time::Instant;

use super::world::Stop;
use super::*;

#[tokio::test]
async fn every_command_is_finished_wherever_its_reconciler_was_dropped() {
    for what in COMMANDS {
        for stop in [Stop::Before(0), Stop::After(0), Stop::Before(1), Stop::After(1)] {
            let dir = tempfile::tempdir().unwrap();
            let registry = furnished(dir.path()).await;
            prepare(&registry, &World::at(dir.path()), what).await;
            let world = World::at(dir.path()).stop_at(stop);
            let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
            let entry = command(&registry, what).await.unwrap();
            tokio::select! {
                () = world.wait_for_stop() => {}
                // Fewer steps than that: it just ends.
                ended = reconciler.wait(entry) => ended.unwrap(),
            }
            drop(reconciler);
            drop(registry);
            let registry = open(dir.path()).await;
            let world = World::at(dir.path());
            let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
            reconciler.wait(entry).await.unwrap_or_else(|error| panic!("{what} {stop:?}: {error}"));
            assert_agreement(&registry, &world).await;
        }
    }
}

#[tokio::test]
async fn every_command_that_is_refused_is_undone_or_tried_until_it_is_not() {
    for what in COMMANDS {
        let dir = tempfile::tempdir().unwrap();
        let registry = furnished(dir.path()).await;
        prepare(&registry, &World::at(dir.path()), what).await;
        let before = rows(&registry).await;
        let world = World::at(dir.path()).refuse(Refusal::Conflict("not now".to_owned()));
        let _reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
        let entry = command(&registry, what).await.unwrap();
        if *what == "delete processor" {
            // There is no way back: it may be half drained.
            world.wait_for_calls(2).await;
            world.agree();
            registry.wait(entry, COMMAND_WAIT).await.unwrap();
        } else {
            let error = registry.wait(entry, COMMAND_WAIT).await.unwrap_err();
            assert!(
                matches!(&error, RegistryError::Conflict { words } if words == "not now"),
                "{error}"
            );
            assert_eq!(rows(&registry).await, before, "{what}");
        }
        assert_agreement(&registry, &world).await;
    }
}

async fn rows(registry: &Registry) -> (Vec<Flow>, Vec<Processor>) {
    (registry.flows(None).await.unwrap(), registry.processors().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_tried_again_and_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let world = World::at(dir.path()).fail(usize::MAX);
    let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
    let (began, entry) = (Instant::now(), command(&registry, "create flow").await.unwrap());
    let error = reconciler.wait(entry).await.unwrap_err();
    assert_eq!(error.to_string(), "goes on in the background: the broker is away");
    // Who waits is told within seconds. 50 ms, doubling to 10 s: some ten tries until then, not hundreds.
    assert!(began.elapsed() < COMMAND_WAIT / 2);
    assert!((5..15).contains(&world.calls().len()), "{:?}", world.calls());
    world.agree();
    reconciler.wait(entry).await.unwrap();
    assert_agreement(&registry, &world).await;
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_a_step_was_made_is_not_told_of_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    // The first of two steps fails once, and the second one takes for ever.
    let world = World::at(dir.path()).fail(1).stop_at(Stop::Before(2));
    let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
    let (began, entry) = (Instant::now(), command(&registry, "delete processor").await.unwrap());
    let error = reconciler.wait(entry).await.unwrap_err();
    assert_eq!(world.calls(), ["apply processor", "apply processor", "forget processor"]);
    assert_eq!(error.to_string(), "goes on in the background");
    assert!(began.elapsed() >= COMMAND_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_performer_that_panics_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let world = World::at(dir.path()).panic(1);
    let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
    let first = command(&registry, "create flow").await.unwrap();
    world.wait_for_calls(1).await;
    let other = command(&registry, "pause processor").await.unwrap();
    registry.wait(other, Duration::from_secs(5)).await.unwrap();
    reconciler.wait(first).await.unwrap();
    assert_agreement(&registry, &world).await;
}

#[tokio::test]
async fn one_thing_that_is_stuck_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let world = World::at(dir.path()).stop_at(Stop::Before(0));
    let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
    command(&registry, "create flow").await.unwrap();
    world.wait_for_stop().await;
    for what in ["pause processor", "update flow", "delete flow"] {
        let entry = command(&registry, what).await.unwrap();
        reconciler.wait(entry).await.unwrap();
    }
}

#[tokio::test]
async fn the_revision_tells_of_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let registry = furnished(dir.path()).await;
    let mut changes = registry.subscribe();
    let before = *changes.borrow_and_update();
    registry.pause_flow(&name("a.n.test")).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), before + 1);
    registry.pause_flow(&name("no.n.test")).await.unwrap_err();
    assert!(!changes.has_changed().unwrap());
}
