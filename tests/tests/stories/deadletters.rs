//! `fnua deadletters`: what an operator does with events that a processor could not take.

use serde_json::json;
use stories::{Fnaad, events, eventually_described, eventually_holds, ids};

const P: &str = "p.flows.unix.ar";

#[test]
fn a_processor_without_dead_letters_has_an_empty_list_and_none_to_show() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let fnua = host.fnua();
    for flow in ["a.flows.unix.ar", "b.flows.unix.ar"] {
        fnua.ok(&["create", "flow", flow]);
    }
    fnua.ok(&["replicate", "a.flows.unix.ar", "b.flows.unix.ar", "--as", P]);
    assert_eq!(fnua.ok(&["deadletters", "list", P]), "");
    assert_eq!(fnua.ok(&["deadletters", "list", P, "--all", "--format", "json"]), "");
    let said = fnua.run(&["deadletters", "show", P, "0:0"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains(&format!("404 NOT_FOUND dead letter 0:0 of {P}")), "{said:?}");
    let said = fnua.run(&["deadletters", "list", "none.flows.unix.ar"]);
    assert_eq!(said.code, 1, "{said:?}");
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_dropped_with_the_user_agent() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let (fnua, mut wire) = (host.fnua(), host.login());
    for flow in ["a.flows.unix.ar", "b.flows.unix.ar"] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    // The filter doubles a text until the plugin's memory is full, for some events.
    let bomb = "['xxxxxxxxxxxxxxxx']".to_owned() + &".map(x, x + x + x + x)".repeat(12);
    let config = json!({ "filter": format!("!(id in ['e1', 'e3', 'e4']) || {bomb}.size() > 0") });
    wire.ok(&format!(
        "CREATE PROCESSOR {P} TYPE bridge FROM a.flows.unix.ar TO b.flows.unix.ar limit.memory=16777216 CONFIG {config}"
    ));
    wire.write("a.flows.unix.ar", &events(0..6));
    eventually_described(&mut wire, P, "three letters", |seen| seen["dead-letters"]["open"] == 3);
    let listed = fnua.ok(&["deadletters", "list", P]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    for (line, (letter, source)) in
        lines.iter().zip([("0:0", "0:1"), ("0:1", "0:3"), ("0:2", "0:4")])
    {
        assert!(line.starts_with(letter) && line.contains("limit"), "{line}");
        assert!(line.contains(&format!("a.flows.unix.ar:{source}")), "{line}");
    }
    let shown = fnua.ok(&["deadletters", "show", P, "0:1"]);
    for part in ["\"e3\"", "deadreason", "memory", "deaddigest", "bridge"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    fnua.ok(&["deadletters", "drop", P, "0:1", "--yes"]);
    assert_eq!(fnua.ok(&["deadletters", "list", P]).lines().count(), 2);
    assert_eq!(fnua.ok(&["deadletters", "list", P, "--all"]).lines().count(), 3);
    wire.ok(&format!("UPDATE PROCESSOR {P} CONFIG {{}}"));
    fnua.ok(&["deadletters", "replay", P, "--all"]);
    let through = eventually_holds(&mut wire, "b.flows.unix.ar", 5);
    assert_eq!(ids(&through), ["e0", "e2", "e5", "e1", "e4"]);
    eventually_described(&mut wire, P, "none open", |seen| seen["dead-letters"]["open"] == 0);
    assert_eq!(fnua.ok(&["deadletters", "list", P]), "");
    let again = fnua.run(&["deadletters", "replay", P, "0:1"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("409"), "{again:?}");
}
