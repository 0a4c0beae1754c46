//! Plugins in every language, on a host: the projects that `fnaad plugin new` writes, and the examples. Each is built
//! and tested with its language's own tools first.

use serde_json::{Value, json};
use stories::{
    A, B, Fnaad, Following, P, Wire, changed_project, eventually, eventually_holds, example,
    fresh_project, host_with_plugin,
};

use crate::streams::{anywhere, write};

/// A host that runs a plugin between two flows of one partition.
struct Running {
    wire: Wire,
    host: Fnaad,
    _dir: tempfile::TempDir,
}

fn running(name: &str, component: &[u8], config: &Value) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let host = host_with_plugin(dir.path(), name, component);
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE {name} FROM {A} TO {B} CONFIG {config}"));
    Running { wire, host, _dir: dir }
}

fn event(id: &str, kind: &str, data: &Value) -> String {
    let event =
        json!({"specversion": "1.0", "id": id, "source": "/house", "type": kind, "data": data});
    event.to_string()
}

/// What every fresh project does: what begins with the prefix goes on, a wrong configuration is refused with its
/// path, and there is a line in the log.
fn a_fresh_project_runs(lang: &str) {
    let name = format!("my-{lang}");
    let component = fresh_project(lang, &name);
    let mut running = running(&name, &component, &json!({"prefix": "alert."}));
    let wire = &mut running.wire;
    let some = [("1", "knock"), ("2", "alert.fire"), ("3", "alert"), ("4", "alert.water")];
    wire.write(A, &some.map(|(id, kind)| event(id, kind, &json!({"room": "kitchen"}))));
    let passed = eventually_holds(wire, B, 2);
    let found: Vec<_> = passed.iter().map(|event| (&event["id"], &event["data"]["room"])).collect();
    assert_eq!(found, [(&json!("2"), &json!("kitchen")), (&json!("4"), &json!("kitchen"))]);
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} CONFIG {{\"perfix\":\"\"}}"));
    assert!(refused.starts_with("4") && refused.contains("perfix"), "{lang}: {refused}");
    let described = running.host.fnua().ok(&["describe", "processor", P]);
    assert!(described.contains("ready") && described.contains("prefix"), "{lang}: {described}");
}

#[test]
fn a_fresh_project_in_c_runs() {
    a_fresh_project_runs("c");
}

#[test]
fn a_fresh_project_in_go_runs() {
    a_fresh_project_runs("go");
}

#[test]
fn a_fresh_project_in_javascript_runs() {
    a_fresh_project_runs("js");
}

#[test]
fn a_fresh_project_in_typescript_runs() {
    a_fresh_project_runs("ts");
}

#[test]
fn a_fresh_project_in_python_runs() {
    a_fresh_project_runs("python");
}

#[test]
fn a_fresh_project_in_rust_runs() {
    a_fresh_project_runs("rust");
}

#[test]
fn the_checksum_in_c_is_set_and_checked() {
    let mut running = running("checksum", &example("checksum"), &json!({}));
    let wire = &mut running.wire;
    wire.write(A, &[event("1", "note", &json!("123456789")), event("2", "note", &json!({"n": 1}))]);
    let summed = eventually_holds(wire, B, 2);
    // Of the octets "123456789" with their quotes, as a JSON text has them.
    assert_eq!(summed[0]["crc32"], "83593021");
    wire.ok(&format!("UPDATE PROCESSOR {P} CONFIG {{\"verify\":true}}"));
    let good = json!({"specversion": "1.0", "id": "3", "source": "/house", "type": "note", "crc32": "83593021",
        "data": "123456789"});
    let bad = json!({"specversion": "1.0", "id": "4", "source": "/house", "type": "note", "crc32": "83593021",
        "data": "1234567890"});
    wire.write(A, &[good.to_string(), bad.to_string()]);
    let checked = eventually_holds(wire, B, 3);
    assert_eq!(checked[2]["id"], "3");
    let letters = eventually_holds(wire, "p.dead.flows.unix.ar", 1);
    assert!(letters[0].to_string().contains("crc32 is 83593021, the data's is"), "{letters:?}");
}

#[test]
fn the_deduplicator_in_rust_passes_an_event_on_once_also_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_with_plugin(dir.path(), "dedup", &example("dedup"));
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE dedup FROM {A} TO {B}"));
    let events = |numbers: &[u32]| -> Vec<String> {
        numbers.iter().map(|n| event(&n.to_string(), "sale", &json!(n))).collect()
    };
    wire.write(A, &events(&[1, 2, 1]));
    eventually_holds(&mut wire, B, 2);
    drop(wire);
    drop(host);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.write(A, &events(&[2, 3, 1]));
    let passed = eventually_holds(&mut wire, B, 3);
    assert_eq!(stories::ids(&passed), ["1", "2", "3"]);
}

#[test]
fn the_mask_in_python_masks_what_it_can_read_and_passes_nothing_else_on() {
    let component = example("mask");
    let mut running = running("mask", &component, &json!({"fields": ["buyer.email"], "mask": "-"}));
    let wire = &mut running.wire;
    let order = json!({"total": 7, "buyer": {"id": 1, "email": "ana@example.org"}});
    let text = json!({"specversion": "1.0", "id": "2", "source": "/house", "type": "order",
        "datacontenttype": "text/plain", "data": "ana@example.org"});
    wire.write(A, &[event("1", "order", &order), text.to_string()]);
    let masked = eventually_holds(wire, B, 1);
    assert_eq!(masked[0]["data"], json!({"total": 7, "buyer": {"id": 1, "email": "-"}}));
    eventually_holds(wire, "p.dead.flows.unix.ar", 1);
}

#[test]
fn the_converter_in_javascript_converts_what_is_there() {
    let rules = json!({"convert": [{"field": "outside.temp", "from": "degF", "to": "degC"}]});
    let mut running = running("convert", &example("convert"), &rules);
    let wire = &mut running.wire;
    let measured = json!({"outside": {"temp": 212, "sky": "blå"}});
    wire.write(A, &[event("1", "measured", &measured), event("2", "note", &json!({"n": 1}))]);
    let converted = eventually_holds(wire, B, 2);
    assert_eq!(converted[0]["data"], json!({"outside": {"temp": 100, "sky": "blå"}}));
    assert_eq!(converted[1]["data"], json!({"n": 1}));
    let rules = json!({"convert": [{"field": "t", "from": "degF", "to": "m"}]});
    let refused = wire.refused(&format!("UPDATE PROCESSOR {P} CONFIG {rules}"));
    assert!(refused.contains("convert[0].to: m is a length, degF a temperature"), "{refused}");
}

#[test]
fn the_rate_of_change_in_go_alerts_once_also_after_a_crash() {
    let config = json!({"field": "temp", "per-second": 0.5});
    let dir = tempfile::tempdir().unwrap();
    let host = host_with_plugin(dir.path(), "rate-of-change", &example("rate-of-change"));
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE rate-of-change FROM {A} TO {B} CONFIG {config}"));
    let measured = |second: u32, temp: f64| {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        json!({"specversion": "1.0", "id": second.to_string(), "source": "/station", "type": "measured",
            "subject": "roof", "time": time, "data": {"temp": temp}})
        .to_string()
    };
    wire.write(A, &[measured(0, 10.0), measured(10, 12.0), measured(12, 10.0)]);
    let alerts = eventually_holds(&mut wire, B, 1);
    assert_eq!(alerts[0]["id"], "12-rate");
    assert_eq!(alerts[0]["data"], json!({"from": 12, "to": 10, "persecond": -1}));
    drop(wire);
    drop(host);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.write(A, &[measured(14, 10.5), measured(15, 12.5)]);
    let alerts = eventually_holds(&mut wire, B, 2);
    assert_eq!(alerts[1]["data"], json!({"from": 10.5, "to": 12.5, "persecond": 2}));
}

#[test]
fn the_mask_in_python_is_a_policy_that_hides_from_every_subscriber() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_with_plugin(dir.path(), "mask", &example("mask"));
    let mut wire = host.login();
    let policy = Value::from(r#"mask {"fields":["n"]}"#);
    wire.ok(&format!("CREATE FLOW {A} policy={policy}"));
    write(&mut wire, A, 100..150);
    let name = wire.data(&format!("SUBSCRIBE {A}")).swap_remove(0);
    let mut following = Following::begin(host.login()).recording();
    let stream = following.attach(&name, &anywhere(), 64 << 10);
    following.attached(stream);
    let records = following.until(stream, 0, 50);
    assert_eq!(records.len(), 50);
    for (_, record) in &records {
        assert_eq!(record.value.as_deref(), Some(&br#"{"n":"***"}"#[..]));
    }
    assert!(!following.has_heard("\"n\":1"));
}

/// Go's runtime writes the words of a panic in a hundred pieces; the SDK says them in one line.
#[test]
fn a_panic_in_go_becomes_a_dead_letter_with_its_words_and_its_line() {
    let process = "\t// A column: one call for the whole batch.";
    let panics = ("\tif plugin.Prefix == \"panic\" {\n\t\tpanic(\"deliberate\")\n\t}\n", process);
    let component =
        changed_project("go", "panics", "plugin.go", (process, &[panics.0, panics.1].concat()));
    let mut running = running("panics", &component, &json!({"prefix": "panic"}));
    running.wire.write(A, &[event("1", "panic", &json!({}))]);
    let dead = "p.dead.flows.unix.ar";
    // The flow is made for the first letter.
    eventually("the flow of dead letters", || {
        let answer = running.wire.ask(&format!("DESCRIBE FLOW {dead}"));
        if answer[0].starts_with("404") { Err(format!("{answer:?}")) } else { Ok(()) }
    });
    let letters = eventually_holds(&mut running.wire, dead, 1);
    let reason = letters[0]["deadreason"].as_str().expect("a reason");
    assert!(reason.contains("panic reason=deliberate"), "{reason}");
    assert!(reason.contains("panics/plugin.go:"), "{reason}");
}
