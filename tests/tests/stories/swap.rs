//! SIGKILL while a plugin comes in: at the first start, and in the midst of a swap with its file gone;
//! and what was kept of it, damaged.

use std::path::{Path, PathBuf};

use serde_json::Value;
use stories::{A, B, Fnaad, P, Wire, drop_in, events, eventually_described, eventually_holds};

/// What a plugin passes on its way in, in this order.
const PLACES: [&str; 5] = [
    "plugins.compiled",
    "plugins.before-put",
    "plugins.put",
    "plugins.before-activation",
    "plugins.activated",
];

fn runs(version: &str) -> impl Fn(&Value) -> bool {
    move |seen| (0..2).all(|shard| seen[format!("shard.{shard}")]["version"] == version)
}

/// Two partitions of `a`, bridged to `b`.
fn bridged(wire: &mut Wire) {
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=2"));
    }
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
}

#[test]
fn a_first_start_that_was_killed_anywhere_is_finished_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut passed = PLACES.to_vec();
    passed.extend(["registry.before-commit", "registry.committed"]);
    for (number, place) in passed.into_iter().enumerate() {
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        Fnaad::arm(&dir, &format!("{place}:1"));
        assert!(Fnaad::mortal(&dir).is_none(), "not killed at {place}");
        Fnaad::arm(&dir, "");
        let host = Fnaad::mortal(&dir).expect("nothing ends it");
        let mut wire = host.login();
        let types = wire.json("GET PROCESSOR TYPES");
        let sound =
            types.iter().filter(|found| found["health"] == "ok" && found["generation"] == 1);
        assert_eq!((types.len(), sound.count()), (4, 4), "killed at {place}: {types:?}");
        assert_eq!(wire.data("GET NAMESPACES"), ["flows.unix.ar"]);
    }
}

#[test]
fn killed_in_a_swap_with_the_file_gone_it_runs_what_its_activation_row_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plugins/bridge.wasm");
    Fnaad::arm(dir.path(), "");
    let mut host = Fnaad::mortal(dir.path()).expect("nothing ends it");
    bridged(&mut host.login());
    let (mut version, mut written) = ("0.1.0", 0);
    // Beyond the activation: the shards go over, each with a commit of its own.
    let places = PLACES.map(|place| format!("{place}:1"));
    let swaps = ["processors.before-swap:1", "processors.swapped:1", "processors.swapped:2"];
    let commits = ["broker.before-commit:1", "broker.committed:1"];
    let later = swaps.into_iter().chain(commits).map(str::to_owned);
    for place in places.into_iter().chain(later) {
        let mut wire = host.login();
        eventually_described(&mut wire, P, "both shards", runs(version));
        wire.write(A, &events(written..written + 20));
        written += 20;
        eventually_holds(&mut wire, B, written);
        let (next, bridge) = other(version);
        Fnaad::arm(dir.path(), &place);
        drop_in(&dir.path().join("plugins"), "bridge.wasm", bridge);
        host.until_ended(&place);
        Fnaad::arm(dir.path(), "");
        std::fs::remove_file(&file).unwrap();
        host = Fnaad::mortal(dir.path()).expect("nothing ends it");
        let activated = !PLACES.iter().any(|before| place.starts_with(before))
            || place.starts_with("plugins.activated");
        if activated {
            version = next;
        }
        let mut wire = host.login();
        let seen = eventually_described(&mut wire, P, &place, runs(version));
        let kind = wire.describe("PROCESSOR bridge");
        assert_eq!((&kind["version"], &kind["health"]), (&version.into(), &"removed".into()));
        let digest = kind["digest"].as_str().unwrap();
        assert!(digest.starts_with(seen["shard.0"]["digest"].as_str().unwrap()), "{seen}");
    }
    let mut wire = host.login();
    wire.write(A, &events(written..written + 20));
    let copied = eventually_holds(&mut wire, B, written + 20);
    assert_eq!(stories::by_partition(&copied), stories::by_partition(&wire.read(A)));
}

/// The bridge that does not run.
fn other(version: &str) -> (&'static str, &'static [u8]) {
    match version {
        "0.1.0" => ("0.2.0", host_builtin::bridge_next().component),
        _ => ("0.1.0", host_builtin::all()[0].component),
    }
}

/// Changes one byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}

/// The files of compiled code, without what the engine counts of them.
fn compiled(dir: &Path) -> Vec<PathBuf> {
    let engines = std::fs::read_dir(dir.join("data/compiled/code/modules")).unwrap();
    let files = engines.flat_map(|engine| std::fs::read_dir(engine.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_none()).collect()
}

#[test]
fn damaged_compiled_code_is_noticed_and_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    bridged(&mut host.login());
    host.kill();
    let files = compiled(dir.path());
    files.iter().for_each(|file| damage(file));
    let host = Fnaad::dev(dir.path());
    let noticed = host.log().matches("compiled code is damaged").count();
    assert_eq!(noticed, files.len());
    let mut wire = host.login();
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    assert!(files.iter().filter(|file| file.exists()).count() >= 4, "compiled again and kept");
    host.kill();
    let host = Fnaad::dev(dir.path());
    assert_eq!(host.log().matches("compiled code is damaged").count(), noticed);
}

#[test]
fn damaged_bytes_of_a_plugin_are_named_and_mended_by_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    bridged(&mut wire);
    let digest = wire.describe("PROCESSOR bridge")["digest"].as_str().unwrap().to_owned();
    host.kill();
    std::fs::remove_file(dir.path().join("plugins/bridge.wasm")).unwrap();
    stories::damage_plugin(&dir.path().join("data"), &digest);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    let told =
        wire.json("GET PROCESSOR TYPES").into_iter().find(|seen| seen["file"] == "bridge.wasm");
    let reason = told.expect("the file that is rejected")["reason"].to_string();
    assert!(reason.contains(&digest) && reason.contains("has other bytes"), "{reason}");
    let seen = eventually_described(&mut wire, P, "its failure", |seen| seen["state"] == "failed");
    assert!(seen["reason"].as_str().unwrap().contains("bridge"), "{seen}");
    // The others are not concerned.
    wire.ok("CREATE FLOW c.flows.unix.ar");
    wire.ok(&format!("COLLECT {A},{B} c.flows.unix.ar"));
    drop_in(&dir.path().join("plugins"), "bridge.wasm", host_builtin::all()[0].component);
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    drop(host.kill());
    let host = Fnaad::dev(dir.path());
    assert_eq!(host.login().describe("PROCESSOR bridge")["digest"], digest);
}
