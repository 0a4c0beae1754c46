//! The log of a processor: what its plugin says, what the host did with it, and following both.

use std::io::{BufRead, BufReader};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stories::{Fnaad, Wire, drop_in, events, eventually, eventually_holds, guest};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";
const B: &str = "b.flows.unix.ar";
const P: &str = "p.flows.unix.ar";

/// A bridge whose filter fails, which it logs, for any event that has no magnitude.
fn host() -> (Wire, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.ok(&format!("CREATE FLOW {A} partitions=2"));
    wire.ok("CREATE FLOW b.flows.unix.ar partitions=2");
    let config = json!({"filter": "data.mag >= 5.0"});
    wire.ok(&format!("REPLICATE {A} b.flows.unix.ar AS {P} CONFIG {config}"));
    (wire, host, dir)
}

fn without_magnitude(n: usize) -> String {
    json!({"specversion": "1.0", "id": format!("e{n}"), "source": "/s", "type": "t",
        "partitionkey": "k", "data": {"n": n}})
    .to_string()
}

fn entries(wire: &mut Wire, since: &str) -> Vec<Value> {
    wire.json(&format!("GET LOG {P}{since}"))
}

fn by<'a>(entries: &'a [Value], who: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["by"] == who).collect()
}

#[test]
fn the_log_has_what_the_plugin_says_and_what_the_host_did_with_it() {
    let (mut wire, _host, _dir) = host();
    let started = entries(&mut wire, "");
    let host = by(&started, "host");
    let shards: Vec<_> = host.iter().map(|entry| entry["shard"].as_u64().unwrap()).collect();
    assert_eq!((host[0]["message"].as_str(), shards.len()), (Some("started"), 2), "{started:?}");
    wire.write(A, &[without_magnitude(1)]);
    let said = eventually("what the plugin says", || {
        let all = entries(&mut wire, "");
        let said: Vec<Value> = by(&all, "plugin").into_iter().cloned().collect();
        if said.is_empty() { Err(format!("{all:?}")) } else { Ok(said) }
    });
    assert_eq!(said[0]["level"], "warn");
    assert!(said[0]["message"].as_str().unwrap().contains("expression failed"), "{said:?}");
    let all = entries(&mut wire, "");
    let numbers: Vec<_> = all.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    // Whatever the moment, a time is as long as any other.
    let times = all.iter().map(|entry| entry["time"].as_str().unwrap());
    assert!(times.clone().all(|time| time.len() == "2026-01-31T12:00:00.120Z".len()), "{all:?}");
    let last = numbers.last().unwrap();
    assert_eq!(entries(&mut wire, &format!(" SINCE {last}")), all[all.len() - 1..]);
    assert_eq!(entries(&mut wire, &format!(" SINCE {}", last + 1)), [] as [Value; 0]);
    // As text, too, with the host's lines marked where no plugin can write.
    let text = wire.ask(&format!("GET LOG {P}"));
    assert!(
        text.iter().any(|line| line.contains(" info  host shard=1 started version=")),
        "{text:?}"
    );
    assert_eq!(
        wire.refused("GET LOG none.flows.unix.ar"),
        "404 NOT_FOUND processor none.flows.unix.ar"
    );
}

#[test]
fn what_init_says_is_heard_once_however_many_pieces_a_bad_batch_is_cut_into() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    eventually("the type", || match wire.json("GET PROCESSOR TYPES") {
        types if types.iter().any(|found| found["type"] == "guest") => Ok(()),
        types => Err(format!("{types:?}")),
    });
    let config = r#"{"act":"tell-and-panic-at-odd"}"#;
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {A} TO {B} CONFIG {config}"));
    wire.write(A, &events(0..16));
    eventually_holds(&mut wire, B, 8);
    let all = entries(&mut wire, "");
    let begins = by(&all, "plugin").iter().filter(|line| line["message"] == "begins").count();
    assert_eq!(begins, 1, "{all:?}");
}

#[test]
fn what_is_gone_is_counted_and_a_processor_made_again_counts_on() {
    let (mut wire, _host, _dir) = host();
    // Each time it goes on, the host says so of both shards; it keeps 500 lines.
    let before = entries(&mut wire, "").last().unwrap()["seq"].as_u64().unwrap();
    eventually("more lines than are kept", || {
        for _ in 0..50 {
            wire.ok(&format!("PAUSE {P}"));
            wire.ok(&format!("RESUME {P}"));
        }
        let first = entries(&mut wire, " SINCE 0").remove(0);
        if first.get("missed").is_some() { Ok(()) } else { Err(first.to_string()) }
    });
    let all = entries(&mut wire, " SINCE 0");
    let oldest = all[1]["seq"].as_u64().unwrap();
    assert_eq!(all[0], json!({"missed": oldest}));
    assert!(all.len() <= 501 && oldest > before, "{} {oldest}", all.len());
    let last = all.last().unwrap()["seq"].as_u64().unwrap();
    wire.ok(&format!("DELETE PROCESSOR {P}"));
    wire.ok(&format!("REPLICATE {A} b.flows.unix.ar AS {P}"));
    let again = entries(&mut wire, "");
    assert!(again[0]["seq"].as_u64().unwrap() > last, "{again:?}");
}

#[test]
fn fnua_follows_a_log_over_a_restart_of_the_host() {
    let (mut wire, host, _dir) = host();
    let fnua = host.fnua();
    let mut follower = fnua.spawn(&["logs", P, "--follow", "--lines", "1"]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut until = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line = lines.next().expect("the follower goes on").unwrap();
        }
    };
    until("started");
    wire.write(A, &[without_magnitude(1)]);
    until("expression failed");
    let host = Fnaad::dev(&host.kill());
    until("started");
    host.login().write(A, &[without_magnitude(2)]);
    until("expression failed");
    kill_process(Pid::from_child(&follower), Signal::INT).unwrap();
    assert!(follower.wait().unwrap().success());
}
