//! Two `fnaad dev` of one user on one machine: each finds the other by `--resolve`, and nothing else has to be set up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::time::Instant;

use bind_node::{Bind, dig};
use serde_json::Value;
use stories::{Fnaad, Fnua, event, eventually};

const TIME: &str = "time.flows.unix.ar";
const NEWS: &str = "news.emiliano.ar";

/// Arguments of one of two hosts with a secret of their own.
fn arguments(dir: &Path, namespace: &str, more: &[&str]) -> Vec<String> {
    let secret = dir.join("peers.secret").display().to_string();
    let usual = ["--namespace", namespace, "--peers-secret", &secret];
    usual.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

fn start(dir: &Path, name: &str, namespace: &str, more: &[&str]) -> Fnaad {
    let arguments = arguments(dir, namespace, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Fnaad::dev_with(&dir.join(name), &arguments)
}

/// A loopback address of the directory's own, so that a port of it can be told beforehand.
fn address(dir: &Path, last: u8) -> String {
    let mut hasher = DefaultHasher::new();
    (std::process::id(), dir).hash(&mut hasher);
    let [a, b, ..] = hasher.finish().to_le_bytes();
    format!("127.{}.{b}.{last}", a | 1)
}

/// Makes a flow that everybody may subscribe to, with one event.
fn offer(host: &Fnaad, flow: &str) {
    let fnua = host.fnua();
    fnua.ok(&["create", "flow", flow, "access=open"]);
    fnua.ok_with(&["write", flow], &format!("{}\n", event(1)));
}

struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Subscribes to a flow by its name alone, and waits until its event is printed.
fn subscribe(host: &Fnaad, flow: &str, local: &str) {
    let fnua = host.fnua();
    let began = Instant::now();
    let said = fnua.ok(&["subscribe", flow]);
    let subscribed = began.elapsed();
    assert!(said.starts_with(&format!("{local} SUBSCRIBED TO ")), "{said}");
    let mut reader = Reader(fnua.spawn(&["read", local, "--from", "earliest", "--follow"]));
    let mut line = String::new();
    BufReader::new(reader.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    println!("subscribed after {subscribed:.2?}, first event after {:.2?}", began.elapsed());
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["id"], "e1", "{event}");
}

#[test]
fn two_hosts_that_know_where_to_ask_about_each_other_subscribe_both_ways_by_name_alone() {
    let dir = tempfile::tempdir().unwrap();
    let servers = [1, 2].map(|last| format!("{}:5300", address(dir.path(), last)));
    let about = ["unix.ar", "emiliano.ar"].map(|domain| domain.to_owned() + "=");
    let [unix_at, emiliano_at] = servers.clone();
    let (to_unix, to_emiliano) = (about[0].clone() + &unix_at, about[1].clone() + &emiliano_at);
    let more = ["--dns", &unix_at, "--resolve", &to_emiliano];
    let unix = start(dir.path(), "unix", "flows.unix.ar", &more);
    let more = ["--dns", &emiliano_at, "--resolve", &to_unix];
    let emiliano = start(dir.path(), "emiliano", "emiliano.ar", &more);
    assert_eq!([unix.dns().to_string(), emiliano.dns().to_string()], servers);
    offer(&unix, TIME);
    offer(&emiliano, NEWS);
    subscribe(&emiliano, TIME, &format!("emiliano.ar-{TIME}"));
    subscribe(&unix, NEWS, &format!("flows.unix.ar-{NEWS}"));
}

#[test]
fn who_starts_first_needs_no_name_server_of_the_other_and_keeps_its_own_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let unix = start(dir.path(), "unix", "flows.unix.ar", &[]);
    let (dns, zone) = (unix.dns(), format!("unix.ar={}", unix.dns()));
    assert_eq!(dns.ip().to_string(), unix.address().rsplit_once(':').unwrap().0);
    let emiliano = start(dir.path(), "emiliano", "emiliano.ar", &["--resolve", &zone]);
    offer(&unix, TIME);
    let found = eventually("the names of the flow", || {
        let found = dig(dns, &["+short", &format!("_flow._tcp.{TIME}"), "SRV"]);
        if found.is_empty() { Err("nothing".to_owned()) } else { Ok(found) }
    });
    let port = unix.address().rsplit_once(':').unwrap().1;
    assert!(found.contains(&format!(" {port} fnaa.unix.ar.")), "{found}");
    subscribe(&emiliano, TIME, &format!("emiliano.ar-{TIME}"));
    offer(&emiliano, NEWS);
    unix.kill();
    let zone = format!("emiliano.ar={}", emiliano.dns());
    let unix = start(dir.path(), "unix", "flows.unix.ar", &["--resolve", &zone]);
    assert_eq!(unix.dns(), dns);
    subscribe(&unix, NEWS, &format!("flows.unix.ar-{NEWS}"));
}

/// The steps of a trace.
fn traced(fnua: &Fnua, flow: &str) -> Vec<Value> {
    let said = fnua.run(&["trace", "--format", "json", flow]);
    let json: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    json["steps"].as_array().unwrap().clone()
}

fn step<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["step"] == name).unwrap()
}

#[test]
fn a_trace_from_one_to_the_other_needs_nothing_but_the_flows_name_and_says_who_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let unix = start(dir.path(), "unix", "flows.unix.ar", &[]);
    let zone = format!("unix.ar={}", unix.dns());
    let emiliano = start(dir.path(), "emiliano", "emiliano.ar", &["--resolve", &zone]);
    offer(&unix, TIME);
    offer(&emiliano, NEWS);
    for flow in [TIME, NEWS] {
        let steps = eventually("the names of the flow", || {
            let steps = traced(&emiliano.fnua(), flow);
            let found = step(&steps, "connect")["status"] == "ok";
            if found { Ok(steps) } else { Err(format!("{steps:?}")) }
        });
        let said = step(&steps, "dnssec")["said"].as_str().unwrap();
        assert!(said.starts_with("not checked: "), "{steps:?}");
        // He is a stranger there by that name alone, and is told so.
        let failed: Vec<&Value> = steps.iter().filter(|step| step["status"] == "failed").collect();
        let [failed] = failed[..] else { panic!("{steps:?}") };
        assert!(
            ["authentication", "grant"].contains(&failed["step"].as_str().unwrap()),
            "{failed}"
        );
    }
}

#[test]
fn of_a_zone_that_no_root_knows_a_trace_says_that_nothing_is_proven_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let host = start(dir.path(), "emiliano", "emiliano.ar", &[]);
    let bind = Bind::start(&[]);
    let (server, anchors) = (host.dns(), bind.trust_anchors().display());
    let file = dir.path().join("user.toml");
    let text = format!("nameservers = [\"{server}\"]\ntrust_anchor_file = \"{anchors}\"\n");
    std::fs::write(&file, text).unwrap();
    let steps = traced(&Fnua::new(file), NEWS);
    let first = step(&steps, "delegation");
    assert_eq!(first["status"], "failed", "{first}");
    let [said, means, todo] = ["said", "means", "do"].map(|key| first[key].as_str().unwrap());
    assert!(said.contains("no chain of trust") && !said.contains("refutes"), "{first}");
    assert!(means.contains("no root knows") && todo.contains("--resolve "), "{first}");
}
