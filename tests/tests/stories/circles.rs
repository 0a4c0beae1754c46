//! Three participants, each of whom follows the next: what is written at one comes to all, and goes round no circle.

use std::path::Path;

use serde_json::Value;
use stories::{At, Fnaad, Wire, event, eventually, eventually_holds};

const NAMES: [&str; 3] = ["a.test", "b.test", "c.test"];

fn start(dir: &Path, [a, b]: [u8; 2], which: usize) -> Fnaad {
    let at = |which: usize| {
        let (domain, last) = (NAMES[which], u8::try_from(which).unwrap() + 1);
        At { domain, namespace: domain, address: [127, a, b, last], port: 61_000 }
    };
    let others: Vec<At> = (0..NAMES.len()).filter(|other| *other != which).map(at).collect();
    let (own, secret) = (dir.join(NAMES[which]), dir.join("peers.secret"));
    std::fs::create_dir_all(&own).unwrap();
    Fnaad::serve(&own, at(which).config(&own, &others, &secret).save())
}

fn numbers(wire: &mut Wire, flow: &str) -> Vec<u64> {
    let number = |event: &Value| event["data"]["n"].as_u64().unwrap();
    let mut numbers: Vec<u64> = wire.read(flow).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn three_who_follow_each_other_get_every_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let network = stories::own_network();
    let hosts: Vec<Fnaad> =
        (0..NAMES.len()).map(|which| start(dir.path(), network, which)).collect();
    let mut wires: Vec<Wire> = hosts.iter().map(|host| host.login_as("test", "test")).collect();
    let flow = |which: usize| format!("all.{}", NAMES[which % NAMES.len()]);
    let from = |which: usize| format!("next.{}", NAMES[which]);
    for (which, wire) in wires.iter_mut().enumerate() {
        wire.ok(&format!("CREATE FLOW {} access=open", flow(which)));
    }
    // The first follows the second, the second the third, the third the first.
    for (which, wire) in wires.iter_mut().enumerate() {
        let subscribe = format!("SUBSCRIBE {} LOCAL {}", flow(which + 1), from(which));
        eventually("a subscription", || match wire.ask(&subscribe).first() {
            Some(line) if line == "220 DATA" => Ok(()),
            line => Err(format!("{line:?}")),
        });
        wire.ok(&format!("REPLICATE {} {}", from(which), flow(which)));
    }
    for round in 1..=3 {
        for (which, wire) in wires.iter_mut().enumerate() {
            let written = event((round - 1) * NAMES.len() + which);
            assert!(wire.write(&flow(which), &[written]).starts_with("220 "));
        }
        let all = round * NAMES.len();
        for (which, wire) in wires.iter_mut().enumerate() {
            eventually_holds(wire, &flow(which), all);
            // All but its own come from the next one, which is as far as they go.
            eventually_holds(wire, &from(which), all - round);
        }
    }
    for (which, wire) in wires.iter_mut().enumerate() {
        assert_eq!(numbers(wire, &flow(which)), (0..9).collect::<Vec<u64>>());
        let others = (0..9).filter(|number| number % 3 != which as u64);
        assert_eq!(numbers(wire, &from(which)), others.collect::<Vec<u64>>());
    }
}
