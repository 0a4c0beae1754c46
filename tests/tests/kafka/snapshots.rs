//! Snapshots of a processor whose state lies on Kafka: where a comparison begins, also of another process.

use serde_json::Value;
use stories::{
    Wire, drop_in, events, eventually_described, eventually_holds, eventually_typed, guest,
    lying_guest,
};

use crate::clients::user;
use crate::site::{Site, login};

const IN: &str = "snapshots-in.flows.unix.ar";
const OUT: &str = "snapshots-out.flows.unix.ar";
const P: &str = "snapshots.flows.unix.ar";

fn snapshot(wire: &mut Wire) -> Value {
    wire.describe(&format!("PROCESSOR {P}"))["snapshot.1"].clone()
}

#[test]
fn a_comparison_begins_with_the_state_that_a_host_of_before_has_kept_and_at_its_positions() {
    let site = Site::shared("snapshots");
    let host = site.start();
    let mut wire = login(&host);
    let plugins = site.dir().join("data/plugins");
    drop_in(&plugins, "guest.wasm", guest());
    eventually_typed(&mut wire, "guest", |found| found["version"] == "0.1.0");
    for flow in [IN, OUT] {
        wire.ok(&format!("CREATE FLOW {flow} broker=kafka"));
    }
    let rest = r#"upgrade=pinned CONFIG {"act":"count"}"#;
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE guest FROM {IN} TO {OUT} {rest}"));
    drop_in(&plugins, "guest.wasm", &lying_guest("patch-9"));
    let other = eventually_typed(&mut wire, "guest", |found| found["version"] == "0.1.9");
    let other = other["digest"].as_str().unwrap();
    wire.write(IN, &events(0..20));
    eventually_holds(&mut wire, OUT, 20);
    assert_eq!(wire.ok(&format!("SNAPSHOT {P}")), "1");
    wire.write(IN, &events(20..50));
    eventually_holds(&mut wire, OUT, 50);
    let kept = snapshot(&mut wire);
    assert_eq!(kept["version"], "0.1.0", "{kept}");
    assert_ne!(kept["entries"], 0, "{kept}");
    assert!(kept["positions"].as_str().unwrap().ends_with(":0:20"), "{kept}");
    drop(host.kill());
    let host = site.start();
    let mut wire = login(&host);
    assert_eq!(snapshot(&mut wire), kept);
    wire.ok(&format!("COMPARE {P} VERSION {other} SNAPSHOT 1"));
    let seen =
        eventually_described(&mut wire, P, "the end", |seen| seen["comparison.state"] == "done");
    wire.ok(&format!("COMPARE {P} STOP"));
    for (key, count) in [("agree", 30), ("differ", 0), ("state-differ", 0), ("all", 30)] {
        assert_eq!(seen[format!("comparison.{key}")], count, "{key}: {seen}");
    }
    let fnua = user(&site, host.address());
    let said = fnua.run(&["replay", P, "--version", other, "--from-snapshot", "1"]);
    assert_eq!((said.code, &*said.stderr), (0, ""), "{said:?}");
    assert!(said.stdout.starts_with("events: 30 alike, 0 not\n"), "{said:?}");
    // What goes on is what was before.
    wire.write(IN, &events(50..60));
    eventually_holds(&mut wire, OUT, 60);
}
