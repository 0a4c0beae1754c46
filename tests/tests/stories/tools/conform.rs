//! `fnaad plugin conform`: what keeps the rules, and what breaks each of them.

use serde_json::Value;
use stories::{EXAMPLES, Tools, guest, lying_guest};

fn failed(report: &Value) -> Vec<&str> {
    let rules = report["rules"].as_array().unwrap().iter();
    rules
        .filter(|rule| rule["result"] == "failed")
        .map(|rule| rule["rule"].as_str().unwrap())
        .collect()
}

const SIGNAL: &str = r#"{"rules": [{"name": "swarm", "when": "data.mag >= 4", "count": {"at-least": 2, "within": 100, "by": "subject"},
    "emit": {"type": "alert.swarm", "subject": "subject", "data": {"magnitude": "data.mag"}}}]}"#;

const DISTRIBUTOR: &str = r#"{"rules": [{"when": "data.mag >= 5", "to": "strong"}, {"when": "has(data.mag)", "to": 1}], "mode": "all"}"#;

#[test]
fn the_included_plugins_keep_every_rule() {
    let tools = Tools::new();
    let plugins: [(&str, &[&str]); 5] = [
        ("bridge", &[]),
        ("bridge", &["--config", r#"{"filter": "data.mag >= 3"}"#]),
        ("collector", &["--config", r#"{"origin-attribute": "sourceflow"}"#]),
        ("distributor", &["--config", DISTRIBUTOR, "--output", "strong", "--output", "weak"]),
        ("signal", &["--config", SIGNAL]),
    ];
    for (name, more) in plugins {
        let file = tools.included(name);
        let (code, report) = tools.json(&[&["conform", &file], more].concat());
        assert_eq!(
            (code, &report["ok"], failed(&report)),
            (0, &true.into(), vec![]),
            "{name}: {report}"
        );
        assert_eq!(report["rules"].as_array().unwrap().len(), 22, "{report}");
    }
    let said = tools.run(&["conform", "bridge.wasm"], "");
    assert!(said.stdout.contains("passed  recycling "), "{said:?}");
    // It exports no optional interface, which has five rules.
    assert!(said.stdout.ends_with("17 rules hold, 0 are broken, 5 not applicable\n"), "{said:?}");
}

#[test]
fn the_examples_in_every_language_keep_every_rule() {
    let tools = Tools::new();
    for example in EXAMPLES {
        let file = tools.file(&format!("{}.wasm", example.name), &example.component());
        let (code, report) = tools.json(&["conform", &file, "--config", example.config]);
        assert_eq!((code, failed(&report)), (0, vec![]), "{}: {report:#}", example.name);
        let applicable = |rule: &&Value| rule["result"] == "passed";
        let held = report["rules"].as_array().unwrap().iter().filter(applicable).count();
        let interfaces = match example.name {
            // Its timer, and its reconfigure, have two rules each.
            "tumbling-window" | "keyed-count" => 2,
            _ => 0,
        };
        assert_eq!(held, 17 + interfaces, "{}: {report:#}", example.name);
    }
}

#[test]
fn a_guest_that_breaks_a_rule_of_an_optional_interface_is_told_which() {
    let tools = Tools::new();
    let file = tools.file("guest.wasm", &lying_guest("strict-schema"));
    let guests: [(&str, &[&str]); 9] = [
        ("", &[]),
        ("tick-idle", &[]),
        ("tick-trap", &["ticks"]),
        ("tick-forward", &["ticks"]),
        ("tick-output", &["ticks"]),
        ("tick-fatal", &["ticks"]),
        ("tick-remember", &["ticks-anew"]),
        ("unwelcome", &["reconfigure"]),
        ("lax-reconfigure", &["reconfigure-refuses"]),
    ];
    for (act, broken) in guests {
        let config = format!(r#"{{"act": "{act}", "tick": 1000}}"#);
        let (code, report) = tools.json(&["conform", &file, "--config", &config]);
        assert_eq!(failed(&report), broken, "{act}: {report:#}");
        assert_eq!(code, i32::from(!broken.is_empty()), "{act}");
    }
    for (lie, broken) in [("migrates", &["migrate"][..]), ("cannot-migrate", &[])] {
        let file = tools.file("guest.wasm", &lying_guest(lie));
        let (_, report) = tools.json(&["conform", &file, "--config", r#"{"act": "count"}"#]);
        assert_eq!(failed(&report), broken, "{lie}: {report:#}");
    }
}

#[test]
fn a_guest_that_breaks_a_rule_is_told_which() {
    let tools = Tools::new();
    let file = tools.file("guest.wasm", guest());
    let guests: [(&str, &[&str], &[&str]); 11] = [
        ("forward-each", &[], &[]),
        ("nothing", &[], &["accounts", "odd-events", "large-event"]),
        ("unknown-output", &[], &["accounts", "odd-events", "large-event"]),
        ("rewrite-each", &[], &["odd-events"]),
        ("fatal", &[], &["goes-on", "odd-events", "large-event"]),
        ("retry", &[], &["goes-on", "odd-events", "large-event"]),
        ("reverse", &[], &["order"]),
        ("remember", &[], &["same-again", "recycling"]),
        ("refuse-pause", &[], &["pause-and-resume"]),
        ("trap-in-destroy", &[], &["destroy"]),
        ("write-in-pause", &[], &["state-outside"]),
    ];
    for (act, more, broken) in guests {
        let config = format!(r#"{{"act": "{act}"}}"#);
        let (code, report) = tools.json(&[&["conform", &file, "--config", &config], more].concat());
        assert_eq!(failed(&report), broken, "{act}: {report:#}");
        assert_eq!(code, i32::from(!broken.is_empty()), "{act}");
    }
}

#[test]
fn a_trap_and_a_passed_limit_are_two_rules_and_told_with_their_words() {
    let tools = Tools::new();
    let file = tools.file("guest.wasm", guest());
    let (code, report) = tools.json(&["conform", &file, "--config", r#"{"act": "panic"}"#]);
    assert_eq!(code, 1);
    assert_eq!(failed(&report), ["never-traps", "odd-events", "large-event"], "{report:#}");
    let text = report.to_string();
    assert!(
        text.contains("batches of 1: event 0: trap: ") && text.contains("deliberate"),
        "{text}"
    );
    let memory =
        ["conform", &file, "--config", r#"{"act": "data-all"}"#, "--limit", "memory=3000000"];
    let (code, report) = tools.json(&memory);
    assert_eq!((code, failed(&report)), (1, vec!["large-event"]), "{report:#}");
}

#[test]
fn what_a_plugin_says_of_itself_is_looked_at_as_well() {
    let tools = Tools::new();
    let other = tools.file("other.wasm", guest());
    assert_eq!(failed(&tools.json(&["conform", &other]).1), ["name"]);
    let wrong = tools.file("guest.wasm", &lying_guest("wrong-schema"));
    assert_eq!(failed(&tools.json(&["conform", &wrong]).1), ["schema"]);
    let lax = tools.file("guest.wasm", &lying_guest("required"));
    let (_, report) = tools.json(&["conform", &lax, "--config", "{}"]);
    assert_eq!(failed(&report), ["init-refuses"], "{report:#}");
    // Nothing can be said of a plugin that does not start.
    let (code, report) = tools.json(&["conform", &lax]);
    assert_eq!((code, failed(&report)), (1, vec!["init"]), "{report:#}");
    let rest = report["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["result"] == "not-applicable");
    assert_eq!(rest.count(), 18, "{report:#}");
}

#[test]
fn somebodys_own_events_are_tried_where_he_gives_them() {
    let tools = Tools::new();
    let file = tools.file("guest.wasm", guest());
    let event = |n: usize| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/s\",\"type\":\"t\",\"data\":{n}}}\n"
        )
    };
    let config = r#"{"act": "panic-at-odd"}"#;
    let even =
        tools.file("even.jsonl", (0..10).map(|n| event(2 * n)).collect::<String>().as_bytes());
    let (_, report) = tools.json(&["conform", &file, "--config", config, "--events", &even]);
    assert!(!failed(&report).contains(&"never-traps"), "{report:#}");
    let odd = tools.file("odd.jsonl", event(1).as_bytes());
    let (_, report) = tools.json(&["conform", &file, "--config", config, "--events", &odd]);
    assert!(failed(&report).contains(&"never-traps"), "{report:#}");
    let none = tools.file("none.jsonl", b"");
    let said = tools.run(&["conform", &file, "--events", &none], "");
    assert!(said.code == 1 && said.stderr.contains("no event to try"), "{said:?}");
}
