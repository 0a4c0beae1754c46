//! Limits, traps and the life of an instance.

use super::*;
use crate::{ShardState, SharedState};

fn which(result: Result<Vec<crate::Action>, CallError>) -> &'static str {
    match result {
        Err(CallError::Limit { which, .. }) => which,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_loop_is_stopped_at_its_deadline_and_the_instance_is_dead() {
    let limits = Limits { call_ms: 30, ..Limits::default() };
    let mut instance = limited("loop", 0, limits).await;
    assert_eq!(which(process(&mut instance, batch(1, 0)).await), "call_ms");
    assert_eq!(process(&mut instance, batch(1, 0)).await, Err(CallError::Dead));
    assert_eq!(instance.pause().await, Err(CallError::Dead));
}

#[tokio::test]
async fn a_limit_below_what_the_guest_needs_to_start_is_named() {
    let limits = Limits { memory: 64 << 10, ..Limits::default() };
    let error = plugin().await.instantiate(Setup { limits, ..setup("{}") }).await.unwrap_err();
    assert!(matches!(error, CallError::Limit { which: "memory", .. }), "{error}");
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_words_and_where_it_was() {
    let mut instance = acting("panic").await;
    let error = process(&mut instance, batch(1, 0)).await.unwrap_err();
    let CallError::Trap(words) = error else { panic!("{error:?}") };
    assert!(words.contains("deliberate"), "{words}");
    assert!(words.contains("wasm backtrace"), "{words}");
}

#[tokio::test]
async fn emitting_more_events_or_bytes_than_granted_is_stopped() {
    let limits = Limits { emit_events: 10, ..Limits::default() };
    assert_eq!(
        which(process(&mut limited("emit", 11, limits).await, batch(1, 0)).await),
        "emit_events"
    );
    let limits = Limits { emit_bytes: 5_000, ..Limits::default() };
    let mut instance = limited("emit", 11, limits.clone()).await;
    assert_eq!(which(process(&mut instance, batch(1, 0)).await), "emit_bytes");
    let mut instance = limited("emit", 4, limits).await;
    assert_eq!(process(&mut instance, batch(1, 0)).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_the_path_of_the_value() {
    let error = plugin().await.instantiate(setup(r#"{"times":"x"}"#)).await.unwrap_err();
    let CallError::Fatal(words) = error else { panic!("{error:?}") };
    assert!(words.starts_with("times: "), "{words}");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_instance_dead() {
    for soft_ms in [1, 10_000] {
        let limits = Limits { soft_ms, call_ms: 60_000, ..Limits::default() };
        let mut instance = limited("loop", 0, limits).await;
        let flow = Arc::from("in");
        let call = instance.process(0, &flow, batch(1, 0));
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, call).await.is_err());
        assert_eq!(process(&mut instance, batch(1, 0)).await, Err(CallError::Dead));
    }
}

#[tokio::test]
async fn state_is_written_for_the_batch_that_is_open() {
    let state = SharedState::new(ShardState::default());
    let mut instance =
        instance(Setup { state: state.clone(), ..setup(r#"{"act":"count"}"#) }).await;
    for expected in 1..=2 {
        state.lock().begin();
        process(&mut instance, batch(1, 0)).await.unwrap();
        let changes = state.lock().take_changes();
        assert_eq!(changes, [(Bytes::from_static(b"n"), Some(Bytes::from(vec![expected])))]);
    }
    (0..2).for_each(|_| state.lock().abandon());
    assert_eq!(state.lock().get(b"n"), None);
}

#[tokio::test]
async fn state_cannot_be_written_outside_of_a_batch() {
    let setup = setup(r#"{"act":"write-in-init"}"#);
    setup.state.lock().begin();
    let error = plugin().await.instantiate(setup).await.unwrap_err();
    assert!(matches!(&error, CallError::Fatal(words) if words.contains("denied")), "{error}");
}

#[tokio::test]
async fn a_full_state_is_told_to_the_guest() {
    let limits = Limits { state_bytes: 10_000, ..Limits::default() };
    let setup = Setup { limits, ..setup(r#"{"act":"fill","times":100}"#) };
    let state = setup.state.clone();
    let mut instance = instance(setup).await;
    state.lock().begin();
    let error = process(&mut instance, batch(1, 0)).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Fatal(words) if words.contains("state_bytes=10000")),
        "{error}"
    );
    assert!(state.lock().size() <= 10_000);
}

#[tokio::test]
async fn pause_resume_and_destroy_reach_the_guest() {
    let mut instance = acting("refuse-pause").await;
    assert_eq!(instance.pause().await, Err(CallError::Retry("busy".to_owned())));
    assert_eq!(instance.resume().await, Ok(()));
    assert_eq!(instance.destroy().await, Ok(()));
}
