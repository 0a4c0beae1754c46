//! A version that reads state otherwise than the one before: it takes it over in the commit in which it begins,
//! once, or says that it cannot, and then nothing changes.

use serde_json::Value;
use stories::{
    A, B, Fnaad, P, Wire, drop_in, eventually, eventually_described, eventually_typed, guest,
    lying_guest,
};

/// What a version adds to the number of ticks when it takes the state over.
const TAKEN_OVER: u64 = 1_000_000;

/// A guest that counts its ticks in its state, in two shards.
fn ticking(host: &Fnaad) -> Wire {
    ticking_as(host, guest())
}

/// The same of another component.
pub(crate) fn ticking_as(host: &Fnaad, component: &[u8]) -> Wire {
    let mut wire = host.login();
    drop_in(&host.dir().join("plugins"), "guest.wasm", component);
    eventually_typed(&mut wire, "guest", |_| true);
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=2"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} CONFIG {TICKING}"));
    eventually_ticked(&mut wire, 3, |_| true);
    wire
}

/// Ticks, and keeps marks.
pub(crate) const TICKING: &str = r#"{"tick":100,"act":"mark"}"#;

pub(crate) fn refusal(wire: &mut Wire) -> String {
    eventually("the refusal", || {
        let types = wire.json("GET PROCESSOR TYPES");
        let file = types.iter().find(|found| found["file"] == "guest.wasm");
        let reason = file.and_then(|file| file["reason"].as_str()).map(str::to_owned);
        reason.ok_or_else(|| format!("{types:?}"))
    })
}

/// The ticks of each shard, once each has so many that are meant.
pub(crate) fn eventually_ticked(
    wire: &mut Wire,
    count: usize,
    meant: impl Fn(&Value) -> bool,
) -> [Vec<Value>; 2] {
    eventually("ticks", || {
        let all = wire.read(B);
        let of = |shard: u64| -> Vec<Value> {
            all.iter().filter(|event| event["flowpartition"] == shard).cloned().collect()
        };
        let shards = [of(0), of(1)];
        let enough =
            shards.iter().all(|ticks| ticks.iter().filter(|tick| meant(tick)).count() >= count);
        if enough { Ok(shards) } else { Err(format!("{} ticks", all.len())) }
    })
}

pub(crate) fn was_taken_over(tick: &Value) -> bool {
    number(tick) > TAKEN_OVER
}

fn number(tick: &Value) -> u64 {
    tick["id"].as_str().unwrap().parse().unwrap()
}

/// Whether numbers follow each other, and went on a million later at one place.
pub(crate) fn was_taken_over_once(shards: &[Vec<Value>; 2]) {
    for ticks in shards {
        let before = ticks.iter().filter(|tick| !was_taken_over(tick)).count() as u64;
        let wanted = (1..=before).chain(TAKEN_OVER + before + 1..);
        for (tick, wanted) in ticks.iter().zip(wanted) {
            assert_eq!(number(tick), wanted, "{tick}");
            let from = was_taken_over(tick).then_some("0.1.0");
            assert_eq!(tick["from"].as_str(), from, "{tick}");
        }
    }
}

#[test]
fn a_new_version_takes_the_state_over_while_it_runs_and_where_it_was_held() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = ticking(&host);
    drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("migrates"));
    was_taken_over_once(&eventually_ticked(&mut wire, 3, was_taken_over));
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    let state = &seen["state.0"];
    assert_eq!(state["entries"], 2, "{seen}");
    assert_eq!(state["limit"], seen["limit.state_bytes"], "{seen}");
    assert!(state["bytes"].as_u64() > Some(2 * 96), "{seen}");
}

#[test]
fn a_version_that_cannot_read_the_state_is_refused_and_the_one_before_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = ticking(&host);
    let before = wire.describe("PROCESSOR guest")["digest"].clone();
    drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("cannot-migrate"));
    let reason = refusal(&mut wire);
    let words = "cannot take over its state: fatal: cannot read the state of 0.1.0";
    assert!(reason.contains(P) && reason.contains(words), "{reason}");
    assert_eq!(wire.describe("PROCESSOR guest")["digest"], before);
    let now = wire.read(B).len();
    let shards = eventually_ticked(&mut wire, now, |_| true);
    assert!(shards.iter().flatten().all(|tick| !was_taken_over(tick)));
}

#[test]
fn one_that_was_held_takes_over_when_it_begins_and_a_refusal_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = ticking(&host);
    let plugins = dir.path().join("plugins");
    let version_is = |wire: &mut Wire, lie: &str| {
        let digest = wire.describe("PROCESSOR guest")["digest"].clone();
        drop_in(&plugins, "guest.wasm", &lying_guest(lie));
        eventually("the version", || {
            let now = wire.describe("PROCESSOR guest")["digest"].clone();
            if now == digest { Err(now.to_string()) } else { Ok(()) }
        });
    };
    wire.ok(&format!("PAUSE {P}"));
    let before = wire.describe("PROCESSOR guest")["digest"].clone();
    version_is(&mut wire, "cannot-migrate");
    wire.ok(&format!("RESUME {P}"));
    let reason = refusal(&mut wire);
    assert!(reason.contains(P) && reason.contains("cannot read the state of 0.1.0"), "{reason}");
    assert_eq!(wire.describe("PROCESSOR guest")["digest"], before);
    eventually_described(&mut wire, P, "the version before", |seen| seen["state"] == "running");
    version_is(&mut wire, "migrates");
    was_taken_over_once(&eventually_ticked(&mut wire, 3, was_taken_over));
}

#[test]
fn killed_when_the_new_version_has_come_the_state_is_taken_over_once() {
    for place in ["plugins.activated:1", "broker.before-commit:2", "broker.committed:1"] {
        let dir = tempfile::tempdir().unwrap();
        Fnaad::arm(dir.path(), "");
        let mut host = Fnaad::mortal(dir.path()).expect("nothing ends it");
        ticking(&host);
        // Commits are counted from here on: those of ticks, and those of the swap.
        drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("migrates"));
        let mut wire = host.login();
        if place.starts_with("broker.") {
            eventually_ticked(&mut wire, 1, was_taken_over);
        }
        Fnaad::arm(dir.path(), place);
        host.until_ended(place);
        Fnaad::arm(dir.path(), "");
        let host = Fnaad::mortal(dir.path()).expect("nothing ends it");
        was_taken_over_once(&eventually_ticked(&mut host.login(), 5, was_taken_over));
    }
}
