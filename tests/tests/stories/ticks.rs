//! Plugins that act by the clock: also where no event comes, not while they are held, and each tick that
//! was committed exactly once, whenever the host is killed.

use std::time::SystemTime;

use serde_json::Value;
use stories::{
    A, B, Fnaad, P, Wire, drop_in, events, eventually, eventually_described, eventually_typed,
    guest, host_with,
};

const C: &str = "c.flows.unix.ar";
const Q: &str = "q.flows.unix.ar";

/// Waits for the type of the guest.
fn guest_is_there(wire: &mut Wire) {
    eventually_typed(wire, "guest", |_| true);
}

fn ticking(wire: &mut Wire, name: &str, output: &str) {
    wire.ok(&format!(
        "CREATE PROCESSOR {name} TYPE guest FROM {A} TO {output} CONFIG {{\"tick\":100}}"
    ));
}

/// What ticks emitted into a flow, in its order.
fn ticks(wire: &mut Wire, flow: &str) -> Vec<Value> {
    wire.read(flow).into_iter().filter(|event| event["type"] == "ticked").collect()
}

/// Waits for so many ticks, and checks that they are numbered without a gap or a repeat, and that time never
/// goes back.
fn eventually_ticked(wire: &mut Wire, flow: &str, count: usize) -> Vec<Value> {
    let found = eventually("ticks", || {
        let found = ticks(wire, flow);
        if found.len() >= count { Ok(found) } else { Err(format!("{} of {count}", found.len())) }
    });
    for (event, number) in found.iter().zip(1..) {
        assert_eq!(event["id"], number.to_string(), "{event}");
        assert_eq!(event["now"], event["clock"], "{event}");
    }
    assert!(found.is_sorted_by_key(moment));
    found
}

fn moment(event: &Value) -> u128 {
    event["now"].as_str().unwrap().parse().unwrap()
}

fn clock() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

#[test]
fn an_idle_processor_acts_by_the_clock_and_not_while_it_is_held() {
    let (mut wire, _host, dir) = host_with(&[A, B, C], 1);
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    guest_is_there(&mut wire);
    assert_eq!(wire.describe("PROCESSOR guest")["interfaces"], "timer,reconfigure,migrate");
    ticking(&mut wire, P, B);
    ticking(&mut wire, Q, C);
    eventually_ticked(&mut wire, B, 3);
    wire.ok(&format!("PAUSE {P}"));
    let held = clock();
    // The other one goes on, and shows that there was time for ticks.
    let passed = ticks(&mut wire, C).len() + 5;
    eventually_ticked(&mut wire, C, passed);
    let (resumed, before) = (clock(), ticks(&mut wire, B).len());
    wire.ok(&format!("RESUME {P}"));
    let all = eventually_ticked(&mut wire, B, before + 2);
    assert!(
        all.iter().map(moment).all(|at| at <= held || at >= resumed),
        "{held} {resumed}: {all:?}"
    );
    // Those that were missed are one.
    let [first, second] = [before, before + 1].map(|index| moment(&all[index]));
    assert!(second - first >= 100, "{first} {second}");
}

#[test]
fn a_wish_for_ticks_beyond_the_limits_is_refused_with_them() {
    let (mut wire, _host, dir) = host_with(&[A, B], 1);
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    guest_is_there(&mut wire);
    let config = r#"{"tick":99}"#;
    let refused =
        wire.refused(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} CONFIG {config}"));
    assert!(refused.starts_with("400") && refused.contains("timer_min_ms=100"), "{refused}");
}

#[test]
fn killed_in_the_commit_of_a_tick_it_has_been_once_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    Fnaad::arm(dir.path(), "");
    let mut host = Fnaad::mortal(dir.path()).expect("nothing ends it");
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    let mut wire = host.login();
    guest_is_there(&mut wire);
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    ticking(&mut wire, P, B);
    let (mut seen, mut written) = (0, 0);
    for place in ["broker.before-commit", "broker.committed", "broker.before-commit"] {
        let mut wire = host.login();
        seen = eventually_ticked(&mut wire, B, seen + 3).len();
        wire.write(A, &events(written..written + 50));
        written += 50;
        // Without a command only ticks, and what is left of the events, are committed.
        Fnaad::arm(dir.path(), &format!("{place}:2"));
        host.until_ended(place);
        Fnaad::arm(dir.path(), "");
        host = Fnaad::mortal(dir.path()).expect("nothing ends it");
    }
    let mut wire = host.login();
    eventually_ticked(&mut wire, B, seen + 3);
    let carried = wire.read(B).into_iter().filter(|event| event["type"] != "ticked");
    assert_eq!(stories::ids(&carried.collect::<Vec<_>>()), stories::ids(&wire.read(A)));
}

#[test]
fn what_an_output_refuses_of_ticks_is_told_once_and_events_go_on() {
    let (mut wire, _host, dir) = host_with(&[A], 1);
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    guest_is_there(&mut wire);
    wire.ok(&format!("CREATE FLOW {B} max.message.bytes=1000"));
    let config = r#"{"tick":100,"act":"tick-large"}"#;
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} CONFIG {config}"));
    let told = eventually("what is told of a tick", || {
        let answer = wire.ask("READ p.dead.flows.unix.ar FROM earliest");
        let mut told = answer.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        told.next().ok_or_else(|| format!("{answer:?}"))
    });
    assert_eq!(
        (&told["type"], &told["deadkind"]),
        (&"flow.processor.tick".into(), &"broker".into())
    );
    assert!(told["deadreason"].as_str().unwrap().contains("over the limit of 1000"), "{told}");
    assert_eq!(told["data"]["shard"], 0);
    // Among other ticks.
    for from in [0, 50, 100] {
        wire.write(A, &events(from..from + 50));
        eventually("the events", || match wire.read(B).len() {
            count if count == from + 50 => Ok(()),
            count => Err(count.to_string()),
        });
    }
    assert_eq!(stories::ids(&wire.read(B)), stories::ids(&wire.read(A)));
    // After each it begins again, as after all that a broker refuses.
    eventually_described(&mut wire, P, "one that runs", |seen| {
        seen["state"] == "running" && seen["dead-letters"]["open"] == 1
    });
}
