//! `fnaad plugin run`: events through a component as a host would take them, without a host.

use serde_json::{Value, json};
use stories::{
    EXAMPLES, Fnaad, INCLUDED, Tools, events, guest, host_with_plugins, lying_guest, traced_guest,
};

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn shown(stdout: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines(stdout).iter().map(|line| (text(&line["action"]), text(&line["event"]["id"]))).collect()
}

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|n| json!({"specversion": "1.0", "id": format!("e{n}"), "source": "/s", "type": "t", "data": {"n": n}}).to_string() + "\n").collect()
}

#[test]
fn what_goes_on_is_a_line_with_its_output_and_what_does_not_is_shown_on_request() {
    let tools = Tools::new();
    let bridge = tools.included("bridge");
    let run = ["run", &bridge, "--config", r#"{"filter": "data.n == 1"}"#];
    let said = tools.run(&run, &numbered(0, 3));
    assert_eq!(said.code, 0, "{said:?}");
    let [line] = &lines(&said.stdout)[..] else { panic!("{said:?}") };
    assert_eq!(
        (&line["action"], &line["output"], &line["flow"]),
        (&json!("forward"), &json!(0), &json!("out"))
    );
    assert_eq!((&line["event"]["id"], &line["event"]["data"]), (&json!("e1"), &json!({"n": 1})));
    assert!(said.stderr.contains("3 events in, 1 out, 2 dropped, 0 dead letters"), "{said:?}");
    let said = tools.run(&[&run[..], &["--all"]].concat(), &numbered(0, 3));
    let actions: Vec<_> = shown(&said.stdout).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions.iter().filter(|action| *action == "drop").count(), 2, "{said:?}");
}

#[test]
fn inputs_and_outputs_have_names_and_files_of_their_own() {
    let tools = Tools::new();
    let collector = tools.included("collector");
    let other = tools.file("b.jsonl", numbered(5, 6).as_bytes());
    let config = r#"{"origin-attribute": "origin"}"#;
    let said = tools.run(
        &[
            "run",
            &collector,
            "--config",
            config,
            "--input",
            "a.test",
            "--input",
            &format!("b.test={other}"),
            "--output",
            "all.test",
        ],
        &numbered(0, 1),
    );
    assert_eq!(said.code, 0, "{said:?}");
    let origins: Vec<_> = lines(&said.stdout)
        .iter()
        .map(|line| (line["flow"].clone(), line["event"]["origin"].clone()))
        .collect();
    assert_eq!(
        origins,
        [(json!("all.test"), json!("a.test")), (json!("all.test"), json!("b.test"))]
    );
    let said = tools.run(&["run", &collector, "--input", "a.test", "--input", "b.test"], "");
    assert!(
        said.code == 1 && said.stderr.contains("one input can have standard input"),
        "{said:?}"
    );
}

#[test]
fn state_lasts_from_run_to_run_where_it_is_kept() {
    let tools = Tools::new();
    let guest = tools.file("guest.wasm", guest());
    let run = ["run", &guest, "--config", r#"{"act": "count"}"#, "--batch", "2", "--state", "kept"];
    let kept = || -> Value {
        serde_json::from_slice(&std::fs::read(tools.path("kept")).unwrap()).unwrap()
    };
    // Three events in batches of two are two calls; each counts one further.
    for counted in ["Ag==", "BA=="] {
        let said = tools.run(&run, &numbered(0, 3));
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(kept()["shards"], json!({"0": [["bg==", counted]]}));
    }
    std::fs::write(tools.path("kept"), "{}").unwrap();
    let said = tools.run(&run, &numbered(0, 1));
    assert!(said.code == 1 && said.stderr.contains("kept"), "{said:?}");
}

#[test]
fn partitions_are_shards_and_lines_of_the_plugin_go_to_stderr() {
    let tools = Tools::new();
    let guest = tools.file("guest.wasm", guest());
    let placed: String = events(0..4)
        .iter()
        .enumerate()
        .map(|(n, event)| {
            let mut event: Value = serde_json::from_str(event).unwrap();
            event["flowpartition"] = (n % 2).into();
            event["flowoffset"] = (n * 10).to_string().into();
            event.to_string() + "\n"
        })
        .collect();
    let said =
        tools.run(&["run", &guest, "--config", r#"{"act": "print"}"#, "--state", "kept"], &placed);
    assert_eq!(said.code, 0, "{said:?}");
    for line in
        ["log 0 info: printed 1\n", "log 1 warn: complained\n", "log 1 info: logged events=some\n"]
    {
        assert!(said.stderr.contains(line), "{line}: {said:?}");
    }
    assert_eq!(lines(&said.stdout).len(), 4);
}

#[test]
fn the_same_events_give_the_same_decisions() {
    let tools = Tools::new();
    let guest = tools.file("guest.wasm", guest());
    let run =
        || tools.run(&["run", &guest, "--config", r#"{"act": "world"}"#], &numbered(0, 2)).stdout;
    let first = run();
    assert!(first.contains("\"random\""), "{first}");
    assert_eq!(run(), first);
}

#[test]
fn the_included_plugins_make_the_same_of_events_as_on_a_host() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    INCLUDED.iter().for_each(|plugin| plugin.agrees(&mut wire, "desk"));
}

#[test]
fn the_examples_in_every_language_make_the_same_of_events_as_on_a_host() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = EXAMPLES.map(|example| (example.name, example.component()));
    let (data, inbox) = (dir.path().join("data"), dir.path().join("plugins"));
    let start = || Fnaad::dev(dir.path());
    let host = host_with_plugins((&data, &inbox), &plugins, start, Fnaad::login);
    let mut wire = host.login();
    EXAMPLES.iter().for_each(|example| example.agrees(&mut wire, "desk"));
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    let tools = Tools::new();
    let bridge = tools.included("bridge");
    let said = tools.run(&["run", &bridge], &(numbered(0, 1) + "\n{\"specversion\":\"1.0\"}\n"));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("in:3: "), "{said:?}");
    let said = tools.run(&["run", &bridge, "--config", r#"{"filtre": 1}"#], "");
    assert!(said.code == 1 && said.stderr.contains("filtre: unknown field"), "{said:?}");
    let said = tools.run(&["run", &bridge, "--output", "a.test", "--output", "b.test"], "");
    assert!(said.code == 1 && said.stderr.contains("the plugin takes one output"), "{said:?}");
}

/// Events of so many partitions, one in each.
fn scattered(partitions: usize) -> String {
    let line = |n: usize| {
        let event = json!({"specversion": "1.0", "id": format!("e{n}"), "source": "/s", "type": "t", "flowpartition": n,
            "flowoffset": "0", "data": {"n": 1, "mag": 31, "email": "e"}});
        event.to_string() + "\n"
    };
    (0..partitions).map(line).collect()
}

#[test]
fn a_flow_of_sixty_four_partitions_has_room_also_where_events_fail() {
    let tools = Tools::new();
    let guest = tools.file("guest.wasm", guest());
    let run = ["run", &guest, "--config", r#"{"act": "panic-at-odd"}"#];
    let said = tools.run(&run, &scattered(64));
    assert_eq!((said.code, lines(&said.stdout).len()), (1, 64), "{said:?}");
    assert!(said.stderr.contains("64 dead letters, 64 of them failed"), "{said:?}");
    let said = tools.run(&run, &scattered(65));
    assert!(said.stderr.contains("more than 64 partitions"), "{said:?}");
    // Interpreters have more memories and modules than other guests.
    for name in ["convert", "mask"] {
        let example = EXAMPLES.iter().find(|example| example.name == name).unwrap();
        let file = tools.file(&format!("{name}.wasm"), &example.component());
        let said = tools.run(&["run", &file, "--config", example.config], &scattered(64));
        assert_eq!((said.code, lines(&said.stdout).len()), (0, 64), "{said:?}");
    }
}

#[test]
fn a_plugin_with_a_timer_is_called_by_the_events_time_and_after_them_as_long_as_is_asked_for() {
    let tools = Tools::new();
    let guest = tools.file("guest.wasm", guest());
    let run = ["run", &guest, "--config", r#"{"tick": 60000}"#, "--batch", "1"];
    let at = |minute: u32| {
        json!({"specversion": "1.0", "id": format!("e{minute}"), "source": "/s", "type": "t",
            "time": format!("2026-01-01T00:{minute:02}:00Z")})
        .to_string()
            + "\n"
    };
    let events = [at(0), at(1), at(1), at(30)].concat();
    let ticks = |stdout: &str| -> Vec<i64> {
        lines(stdout).iter().filter_map(|line| line["tick"].as_i64()).collect()
    };
    let said = tools.run(&run, &events);
    assert_eq!(said.code, 0, "{said:?}");
    // The first at once, and one however many were passed.
    let minutes = |minutes: &[i64]| -> Vec<i64> {
        minutes.iter().map(|minute| 1_767_225_600_000 + minute * 60_000).collect()
    };
    assert_eq!(ticks(&said.stdout), minutes(&[0, 1, 30]));
    let line = lines(&said.stdout).into_iter().find(|line| line["tick"].is_i64()).unwrap();
    assert_eq!((&line["action"], &line["event"]["type"]), (&json!("emit"), &json!("ticked")));
    assert_eq!(line["event"]["now"], line["tick"].to_string(), "{line}");
    assert!(said.stderr.contains(", 3 ticks\n"), "{said:?}");
    let said = tools.run(&[&run[..], &["--idle", "179"]].concat(), &events);
    assert_eq!(ticks(&said.stdout), minutes(&[0, 1, 30, 31, 32]));
    // Nothing comes of a tick that fails, and a host would not go on for ever.
    let trap = ["run", &guest, "--config", r#"{"tick": 60000, "act": "tick-trap"}"#];
    let said = tools.run(&trap, &events);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("shard 0: tick at 1767227400000: trap: "), "{said:?}");
}

/// Octets of the guest, with another name for the function in which it traps: one of as many octets.
fn named(name: &[u8]) -> Vec<u8> {
    const TRAP: &[u8] = b"10test_guest4trap";
    assert_eq!(name.len(), TRAP.len());
    let mut bytes = traced_guest().to_vec();
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(TRAP)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + TRAP.len()].copy_from_slice(name);
    }
    bytes
}

#[test]
fn nothing_that_a_component_says_reaches_the_terminal_as_more_than_text() {
    let tools = Tools::new();
    let clean = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
    let named = tools.file("guest.wasm", &named(b"10\x1b[2J\nfnaad:okay"));
    let said = tools.run(&["run", &named, "--config", r#"{"act": "panic"}"#], &numbered(0, 1));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(clean(&said.stdout) && clean(&said.stderr), "{said:?}");
    assert!(said.stdout.contains("[2Jfnaad:okay"), "{said:?}");
    assert!(!said.stdout.contains("\\u001b") && said.stdout.lines().count() == 1, "{said:?}");
    // Data, in JSON that means the same.
    let bridge = tools.included("bridge");
    let event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"data\":\"\u{9b}2J\u{7f}\"}\n";
    let said = tools.run(&["run", &bridge], event);
    assert!(clean(&said.stdout), "{said:?}");
    assert_eq!(lines(&said.stdout)[0]["event"]["data"], "\u{9b}2J\u{7f}");
    // Log lines, reasons and refusals, in all of the tools.
    let guest = tools.file("guest.wasm", &lying_guest("rude"));
    for (act, code) in [("rude-log", 0), ("rude-letter", 0), ("rude-fatal", 1), ("rude-init", 1)] {
        let config = format!(r#"{{"act": "{act}"}}"#);
        let said = tools.run(&["run", &guest, "--config", &config], &numbered(0, 1));
        assert_eq!(said.code, code, "{act}: {said:?}");
        assert!(clean(&said.stdout) && clean(&said.stderr), "{act}: {said:?}");
        // What is shown of it is on a line that begins with words of the host.
        let all = said.stdout + &said.stderr;
        assert!(all.contains("[2J") && all.contains("fnaad: ok"), "{act}: {all}");
        assert!(!all.lines().any(|line| line.starts_with("fnaad: ok")), "{act}: {all}");
        for tool in ["check", "conform", "bench"] {
            let said = tools.run(&[tool, &guest, "--config", &config], "");
            assert!(clean(&said.stdout) && clean(&said.stderr), "{tool} {act}: {said:?}");
            assert!(!said.stdout.lines().any(|line| line.starts_with("fnaad: ok")), "{said:?}");
        }
    }
}
