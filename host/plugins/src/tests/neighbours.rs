//! Guests that loop beside guests that work.

use super::*;

#[tokio::test]
async fn on_one_thread_short_calls_go_on_while_others_loop() {
    let limits = Limits { call_ms: 500, ..Limits::default() };
    let mut loops = Vec::new();
    for _ in 0..3 {
        let mut looping = limited("loop", 0, limits.clone()).await;
        loops.push(tokio::spawn(async move { process(&mut looping, batch(1, 0)).await }));
    }
    let mut working = acting("forward-each").await;
    for _ in 0..100 {
        process(&mut working, batch(8, 8)).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(loops.iter().any(|one| !one.is_finished()), "the work had to wait for the loops");
    for one in loops {
        assert!(matches!(one.await.unwrap(), Err(CallError::Limit { which: "call_ms", .. })));
    }
}

#[tokio::test]
async fn a_long_call_ends_in_the_slow_lane_with_its_answer() {
    let limits = Limits { soft_ms: 1, call_ms: 60_000, ..Limits::default() };
    let mut instance = limited("spin", 100, limits).await;
    for _ in 0..5 {
        process(&mut instance, batch(1, 0)).await.unwrap();
    }
    assert!(instance.slow_share() > 0.9, "{}", instance.slow_share());
    let mut quick = acting("").await;
    process(&mut quick, batch(1, 0)).await.unwrap();
    assert!(quick.slow_share() < 0.5);
}
