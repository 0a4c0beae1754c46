//! Plugins in other languages than Rust that export every optional interface: they act by the clock, take another
//! configuration while they run, and the state that another version left. Their sources are in `clocks/`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use stories::{
    A, B, Fnaad, P, Wire, drop_in, eventually_within, host_with_plugin, noted, remade_project,
};

/// Longest wait for what may have to be compiled first, by an unoptimised compiler beside others.
const COMPILING: Duration = Duration::from_secs(280);

/// A project whose plugin is another one, with its test.
fn clock(lang: &str) -> (String, Vec<u8>) {
    let files: &[(&str, &str)] = match lang {
        "c" => &[
            ("plugin.c", include_str!("clocks/plugin.c")),
            ("test.c", include_str!("clocks/test.c")),
        ],
        "go" => &[
            ("plugin.go", include_str!("clocks/plugin.go")),
            ("plugin_test.go", include_str!("clocks/plugin_test.go")),
        ],
        "js" => &[
            ("plugin.js", include_str!("clocks/plugin.js")),
            ("plugin.test.js", include_str!("clocks/plugin.test.js")),
        ],
        "python" => &[
            ("plugin.py", include_str!("clocks/plugin.py")),
            ("test_plugin.py", include_str!("clocks/test_plugin.py")),
        ],
        "ts" => &[
            ("plugin.ts", include_str!("clocks/plugin.ts")),
            ("plugin.test.ts", include_str!("clocks/plugin.test.ts")),
        ],
        other => panic!("no clock in {other}"),
    };
    let name = format!("clock-{lang}");
    let made = remade_project(lang, &name, |file, text| match file {
        "Makefile" => text.replace("\nEXPORTS :=\n", "\nEXPORTS := timer reconfigure migrate\n"),
        file => files.iter().find(|(name, _)| *name == file).map_or(text, |(_, new)| (*new).into()),
    });
    (name, made)
}

/// Ticks, numbered by the state without a gap, at moments that do not go back; once the last is meant.
fn until_ticked(wire: &mut Wire, meant: impl Fn(&Value) -> bool) -> Vec<Value> {
    let ticks = eventually_within(COMPILING, "ticks", || {
        let ticks = wire.read(B);
        match ticks.last() {
            Some(last) if meant(last) => Ok(ticks),
            last => Err(format!("{last:?}")),
        }
    });
    let moment = |tick: &Value| tick["now"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(ticks.is_sorted_by_key(moment), "{ticks:?}");
    assert!(ticks.first().map(moment) > Some(1_700_000_000_000), "{ticks:?}");
    for (tick, number) in ticks.iter().zip(1..) {
        assert_eq!(tick["id"], i32::to_string(&number), "{tick}");
    }
    ticks
}

/// What every clock does.
fn a_clock_runs(lang: &str) {
    let (name, component) = clock(lang);
    let dir = tempfile::tempdir().unwrap();
    let host = host_with_plugin(dir.path(), &name, &component);
    let mut wire = host.login();
    let kind = wire.describe(&format!("PROCESSOR {name}"));
    assert_eq!(kind["interfaces"], "timer,reconfigure,migrate", "{kind}");
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    let config = |word: &str| json!({ "word": word });
    let create = format!("CREATE PROCESSOR {P} TYPE {name} FROM {A} TO {B} CONFIG");
    wire.ok(&format!("{create} {}", config("tick")));
    until_ticked(&mut wire, |tick| tick["remembered"].as_str() == Some("3"));
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} CONFIG {}", config("")));
    assert!(refused.starts_with("400 ") && refused.contains("word: is empty"), "{refused}");
    if lang == "c" {
        what_is_not_utf8_is_replaced(&mut wire, &refused);
    }
    wire.ok(&format!("UPDATE PROCESSOR {P} CONFIG {}", config("tock")));
    let ticks = until_ticked(&mut wire, |tick| tick["word"] == "tock");
    // The instance lived on: it counts in its memory as the state does.
    assert!(ticks.iter().all(|tick| tick["remembered"] == tick["id"]), "{ticks:?}");
    // Another version: other bytes.
    drop_in(&host.dir().join("plugins"), &format!("{name}.wasm"), &noted(&component, b'a'));
    let ticks = until_ticked(&mut wire, |tick| tick["migrated"] == "0.1.0");
    let words: BTreeMap<_, _> =
        ticks.iter().map(|tick| (tick["migrated"].as_str(), tick["word"].as_str())).collect();
    assert_eq!(words[&Some("0.1.0")], Some("tock"));
    not_once_failed(&mut wire, &host);
}

/// Strings of C are bytes: what the clock says and refuses in Latin 1 comes through, and ends no call.
fn what_is_not_utf8_is_replaced(wire: &mut Wire, refused: &str) {
    assert!(refused.contains("word: is empty\u{fffd}"), "{refused}");
    let said = wire.json(&format!("GET LOG {P}"));
    let is_there = |line: &Value| line["fields"]["caf\u{fffd}"] == "\u{fffd}\u{fffd}";
    assert!(said.iter().any(|line| line["message"] == "caf\u{fffd}" && is_there(line)), "{said:?}");
}

fn not_once_failed(wire: &mut Wire, host: &Fnaad) {
    let described = wire.describe(&format!("PROCESSOR {P}"));
    assert_eq!(described["failures"], 0, "{described} {}", host.log());
}

#[test]
fn a_clock_in_c_runs() {
    a_clock_runs("c");
}

#[test]
fn a_clock_in_go_runs() {
    a_clock_runs("go");
}

#[test]
fn a_clock_in_javascript_runs() {
    a_clock_runs("js");
}

#[test]
fn a_clock_in_python_runs() {
    a_clock_runs("python");
}

#[test]
fn a_clock_in_typescript_runs() {
    a_clock_runs("ts");
}
