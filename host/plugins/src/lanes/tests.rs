use super::*;
use std::thread::current;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn yielding(meter: &Meter, times: u32) -> BoxFuture<'static, String> {
    let meter = meter.clone();
    Box::pin(async move {
        for _ in 0..times {
            meter.tick();
            tokio::task::yield_now().await;
        }
        current().name().unwrap_or_default().to_owned()
    })
}

#[test]
fn a_short_call_never_leaves_and_a_long_one_ends_in_the_slow_lane() {
    let lane = SlowLane::start(1).unwrap();
    let meter = Meter::default();
    let short = runtime().block_on(lane.run(yielding(&meter, 4), &meter, 5, false));
    assert_ne!(short.as_deref(), Some("plugin-slow"));
    meter.reset();
    let long = runtime().block_on(lane.run(yielding(&meter, 5), &meter, 5, false));
    assert_eq!(long.as_deref(), Some("plugin-slow"));
    meter.reset();
    let known = runtime().block_on(lane.run(yielding(&meter, 0), &meter, 5, true));
    assert_eq!(known.as_deref(), Some("plugin-slow"));
}

#[test]
fn what_the_host_does_for_a_guest_between_two_ticks_is_counted() {
    let lane = SlowLane::start(1).unwrap();
    for soft in [1_000_000, 1] {
        let meter = Meter::default();
        let counting = meter.clone();
        let call: BoxFuture<'static, ()> = Box::pin(async move {
            counting.tick();
            tokio::task::yield_now().await;
            let began = thread_micros();
            while thread_micros() < began + 20_000 {}
            counting.tick();
        });
        runtime().block_on(lane.run(call, &meter, soft, false));
        assert!(meter.ticks() >= 20, "{}", meter.ticks());
    }
}

#[test]
fn what_a_call_runs_for_is_added_up_wherever_it_runs() {
    let lane = SlowLane::start(1).unwrap();
    for starts_slow in [false, true] {
        let usage = Arc::new(Usage::default());
        let meter = Meter::of(&usage);
        let spin = || {
            let began = thread_nanos();
            while thread_nanos() < began + 10_000_000 {}
        };
        let call: BoxFuture<'static, ()> = Box::pin(async move {
            spin();
            tokio::task::yield_now().await;
            spin();
        });
        runtime().block_on(lane.run(call, &meter, 1_000_000, starts_slow));
        assert!(usage.look().cpu.as_millis() >= 20, "{usage:?}");
        meter.reset();
        assert!(meter.0.long.load(Ordering::Relaxed));
    }
}

#[test]
fn a_panic_in_the_slow_lane_is_no_result() {
    let lane = SlowLane::start(1).unwrap();
    let call: BoxFuture<'static, ()> = Box::pin(async { panic!("a fault of the host") });
    assert_eq!(runtime().block_on(lane.run(call, &Meter::default(), 5, true)), None);
}

#[test]
fn slow_calls_in_a_row_make_the_next_start_slow_until_one_is_short() {
    let mut history = History::default();
    history.record(true);
    history.record(true);
    assert!(!history.starts_slow());
    history.record(true);
    assert!(history.starts_slow());
    history.record(false);
    assert!(!history.starts_slow());
    assert!((history.share() - 0.75).abs() < f64::EPSILON);
}

#[test]
fn threads_of_the_slow_lane_are_nice() {
    let lane = SlowLane::start(1).unwrap();
    let call: BoxFuture<'static, i32> =
        Box::pin(async { rustix::process::getpriority_process(None).unwrap() });
    let nice = runtime().block_on(lane.run(call, &Meter::default(), 5, true));
    assert!(nice >= Some(NICE));
}
