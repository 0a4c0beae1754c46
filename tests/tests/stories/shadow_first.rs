//! `upgrade=shadow-first`: a new version takes over by itself when it has done the same as the one before beside it, and
//! by somebody's word where it has not.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stories::{
    A, B, Config, Fnaad, P, Wire, drop_in, event, events, eventually, eventually_described,
    eventually_holds, guest, ids, lying_guest, program,
};

/// Forty events alike are enough, at once.
fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    let upgrades = "\n[upgrades]\nshadow_events = 40\nshadow_seconds = 0\n\n[[namespaces]]";
    config.text = config.text.replacen("\n[[namespaces]]", upgrades, 1);
    config
}

/// A host that ends itself where it is told to.
fn start(dir: &Path) -> Fnaad {
    let (config, places) = (config(dir), dir.join("failpoints"));
    Fnaad::arm(dir, "");
    Fnaad::serve_with(dir, config.save(), &[("FNAAD_FAILPOINTS", &places)])
}

fn login(host: &Fnaad) -> Wire {
    Wire::try_login(host.address(), "test", "test").expect("a way in")
}

fn drop_guest(dir: &Path, bytes: &[u8]) {
    drop_in(&dir.join("data/plugins"), "guest.wasm", bytes);
}

/// A processor of the guest's first version that compares before it takes another one.
fn house(dir: &Path, rest: &str) -> (Fnaad, Wire) {
    std::fs::create_dir_all(dir.join("data/plugins")).unwrap();
    drop_guest(dir, guest());
    let host = start(dir);
    let mut wire = login(&host);
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    let created =
        format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} upgrade=shadow-first {rest}");
    wire.ok(created.trim_end());
    (host, wire)
}

fn state(wire: &mut Wire, state: &str) -> Value {
    eventually_described(wire, P, state, |seen| {
        let said = seen["upgrade-state"].as_str();
        said.is_some_and(|said| said.starts_with(state))
    })
}

fn runs(wire: &mut Wire, version: &str) -> Value {
    eventually_described(wire, P, version, |seen| {
        seen["shard.0"]["version"] == version && seen["state"] == "running"
    })
}

fn runs_as(wire: &mut Wire, processor: &str, version: &str) {
    eventually_described(wire, processor, version, |seen| {
        seen["shard.0"]["version"] == version && seen["state"] == "running"
    });
}

fn of_type(wire: &mut Wire, key: &str) -> Value {
    wire.describe("PROCESSOR guest")[key].clone()
}

fn plugins(dir: &Path, args: &[&str]) {
    let mut command = Command::new(program("fnaad"));
    command.arg("plugins").args(args).arg("--config").arg(dir.join("fnaad.toml"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
}

#[test]
fn a_version_that_does_the_same_takes_over_and_never_on_too_little() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (host, mut wire) = house(dir, "");
    drop_guest(dir, &lying_guest("patch-9"));
    let seen = state(&mut wire, "compared: 0 of 40 events alike, 0 of 0 s");
    assert_eq!(
        (&seen["shard.0"]["version"], &seen["next-version"]),
        (&"0.1.0".into(), &"0.1.9".into())
    );
    assert_eq!(of_type(&mut wire, "compared-by"), Value::from(vec![P]));
    wire.write(A, &events(0..25));
    state(&mut wire, "compared: 25 of 40");
    host.kill();
    let host = start(dir);
    let mut wire = login(&host);
    // It is compared anew.
    state(&mut wire, "compared: 0 of 40");
    wire.write(A, &events(25..50));
    let seen = state(&mut wire, "compared: 25 of 40");
    assert_eq!(seen["shard.0"]["version"], "0.1.0");
    wire.write(A, &events(50..70));
    let seen = runs(&mut wire, "0.1.9");
    assert_eq!((&seen["option.upgrade"], seen.get("shadow.state")), (&"shadow-first".into(), None));
    wire.write(A, &events(70..80));
    assert_eq!(ids(&eventually_holds(&mut wire, B, 80)).len(), 80);
    // An operator's word is not compared.
    plugins(dir, &["rollback", "guest"]);
    runs(&mut wire, "0.1.0");
    let audit = std::fs::read_to_string(dir.join("data/audit.log")).unwrap();
    assert!(audit.contains("takes over, digest"), "{audit}");
    plugins(dir, &["unpin", "guest"]);
    state(&mut wire, "compared: 0 of 40");
    plugins(dir, &["pin", "guest", "0.1.9"]);
    runs(&mut wire, "0.1.9");
    assert!(host.end().success());
}

#[test]
fn a_version_that_differs_waits_for_somebodys_word_also_over_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (host, mut wire) = house(dir, r#"CONFIG {"act":"mask"}"#);
    drop_guest(dir, &lying_guest("nines"));
    state(&mut wire, "compared: 0 of 40");
    let nines =
        wire.describe(&format!("PROCESSOR {P}"))["shadow.digest"].as_str().unwrap().to_owned();
    wire.write(A, &events(0..10));
    let seen = state(&mut wire, "held, 10 of 10 events differ: PROMOTE or DISCARD");
    assert_eq!(seen["shadow.example"].as_array().unwrap().len(), 5, "{seen}");
    assert_eq!(of_type(&mut wire, "held-by"), Value::from(vec![P]));
    host.kill();
    let host = start(dir);
    let mut wire = login(&host);
    wire.write(A, &events(10..60));
    // What it has found is kept, and it costs nothing any more.
    let seen =
        eventually_described(&mut wire, P, "the end", |seen| seen["shadow.state"] == "ended");
    assert_eq!(seen["shadow.differ"], 50, "{seen}");
    assert_eq!(seen["upgrade-state"], "held, 10 of 10 events differ: PROMOTE or DISCARD");
    assert_eq!(seen["shard.0"]["version"], "0.1.0");
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} PROMOTE 0.1.9"));
    let told =
        format!("409 CONFLICT the shadow of processor {P} is 0.1.0 ({}), not 0.1.9", &nines[..12]);
    assert_eq!(refused, told);
    wire.ok(&format!("UPDATE PROCESSOR {P} DISCARD"));
    state(&mut wire, "discarded");
    host.kill();
    let host = start(dir);
    let mut wire = login(&host);
    state(&mut wire, "discarded");
    // Looked at again, with other events.
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {nines}"));
    state(&mut wire, "compared: 0 of 40");
    wire.write(A, &events(60..62));
    state(&mut wire, "held, 2 of 2 events differ");
    wire.ok(&format!("UPDATE PROCESSOR {P} PROMOTE {}", &nines[..8]));
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!((&seen["pinned"], &seen["option.upgrade"]), (&nines.into(), &"shadow-first".into()));
    wire.write(A, &events(62..72));
    let all = eventually_holds(&mut wire, B, 72);
    assert_eq!(all.iter().filter(|event| event.to_string().contains("99")).count(), 10);
    assert!(host.end().success());
}

#[test]
fn a_version_that_fails_after_all_gives_way_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (host, mut wire) = house(dir, "");
    drop_guest(dir, &lying_guest("act-panic-at-odd"));
    state(&mut wire, "compared: 0 of 40");
    let even: Vec<String> = (0..80).step_by(2).map(event).collect();
    wire.write(A, &even);
    runs(&mut wire, "0.2.0");
    wire.write(A, &events(80..90));
    runs(&mut wire, "0.1.0");
    eventually_holds(&mut wire, B, 50);
    let types = wire.json("GET PROCESSOR TYPES");
    let refused = types.iter().find(|found| found["file"] == "guest.wasm").expect("a refusal");
    assert!(refused["reason"].as_str().unwrap().contains("trap: "), "{refused}");
    let row = |wire: &mut Wire| wire.describe(&format!("PROCESSOR {P}"))["pinned"].clone();
    let first = of_type(&mut wire, "digest");
    eventually("the row", || match row(&mut wire) {
        pinned if pinned == first => Ok(()),
        pinned => Err(pinned.to_string()),
    });
    host.kill();
    let host = start(dir);
    runs(&mut login(&host), "0.1.0");
    assert!(host.end().success());
}

#[test]
fn another_rule_ends_the_comparison_and_a_shadow_by_hand_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (host, mut wire) = house(dir, "");
    drop_guest(dir, &lying_guest("patch-8"));
    state(&mut wire, "compared: 0 of 40");
    let eight = of_type(&mut wire, "digest").as_str().unwrap().to_owned();
    wire.ok(&format!("UPDATE PROCESSOR {P} upgrade=pinned"));
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!((seen.get("shadow.state"), seen.get("upgrade-state")), (None, None), "{seen}");
    wire.ok(&format!("UPDATE PROCESSOR {P} SHADOW {eight}"));
    drop_guest(dir, &lying_guest("patch-9"));
    eventually("the other version", || match of_type(&mut wire, "version") {
        version if version == "0.1.9" => Ok(()),
        version => Err(version.to_string()),
    });
    wire.ok(&format!("UPDATE PROCESSOR {P} upgrade=shadow-first"));
    let seen = state(&mut wire, "waiting for the shadow that was set by hand");
    assert_eq!(seen["shadow.version"], "0.1.8");
    wire.write(A, &events(0..60));
    eventually_holds(&mut wire, B, 60);
    wire.ok(&format!("UPDATE PROCESSOR {P} DISCARD"));
    state(&mut wire, "compared: 0 of 40");
    wire.write(A, &events(60..100));
    runs(&mut wire, "0.1.9");
    // Whoever waits for nobody takes the next one at once.
    drop_guest(dir, &lying_guest("patch-10"));
    state(&mut wire, "compared: 0 of 40");
    wire.ok(&format!("UPDATE PROCESSOR {P} upgrade=auto"));
    runs(&mut wire, "0.1.10");
    assert!(host.end().success());
}

#[test]
fn killed_at_any_step_it_is_compared_and_takes_over_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (mut host, mut wire) = house(dir, "");
    let mut written = 0;
    let places = ["before-successor:1", "successor:1", "before-successor:2", "successor:2"];
    for (place, patch) in places.into_iter().zip(1..) {
        Fnaad::arm(dir, &format!("processors.{place}"));
        drop_guest(dir, &lying_guest(&format!("patch-{patch}")));
        if place.ends_with(":2") {
            state(&mut wire, "compared: 0 of 40");
            wire.write(A, &events(written..written + 40));
            written += 40;
        }
        host.until_ended(place);
        drop(host);
        host = start(dir);
        wire = login(&host);
        wire.write(A, &events(written..written + 40));
        written += 40;
        let version = format!("0.1.{patch}");
        // What was written before the comparison began does not count.
        eventually("the version", || {
            if wire.describe(&format!("PROCESSOR {P}"))["shard.0"]["version"] == version {
                return Ok(());
            }
            wire.write(A, &events(written..written + 10));
            written += 10;
            Err(version.clone())
        });
    }
    let all = eventually_holds(&mut wire, B, written);
    assert_eq!(ids(&all), ids(&wire.read(A)));
    assert!(host.end().success());
}

#[test]
fn one_that_fails_after_all_gives_way_to_what_the_processor_came_from_also_where_the_type_has_another()
 {
    const C: &str = "c.flows.unix.ar";
    const D: &str = "d.flows.unix.ar";
    const OTHER: &str = "other.flows.unix.ar";
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (host, mut wire) = house(dir, "");
    for flow in [C, D] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.ok(&format!("CREATE PROCESSOR {OTHER} TYPE guest FROM {C} TO {D} limit.batch_events=1"));
    let first = of_type(&mut wire, "digest");
    // Another one proves it, and for this one it differs.
    drop_guest(dir, &lying_guest("act-mask"));
    runs_as(&mut wire, OTHER, "0.2.0");
    state(&mut wire, "compared: 0 of 40");
    // Not the event 0, which a mask leaves as it is.
    wire.write(A, &events(1..11));
    state(&mut wire, "held, 10 of 10 events differ");
    wire.write(C, &events(0..80));
    let proved = |seen: &Value| seen.get("upgrade-state").is_none();
    eventually_described(&mut wire, OTHER, "the end of its probation", proved);
    let second = of_type(&mut wire, "digest");
    drop_guest(dir, &lying_guest("act-panic-at-odd"));
    state(&mut wire, "compared: 0 of 40");
    let even: Vec<String> = (12..92).step_by(2).map(event).collect();
    wire.write(A, &even);
    runs(&mut wire, "0.2.0");
    wire.write(A, &events(92..102));
    let is_back = |wire: &mut Wire| {
        let seen = runs(wire, "0.1.0");
        eventually("the row", || {
            match wire.describe(&format!("PROCESSOR {P}"))["pinned"].clone() {
                pinned if pinned == first => Ok(()),
                pinned => Err(pinned.to_string()),
            }
        });
        assert_eq!(of_type(wire, "digest"), second, "{seen}");
        eventually_described(wire, OTHER, "what the type goes back to", |seen| {
            let runs = seen["shard.0"]["digest"].as_str().unwrap_or("none yet");
            second.as_str().unwrap().starts_with(runs) && seen["state"] == "running"
        });
    };
    is_back(&mut wire);
    // Nothing of what it came out as is the second's.
    let all = eventually_holds(&mut wire, B, 60);
    let written = wire.read(A);
    let data = |events: &[Value]| events.iter().map(|event| event["data"].clone()).collect();
    let (all, written): (Vec<_>, Vec<_>) = (data(&all), data(&written));
    assert!(all == written, "masked, lost, repeated or in another order");
    host.kill();
    let host = start(dir);
    is_back(&mut login(&host));
    assert!(host.end().success());
}
