//! The example that counts by key, on lanes that two hosts take from each other: its state moves with them.

use std::collections::BTreeMap;

use serde_json::Value;
use stories::{Fnaad, drop_in, events, eventually, eventually_described, keyed_count};

use crate::site::{Site, login, times};

const IN: &str = "counting-in.flows.unix.ar";
const OUT: &str = "counting-out.flows.unix.ar";
const P: &str = "counting.flows.unix.ar";

/// Events that are written between two kills.
const AT_ONCE: usize = 200;

fn key(event: &Value) -> String {
    event["partitionkey"].as_str().unwrap().to_owned()
}

#[test]
fn counts_stay_exact_while_two_hosts_take_the_lanes_from_each_other() {
    let site = Site::shared("counting");
    let host = site.start();
    let mut wire = login(&host);
    drop_in(&site.dir().join("data/plugins"), "keyed-count.wasm", keyed_count());
    eventually("the type", || match wire.data("GET PROCESSOR TYPES") {
        types if types.iter().any(|line| line.starts_with("keyed-count")) => Ok(()),
        types => Err(format!("{types:?}")),
    });
    for flow in [IN, OUT] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=4"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE keyed-count FROM {IN} TO {OUT}"));
    assert!(host.end().success());
    let copy = site.copied();
    let (mut one, mut two) = (site.start(), copy.start());
    let mut written = 0;
    let mut write = |host: &Fnaad| {
        let answer = login(host).write(IN, &events(written..written + AT_ONCE));
        assert_eq!(answer, format!("220 OK {AT_ONCE} events"));
        written += AT_ONCE;
    };
    for _ in 0..times(2, 20) {
        write(&one);
        two.kill();
        write(&one);
        two = copy.start();
        write(&two);
        one.kill();
        write(&two);
        one = site.start();
    }
    two.kill();
    let mut wire = login(&one);
    eventually_described(&mut wire, P, "one that runs", |seen| seen["state"] == "running");
    let mut model = BTreeMap::<String, u64>::new();
    for event in wire.read(IN) {
        *model.entry(key(&event)).or_default() += 1;
    }
    assert_eq!(model.values().sum::<u64>(), written as u64);
    let told = eventually("all counts", || {
        let mut told = BTreeMap::<String, Vec<u64>>::new();
        for event in wire.read(OUT) {
            told.entry(key(&event)).or_default().push(event["data"]["count"].as_u64().unwrap());
        }
        let last = |(key, counts): (&String, &Vec<u64>)| (key.clone(), *counts.last().unwrap());
        let now: BTreeMap<_, _> = told.iter().map(last).collect();
        if now == model { Ok(told) } else { Err(format!("{now:?}, not {model:?}")) }
    });
    for (key, counts) in told {
        assert!(counts.is_sorted_by(|one, next| one < next), "{key}: {counts:?}");
    }
}
