//! What a host says of a Kafka that is away, and of one that is back.

use std::time::{Duration, Instant};

use kafka_node::{Node, Setup};
use stories::metrics::Metrics;
use stories::{Fnua, Wire, eventually, eventually_described};

use crate::clients::user;
use crate::site::{
    BRIDGE, COLLECTOR, COPY, SOURCE, Site, check, commits, load, login, network, running,
};

const UNAVAILABLE: &str = "fnaa_broker_unavailable{broker=\"kafka\"}";

/// By when a host has ended that gives what is in flight 30 seconds: soon enough for who would kill it after 90.
const ENDED: Duration = Duration::from_secs(60);

/// How often a processor fails until the group of the lanes has given this host up, and longer.
const FAILURES: u64 = 3;

/// Waits until `fnua status` finds the cause at processors and flows.
fn is_told(fnua: &Fnua) {
    eventually("the cause in fnua status", || {
        let said = fnua.run(&["status"]);
        let told = |about: &str| {
            let of_it = |line: &&str| line.starts_with(&format!("! {about}: "));
            said.stdout.lines().find(of_it).is_some_and(|line| line.contains("Connection refused"))
        };
        let all = [BRIDGE, COLLECTOR, SOURCE, COPY].into_iter().all(told);
        if said.code == 4 && all { Ok(()) } else { Err(format!("{said:?}")) }
    });
}

/// Looks at why the bridge does not go on until it has failed some times.
fn is_told_as_it_is(wire: &mut Wire) {
    eventually("a processor that has failed several times", || {
        let seen = wire.describe(&format!("PROCESSOR {BRIDGE}"));
        let reason = seen["reason"].as_str().unwrap_or_default();
        assert!(!reason.contains("another host"), "{seen}");
        let often = seen["failures"].as_u64().is_some_and(|failures| failures >= FAILURES);
        let is_so = often && reason.contains("Connection refused");
        if is_so { Ok(()) } else { Err(seen.to_string()) }
    });
}

#[test]
fn a_kafka_that_is_away_is_told_with_the_cause_by_whatever_is_asked_until_it_is_back() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "\n[observe]\nlisten = \"127.0.0.1:0\"");
    let host = site.start();
    let mut wire = login(&host);
    network(&mut wire, 1);
    let fnua = user(&site, host.address());
    let is_well = || {
        eventually("nothing wrong in fnua status", || {
            let said = fnua.run(&["status"]);
            let is_so = said.code == 0 && said.stdout.ends_with("\nnothing is wrong\n");
            if is_so { Ok(()) } else { Err(format!("{said:?}")) }
        });
    };
    is_well();
    Metrics::of(host.observe()).is(UNAVAILABLE, 0.0).unwrap();
    // What is under way fails after ten seconds.
    let writer = load(&node.servers());
    commits(&host, 1);
    node.kill();
    is_told(&fnua);
    Metrics::of(host.observe()).is(UNAVAILABLE, 1.0).unwrap();
    let new = "new.flows.unix.ar";
    let pending = wire.refused(&format!("CREATE FLOW {new}"));
    assert!(pending.starts_with("503 UNAVAILABLE goes on in the background: "), "{pending}");
    assert!(pending.contains("Connection refused"), "{pending}");
    is_told_as_it_is(&mut wire);
    is_told(&fnua);
    node.restart();
    running(&mut wire);
    eventually("the flow that was asked for", || {
        let flows = wire.data("GET FLOWS");
        if flows.iter().any(|flow| flow == new) { Ok(()) } else { Err(format!("{flows:?}")) }
    });
    eventually("a broker that is there", || Metrics::of(host.observe()).is(UNAVAILABLE, 0.0));
    eventually_described(&mut wire, BRIDGE, "no reason", |seen| seen["reason"].is_null());
    is_well();
    check(&node.servers(), writer.stop());
}

#[test]
fn a_host_ends_in_time_although_its_kafka_has_gone_a_moment_before_and_goes_on_where_it_was() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    commits(&host, 1);
    node.kill();
    let began = Instant::now();
    assert!(host.end().success());
    assert!(began.elapsed() < ENDED, "{:?}", began.elapsed());
    node.restart();
    let host = site.start();
    running(&mut login(&host));
    check(&node.servers(), writer.stop());
}
