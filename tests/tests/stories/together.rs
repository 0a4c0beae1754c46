//! A version that cannot read the state of one shard takes over none of its processor, and nobody else goes on with it where that can
//! be helped.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stories::{
    A, B, Config, Fnaad, P, Wire, drop_in, eventually, eventually_described, eventually_typed,
    guest, lying_guest, plain_guest, program,
};

use crate::migrate::{
    TICKING, eventually_ticked, refusal, ticking_as, was_taken_over, was_taken_over_once,
};

const C: &str = "c.flows.unix.ar";
const D: &str = "d.flows.unix.ar";
/// One that is tried after `P`, by its name.
const Q: &str = "q.flows.unix.ar";

/// What leaves a mark in the state of one shard.
const MARKED: &str =
    r#"{"specversion":"1.0","id":"marked","source":"/s","type":"t","partitionkey":"k","data":1}"#;

#[test]
fn where_one_shard_cannot_be_read_all_begin_with_the_version_before() {
    // One that can be gone back to from the new version, and one that cannot.
    for first in [guest(), plain_guest()] {
        let dir = tempfile::tempdir().unwrap();
        let host = Fnaad::dev(dir.path());
        let mut wire = ticking_as(&host, first);
        let before = wire.describe("PROCESSOR guest")["digest"].clone();
        wire.write(A, &[MARKED]);
        eventually("the mark", || match wire.read(B).iter().any(|event| event["id"] == "marked") {
            true => Ok(()),
            false => Err("it is not there".to_owned()),
        });
        // Nobody tries a version with the state of one that is held.
        wire.ok(&format!("PAUSE {P}"));
        drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("unmarked-only"));
        eventually("the version", || match wire.describe("PROCESSOR guest")["digest"].clone() {
            now if now == before => Err(now.to_string()),
            _ => Ok(()),
        });
        wire.ok(&format!("RESUME {P}"));
        let reason = refusal(&mut wire);
        let words = "fatal: cannot read a mark of 0.1.0";
        assert!(reason.starts_with(&format!("processor {P}, state of shard ")), "{reason}");
        assert!(reason.contains(words), "{reason}");
        let listed = listed(dir.path());
        assert!(listed.contains(words), "{listed}");
        assert_eq!(wire.describe("PROCESSOR guest")["digest"], before);
        let now = wire.read(B).len();
        let shards = eventually_ticked(&mut wire, now, |_| true);
        assert!(shards.iter().flatten().all(|tick| tick["from"].is_null()), "half done");
    }
}

#[test]
fn a_shard_that_waits_to_begin_again_is_asked_before_another_one_takes_the_version() {
    for first in [guest(), plain_guest()] {
        let dir = tempfile::tempdir().unwrap();
        let host = Fnaad::dev(dir.path());
        drop_in(&dir.path().join("plugins"), "guest.wasm", first);
        let mut wire = host.login();
        eventually_typed(&mut wire, "guest", |_| true);
        wire.ok(&format!("CREATE FLOW {A} partitions=2"));
        wire.ok(&format!("CREATE FLOW {B} partitions=2 max.message.bytes=1000"));
        wire.ok(&format!(
            "CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} dead-letters=off CONFIG {TICKING}"
        ));
        eventually_ticked(&mut wire, 3, |_| true);
        let before = wire.describe("PROCESSOR guest")["digest"].clone();
        // With a mark, and held by an event that is too large to go on.
        let large = MARKED
            .replace("marked", "large")
            .replace("1}", &format!("\"{}\"}}", "x".repeat(4_000)));
        wire.write(A, &[MARKED]);
        wire.write(A, &[&large]);
        eventually_described(&mut wire, P, "its failure", |seen| seen["state"] == "failed");
        drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("unmarked-only"));
        let reason = refusal(&mut wire);
        assert!(reason.contains("cannot read a mark of 0.1.0"), "{reason}");
        assert_eq!(wire.describe("PROCESSOR guest")["digest"], before);
        let seen = wire.read(B).len();
        let ticks = eventually("more ticks", || match wire.read(B) {
            more if more.len() > seen + 3 => Ok(more),
            few => Err(few.len().to_string()),
        });
        assert!(ticks.iter().all(|tick| tick["from"].is_null()), "half done");
        assert!(wire.describe(&format!("PROCESSOR {P}"))["pinned"].is_null());
    }
}

/// A host on which `q` follows `p` after some events, each with marks in two shards.
fn one_after_the_other(dir: &Path, first: &[u8]) -> (Fnaad, Wire) {
    let mut config = Config::new(dir);
    let upgrades = "\n[upgrades]\nfirst_events = 40\nfirst_seconds = 0\n\n[[namespaces]]";
    config.text = config.text.replacen("\n[[namespaces]]", upgrades, 1);
    std::fs::create_dir_all(dir.join("data/plugins")).unwrap();
    drop_in(&dir.join("data/plugins"), "guest.wasm", first);
    let host = Fnaad::serve(dir, config.save());
    let mut wire = host.login_as("test", "test");
    for flow in [A, B, C, D] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=2"));
    }
    for (processor, from, to) in [(P, A, B), (Q, C, D)] {
        wire.ok(&format!(
            "CREATE PROCESSOR {processor} TYPE guest FROM {from} TO {to} upgrade=one-first CONFIG {TICKING}"
        ));
    }
    for flow in [B, D] {
        eventually("ticks", || match wire.read(flow).len() {
            enough if enough > 6 => Ok(()),
            few => Err(few.to_string()),
        });
    }
    (host, wire)
}

/// Lets `p` take a version, leaves a mark in a shard of `q`, and lets `p` do what the others wait for.
fn marked_meanwhile(dir: &Path, wire: &mut Wire, before: &Value) {
    drop_in(&dir.join("data/plugins"), "guest.wasm", &lying_guest("unmarked-only"));
    eventually_described(wire, P, "the new version", |seen| {
        (0..2).all(|shard| !runs(seen, shard, before))
    });
    wire.write(C, &[MARKED]);
    eventually("the mark", || match wire.read(D).iter().any(|event| event["id"] == "marked") {
        true => Ok(()),
        false => Err("it is not there".to_owned()),
    });
    wire.write(A, &stories::events(0..60));
}

/// Whether a shard runs the version with this digest.
fn runs(seen: &Value, shard: u8, digest: &Value) -> bool {
    let short = seen[format!("shard.{shard}")]["digest"].as_str().unwrap_or("none yet");
    digest.as_str().unwrap().starts_with(short)
}

/// What `fnaad plugins list` says.
fn listed(dir: &Path) -> String {
    let mut command = Command::new(program("fnaad"));
    let output = command.args(["plugins", "list", "--dir"]).arg(dir).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn is_taken_over(wire: &mut Wire, flow: &str) -> bool {
    wire.read(flow).iter().any(|event| !event["from"].is_null())
}

#[test]
fn a_state_that_came_after_the_trial_and_cannot_be_read_puts_the_version_before_back_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (_host, mut wire) = one_after_the_other(dir.path(), guest());
    let before = wire.describe("PROCESSOR guest")["digest"].clone();
    marked_meanwhile(dir.path(), &mut wire, &before);
    let reason = refusal(&mut wire);
    assert!(reason.starts_with(&format!("processor {Q}, state of shard ")), "{reason}");
    for processor in [P, Q] {
        eventually_described(&mut wire, processor, "the version before", |seen| {
            seen["state"] == "running" && (0..2).all(|shard| runs(seen, shard, &before))
        });
    }
    assert!(is_taken_over(&mut wire, B) && !is_taken_over(&mut wire, D));
}

#[test]
fn where_nobody_can_go_back_the_processor_that_cannot_be_read_stays_with_its_version_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = one_after_the_other(dir.path(), plain_guest());
    let before = wire.describe("PROCESSOR guest")["digest"].clone();
    marked_meanwhile(dir.path(), &mut wire, &before);
    let stays = |seen: &Value| {
        let all = (0..2).all(|shard| runs(seen, shard, &before));
        seen["pinned"] == before && seen["state"] == "running" && all
    };
    eventually_described(&mut wire, Q, "one that is pinned", stays);
    assert_ne!(wire.describe("PROCESSOR guest")["digest"], before);
    assert!(host.log().contains("cannot read a mark of 0.1.0"));
    assert!(host.end().success());
    let host = Fnaad::serve(dir.path(), &dir.path().join("fnaad.toml"));
    let mut wire = host.login_as("test", "test");
    eventually_described(&mut wire, Q, "the same after a restart", stays);
    assert!(is_taken_over(&mut wire, B) && !is_taken_over(&mut wire, D));
}

#[test]
fn killed_when_it_is_noted_that_a_version_has_begun_it_is_taken_over_once() {
    for place in ["plugins.before-begun:1", "plugins.begun:1"] {
        let dir = tempfile::tempdir().unwrap();
        Fnaad::arm(dir.path(), "");
        let mut host = Fnaad::mortal(dir.path()).expect("nothing ends it");
        ticking_as(&host, plain_guest());
        Fnaad::arm(dir.path(), place);
        drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("migrates"));
        host.until_ended(place);
        Fnaad::arm(dir.path(), "");
        let host = Fnaad::mortal(dir.path()).expect("nothing ends it");
        was_taken_over_once(&eventually_ticked(&mut host.login(), 5, was_taken_over));
    }
}
