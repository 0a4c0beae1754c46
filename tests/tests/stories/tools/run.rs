//! `fnaad plugin run`: events through a component as a host would take them, without a host.

use serde_json::{Value, json};
use stories::{Fnaad, Tools, desk_and_host_agree, events, guest};

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
    desk_and_host_agree(&mut host.login(), "desk");
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
