//! Another version beside the one that counts: it sees the same events, nothing of what it does comes out, and
//! what it would have done otherwise is shown.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stories::{
    A, B, Config, Fnaad, Hosted, P, Wire, drop_in, events, eventually_described, eventually_holds,
    guest, host_with, lying_guest,
};
use tempfile::TempDir;

/// A processor `p` from `a` to `b` that stays with the first version of the guest, and the digest of another one,
/// which is installed.
fn host(act: &str, lie: &str, settings: &str) -> (Hosted, String) {
    let (mut wire, host, dir) = host_with(&[A, B], 1);
    install(&mut wire, &dir, guest());
    wire.ok(&format!(
        r#"CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} upgrade=pinned {settings} CONFIG {{"act":"{act}"}}"#
    ));
    let other = install(&mut wire, &dir, &lying_guest(lie));
    ((wire, host, dir), other)
}

/// Drops a version in and gives its digest.
fn install(wire: &mut Wire, dir: &TempDir, component: &[u8]) -> String {
    let digest = |wire: &mut Wire| {
        let types = wire.json("GET PROCESSOR TYPES");
        types
            .into_iter()
            .find(|found| found["type"] == "guest")
            .map(|found| found["digest"].clone())
    };
    let before = digest(wire);
    drop_in(&dir.path().join("plugins"), "guest.wasm", component);
    let now = stories::eventually("the other version", || {
        digest(wire).filter(|now| before.as_ref() != Some(now)).ok_or_else(|| "not yet".to_owned())
    });
    now.as_str().unwrap().to_owned()
}

fn compared(wire: &mut Wire, key: &str, count: u64) -> Value {
    eventually_described(wire, P, "what the shadow did", |seen| seen[key] == count)
}

#[test]
fn a_shadow_sees_every_event_and_what_it_would_have_done_is_shown_and_thrown_away() {
    let ((mut wire, _host, _dir), nines) = host("mask", "nines", "");
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {}", &nines[..8]));
    wire.write(A, &events(0..20));
    let seen = compared(&mut wire, "shadow.differ", 20);
    assert_eq!((&seen["shadow.digest"], &seen["shadow.agree"]), (&nines.clone().into(), &0.into()));
    assert_eq!((&seen["shadow.state"], &seen["shadow.skipped"]), (&"running".into(), &0.into()));
    let examples = seen["shadow.example"].as_array().unwrap();
    assert_eq!(examples.len(), 5);
    let [event, counts, shadow] = ["event", "counts", "shadow"].map(|side| &examples[1][side]);
    assert_eq!(event, &Value::from(format!("{A}:0:1")));
    assert_ne!(counts, shadow);
    for (side, has) in [(counts, false), (shadow, true)] {
        let side = side.as_str().unwrap();
        assert!(side.starts_with(&format!("change to {B} data=")), "{side}");
        assert_eq!(side.contains('9'), has, "{side}");
    }
    let masked = eventually_holds(&mut wire, B, 20);
    assert!(!masked.iter().any(|event| event.to_string().contains("99")), "{masked:?}");

    wire.ok(&format!("UPDATE PROCESSOR {P} PROMOTE"));
    wire.write(A, &events(20..30));
    let all = eventually_holds(&mut wire, B, 30);
    let nines_in = all.iter().filter(|event| event.to_string().contains("99")).count();
    assert_eq!(nines_in, 10, "{all:?}");
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!((&seen["pinned"], seen.get("shadow.state")), (&nines.into(), None));
}

#[test]
fn a_shadow_that_mends_what_traps_agrees_on_the_rest_and_may_be_discarded() {
    let ((mut wire, _host, _dir), mended) = host("panic-at-odd", "mended", "dead-letters=all");
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {mended}"));
    wire.write(A, &events(0..10));
    // The last event is one of these.
    let seen = compared(&mut wire, "shadow.differ", 5);
    assert_eq!(seen["shadow.agree"], 5);
    let example = &seen["shadow.example"][0];
    assert_eq!(example["event"], format!("{A}:0:1"));
    assert!(example["counts"].as_str().unwrap().starts_with("failed: "), "{example}");
    assert_eq!(example["shadow"], format!("forward to {B}"));
    eventually_holds(&mut wire, B, 5);

    wire.ok(&format!("UPDATE PROCESSOR {P} DISCARD"));
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!(seen.get("shadow.state"), None);
    for step in ["DISCARD", "PROMOTE"] {
        let refused = wire.refused(&format!("UPDATE PROCESSOR {P} {step}"));
        assert_eq!(refused, format!("409 CONFLICT processor {P} has no shadow"));
    }
}

#[test]
fn a_shadow_counts_with_a_state_of_its_own_and_agrees_over_a_kill() {
    let ((mut wire, host, dir), other) = host("count", "mended", "");
    wire.write(A, &events(0..7));
    eventually_holds(&mut wire, B, 7);
    // It begins with a copy of what was counted.
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {other}"));
    wire.write(A, &events(7..20));
    let seen = compared(&mut wire, "shadow.agree", 13);
    for key in ["shadow.differ", "shadow.emitted-differ", "shadow.state-differ"] {
        assert_eq!(seen[key], 0, "{seen}");
    }
    // What is not committed yet is seen again.
    eventually_holds(&mut wire, B, 20);
    drop(wire);
    host.kill();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    eventually_described(&mut wire, P, "the shadow", |seen| seen["shadow.state"] == "running");
    wire.write(A, &events(20..30));
    let seen = compared(&mut wire, "shadow.agree", 10);
    assert_eq!((&seen["shadow.state-differ"], &seen["shadow.digest"]), (&0.into(), &other.into()));
    eventually_holds(&mut wire, B, 30);
}

#[test]
fn a_shadow_acts_by_the_clock_with_the_version_that_counts() {
    let (mut wire, _host, dir) = host_with(&[A, B], 1);
    install(&mut wire, &dir, guest());
    wire.ok(&format!(
        r#"CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} upgrade=pinned CONFIG {{"act":"count","tick":100}}"#
    ));
    let other = install(&mut wire, &dir, &lying_guest("patch-9"));
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {other}"));
    wire.write(A, &events(0..10));
    let seen = eventually_described(&mut wire, P, "ticks", |seen| {
        seen["shadow.agree"] == 10 && seen["shadow.emitted-agree"].as_u64() > Some(5)
    });
    for key in ["differ", "emitted-differ", "state-differ", "skipped"] {
        assert_eq!(seen[format!("shadow.{key}")], 0, "{key}: {seen}");
    }
    assert_eq!(seen.get("shadow.ticks"), None);
    // One that wants to be called at other times is called with the other, and that is said.
    let slow = install(&mut wire, &dir, &lying_guest("slow-clock"));
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {slow}"));
    let seen = eventually_described(&mut wire, P, "ticks", |seen| {
        seen["shadow.emitted-agree"].as_u64() > Some(2)
    });
    assert_eq!(seen["shadow.ticks"], "every 100 ms, the shadow every 300 ms");
    assert_eq!(seen["shadow.emitted-differ"], 0);
}

#[test]
fn a_shadow_that_loops_holds_up_nobody() {
    let ((mut wire, _host, _dir), loops) = host("", "loops", "limit.call_ms=200");
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {loops}"));
    for from in (0..400).step_by(20) {
        wire.write(A, &events(from..from + 20));
    }
    eventually_holds(&mut wire, B, 400);
    eventually_described(&mut wire, P, "the loop", |seen| {
        seen["shadow.differ"].as_u64() > Some(0)
            && seen["shadow.example"][0]["shadow"].to_string().contains("limit passed: call_ms=200")
    });
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!((&seen["state"], &seen["failures"]), (&"running".into(), &0.into()));
}

#[test]
fn what_cannot_be_a_shadow_is_refused() {
    let ((mut wire, _host, dir), _) = host("", "nines", "");
    for (version, refusal) in [
        ("9.9.9", "404 NOT_FOUND version 9.9.9 of processor type guest"),
        ("0123456789", "404 NOT_FOUND version 0123456789 of processor type guest"),
    ] {
        assert_eq!(wire.refused(&format!("UPDATE PROCESSOR {P} SHADOW {version}")), refusal);
    }
    let runs = wire.describe(&format!("PROCESSOR {P}"))["pinned"].as_str().unwrap().to_owned();
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} SHADOW {runs}"));
    assert_eq!(refused, format!("409 CONFLICT processor {P} runs version 0.1.0 already"));
    // One that takes another number of flows.
    let many = install(&mut wire, &dir, &lying_guest("traps-in-init"));
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} SHADOW {many}"));
    assert!(refused.starts_with("400 BAD_FORMAT "), "{refused}");
    assert_eq!(wire.describe(&format!("PROCESSOR {P}")).get("shadow.state"), None);
}

#[test]
fn two_versions_are_compared_over_past_events_and_the_user_sees_what_differs() {
    let ((mut wire, host, _dir), nines) = host("mask", "nines", "");
    wire.write(A, &events(0..30));
    eventually_holds(&mut wire, B, 30);
    let fnua = host.fnua();
    let said =
        fnua.run(&["replay", P, "--version", &nines[..10], "--from", "0:10", "--to", "0:25"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stdout.starts_with("events: 0 alike, 15 not\n"), "{said:?}");
    assert!(
        said.stdout.contains(&format!("\n{A}:0:10\n  runs now  change to {B} data=")),
        "{said:?}"
    );
    let runs = wire.describe(&format!("PROCESSOR {P}"))["pinned"].as_str().unwrap().to_owned();
    let said = fnua.run(&["--format", "json", "replay", P, "--version", &runs]);
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &found["agree"], &found["state"]), (0, &30.into(), &"done".into()));
    // It wrote nothing, and nothing of it is left.
    assert_eq!(wire.read(B).len(), 30);
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!((seen.get("comparison.state"), &seen["events-in"]), (None, &30.into()));
    let refused = wire.refused(&format!("COMPARE {P} STOP"));
    assert_eq!(refused, format!("404 NOT_FOUND a comparison of processor {P}"));
    let refused = wire.refused(&format!("COMPARE {P} VERSION {runs} FROM OFFSET 0:99"));
    assert!(refused.starts_with("416 OUT_OF_RANGE "), "{refused}");
}

#[test]
fn a_comparison_that_does_not_end_is_one_of_few_and_can_be_stopped() {
    let ((mut wire, _host, _dir), loops) = host("", "loops", "limit.call_ms=500");
    wire.write(A, &events(0..100));
    eventually_holds(&mut wire, B, 100);
    let compare = format!("COMPARE {P} VERSION {loops}");
    wire.ok(&compare);
    let refused = wire.refused(&compare);
    assert_eq!(refused, format!("409 CONFLICT a comparison of processor {P} is under way"));
    wire.write(A, &events(100..200));
    eventually_holds(&mut wire, B, 200);
    wire.ok(&format!("COMPARE {P} STOP"));
    assert_eq!(wire.describe(&format!("PROCESSOR {P}")).get("comparison.state"), None);
}

/// The comparison of `p`, once there is one.
fn comparison(wire: &mut Wire, state: &str) -> Value {
    eventually_described(wire, P, "the comparison", |seen| seen["comparison.state"] == state)
}

#[test]
fn who_ends_fnua_replay_leaves_no_comparison_behind() {
    let ((mut wire, served, _dir), loops) = host("", "loops", "limit.call_ms=500");
    wire.write(A, &events(0..100));
    eventually_holds(&mut wire, B, 100);
    let mut asked = served.fnua().spawn(&["replay", P, "--version", &loops]);
    comparison(&mut wire, "running");
    kill_process(Pid::from_child(&asked), Signal::INT).unwrap();
    assert_eq!(asked.wait().unwrap().code(), Some(130));
    assert_eq!(wire.describe(&format!("PROCESSOR {P}")).get("comparison.state"), None);
}

#[test]
fn a_comparison_ends_with_the_rights_of_who_has_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path()).with_users(&["ana"]);
    let plugins = dir.path().join("data/plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    drop_in(&plugins, "guest.wasm", guest());
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    for flow in [A, B] {
        root.ok(&format!("CREATE FLOW {flow}"));
    }
    root.ok(&format!(
        "CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} upgrade=pinned limit.call_ms=500"
    ));
    drop_in(&plugins, "guest.wasm", &lying_guest("loops"));
    let first = root.describe(&format!("PROCESSOR {P}"))["pinned"].clone();
    let loops = stories::eventually("the other version", || {
        let now = root.describe("PROCESSOR guest")["digest"].clone();
        if now == first { Err("not yet".to_owned()) } else { Ok(now.as_str().unwrap().to_owned()) }
    });
    root.write(A, &events(0..100));
    root.ok(&format!("GRANT administer ON {P} TO user:ana"));
    let mut ana = host.login_as("ana", "test");
    let compare = format!("COMPARE {P} VERSION {loops}");
    assert_eq!(ana.refused(&compare), format!("403 FORBIDDEN read on {A} is not granted"));
    root.ok(&format!("GRANT read ON {A} TO user:ana"));
    ana.ok(&compare);
    comparison(&mut root, "running");
    root.ok(&format!("REVOKE read ON {A} FROM user:ana"));
    let seen = comparison(&mut root, "failed");
    assert_eq!(seen["comparison.reason"], format!("user:ana may not read {A} any more"));
    // Nor does he see what it has found until then.
    let seen = ana.describe(&format!("PROCESSOR {P}"));
    assert_eq!((seen.get("comparison.example"), seen.get("comparison.reason")), (None, None));
}
