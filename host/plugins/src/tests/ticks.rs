//! Calls by the clock: what a guest may do in one, and what it may ask for.

use std::time::Duration;

use super::*;
use crate::{Action, Optional, ShardState, SharedState};

const NOW: i64 = 1_700_000_000_000;

async fn ticking(act: &str) -> Instance {
    let limits = Limits { call_ms: 50, ..Limits::default() };
    let config = format!(r#"{{"act":"{act}","tick":1000}}"#);
    instance(Setup { limits, ..setup(&config) }).await
}

#[tokio::test]
async fn a_tick_emits_and_writes_at_its_moment() {
    let state = SharedState::new(ShardState::default());
    let mut instance = instance(Setup { state: state.clone(), ..setup(r#"{"tick":100}"#) }).await;
    assert_eq!(instance.interval(), Some(Duration::from_millis(100)));
    for number in 1..=2_u64 {
        state.lock().begin();
        let actions = instance.tick(NOW).await.unwrap();
        let [Action::Emit { output: 0, key: None, record }] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        let event = CloudEvent::from_record(record).unwrap().unwrap();
        let text = |name| event.attribute(name).unwrap().canonical().into_owned();
        assert_eq!((event.id(), record.timestamp), (number.to_string().as_str(), NOW));
        assert_eq!((text("now"), text("clock")), (NOW.to_string(), NOW.to_string()));
        let changes = state.lock().take_changes();
        assert_eq!(
            changes,
            [(Bytes::from("ticks"), Some(Bytes::from(number.to_be_bytes().to_vec())))]
        );
    }
}

#[tokio::test]
async fn a_tick_cannot_name_events_or_outputs_that_are_not_there() {
    for (act, words) in [
        ("tick-forward", "names event 0 of 0"),
        ("tick-letter", "names event 0 of 0"),
        ("tick-output", "names output 9 of 1"),
        ("tick-reject", "rejects event 0 of 0: none"),
    ] {
        let refused = ticking(act).await.tick(NOW).await;
        assert_eq!(refused, Err(CallError::Contract(words.to_owned())), "{act}");
    }
    let fatal = ticking("tick-fatal").await.tick(NOW).await;
    assert_eq!(fatal, Err(CallError::Fatal("stop".to_owned())));
}

#[tokio::test]
async fn a_tick_has_the_limits_of_a_call() {
    let late = ticking("tick-loop").await.tick(NOW).await;
    assert!(matches!(late, Err(CallError::Limit { which: "call_ms", .. })), "{late:?}");
    let trapped = ticking("tick-trap").await.tick(NOW).await;
    assert!(matches!(trapped, Err(CallError::Trap(_))), "{trapped:?}");
    // Nor can it write once the call is over.
    let mut idle = ticking("tick-idle").await;
    assert_eq!(idle.tick(NOW).await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_interval_beyond_its_limits_is_refused_with_them() {
    for tick in [1, 99, 86_400_001] {
        let setup = setup(&format!(r#"{{"tick":{tick}}}"#));
        let refused = plugin().await.instantiate(setup).await.unwrap_err().to_string();
        let words =
            format!("timer_min_ms=100 timer_max_ms=86400000: asks for a tick every {tick} ms");
        assert!(refused.contains(&words), "{refused}");
    }
}

#[tokio::test]
async fn who_wants_no_ticks_or_has_no_timer_gets_none() {
    assert_eq!(acting("").await.interval(), None);
    assert!(plugin().await.exports(Optional::Timer));
    assert!(plugin().await.interfaces().contains(&"timer"));
    let first = Bytes::from_static(include_bytes!("../../tests/fixtures/v0_1_0.wasm"));
    let first = engine().load(first).await.unwrap();
    assert!(!first.exports(Optional::Timer));
    let mut instance = first.instantiate(setup("{}")).await.unwrap();
    assert_eq!((instance.interval(), instance.tick(NOW).await), (None, Ok(Vec::new())));
}
