//! A host that is killed between any two steps of taking topics in: afterwards every topic that is meant is one
//! flow, or none is, and saying it again makes it so.

use std::collections::BTreeSet;
use std::path::Path;

use kafka_node::Node;
use stories::{Fnaad, Wire, eventually};

use crate::flows::topic;

const NAMESPACE: &str = "taken.example";
const ADOPT: &str = "UPDATE NAMESPACE taken.example adopt=steps-*";
const FLOWS: [&str; 2] = ["steps-a.taken.example", "steps-b.taken.example"];

/// Most passings of one place that are runs of their own.
const MOST_PASSINGS: usize = 3;

/// A host in a directory that knows the Kafka, and ends itself where it is told to.
fn mortal(dir: &Path) -> (Fnaad, Wire) {
    let host = Fnaad::mortal(dir).expect("nothing ends it at its start");
    let wire = host.login();
    (host, wire)
}

/// Flows of the namespace that can be used.
fn flows(wire: &mut Wire) -> BTreeSet<String> {
    let seen = wire.json(&format!("GET FLOWS {NAMESPACE}"));
    let active = seen.iter().filter(|flow| flow["status"] == "active");
    active.map(|flow| flow["flow"].as_str().unwrap().to_owned()).collect()
}

fn eventually_taken(wire: &mut Wire, told: &str) {
    eventually(told, || match flows(wire) {
        seen if seen.iter().eq(FLOWS) => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
}

/// Lets the topics go, and forgets the namespace.
fn clean(wire: &mut Wire) {
    wire.ok("UPDATE NAMESPACE taken.example adopt=");
    for flow in flows(wire) {
        wire.ok(&format!("DELETE FLOW {flow}"));
    }
    wire.ok("DELETE NAMESPACE taken.example");
}

#[test]
fn killed_between_any_two_steps_of_taking_topics_in_each_is_one_flow_or_nothing_was_said() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["steps-a", "steps-b"] {
        topic(name, 1, 3);
    }
    let kafka = format!("kafka={}", Node::shared().servers());
    drop(Fnaad::dev_with(dir.path(), &["--namespace", "flows.unix.ar", "--broker", &kafka]).kill());
    Fnaad::arm(dir.path(), "");
    let (mut host, mut wire) = mortal(dir.path());
    let begun = host.passed().len();
    wire.ok("CREATE NAMESPACE taken.example BROKER kafka");
    let said = host.passed().len();
    wire.ok(ADOPT);
    eventually_taken(&mut wire, "both flows");
    assert!(said > begun);
    let places = host.passed().split_off(said);
    clean(&mut wire);
    let counted = |place: &String| places.iter().filter(|other| *other == place).count();
    for place in places.iter().collect::<BTreeSet<_>>() {
        for passing in 1..=counted(place).min(MOST_PASSINGS) {
            let told = format!("{place}:{passing}");
            wire.ok("CREATE NAMESPACE taken.example BROKER kafka");
            Fnaad::arm(dir.path(), &told);
            let answer = wire.try_ask::<&str>(ADOPT, &[]);
            assert!(answer.is_none(), "{told}: not killed, {answer:?}");
            Fnaad::arm(dir.path(), "");
            drop(host.kill());
            (host, wire) = mortal(dir.path());
            let seen = wire.describe("NAMESPACE taken.example");
            if seen["config.adopt"].is_null() {
                assert!(flows(&mut wire).is_empty(), "{told}: flows without the word");
                wire.ok(ADOPT);
            }
            eventually_taken(&mut wire, &told);
            clean(&mut wire);
        }
    }
    assert!(places.len() >= 3, "{places:?}");
}
