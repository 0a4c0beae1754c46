//! A host that comes back under another port: whoever has looked its names up before finds it at once, long before what DNS
//! said then has run out.

use std::io::{BufRead, BufReader};
use std::process::Child;

use bind_node::dig;
use serde_json::Value;
use stories::{Fnua, PATIENCE, event, events, eventually, eventually_holds};

use crate::participants::{
    EMILIANO, LOCAL, TIME, Two, UNIX, eventually_is, subscribe, subscription,
};

/// Seconds for which what DNS says may be remembered: longer than anything is waited for here.
fn ttl(two: &Two) -> u64 {
    let zone = two.resolves(UNIX);
    let (_, server) = zone.split_once('=').unwrap();
    let owner = format!("_flow._tcp.{TIME}");
    let found = dig(server.parse().unwrap(), &["+noall", "+answer", &owner, "SRV"]);
    found.split_whitespace().nth(1).unwrap_or_else(|| panic!("{found}")).parse().unwrap()
}

#[test]
fn a_subscription_goes_on_at_once_when_its_owners_host_is_back_under_another_port() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..10));
    subscribe(&mut user);
    eventually_holds(&mut user, LOCAL, 10);
    assert!(ttl(&two) > PATIENCE.as_secs());
    for (round, port) in [61_001, 61_002].into_iter().enumerate() {
        two.moves(UNIX, port);
        let from = 10 + 10 * round;
        two.wire(UNIX).write(TIME, &events(from..from + 10));
        eventually_holds(&mut user, LOCAL, from + 10);
    }
    eventually_is(&mut user, "active");
}

#[test]
fn who_subscribes_or_has_unsubscribed_finds_a_host_that_is_back_under_another_port() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    subscribe(&mut user);
    // The end is told when the host is back.
    two.kill(UNIX);
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert_eq!(subscription(&mut user)["state"], "ending");
    two.start_at(UNIX, 61_001);
    eventually("the end of it", || match subscription(&mut user) {
        Value::Null => Ok(()),
        seen => Err(seen.to_string()),
    });
    let mut owner = two.wire(UNIX);
    assert_eq!(owner.data(&format!("GET SUBSCRIBERS {TIME}")), Vec::<String>::new());
    // The next one comes through at the first try.
    two.moves(UNIX, 61_002);
    two.wire(UNIX).write(TIME, &[event(1)]);
    user.ok(&format!("DELETE FLOW {LOCAL}"));
    subscribe(&mut user);
    eventually_holds(&mut user, LOCAL, 1);
}

struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn who_reads_a_flow_by_its_name_alone_goes_on_when_its_host_is_back_under_another_port() {
    let mut two = Two::start();
    two.keys = "anonymous = true\n".to_owned();
    two.moves(UNIX, 61_003);
    let mut owner = two.wire(UNIX);
    owner.ok(&format!("CREATE FLOW {TIME}"));
    owner.ok(&format!("GRANT read ON {TIME} TO anonymous"));
    owner.write(TIME, &[event(1)]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fnua.toml");
    std::fs::write(&file, format!("resolve = [\"{}\"]\n", two.resolves(UNIX))).unwrap();
    let fnua = Fnua::new(file);
    let follow = ["read", TIME, "--from", "earliest", "--follow"];
    let mut reader = Reader(fnua.spawn(&follow));
    let mut lines = BufReader::new(reader.0.stdout.take().unwrap()).lines();
    let mut next = || {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        event["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(next(), "e1");
    for (number, port) in [(2, 61_001), (3, 61_002)] {
        two.moves(UNIX, port);
        two.wire(UNIX).write(TIME, &[event(number)]);
        assert_eq!(next(), format!("e{number}"));
    }
}
