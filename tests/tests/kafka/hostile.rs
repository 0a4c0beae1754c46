//! Plugins that do harm on flows of a Kafka: they stop where they are, their neighbour on the same flow goes on,
//! and what they are told afterwards goes on where they stopped, over a crash of the host, too.

use serde_json::{Value, json};
use stories::{drop_in, events, eventually, eventually_described, eventually_holds, guest};

use crate::site::{Site, login};

const IN: &str = "hostile-in.flows.unix.ar";
const GOOD: &str = "hostile-good.flows.unix.ar";

/// What a plugin does, the settings that it runs with, and what is said of it.
const ACTS: [(&str, &str, &str); 3] = [
    ("loop", "limit.call_ms=50", "limit passed: call_ms=50"),
    ("grow", "limit.memory=16777216", "limit passed: memory=16777216"),
    ("panic", "", "deliberate"),
];

fn bad(number: usize, what: &str) -> String {
    format!("hostile-{what}{number}.flows.unix.ar")
}

#[test]
fn plugins_that_never_end_eat_memory_or_trap_cost_their_neighbour_nothing_and_no_record() {
    let site = Site::shared("hostile");
    let mut host = site.start();
    let mut wire = login(&host);
    drop_in(&site.dir().join("data/plugins"), "guest.wasm", guest());
    eventually("the type guest", || match wire.data("GET PROCESSOR TYPES") {
        types if types.iter().any(|line| line.starts_with("guest")) => Ok(()),
        types => Err(format!("{types:?}")),
    });
    for flow in [IN, GOOD] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=2"));
    }
    wire.ok(&format!("REPLICATE {IN} {GOOD}"));
    for (number, (act, settings, _)) in ACTS.iter().enumerate() {
        let (out, p) = (bad(number, "out"), bad(number, "p"));
        wire.ok(&format!("CREATE FLOW {out} partitions=2"));
        let config = json!({"act": act});
        let words = format!("TYPE guest FROM {IN} TO {out} dead-letters=off {settings}");
        wire.ok(&format!("CREATE PROCESSOR {p} {words} CONFIG {config}"));
    }
    assert_eq!(wire.write(IN, &events(0..40)), "220 OK 40 events");
    eventually_holds(&mut wire, GOOD, 40);
    let told = |words: &'static str| {
        move |seen: &Value| seen["reason"].as_str().is_some_and(|why| why.contains(words))
    };
    for (number, (_, _, words)) in ACTS.iter().enumerate() {
        eventually_described(&mut wire, &bad(number, "p"), words, told(words));
    }
    host.kill();
    host = site.start();
    wire = login(&host);
    assert_eq!(wire.write(IN, &events(40..60)), "220 OK 20 events");
    eventually_holds(&mut wire, GOOD, 60);
    for (number, (_, _, words)) in ACTS.iter().enumerate() {
        let (out, p) = (bad(number, "out"), bad(number, "p"));
        eventually_described(&mut wire, &p, words, told(words));
        assert_eq!(wire.read(&out).len(), 0, "{words}");
        wire.ok(&format!("UPDATE PROCESSOR {p} CONFIG {{}}"));
        eventually_holds(&mut wire, &out, 60);
    }
}
