//! Dead letters on Kafka: the same split, attributes and commands as on the embedded broker, each once.

use serde_json::json;
use stories::{Wire, event, eventually, eventually_described, eventually_holds, ids};

use crate::site::{Site, login};

const IN: &str = "in.flows.unix.ar";
const OUT: &str = "out.flows.unix.ar";
const P: &str = "p.flows.unix.ar";

/// A plugin that rejects some events, by a filter that cannot be evaluated for them.
fn start(wire: &mut Wire, prefix: &str, out: &str, more: &str) -> [String; 4] {
    let [input, output, p] = [IN, OUT, P].map(|name| format!("{prefix}-{name}"));
    wire.ok(&format!("CREATE FLOW {input} partitions=2"));
    wire.ok(&format!("CREATE FLOW {output} partitions=2 {out}"));
    wire.ok(&format!("CREATE PROCESSOR {p} TYPE bridge FROM {input} TO {output} {more}"));
    let dead = format!("{prefix}-p.dead.flows.unix.ar");
    [input, output, p, dead]
}

/// Waits until the flow of dead letters is there, and holds so many.
fn letters(wire: &mut Wire, dead: &str, count: usize) -> Vec<serde_json::Value> {
    eventually(&format!("flow {dead}"), || {
        let answer = wire.ask(&format!("DESCRIBE FLOW {dead}"));
        if answer[0] == "220 DATA" { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    eventually_holds(wire, dead, count)
}

fn large(n: usize, bytes: usize) -> String {
    let mut event: serde_json::Value = serde_json::from_str(&event(n)).unwrap();
    event["data"]["more"] = "x".repeat(bytes).into();
    event.to_string()
}

#[test]
fn an_event_that_a_topic_is_too_small_for_is_a_dead_letter_and_goes_through_once_it_is_not() {
    let site = Site::shared("toolarge");
    let mut host = site.start();
    let mut wire = login(&host);
    let [input, output, p, dead] = start(&mut wire, "large", "max.message.bytes=4000", "");
    let events: Vec<String> = (0..60)
        .map(|n| if [7, 30, 31].contains(&n) { large(n, 10_000) } else { event(n) })
        .collect();
    wire.write(&input, &events);
    let letters = letters(&mut wire, &dead, 3);
    eventually_holds(&mut wire, &output, 57);
    let mut numbers: Vec<&str> = ids(&letters);
    numbers.sort_unstable();
    assert_eq!(numbers, ["e30", "e31", "e7"]);
    for letter in &letters {
        assert_eq!((&letter["deadkind"], &letter["deadflow"]), (&json!("broker"), &json!(input)));
        assert_eq!(letter["data"]["more"].as_str().unwrap().len(), 10_000);
    }
    // A crash changes nothing of it.
    drop(host);
    host = site.start();
    wire = login(&host);
    wire.ok(&format!("UPDATE FLOW {output} max.message.bytes=100000"));
    wire.ok(&format!("REPLAY {p}"));
    let all = eventually_holds(&mut wire, &output, 60);
    let mut ids = ids(&all);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 60);
    eventually_described(&mut wire, &p, "none open", |seen| seen["dead-letters"]["open"] == 0);
}

#[test]
fn what_a_plugin_cannot_take_is_a_dead_letter_in_order_also_over_crashes_of_the_host() {
    let site = Site::shared("deadletters");
    let mut host = site.start();
    let mut wire = login(&host);
    let bomb = "['xxxxxxxxxxxxxxxx']".to_owned() + &".map(x, x + x + x + x)".repeat(12);
    let config = format!(r#"{{"filter":"data.n % 20 != 3 || {bomb}.size() > 0"}}"#);
    let more = format!("dead-letters=all limit.memory=16777216 CONFIG {config}");
    let [input, output, p, dead] = start(&mut wire, "bad", "", &more);
    for at in (0..200).step_by(50) {
        wire.write(&input, &(at..at + 50).map(event).collect::<Vec<_>>());
        drop(host);
        host = site.start();
        wire = login(&host);
    }
    let letters = letters(&mut wire, &dead, 10);
    assert!(letters.iter().all(|letter| letter["deadprocessor"] == json!(p)), "{letters:?}");
    let out = eventually_holds(&mut wire, &output, 190);
    // The order of each partition, without those that were given up.
    let source = eventually_holds(&mut wire, &input, 200);
    for partition in [0, 1] {
        let of = |events: &[serde_json::Value]| -> Vec<String> {
            let here = events.iter().filter(|event| event["flowpartition"] == partition);
            let good = here.filter(|event| event["data"]["n"].as_u64().unwrap() % 20 != 3);
            good.map(|event| event["id"].to_string()).collect()
        };
        assert_eq!(of(&out), of(&source));
    }
    wire.ok(&format!("UPDATE PROCESSOR {p} CONFIG {{}}"));
    wire.ok(&format!("REPLAY {p}"));
    eventually_holds(&mut wire, &output, 200);
}
