//! The demo tells the truth: its table is clean, and it ends with 0.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use bind_node::{Bind, Key, Zone, dig};
use rustix::process::{Pid, Signal, kill_process};
use stories::{Fnaad, program};

/// The rows of the table at the end: whose, name, and the numbers behind it.
fn table(text: &str) -> Vec<(&str, &str, [u64; 4])> {
    let row = |line| {
        let [at, flow, numbers @ ..] = &str::split_whitespace(line).collect::<Vec<_>>()[..] else {
            return None;
        };
        let numbers: Vec<u64> =
            numbers.iter().map(|word| word.parse()).collect::<Result<_, _>>().ok()?;
        Some((*at, *flow, numbers.try_into().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn the_demo_of_two_participants_loses_and_repeats_nothing_and_sends_nothing_once_it_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("demo");
    let said = Fnaad::refused(&["demo".as_ref(), OsStr::new("--dir"), at.as_ref()]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    let rows = table(&said.stdout);
    let owners: Vec<&str> = rows.iter().map(|(at, ..)| *at).collect();
    let count = |owner| owners.iter().filter(|at| **at == owner).count();
    assert_eq!((count("unix.ar"), count("emiliano.ar")), (6, 2), "{}", said.stdout);
    let mut alerts = Vec::new();
    for (_, flow, [events_in, events_out, lost, repeated]) in rows {
        assert!(events_in > 0, "{flow}");
        assert_eq!((events_out, lost, repeated), (events_in, 0, 0), "{flow}");
        match flow {
            "quakes.flows.unix.ar" | "mirror.flows.unix.ar" => assert_eq!(events_in, 1707),
            // Of the 1600 that were written before the end, those that the owner's policy lets out.
            "emiliano.ar-quakes.flows.unix.ar" => assert_eq!(events_in, 267),
            flow if flow.contains("alerts") => alerts.push(events_in),
            _ => {}
        }
    }
    assert!(alerts.len() == 2 && alerts[0] == alerts[1], "{alerts:?}");
}

#[test]
fn a_demo_that_somebody_ends_says_so_and_that_it_was_not_through() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Command::new(program("fnaad"));
    demo.arg("demo").arg("--dir").arg(dir.path().join("demo"));
    demo.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut child = demo.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().starts_with("== Two participants") {}
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    lines.for_each(drop);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), said.as_ref()), (Some(130), "fnaad: interrupted\n"));
}

#[test]
fn the_demo_has_its_names_in_somebodys_name_server_and_withdraws_them() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("demo");
    let zone = |name: &str| Zone::unsigned(name, "").updated_by(&key);
    let bind = Bind::start_with(key.statement(), &[zone("unix.ar"), zone("emiliano.ar")]);
    let (at, server) = (dir.path().join("demo"), bind.address().to_string());
    let file = key.write(dir.path());
    let args: [&OsStr; 7] = [
        "demo".as_ref(),
        "--dir".as_ref(),
        at.as_ref(),
        "--dns-server".as_ref(),
        server.as_ref(),
        "--dns-key".as_ref(),
        file.as_ref(),
    ];
    let said = Fnaad::refused(&args);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    let rows = table(&said.stdout);
    assert_eq!(rows.len(), 8, "{}", said.stdout);
    for (_, flow, [events_in, events_out, lost, repeated]) in rows {
        assert_eq!((events_out, lost, repeated), (events_in, 0, 0), "{flow}");
    }
    // By the name server, and by no other: it has updated the zones, and has nothing of a flow any more.
    let log = std::fs::read_to_string(bind.dir().join("named.log")).unwrap();
    let added = |name: &str| log.contains(&format!("adding an RR at '{name}'"));
    for flow in ["quakes.flows.unix.ar", "alerts.emiliano.ar"] {
        let service = format!("_flow._tcp.{flow}");
        assert!(added(&service), "{service} was never there");
        assert_eq!(dig(bind.address(), &["+short", &service, "ANY"]), "", "{service}");
    }
    for host in ["fnaa.unix.ar", "fnaa.emiliano.ar"] {
        assert_eq!(dig(bind.address(), &["+short", host, "A"]).trim(), "127.0.0.1", "{host}");
    }
}
