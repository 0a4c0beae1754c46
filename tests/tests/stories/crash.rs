//! SIGKILL at any moment: what was answered is there, and every event took effect once.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use stories::{
    Fnaad, Wire, by_partition, drop_in, event, events, eventually, eventually_holds, ids,
};
use tempfile::TempDir;

/// Events that are written under fire.
const EVENTS: usize = 4_000;

/// How often the host is killed meanwhile.
const KILLS: usize = 8;

fn on(flow: &str) -> String {
    format!("{flow}.flows.unix.ar")
}

/// `source` → bridge → `copy`; → distributor → `even`, `odd` → collector → `all`; → signal → `alerts`.
fn network(wire: &mut Wire) {
    for flow in ["source", "copy", "even", "odd", "all", "alerts"] {
        wire.ok(&format!("CREATE FLOW {} partitions=4", on(flow)));
    }
    let (even, odd) = (on("even"), on("odd"));
    let rules =
        format!(r#"{{"rules":[{{"when":"data.n % 2 == 0","to":"{even}"}}],"otherwise":"{odd}"}}"#);
    let signal = r#"{"rules":[{"name":"tenth","when":"data.n % 10 == 0","emit":{"type":"tenth"}},
        {"name":"fifty","when":"true","count":{"at-least":50,"within":50},"emit":{"type":"fifty"}}]}"#;
    let signal = signal.replace('\n', " ");
    wire.ok(&format!("REPLICATE {} {}", on("source"), on("copy")));
    wire.ok(&format!("DISTRIBUTE {} {even},{odd} CONFIG {rules}", on("source")));
    wire.ok(&format!("COLLECT {even},{odd} {}", on("all")));
    wire.ok(&format!("SIGNAL signal FROM {} TO {} CONFIG {signal}", on("source"), on("alerts")));
}

/// A moment that is another one in every run.
fn some_moment() -> Duration {
    let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    Duration::from_micros(u64::from(nanos / 1_000 % 60_000))
}

fn length(wire: &mut Wire, flow: &str) -> usize {
    let description = wire.describe(&format!("FLOW {flow}"));
    let logs = description["log"].as_array().unwrap();
    logs.iter().map(|log| log["latest"].as_u64().unwrap() as usize).sum()
}

#[test]
fn killed_again_and_again_under_load_nothing_is_lost_repeated_or_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Fnaad::dev(dir.path());
    network(&mut host.login());
    let mut writer = host.fnua().spawn(&["write", &on("source"), "--retry-for", "120"]);
    let mut pipe = writer.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        for n in 0..EVENTS {
            writeln!(pipe, "{}", event(n)).unwrap();
            // Spread over the kills: a pace, not a hope.
            if n % 20 == 0 {
                std::thread::sleep(Duration::from_millis(15));
            }
        }
    });
    for kill in 1..=KILLS {
        let mut wire = host.login();
        eventually("some events", || {
            let length = length(&mut wire, &on("source"));
            if length >= kill * EVENTS / (KILLS + 2) { Ok(()) } else { Err(length.to_string()) }
        });
        // Another version of the bridge is on its way in, too.
        let bridge =
            if kill % 2 == 1 { host_builtin::bridge_next() } else { host_builtin::all()[0] };
        drop_in(&dir.path().join("plugins"), "bridge.wasm", bridge.component);
        std::thread::sleep(some_moment());
        // Now and then an operator ends it, in the midst of it all.
        if kill == 4 {
            assert!(host.end().success());
        } else {
            host.kill();
        }
        host = Fnaad::dev(dir.path());
    }
    feeding.join().unwrap();
    let written = writer.wait_with_output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    check(&mut host.login());
}

fn check(wire: &mut Wire) {
    let source = eventually_holds(wire, &on("source"), EVENTS);
    assert_eq!(ids(&source).into_iter().collect::<BTreeSet<_>>().len(), EVENTS);
    let copy = eventually_holds(wire, &on("copy"), EVENTS);
    assert_eq!(by_partition(&copy), by_partition(&source));
    for (flow, remainder) in [("even", 0), ("odd", 1)] {
        let part = eventually_holds(wire, &on(flow), EVENTS / 2);
        let belongs = |event: &&Value| event["data"]["n"].as_u64().unwrap() % 2 == remainder;
        let wanted: Vec<Value> = source.iter().filter(belongs).cloned().collect();
        assert_eq!(by_partition(&part), by_partition(&wanted));
        let all = eventually_holds(wire, &on("all"), EVENTS);
        let from = |event: &&Value| event["sourceflow"] == on(flow);
        let collected: Vec<Value> = all.iter().filter(from).cloned().collect();
        assert_eq!(by_partition(&collected), by_partition(&part));
    }
    let fifties: usize = by_partition(&source).values().map(|ids| ids.len() / 50).sum();
    let alerts = eventually_holds(wire, &on("alerts"), EVENTS / 10 + fifties);
    let distinct: BTreeSet<_> = ids(&alerts).into_iter().collect();
    assert_eq!(distinct.len(), alerts.len());
    let tenth = alerts.iter().filter(|alert| alert["type"] == "tenth").count();
    assert_eq!(tenth, EVENTS / 10);
}

/// A host that is killed right after each answer.
struct Mortal {
    host: Option<Fnaad>,
    dir: TempDir,
}

impl Mortal {
    fn born() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { host: Some(Fnaad::dev(dir.path())), dir }
    }

    fn login(&self) -> Wire {
        self.host.as_ref().unwrap().login()
    }

    /// Performs something, kills the host at once, and gives a connection to the next one.
    fn after<T>(&mut self, act: impl FnOnce(&mut Wire) -> T) -> Wire {
        act(&mut self.login());
        self.host.take().unwrap().kill();
        self.host = Some(Fnaad::dev(self.dir.path()));
        self.login()
    }
}

#[test]
fn what_was_answered_about_flows_is_there_after_a_kill() {
    let mut mortal = Mortal::born();
    let mut wire = mortal.after(|wire| wire.ok("CREATE NAMESPACE flows.example"));
    assert_eq!(wire.data("GET NAMESPACES"), ["flows.example", "flows.unix.ar"]);
    let mut wire = mortal.after(|wire| wire.ok("CREATE FLOW a.flows.example partitions=2"));
    assert_eq!(wire.data("GET FLOWS"), ["a.flows.example"]);
    let mut wire = mortal.after(|wire| wire.write("a.flows.example ID t", &events(0..30)));
    assert_eq!(wire.write("a.flows.example ID t", &events(0..30)), "220 OK 30 events");
    assert_eq!(wire.read("a.flows.example").len(), 30);
    let mut wire = mortal.after(|wire| wire.ok("UPDATE FLOW a.flows.example partitions=3"));
    assert_eq!(wire.describe("FLOW a.flows.example")["partitions"], 3);
    let mut wire = mortal.after(|wire| wire.ok("PAUSE a.flows.example"));
    assert_eq!(wire.describe("FLOW a.flows.example")["status"], "paused");
    let mut wire = mortal.after(|wire| wire.ok("RESUME a.flows.example"));
    assert_eq!(wire.read("a.flows.example").len(), 30);
    let purge = "PURGE FLOW a.flows.example CONFIRM a.flows.example";
    let mut wire = mortal.after(|wire| wire.ok(purge));
    assert!(wire.read("a.flows.example").is_empty());
    let mut wire = mortal.after(|wire| wire.ok("DELETE FLOW a.flows.example"));
    assert!(wire.data("GET FLOWS").is_empty());
    let mut wire = mortal.after(|wire| wire.ok("DELETE NAMESPACE flows.example"));
    assert_eq!(wire.data("GET NAMESPACES"), ["flows.unix.ar"]);
}

#[test]
fn what_was_answered_about_processors_is_there_after_a_kill() {
    let mut mortal = Mortal::born();
    let (a, b, p) = (on("a"), on("b"), on("p"));
    let mut wire = mortal.login();
    wire.ok(&format!("CREATE FLOW {a}"));
    wire.ok(&format!("CREATE FLOW {b}"));
    wire.write(&a, &events(0..10));
    let mut wire = mortal.after(|wire| wire.ok(&format!("REPLICATE {a} {b} AS {p}")));
    eventually_holds(&mut wire, &b, 10);
    let mut wire = mortal.after(|wire| wire.ok(&format!("PAUSE {p}")));
    assert_eq!(wire.describe(&format!("PROCESSOR {p}"))["state"], "paused");
    wire.write(&a, &events(10..20));
    let mut wire = mortal.after(|wire| wire.ok(&format!("RESUME {p}")));
    eventually_holds(&mut wire, &b, 20);
    let config = format!(r#"UPDATE PROCESSOR {p} CONFIG {{"filter":"data.n >= 25"}}"#);
    let mut wire = mortal.after(|wire| wire.ok(&config));
    wire.write(&a, &events(20..30));
    eventually_holds(&mut wire, &b, 25);
    let mut wire = mortal.after(|wire| wire.ok(&format!("STOP {p}")));
    assert_eq!(wire.describe(&format!("PROCESSOR {p}"))["state"], "stopped");
    let mut wire =
        mortal.after(|wire| wire.ok(&format!("UPDATE PROCESSOR {p} POSITION OFFSET 0:28")));
    wire.ok(&format!("RESUME {p}"));
    eventually_holds(&mut wire, &b, 27);
    let mut wire = mortal.after(|wire| wire.ok(&format!("DELETE PROCESSOR {p}")));
    assert!(wire.data("GET PROCESSORS").is_empty());
    wire.ok(&format!("DELETE FLOW {a}"));
}
