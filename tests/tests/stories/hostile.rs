//! Plugins that do harm: what the operator sees of it, and that the neighbour, a bridge, goes on.

use serde_json::{Value, json};
use stories::{
    Config, Fnaad, Wire, drop_in, events, eventually, eventually_described, eventually_holds,
    eventually_typed, guest, lying_guest,
};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";
const GOOD: &str = "good.flows.unix.ar";
const OUT: &str = "out.flows.unix.ar";

/// Flows `a`, `good` and `out`, a bridge from `a` to `good`, and the type `guest`.
fn host() -> (Wire, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    furnish(&mut wire, &dir, "plugins");
    (wire, host, dir)
}

fn furnish(wire: &mut Wire, dir: &TempDir, plugins: &str) {
    for flow in [A, GOOD, OUT] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.ok(&format!("REPLICATE {A} {GOOD}"));
    drop_in(&dir.path().join(plugins), "guest.wasm", guest());
    eventually_typed(wire, "guest", |_| true);
}

fn create(name: &str, act: &str, times: u32, settings: &str) -> String {
    let config = json!({"act": act, "times": times});
    format!("CREATE PROCESSOR {name} TYPE guest FROM {A} TO {OUT} {settings} CONFIG {config}")
}

/// Twenty events more reach the bridge's output.
fn the_bridge_goes_on(wire: &mut Wire, before: usize) -> usize {
    let after = before + 20;
    assert_eq!(wire.write(A, &events(before..after)), "220 OK 20 events");
    eventually_holds(wire, GOOD, after);
    after
}

fn says(description: &Value, words: &str) -> bool {
    description["reason"].as_str().is_some_and(|reason| reason.contains(words))
}

/// Each of these, in a processor of its own, meets events; then its reason says these words.
fn stopped(rows: &[(&str, u32, &str, &str)]) {
    let (mut wire, _host, _dir) = host();
    let names: Vec<String> =
        (0..rows.len()).map(|number| format!("bad{number}.flows.unix.ar")).collect();
    for (name, (act, times, settings, _)) in names.iter().zip(rows) {
        wire.ok(&create(name, act, *times, settings));
    }
    let mut written = the_bridge_goes_on(&mut wire, 0);
    for (name, (act, _, _, words)) in names.iter().zip(rows) {
        let what = format!("{act} to be stopped with {words:?}");
        eventually_described(&mut wire, name, &what, |seen| says(seen, words));
        written = the_bridge_goes_on(&mut wire, written);
    }
    // Events can be read a moment before they are counted.
    eventually("the bridge to run and to have counted all", || {
        let listed = wire.json("GET PROCESSORS");
        let bridge = listed.iter().find(|found| found["type"] == "bridge").unwrap();
        let seen = (&bridge["state"], &bridge["events-out"]);
        if seen == (&json!("running"), &json!(written)) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

#[test]
fn loops_and_sleeps_without_end_are_stopped_by_name_and_the_bridge_goes_on() {
    let limit = "limit.call_ms=50";
    let words = "limit passed: call_ms=50";
    stopped(&[
        ("loop", 0, limit, words),
        ("sleep-for-ever", 0, limit, words),
        ("random-for-ever", 0, limit, words),
    ]);
}

#[test]
fn traps_and_guests_that_eat_memory_or_stack_are_stopped_by_name_and_the_bridge_goes_on() {
    stopped(&[
        ("grow", 0, "limit.memory=16777216", "limit passed: memory=16777216"),
        ("recurse", 0, "", "limit passed: stack_bytes=1048576"),
        ("panic", 0, "", "deliberate"),
        ("exit", 0, "", "plugin: trap"),
    ]);
}

#[test]
fn answers_that_mean_nothing_or_too_much_are_stopped_by_name_and_the_bridge_goes_on() {
    let few = "limit.emit_bytes=1024 limit.emit_events=1 limit.batch_events=1";
    let more = "limit.emit_bytes=8388608";
    stopped(&[
        ("unknown-output", 0, "", "names output 9 of 1"),
        ("unknown-index", 0, "", "names event 999 of "),
        ("dead-letters", 1_000, "", "more dead letters than there are events"),
        ("many-actions", 1_000_000, few, "limit passed: lifted_bytes="),
        ("alias-emits", 10_000, more, "limit passed: lifted_bytes="),
        ("alias-rewrites", 10_000, more, "limit passed: lifted_bytes="),
        ("emit", 11, "limit.emit_events=10", "limit passed: emit_events=10"),
        ("emit", 11, "limit.emit_bytes=5000", "limit passed: emit_bytes=5000"),
    ]);
}

#[test]
fn floods_of_the_state_are_stopped_by_name_and_the_bridge_goes_on() {
    stopped(&[
        ("fill", 100, "limit.state_bytes=10000", "limit passed: state_bytes=10000"),
        (
            "long-value",
            2_001,
            "limit.state_value_bytes=2000",
            "limit passed: state_value_bytes=2000",
        ),
        ("long-key", 1_025, "", "limit passed: state_key_bytes=1024"),
    ]);
}

#[test]
fn a_flood_of_the_log_is_cut_off_by_name_and_the_events_go_on() {
    for act in ["log-flood", "print-flood"] {
        let (mut wire, _host, _dir) = host();
        let settings = "limit.log_lines=2 limit.call_ms=2000";
        wire.ok(&create("loud.flows.unix.ar", act, 1_000, settings));
        the_bridge_goes_on(&mut wire, 0);
        eventually_holds(&mut wire, OUT, 20);
        let log = wire.data("GET LOG loud.flows.unix.ar");
        let told = "limit passed: log_lines=2: lines are left out";
        assert!(log.iter().any(|line| line.contains(told)), "{act}: {log:?}");
        assert!(log.len() < 200, "{act}: {} lines", log.len());
    }
}

#[test]
fn what_a_plugin_logs_ends_no_reply_and_moves_no_terminal() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&create("sly.flows.unix.ar", "log-long", 100, ""));
    the_bridge_goes_on(&mut wire, 0);
    eventually_holds(&mut wire, OUT, 20);
    for command in ["GET LOG sly.flows.unix.ar", "DESCRIBE PROCESSOR sly.flows.unix.ar"] {
        let lines = wire.data(command);
        assert!(lines.iter().any(|line| line.contains("[2J")), "{command}: {lines:?}");
        assert!(!lines.iter().any(|line| line.contains('\u{1b}')), "{command}: {lines:?}");
    }
    assert_eq!(wire.ask("NOOP"), ["220 OK"]);
}

#[test]
fn one_that_fails_in_init_is_refused_with_its_words_and_leaves_nothing() {
    let (mut wire, _host, _dir) = host();
    let name = "bad.flows.unix.ar";
    for (act, settings, words) in [
        ("trap-in-init", "", "deliberate"),
        ("loop-in-init", "limit.init_ms=100", "limit passed: init_ms=100"),
        ("grow-in-init", "limit.memory=16777216", "limit passed: memory=16777216"),
        ("recurse-in-init", "", "limit passed: stack_bytes="),
        ("", "limit.memory=65536", "limit passed: memory=65536"),
    ] {
        let refused = wire.refused(&create(name, act, 0, settings));
        assert!(refused.starts_with("400 ") && refused.contains(words), "{act}: {refused}");
        assert!(wire.refused(&format!("DESCRIBE PROCESSOR {name}")).starts_with("404 "));
    }
    the_bridge_goes_on(&mut wire, 0);
}

#[test]
fn one_that_fails_in_pause_or_destroy_can_be_held_and_deleted_all_the_same() {
    let (mut wire, _host, _dir) = host();
    let acts = ["trap-in-pause", "loop-in-pause", "trap-in-destroy", "loop-in-destroy"];
    let mut written = 0;
    for act in acts {
        let name = format!("{act}.flows.unix.ar");
        wire.ok(&create(&name, act, 0, "limit.call_ms=50"));
        written = the_bridge_goes_on(&mut wire, written);
        if act.ends_with("pause") {
            wire.ask(&format!("PAUSE {name}"));
            eventually_described(&mut wire, &name, "its end", |seen| seen["state"] != "running");
        }
        wire.ok(&format!("DELETE PROCESSOR {name}"));
        assert!(wire.refused(&format!("DESCRIBE PROCESSOR {name}")).starts_with("404 "));
    }
    the_bridge_goes_on(&mut wire, written);
}

#[test]
fn a_file_that_lies_about_itself_is_refused_with_the_reason_and_changes_nothing() {
    let (mut wire, _host, dir) = host();
    let digest = wire.describe("PROCESSOR guest")["digest"].clone();
    let half = guest()[..guest().len() / 2].to_vec();
    let files = [
        (lying_guest("name"), "describe is wrong: name: "),
        (lying_guest("control"), "describe is wrong: summary: "),
        (lying_guest("giant-schema"), "limit passed: describe_bytes=262144"),
        (lying_guest("trap"), "deliberate"),
        (lying_guest("recurse"), "limit passed: stack_bytes="),
        (half, "not a WebAssembly component: "),
    ];
    let mut written = 0;
    for (file, words) in files {
        drop_in(&dir.path().join("plugins"), "guest.wasm", &file);
        eventually(words, || {
            let types = wire.json("GET PROCESSOR TYPES");
            let refused = types.iter().find(|found| found["file"] == "guest.wasm");
            let refused = refused.filter(|refused| says(refused, words));
            refused.map(|_| ()).ok_or_else(|| format!("{types:?}"))
        });
        assert_eq!(wire.describe("PROCESSOR guest")["digest"], digest);
        written = the_bridge_goes_on(&mut wire, written);
    }
}

#[test]
fn limits_of_one_processor_are_set_shown_and_kept_and_never_above_those_of_the_host() {
    let (mut wire, host, dir) = host();
    let p = "p.flows.unix.ar";
    for (settings, words) in [
        ("limit.memory=134217729", "limit.memory is at most 134217728 on this host"),
        ("limit.call_ms=2001", "limit.call_ms is at most 2000 on this host"),
        ("limit.call_ms=0", "limit.call_ms is a whole number of at least 1"),
        ("limit.call_ms=fast", "limit.call_ms is a whole number of at least 1"),
        ("limit.colour=1", "no limit colour: there are memory, "),
    ] {
        let refused = wire.refused(&create(p, "", 0, settings));
        assert!(refused.starts_with("400 ") && refused.contains(words), "{refused}");
    }
    wire.ok(&create(p, "", 0, "limit.call_ms=500"));
    let refused = wire.refused(&format!("UPDATE PROCESSOR {p} limit.memory=134217729"));
    assert!(refused.contains("at most 134217728"), "{refused}");
    let refused = wire.refused(&format!("UPDATE PROCESSOR {p} limit.memory=65536"));
    assert!(refused.contains("limit passed: memory=65536"), "{refused}");
    wire.ok(&format!("UPDATE PROCESSOR {p} limit.log_lines=7"));
    host.kill();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    let seen = wire.describe(&format!("PROCESSOR {p}"));
    for (name, value) in [
        ("call_ms", 500),
        ("log_lines", 7),
        ("memory", 134_217_728),
        ("component_bytes", 67_108_864),
        ("stack_bytes", 1_048_576),
        ("instances", 32),
        ("memories", 4),
        ("tables", 32),
        ("nesting", 32),
        ("compile_ms", 300_000),
        ("state_key_bytes", 1_024),
        ("log_line_bytes", 16_384),
        ("describe_bytes", 262_144),
        ("line_table_bytes", 2_097_152),
    ] {
        assert_eq!(seen[format!("limit.{name}")], value, "{name}");
    }
    assert!(seen["limit.lifted_bytes"].as_u64() > seen["limit.emit_bytes"].as_u64());
}

#[test]
fn the_operator_may_grant_one_processor_more_than_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text += "\n[limits.plugin]\nmemory_bytes = 16777216\n\
        [limits.plugin_most]\nmemory_bytes = 67108864\n";
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = host.connect();
    wire.authenticate("test", "test");
    furnish(&mut wire, &dir, "data/plugins");
    let refused = wire.refused(&create("p.flows.unix.ar", "", 0, "limit.memory=67108865"));
    assert!(refused.contains("limit.memory is at most 67108864 on this host"), "{refused}");
    // Thirty events of a mebibyte each fit into one memory and not into the other.
    let rows = [("small.flows.unix.ar", ""), ("large.flows.unix.ar", "limit.memory=67108864")];
    for (name, settings) in rows {
        wire.ok(&create(name, "many-mebibytes", 30, settings));
    }
    the_bridge_goes_on(&mut wire, 0);
    let words = "limit passed: memory=16777216";
    eventually_described(&mut wire, "small.flows.unix.ar", words, |seen| says(seen, words));
    eventually_described(&mut wire, "large.flows.unix.ar", "its events", |seen| {
        seen["state"] == "running" && seen["events-in"] == 20
    });
}
