//! What instances use up is counted, whatever becomes of them.

use super::*;
use crate::Usage;

async fn counted(act: &str, times: u32, limits: Limits) -> (Instance, Arc<Usage>) {
    let usage = Arc::<Usage>::default();
    let config = format!(r#"{{"act":"{act}","times":{times}}}"#);
    let setup = Setup { limits, usage: Arc::clone(&usage), ..setup(&config) };
    (instance(setup).await, usage)
}

#[tokio::test]
async fn calls_time_and_memory_are_counted_and_memory_only_as_long_as_it_is_there() {
    let (mut instance, usage) = counted("many-mebibytes", 20, Limits::default()).await;
    let begun = usage.look();
    assert_eq!(
        (begun.instances, begun.calls),
        (1, 3),
        "instantiation, init and the timer's interval"
    );
    process(&mut instance, batch(3, 10)).await.unwrap();
    let used = usage.look();
    assert_eq!(used.calls, 4);
    assert!(used.cpu > begun.cpu && begun.cpu.as_nanos() > 0, "{used:?}");
    assert!(used.memory > 20 << 20 && used.memory == used.most_memory, "{used:?}");
    assert_eq!(used.memory, instance.memory() as u64);
    drop(instance);
    assert_eq!(usage.look(), crate::Used { memory: 0, ..used });
}

#[tokio::test]
async fn time_in_the_slow_lane_counts_like_any_other_also_of_a_call_that_is_stopped() {
    let limits = Limits { call_ms: 60, soft_ms: 5, ..Limits::default() };
    let (mut instance, usage) = counted("loop", 0, limits).await;
    process(&mut instance, batch(1, 0)).await.unwrap_err();
    let used = usage.look();
    // Ticks are counted by the ordinary clock while the thread may have to wait for its turn.
    assert!(used.cpu.as_millis() >= 1, "{used:?}");
    assert_eq!((used.limits, used.traps, used.memory), (1, 0, 0), "{used:?}");
}

#[tokio::test]
async fn failures_are_counted_by_what_they_are() {
    let (mut trapped, of_trap) = counted("panic", 0, Limits::default()).await;
    process(&mut trapped, batch(1, 0)).await.unwrap_err();
    let (mut retried, of_retry) = counted("retry", 0, Limits::default()).await;
    for _ in 0..2 {
        process(&mut retried, batch(1, 0)).await.unwrap_err();
    }
    let limits = Limits { emit_events: 10, ..Limits::default() };
    let (mut emitted, of_limit) = counted("emit", 11, limits).await;
    process(&mut emitted, batch(1, 0)).await.unwrap_err();
    let counts = |usage: &Usage| {
        let used = usage.look();
        (used.traps, used.limits, used.retries)
    };
    assert_eq!(counts(&of_trap), (1, 0, 0));
    assert_eq!(counts(&of_retry), (0, 0, 2));
    assert_eq!(counts(&of_limit), (0, 1, 0));
}
