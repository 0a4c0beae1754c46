//! `fnaad plugin check`: what a host takes, and everything that keeps it from taking a file.

use serde_json::Value;
use stories::{Tools, guest, lying_guest};

fn problems(report: &Value) -> String {
    let all = report["problems"].as_array().unwrap();
    let texts = all.iter().map(|found| {
        assert!(found["to_do"].as_str().is_some_and(|words| !words.is_empty()), "{found}");
        found["problem"].as_str().unwrap().to_owned()
    });
    texts.collect::<Vec<_>>().join("; ")
}

#[test]
fn the_included_plugins_are_taken_and_shown_whole() {
    let tools = Tools::new();
    for name in ["bridge", "collector", "distributor"] {
        let file = tools.included(name);
        let (code, report) = tools.json(&["check", &file]);
        assert_eq!(
            (code, &report["ok"], problems(&report).as_str()),
            (0, &true.into(), ""),
            "{report}"
        );
        assert_eq!(report["contract"], "flow:processor@1.0.0");
        assert_eq!(report["describe"]["name"], name);
        assert!(report["instance"]["memory_bytes"].as_u64() > Some(0), "{report}");
        let imports = report["imports"].as_array().unwrap();
        assert!(
            imports.iter().any(|import| import["name"] == "flow:processor/events@1.0.0"),
            "{report}"
        );
        assert!(report["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{report}");
    }
    let said = tools.run(&["check", "bridge.wasm"], "");
    assert_eq!(said.code, 0, "{said:?}");
    for part in
        ["contract     flow:processor@1.0.0, world processor\n", "imports  ", "a host takes it\n"]
    {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
}

#[test]
fn each_reason_for_which_a_host_refuses_a_file_is_told_with_what_to_do() {
    let tools = Tools::new();
    let whole = guest();
    let large = vec![0; (64 << 20) + 1];
    let files: [(&str, &[u8], &str); 9] = [
        ("nothing.wasm", b"", "not a WebAssembly component"),
        ("script.wasm", b"#!/bin/sh", "not a WebAssembly component"),
        ("module.wasm", b"\0asm\x01\0\0\0", "a core module, not a component"),
        ("half.wasm", &whole[..whole.len() / 2], "not a WebAssembly component"),
        ("large.wasm", &large, "limit passed: component_bytes=67108864"),
        ("other.wasm", whole, "the file's name is `other`, describe says `guest`"),
        ("guest", whole, "no name that ends in .wasm"),
        ("guest.wasm", &lying_guest("version"), "describe is wrong: version"),
        ("trap.wasm", &lying_guest("trap"), "describe failed: trap: "),
    ];
    for (name, bytes, words) in files {
        let file = tools.file(name, bytes);
        let (code, report) = tools.json(&["check", &file]);
        assert_eq!((code, &report["ok"]), (1, &false.into()), "{name}: {report}");
        assert!(problems(&report).contains(words), "{name}: {report}");
        let said = tools.run(&["check", &file], "");
        assert!(
            said.stdout.contains("\n  to do: ") && said.stdout.ends_with("a host refuses it\n"),
            "{said:?}"
        );
    }
}

#[test]
fn a_wrong_schema_and_a_configuration_that_is_refused_are_problems() {
    let tools = Tools::new();
    let file = tools.file("guest.wasm", &lying_guest("wrong-schema"));
    let (code, report) = tools.json(&["check", &file]);
    assert_eq!(code, 1);
    assert!(
        problems(&report).contains("config-schema is no JSON Schema: type: one of"),
        "{report}"
    );
    let bridge = tools.included("bridge");
    let (code, report) = tools.json(&["check", &bridge, "--config", r#"{"filter": "data.mag >"}"#]);
    assert_eq!(code, 1);
    assert!(problems(&report).contains("filter: "), "{report}");
    let config = tools.file("config.json", br#"{"filter": "data.mag > 3"}"#);
    let (code, report) = tools.json(&["check", &bridge, "--config", &format!("@{config}")]);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn a_file_that_is_not_there_and_a_limit_that_does_not_exist_are_told() {
    let tools = Tools::new();
    let said = tools.run(&["check", "absent.wasm"], "");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
    assert!(said.stderr.contains("absent.wasm"), "{said:?}");
    let said = tools.run(&["check", "absent.wasm", "--limit", "colour=3"], "");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("no limit is called colour"), "{said:?}");
}

#[test]
fn a_schema_that_asks_for_a_machine_is_given_up_with_the_limit_that_it_passes() {
    let tools = Tools::new();
    let schemas = [
        ("cyclic-schema", "made_depth=16"),
        ("wide-schema", "made_values=10000"),
        ("heavy-schema", "made_bytes=65536"),
    ];
    for (lie, limit) in schemas {
        let file = tools.file("guest.wasm", &lying_guest(lie));
        let words = format!("limit passed: {limit}: the schema asks for more than is made up");
        let (code, report) = tools.json(&["check", &file]);
        assert_eq!((code, problems(&report).contains(&words)), (1, true), "{lie}: {report}");
        for tool in ["run", "conform", "bench"] {
            let said = tools.run(&[tool, &file], "");
            assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{tool} {lie}: {said:?}");
            assert!(
                said.stderr.contains(&format!("{words}: give a configuration with --config")),
                "{said:?}"
            );
        }
        let (code, report) = tools.json(&["check", &file, "--config", "{}"]);
        assert_eq!((code, problems(&report).as_str()), (0, ""), "{lie}: {report}");
    }
    // What is wrong ten thousand times, at a place with a name of 50,000 octets, is told in some lines.
    let file = tools.file("guest.wasm", &lying_guest("wrong-schemas"));
    let (code, report) = tools.json(&["check", &file]);
    let told = report["problems"].as_array().unwrap();
    assert_eq!((code, told.len()), (1, 20), "{told:?}");
    assert!(told.iter().all(|told| told.to_string().len() < 1000), "{told:?}");
}
