//! `fnua`: what it prints, how it ends, and what it does when the host goes away.

use std::io::{BufRead, BufReader, Write};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stories::{A, Fnaad, Fnua, by_partition, event, events, eventually, ids};
use tempfile::TempDir;

fn host() -> (Fnua, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let fnua = host.fnua();
    assert_eq!(fnua.ok(&["create", "flow", A, "partitions=2"]), format!("{A}\n"));
    (fnua, host, dir)
}

fn lines(events: &[String]) -> String {
    events.iter().map(|line| format!("{line}\n")).collect()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn it_does_what_the_drafts_figure_names() {
    let (fnua, _host, _dir) = host();
    for flow in ["b", "c", "d", "e"] {
        fnua.ok(&["create", "flow", &format!("{flow}.flows.unix.ar")]);
    }
    let bridge = fnua.ok(&["replicate", A, "b.flows.unix.ar"]);
    let bridge = bridge.trim_end();
    assert!(bridge.starts_with("bridge-"), "{bridge}");
    fnua.ok(&["collect", "a.flows.unix.ar,b.flows.unix.ar", "c.flows.unix.ar"]);
    fnua.ok(&["distribute", A, "d.flows.unix.ar,e.flows.unix.ar", "--as", "p.flows.unix.ar"]);
    let rules = r#"{"rules":[{"name":"r","when":"data.n == 3","emit":{"type":"three"}}]}"#;
    fnua.ok(&["signal", "signal", "--from", A, "--to", "e.flows.unix.ar", "--config-json", rules]);
    assert_eq!(fnua.ok(&["get", "processors"]).lines().count(), 4);
    fnua.ok_with(&["write", A], &lines(&events(0..10)));
    for (flow, count) in [("b", 10), ("c", 20), ("d", 10), ("e", 11)] {
        let flow = format!("{flow}.flows.unix.ar");
        eventually(&flow, || {
            let read = fnua.ok(&["read", &flow]).lines().count();
            if read == count { Ok(()) } else { Err(read.to_string()) }
        });
    }
    for command in ["pause", "resume", "stop"] {
        fnua.ok(&[command, bridge]);
    }
    let described = fnua.ok(&["describe", "processor", bridge]);
    assert!(described.contains("\nstate=stopped\n"), "{described}");
    fnua.ok(&["update", "processor", bridge, "--config-json", r#"{"filter":"true"}"#]);
    fnua.ok(&["update", "flow", A, "partitions=3"]);
    let status = fnua.ok(&["status"]);
    for word in [A, bridge, "p.flows.unix.ar", "running", "stopped"] {
        assert!(status.contains(word), "{word} is not in {status}");
    }
    fnua.ok(&["delete", "processor", bridge]);
    fnua.ok(&["purge", "flow", A, "--confirm", A]);
    assert_eq!(fnua.ok(&["read", A]), "");
    assert!(fnua.ok(&["completions", "bash"]).contains("fnua"));
}

#[test]
fn it_ends_with_0_1_2_or_3() {
    let (fnua, host, _dir) = host();
    let refused = fnua.run(&["describe", "flow", "no.flows.unix.ar"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("404 NOT_FOUND flow no.flows.unix.ar"), "{refused:?}");
    for args in [
        &["fly"][..],
        &["create", "flow"],
        &["read", A, "--from", "nowhere"],
        &["write", A, "/no/file"],
    ] {
        let said = fnua.run(args);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{args:?} {said:?}");
        assert!(!said.stderr.is_empty());
    }
    let elsewhere = Fnua::new(host.dir().join("none.toml"));
    assert_eq!(elsewhere.run(&["get", "flows"]).code, 2);
    assert!(host.end().success());
    let unreachable = fnua.run(&["get", "flows"]);
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
    assert!(unreachable.stderr.contains("cannot reach 127."), "{unreachable:?}");
}

#[test]
fn a_wrong_password_is_a_refusal() {
    let (fnua, host, dir) = host();
    let (_, password) = fnua.credentials();
    let text = std::fs::read_to_string(host.dir().join("fnua.toml")).unwrap();
    let wrong = dir.path().join("wrong.toml");
    // The copy is for its owner only, as the original is: anything else is refused.
    std::fs::copy(host.dir().join("fnua.toml"), &wrong).unwrap();
    std::fs::write(&wrong, text.replace(&password, "wrong")).unwrap();
    let said = Fnua::new(wrong).run(&["get", "flows"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("401 AUTH_REQUIRED authentication failed"), "{said:?}");
}

#[test]
fn the_dialogue_is_shown_without_credentials() {
    let (fnua, _host, _dir) = host();
    let said = fnua.run(&["-d", "get", "flows"]);
    assert_eq!((said.code, said.stdout), (0, format!("{A}\n")));
    for line in [
        "S: 220 fnaa.unix.ar FNAA",
        "C: STARTTLS",
        "C: AUTHENTICATE SCRAM-SHA-256",
        "S: 220 Authenticated",
        "C: GET FLOWS",
        "S: 220 DATA",
    ] {
        assert!(said.stderr.lines().any(|found| found == line), "{line} is not in {}", said.stderr);
    }
    let (user, password) = fnua.credentials();
    let token =
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("\0{user}\0{password}"));
    assert!(!said.stderr.contains(&password) && !said.stderr.contains(&token));
}

#[test]
fn any_lines_become_events_with_the_raw_format() {
    let (fnua, _host, _dir) = host();
    let args = ["write", A, "--format", "raw", "--source", "/log", "--type", "log.line"];
    fnua.ok_with(&args, "one \"quoted\"\n.\nzwei Äpfel\n");
    let mut read = objects(&fnua.ok(&["read", A]));
    read.sort_by_key(|event| event["id"].to_string());
    let data: Vec<_> = read.iter().map(|event| event["data"].as_str().unwrap()).collect();
    assert_eq!(data, ["one \"quoted\"", ".", "zwei Äpfel"]);
    assert!(read.iter().all(|event| event["type"] == "log.line" && event["source"] == "/log"));
}

#[test]
fn answers_come_as_json_where_asked() {
    let (fnua, _host, _dir) = host();
    let flows = objects(&fnua.ok(&["--format", "json", "get", "flows"]));
    assert_eq!((&flows[0]["flow"], &flows[0]["partitions"]), (&A.into(), &2.into()));
    let flow = objects(&fnua.ok(&["describe", "flow", A, "--format", "json"]));
    assert_eq!(flow[0]["type"], "embedded");
    let report = objects(&fnua.ok_with(&["--format", "json", "write", A], &lines(&events(0..3))));
    assert_eq!(report[0]["events"], 3);
}

#[test]
fn a_bad_line_is_named_by_file_and_line_and_its_batch_is_not_written() {
    let (fnua, _host, dir) = host();
    let path = dir.path().join("events.jsonl");
    for (bad, code) in [("no json", 2), (r#"{"specversion":"1.0","id":"1"}"#, 1)] {
        let mut all = events(0..600);
        all[550] = bad.to_owned();
        std::fs::write(&path, lines(&all)).unwrap();
        let said =
            fnua.run(&["write", A, path.to_str().unwrap(), "--run-id", "import", "--window", "1"]);
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.stderr.contains(&format!("{}:551", path.display())), "{said:?}");
        let written = fnua.ok(&["read", A]).lines().count();
        assert!([512, 550].contains(&written), "{written}");
        fnua.ok(&["purge", "flow", A, "--confirm", A]);
        fnua.ok(&["delete", "flow", A]);
        fnua.ok(&["create", "flow", A]);
    }
}

#[test]
fn the_same_run_again_writes_nothing_twice() {
    let (fnua, _host, dir) = host();
    let path = dir.path().join("events.jsonl");
    std::fs::write(&path, lines(&events(0..1500))).unwrap();
    for _ in 0..2 {
        fnua.ok(&["write", A, path.to_str().unwrap(), "--run-id", "import-1"]);
    }
    assert_eq!(fnua.ok(&["read", A]).lines().count(), 1500);
    fnua.ok(&["write", A, path.to_str().unwrap()]);
    assert_eq!(fnua.ok(&["read", A]).lines().count(), 3000);
}

#[test]
fn reading_begins_and_ends_where_it_is_told() {
    let (fnua, _host, _dir) = host();
    fnua.ok(&["create", "flow", "one.flows.unix.ar"]);
    fnua.ok_with(&["write", "one.flows.unix.ar"], &lines(&events(0..10)));
    let read = |args: &[&str]| {
        let text = fnua.ok(&[&["read", "flow://one.flows.unix.ar"], args].concat());
        ids(&objects(&text)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(read(&["--limit", "2"]), ["e0", "e1"]);
    assert_eq!(read(&["--from", "0:8"]), ["e8", "e9"]);
    assert_eq!(read(&["--from", "latest"]), [""; 0]);
    assert_eq!(read(&["--from", "2001-01-01T00:00:00Z"]).len(), 10);
    let gone = fnua.run(&["read", "one.flows.unix.ar", "--from", "0:99"]);
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("416 OUT_OF_RANGE"), "{gone:?}");
}

#[test]
fn what_one_writer_writes_without_waiting_lies_in_its_order() {
    // A few hundred batches, with many under way at a time.
    const MANY: usize = 150_000;
    const ONE: &str = "one.flows.unix.ar";
    let (fnua, _host, _dir) = host();
    fnua.ok(&["create", "flow", ONE, "partitions=1"]);
    // What it shows of the dialogue has it send in other pieces than otherwise: these were out of order most often.
    fnua.ok_with(&["-d", "write", ONE], &lines(&events(0..MANY)));
    let read = fnua.ok(&["read", ONE]);
    let mut next = 0;
    for event in read.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert_eq!(event["data"]["n"], next, "in place of {next}");
        next += 1;
    }
    assert_eq!(next, MANY);
}

#[test]
fn writing_and_following_go_on_over_a_killed_host() {
    let (fnua, mut host, _dir) = host();
    let mut reader = fnua.spawn(&["read", A, "--follow", "--from", "earliest"]);
    let mut read = BufReader::new(reader.stdout.take().unwrap()).lines();
    let mut writer = fnua.spawn(&["write", A]);
    let mut pipe = writer.stdin.take().unwrap();
    let mut seen = Vec::new();
    for round in 0..3 {
        for n in round * 100..(round + 1) * 100 {
            writeln!(pipe, "{}", event(n)).unwrap();
        }
        if round > 0 {
            host = Fnaad::dev(&host.kill());
        }
        while seen.len() < (round + 1) * 100 {
            let line = read.next().expect("the reader goes on").unwrap();
            seen.push(serde_json::from_str::<Value>(&line).unwrap());
        }
    }
    drop(pipe);
    assert!(writer.wait().unwrap().success());
    kill_process(Pid::from_child(&reader), Signal::INT).unwrap();
    assert!(reader.wait().unwrap().success());
    assert_eq!(by_partition(&seen), by_partition(&host.login().read(A)));
    assert_eq!(seen.len(), 300);
}
