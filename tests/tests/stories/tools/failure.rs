//! A failure where it happened, and again at the author's desk: with the place in his source.

use serde_json::{Value, json};
use stories::{
    Fnaad, Tools, drop_in, event, events, eventually_described, eventually_typed, traced_guest,
};

const P: &str = "p.flows.unix.ar";
const FROM: &str = "a.flows.unix.ar";

/// Where the guest panics, as its compiler names it.
fn panics_at() -> String {
    let source = include_str!("../../../../host/plugins/tests/guest/src/lib.rs");
    let line = source.lines().position(|line| line.contains("panic!(\"{words}\")")).unwrap();
    format!("host/plugins/tests/guest/src/lib.rs:{}", line + 1)
}

fn numbered(n: usize) -> String {
    json!({"specversion": "1.0", "id": format!("e{n}"), "source": "/s", "type": "t", "data": {"n": n}}).to_string()
}

#[test]
fn an_event_that_fails_becomes_a_dead_letter_with_the_line_and_the_rest_goes_on() {
    let tools = Tools::new();
    let guest = tools.file("guest.wasm", traced_guest());
    let run = ["run", &guest, "--config", r#"{"act": "panic-at-odd"}"#];
    let six: String = (0..6).map(|n| numbered(n) + "\n").collect();
    let said = tools.run(&run, &six);
    assert_eq!(said.code, 1, "{said:?}");
    let lines: Vec<Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<_> = lines
        .iter()
        .map(|line| (line["action"].as_str().unwrap(), line["event"]["id"].as_str().unwrap()))
        .collect();
    let (on, dead) = ("forward", "dead-letter");
    assert_eq!(
        actions,
        [(on, "e0"), (dead, "e1"), (on, "e2"), (dead, "e3"), (on, "e4"), (dead, "e5")]
    );
    assert_eq!(lines[1]["kind"], "trap");
    let reason = lines[1]["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("trap: at {}", panics_at())), "{reason}");
    assert!(said.stderr.contains("3 dead letters, 3 of them failed"), "{said:?}");
    // A host holds a plugin that fails on event after event.
    let odd: String = (0..40).map(|n| numbered(2 * n + 1) + "\n").collect();
    let said = tools.run(&run, &odd);
    assert_eq!((said.code, said.stdout.lines().count()), (1, 16), "{said:?}");
    assert!(
        said.stderr.contains("a host holds the plugin here: 16 events in a row failed"),
        "{said:?}"
    );
}

#[test]
fn a_dead_letter_of_a_host_fails_again_at_the_desk_with_its_own_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let (fnua, mut wire, tools) = (host.fnua(), host.login(), Tools::new());
    drop_in(&dir.path().join("plugins"), "guest.wasm", traced_guest());
    eventually_typed(&mut wire, "guest", |_| true);
    for flow in [FROM, "b.flows.unix.ar"] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    wire.ok(&format!(
        "CREATE PROCESSOR {P} TYPE guest FROM {FROM} TO b.flows.unix.ar limit.call_ms=1900 CONFIG {{\"act\":\"panic-at-odd\"}}"
    ));
    wire.write(FROM, &[numbered(0), numbered(1), numbered(2)]);
    eventually_described(&mut wire, P, "a letter", |seen| seen["dead-letters"]["open"] == 1);
    // The place is the first that anybody reads of it.
    let place = format!("at {}", panics_at());
    let listed = fnua.ok(&["deadletters", "list", P]);
    assert!(listed.contains(&place), "{listed}");
    let logged = fnua.ok(&["logs", P]);
    assert!(logged.contains(&place), "{logged}");
    let guest = tools.file("guest.wasm", traced_guest());
    let config = dir.path().join("fnua.toml");
    let asked = ["--agent-config", config.to_str().unwrap()];
    let letter = format!("{P}/0:0");
    let said =
        tools.run(&[&["run", &guest, "--from", "deadletter", &letter], &asked[..]].concat(), "");
    assert_eq!(said.code, 1, "{said:?}");
    let [line] = &said.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["event"]["id"], &line["flow"], &line["kind"]),
        (&json!("e1"), &json!(FROM), &json!("trap"))
    );
    assert_eq!(line["event"]["flowoffset"], "1");
    assert!(line["reason"].as_str().unwrap().contains(&place), "{line}");
    assert!(said.stderr.contains("the same file"), "{said:?}");
    // By a pipe, for whoever has the letter and no host.
    let shown = fnua.ok(&["deadletters", "show", P, "0:0", "--format", "json"]);
    let said = tools.run(
        &["run", &guest, "--config", r#"{"act":"panic"}"#, "--from", "deadletter", "-"],
        &shown,
    );
    assert!(said.code == 1 && said.stdout.contains("\"e1\""), "{said:?}");
    let said = tools.run(
        &[&["run", &guest, "--from", "deadletter", &format!("{P}/0:9")], &asked[..]].concat(),
        "",
    );
    assert!(said.code == 1 && said.stderr.contains("416"), "{said:?}");
}

#[test]
fn a_flow_of_a_host_is_read_as_its_user_would_and_nothing_is_changed_there() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let (mut wire, tools) = (host.login(), Tools::new());
    wire.ok(&format!("CREATE FLOW {FROM}"));
    wire.write(FROM, &events(0..5));
    let bridge = tools.included("bridge");
    let config = dir.path().join("fnua.toml");
    let run = ["run", &bridge, "--from", FROM, "--agent-config", config.to_str().unwrap()];
    let ids = |stdout: &str| -> Vec<String> {
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["event"]["id"].as_str().unwrap().to_owned()
        };
        stdout.lines().map(id).collect()
    };
    let said = tools.run(&run, "");
    assert_eq!(
        (said.code, ids(&said.stdout)),
        (0, ["e0", "e1", "e2", "e3", "e4"].map(str::to_owned).to_vec()),
        "{said:?}"
    );
    let said = tools.run(&[&run[..], &["--position", "0:3", "--events", "1"]].concat(), "");
    assert_eq!((said.code, ids(&said.stdout)), (0, vec!["e3".to_owned()]), "{said:?}");
    let said = tools.run(
        &["run", &bridge, "--from", "no.flows.unix.ar", "--agent-config", config.to_str().unwrap()],
        "",
    );
    assert!(said.code == 1 && said.stderr.contains("404"), "{said:?}");
    assert!(event(0).contains("e0"));
}
