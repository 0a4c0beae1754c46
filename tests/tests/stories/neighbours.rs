//! Two `fnaad dev` of one user on one machine: each finds the other by `--resolve`, and nothing else has to be set up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::time::Instant;

use bind_node::dig;
use stories::{Fnaad, event, eventually};

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
