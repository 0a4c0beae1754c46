//! Guests that do harm: each is stopped with the limit's name, and another one goes on.

use super::*;
use crate::state::MAX_KEY;
use crate::{ShardState, SharedState};

/// Short times, and memory for a small guest.
fn tight() -> Limits {
    Limits { call_ms: 50, init_ms: 500, memory: 16 << 20, ..Limits::default() }
}

/// An instance that does `act` works through one batch.
async fn after(act: &str, times: u32, limits: Limits) -> Result<Vec<crate::Action>, CallError> {
    let config = format!(r#"{{"act":"{act}","times":{times}}}"#);
    let setup = Setup { limits, ..setup(&config) };
    setup.state.lock().begin();
    let result = match plugin().await.instantiate(setup).await {
        Ok(mut instance) => process(&mut instance, batch(1, 0)).await,
        Err(error) => Err(error),
    };
    let mut neighbour = acting("forward-each").await;
    assert_eq!(process(&mut neighbour, batch(3, 0)).await.unwrap().len(), 3);
    result
}

/// It is stopped for this limit, and the words for people name it.
async fn stopped_by(limit: &str, act: &str, times: u32, limits: Limits) {
    let error = after(act, times, limits).await.unwrap_err();
    let CallError::Limit { which, .. } = &error else { panic!("{act}: {error}") };
    assert_eq!(*which, limit, "{act}");
    assert!(error.to_string().starts_with(&format!("limit passed: {limit}=")), "{error}");
}

async fn trapped(act: &str, words: &str) {
    let error = after(act, 0, tight()).await.unwrap_err();
    assert!(matches!(&error, CallError::Trap(said) if said.contains(words)), "{act}: {error}");
}

async fn broken(act: &str, times: u32, words: &str) {
    let error = after(act, times, tight()).await.unwrap_err();
    assert!(matches!(&error, CallError::Contract(said) if said.contains(words)), "{act}: {error}");
}

#[tokio::test]
async fn a_loop_in_process_ends_at_call_ms() {
    stopped_by("call_ms", "loop", 0, tight()).await;
}

#[tokio::test]
async fn a_loop_in_init_ends_at_init_ms() {
    stopped_by("init_ms", "loop-in-init", 0, tight()).await;
}

#[tokio::test]
async fn a_loop_of_calls_into_the_host_ends_at_call_ms() {
    stopped_by("call_ms", "random-for-ever", 0, tight()).await;
}

#[tokio::test]
async fn one_that_sleeps_for_ever_ends_at_call_ms() {
    stopped_by("call_ms", "sleep-for-ever", 0, tight()).await;
}

#[tokio::test]
async fn one_that_waits_for_input_waits_for_nothing() {
    assert_eq!(after("read", 0, tight()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn memory_taken_at_once_ends_at_memory() {
    stopped_by("memory", "grow", 0, tight()).await;
    stopped_by("memory", "grow-in-init", 0, tight()).await;
}

#[tokio::test]
async fn memory_taken_bit_by_bit_ends_at_memory() {
    let mut instance = limited("grow-slowly", 0, tight()).await;
    let mut calls = 0;
    let error = loop {
        match process(&mut instance, batch(1, 0)).await {
            Ok(_) => calls += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CallError::Limit { which: "memory", .. }), "{error}");
    assert!((1..16).contains(&calls), "{calls}");
}

#[tokio::test]
async fn a_recursion_without_end_ends_at_stack_bytes() {
    stopped_by("stack_bytes", "recurse", 0, tight()).await;
    stopped_by("stack_bytes", "recurse-in-init", 0, tight()).await;
}

#[tokio::test]
async fn traps_are_told_with_their_words() {
    trapped("panic", "deliberate").await;
    trapped("trap-in-init", "deliberate").await;
    trapped("exit", "exit").await;
}

#[tokio::test]
async fn a_trap_or_a_loop_in_pause_or_destroy_ends_that_call_only() {
    for act in ["trap-in-pause", "trap-in-destroy", "loop-in-pause", "loop-in-destroy"] {
        let mut instance = limited(act, 0, tight()).await;
        let ended = match act.rsplit('-').next() {
            Some("pause") => instance.pause().await,
            _ => instance.destroy().await,
        };
        let error = ended.unwrap_err();
        assert!(!error.is_alive(), "{error}");
        let words = if act.starts_with("loop") { "limit passed: call_ms=50" } else { "deliberate" };
        assert!(error.to_string().contains(words), "{error}");
    }
    after("", 0, tight()).await.unwrap();
}

#[tokio::test]
async fn indexes_and_outputs_that_do_not_exist_break_the_contract() {
    broken("unknown-output", 0, "names output 9 of 1").await;
    broken("unknown-index", 0, "names event 999 of 1").await;
}

#[tokio::test]
async fn an_event_that_dies_more_than_once_breaks_the_contract() {
    broken("dead-letters", 2, "more dead letters than there are events, 1").await;
    assert_eq!(after("dead-letters", 1, tight()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_million_actions_end_at_lifted_bytes() {
    let few =
        Limits { emit_events: 1, emit_bytes: 1, batch_events: 1, memory: 128 << 20, ..tight() };
    let limits = Limits { call_ms: 2_000, ..few };
    stopped_by("lifted_bytes", "many-actions", 1_000_000, limits.clone()).await;
    // Nobody has set that one: those that may be set, and may be broken, are named.
    let error = after("many-actions", 1_000_000, limits).await.unwrap_err().to_string();
    assert!(error.contains("more at once than emit_events=1, emit_bytes=1 and "), "{error}");
}

#[tokio::test]
async fn actions_that_share_one_buffer_end_at_lifted_bytes() {
    let limits = Limits { emit_bytes: 8 << 20, memory: 64 << 20, call_ms: 2_000, ..tight() };
    stopped_by("lifted_bytes", "alias-emits", 10_000, limits.clone()).await;
    stopped_by("lifted_bytes", "alias-rewrites", 10_000, limits).await;
}

#[tokio::test]
async fn too_many_events_or_bytes_end_at_emit_events_and_emit_bytes() {
    let limits = Limits { emit_events: 10, ..tight() };
    stopped_by("emit_events", "emit", 11, limits).await;
    let limits = Limits { emit_bytes: 5_000, ..tight() };
    stopped_by("emit_bytes", "emit", 11, limits).await;
}

async fn refused_state(act: &str, times: u32, words: &str) {
    let limits = Limits { state_bytes: 10_000, state_value_bytes: 2_000, ..tight() };
    let error = after(act, times, limits).await.unwrap_err();
    assert!(matches!(&error, CallError::Fatal(said) if said.contains(words)), "{act}: {error}");
}

#[tokio::test]
async fn a_full_state_long_keys_and_long_values_are_told_to_the_guest_by_their_limit() {
    refused_state("fill", 100, "limit passed: state_bytes=10000").await;
    refused_state("long-value", 2_001, "limit passed: state_value_bytes=2000").await;
    let key = format!("limit passed: state_key_bytes={MAX_KEY}");
    refused_state("long-key", MAX_KEY as u32 + 1, &key).await;
}

async fn logged(act: &str, times: u32, limits: Limits) -> Vec<LogLine> {
    let kept = Arc::new(Kept::default());
    let config = format!(r#"{{"act":"{act}","times":{times}}}"#);
    let log = Arc::clone(&kept) as Arc<dyn LogSink>;
    let state = SharedState::new(ShardState::default());
    let mut instance = instance(Setup { limits, log, state, ..setup(&config) }).await;
    process(&mut instance, batch(1, 0)).await.unwrap();
    drop(instance);
    std::mem::take(&mut *kept.0.lock().unwrap())
}

#[tokio::test]
async fn a_flood_of_lines_ends_at_log_lines_and_says_so() {
    let limits = Limits { log_lines: 3, call_ms: 2_000, ..tight() };
    for act in ["log-flood", "print-flood"] {
        let lines = logged(act, 1_000, limits.clone()).await;
        // A second may pass meanwhile.
        assert!((4..100).contains(&lines.len()), "{act}: {}", lines.len());
        assert_eq!(lines[3].message, "limit passed: log_lines=3: lines are left out", "{act}");
    }
}

#[tokio::test]
async fn a_long_line_is_cut_and_cannot_move_a_terminal() {
    let lines = logged("log-long", 100_000, tight()).await;
    let [line] = lines.as_slice() else { panic!("{}", lines.len()) };
    let fields = line.fields.iter().map(|(name, value)| name.len() + value.len());
    assert!(line.message.len() + fields.sum::<usize>() <= crate::log::MAX_LINE);
    assert!(line.message.starts_with(" [2J \n220 OK \n"), "{:?}", line.message.get(..20));
}
