//! A new version of a plugin, dropped into the directory while events flow; and files that are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;
use stories::{
    A, B, Fnaad, Hosted, P, Wire, by_partition, drop_in, events, eventually, eventually_described,
    eventually_holds, host_with,
};
use tempfile::TempDir;

/// A bridge `p` between flows of three partitions.
fn host() -> Hosted {
    let (mut wire, host, dir) = host_with(&[A, B], 3);
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    (wire, host, dir)
}

fn drop_plugin(dir: &TempDir, file: &str, bytes: &[u8]) {
    drop_in(&dir.path().join("plugins"), file, bytes);
}

fn first_bridge() -> &'static [u8] {
    host_builtin::all()[0].component
}

fn runs(version: &str) -> impl Fn(&Value) -> bool {
    move |seen| (0..3).all(|shard| seen[format!("shard.{shard}")]["version"] == version)
}

/// The type of this name, or the file that was refused.
fn listed(wire: &mut Wire, key: &str, name: &str) -> Option<Value> {
    wire.json("GET PROCESSOR TYPES").into_iter().find(|found| found[key] == name)
}

/// Writes until it is told to stop; gives the number of events.
fn keep_writing(host: &Fnaad) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let enough = Arc::new(AtomicBool::new(false));
    let (stop, mut wire) = (Arc::clone(&enough), host.login());
    let writing = std::thread::spawn(move || {
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = wire.write(A, &events(written..written + 20));
            assert_eq!(answer, "220 OK 20 events");
            written += 20;
        }
        written
    });
    (enough, writing)
}

#[test]
fn a_new_version_takes_over_while_events_flow_and_none_is_lost_or_repeated() {
    let (mut wire, host, dir) = host();
    let first = wire.describe("PROCESSOR bridge")["version"].as_str().unwrap().to_owned();
    let next = host_builtin::bridge_next().component;
    let (enough, writing) = keep_writing(&host);
    for (component, version) in [(next, "0.2.0"), (first_bridge(), &first), (next, "0.2.0")] {
        drop_plugin(&dir, "bridge.wasm", component);
        let seen = eventually_described(&mut wire, P, version, runs(version));
        assert_eq!(seen["state"], "running");
        assert_eq!(wire.describe("PROCESSOR bridge")["version"], version);
        let moved = seen["events-in"].as_u64();
        eventually_described(&mut wire, P, "more events", |seen| {
            seen["events-in"].as_u64() > moved
        });
    }
    enough.store(true, Ordering::Relaxed);
    let written = writing.join().unwrap();
    let copied = eventually_holds(&mut wire, B, written);
    assert_eq!(by_partition(&copied), by_partition(&wire.read(A)));
    assert_eq!(wire.describe("PROCESSOR bridge")["generation"], 4);
}

#[test]
fn a_broken_file_changes_nothing_and_is_shown_with_its_reason() {
    let (mut wire, _host, dir) = host();
    let before = wire.describe("PROCESSOR bridge");
    let next = host_builtin::bridge_next().component;
    for (bytes, reason) in [
        (&b"this is no component"[..], "not a WebAssembly component"),
        (&next[..next.len() / 2], ""),
        (b"\0asm\x01\0\0\0", "a core module, not a component"),
        (b"", ""),
    ] {
        drop_plugin(&dir, "bridge.wasm", bytes);
        let seen = eventually("the refusal", || {
            let seen = listed(&mut wire, "file", "bridge.wasm");
            let told = seen.as_ref().and_then(|seen| seen["reason"].as_str()).unwrap_or_default();
            if told.contains(reason) && !told.is_empty() {
                Ok(told.to_owned())
            } else {
                Err(format!("{seen:?}"))
            }
        });
        let text = wire.data("GET PROCESSOR TYPES");
        assert!(text.contains(&format!("bridge.wasm rejected: {seen}")), "{text:?}");
        let active = wire.describe("PROCESSOR bridge");
        assert_eq!((&active["digest"], &active["health"]), (&before["digest"], &"ok".into()));
    }
    wire.write(A, &events(0..20));
    eventually_holds(&mut wire, B, 20);
    wire.ok(&format!("REPLICATE {B} c.flows.unix.ar").replace(B, A).replace("c.", "b."));
    // Put right, it is taken, and the refusal is gone.
    drop_plugin(&dir, "bridge.wasm", next);
    eventually_described(&mut wire, P, "the next version", runs("0.2.0"));
    assert_eq!(listed(&mut wire, "file", "bridge.wasm"), None);
}

#[test]
fn a_file_under_another_name_than_its_own_is_refused() {
    let (mut wire, _host, dir) = host();
    drop_plugin(&dir, "viaduct.wasm", first_bridge());
    let seen = eventually("the refusal", || {
        listed(&mut wire, "file", "viaduct.wasm").ok_or_else(|| "not listed".to_owned())
    });
    assert_eq!(seen["health"], "rejected");
    assert_eq!(seen["reason"], "describes itself as bridge, so its file must be bridge.wasm");
    let refused = wire.refused(&format!("SIGNAL viaduct FROM {A} TO {B}"));
    assert!(refused.starts_with("404 NOT_FOUND "), "{refused}");
    std::fs::remove_file(dir.path().join("plugins/viaduct.wasm")).unwrap();
    eventually("the end of the refusal", || match listed(&mut wire, "file", "viaduct.wasm") {
        None => Ok(()),
        Some(seen) => Err(seen.to_string()),
    });
}

#[test]
fn a_removed_file_ends_nothing_that_runs_and_begins_nothing_new() {
    let (mut wire, host, dir) = host();
    wire.write(A, &events(0..10));
    eventually_holds(&mut wire, B, 10);
    std::fs::remove_file(dir.path().join("plugins/bridge.wasm")).unwrap();
    eventually("the type is not available", || {
        let health = wire.describe("PROCESSOR bridge")["health"].clone();
        if health == "removed" { Ok(()) } else { Err(health.to_string()) }
    });
    let command = format!("REPLICATE {A} {B} AS q.flows.unix.ar");
    let refused = wire.refused(&command);
    assert!(refused.starts_with("404 NOT_FOUND ") && refused.contains("bridge"), "{refused}");
    wire.write(A, &events(10..20));
    eventually_holds(&mut wire, B, 20);
    // It also goes on after a restart, with what was active: the directory is an inbox.
    assert!(host.end().success());
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.write(A, &events(20..30));
    eventually_holds(&mut wire, B, 30);
    assert!(!dir.path().join("plugins/bridge.wasm").exists());
    assert!(wire.refused(&command).starts_with("404 NOT_FOUND "));
    drop_plugin(&dir, "bridge.wasm", first_bridge());
    eventually("the type is back", || {
        let health = wire.describe("PROCESSOR bridge")["health"].clone();
        if health == "ok" { Ok(()) } else { Err(health.to_string()) }
    });
    wire.ok(&command);
}

#[test]
fn the_version_that_took_over_still_runs_after_a_crash() {
    let (mut wire, host, dir) = host();
    drop_plugin(&dir, "bridge.wasm", host_builtin::bridge_next().component);
    eventually_described(&mut wire, P, "the next version", runs("0.2.0"));
    std::fs::remove_file(dir.path().join("plugins/bridge.wasm")).unwrap();
    host.kill();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    eventually_described(&mut wire, P, "the next version", runs("0.2.0"));
    wire.write(A, &events(0..10));
    eventually_holds(&mut wire, B, 10);
}

#[test]
fn a_version_that_refuses_a_running_configuration_does_not_take_over() {
    let (mut wire, _host, dir) = host();
    let before = wire.describe("PROCESSOR bridge")["digest"].clone();
    // The collector knows no bridge's configuration, and says that it is a collector.
    let [_, collector, ..] = host_builtin::all();
    drop_plugin(&dir, "bridge.wasm", collector.component);
    let seen = eventually("the refusal", || {
        listed(&mut wire, "file", "bridge.wasm").ok_or_else(|| "not listed".to_owned())
    });
    assert_eq!(seen["reason"], "describes itself as collector, so its file must be collector.wasm");
    assert_eq!(wire.describe("PROCESSOR bridge")["digest"], before);
}

#[test]
fn a_broken_file_takes_its_type_away_after_a_restart_neither() {
    let (_wire, host, dir) = host();
    drop_plugin(&dir, "bridge.wasm", b"half a copy");
    host.kill();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    eventually("the refusal", || {
        listed(&mut wire, "file", "bridge.wasm").ok_or_else(|| "not listed".to_owned())
    });
    assert_eq!(wire.describe("PROCESSOR bridge")["health"], "ok");
    wire.ok("CREATE FLOW late.flows.unix.ar");
    wire.ok(&format!("REPLICATE {A} late.flows.unix.ar"));
}
