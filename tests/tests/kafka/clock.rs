//! Clocks that jump: the host's, and those of whoever writes records.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kafka_node::{Node, Setup, Writer};
use stories::{Dice, Fnaad};
use time::OffsetDateTime;

use crate::site::{ALL, COPY, SOURCE, Site, check, load, login, network, running, times};

/// A library that puts the time of day off, made with the C compiler that the workspace is built with.
fn library(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/clock.c");
    let made = dir.join("clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&made).arg(source).arg("-ldl");
    assert!(compiler.status().unwrap().success());
    made
}

const DAY: i64 = 86_400;

#[test]
fn a_host_whose_clock_jumps_goes_on() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let (library, seconds) = (library(site.dir()), site.dir().join("seconds"));
    let set = |away: i64| std::fs::write(&seconds, away.to_string()).unwrap();
    set(0);
    let host = Fnaad::serve_with(
        site.dir(),
        &site.config,
        &[("LD_PRELOAD", &library), ("CLOCK_FILE", &seconds)],
    );
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    let jumps = [3600, -3600, 400 * DAY, -400 * DAY, 1, 0].repeat(times(1, 5));
    for (n, away) in jumps.into_iter().enumerate() {
        set(away);
        dice.wait(500, 2000);
        // The host has seen it.
        let mut wire = login(&host);
        wire.ok(&format!("CREATE FLOW jump{n}.flows.unix.ar"));
        let created = wire.describe(&format!("FLOW jump{n}.flows.unix.ar"))["created"].to_string();
        let there = OffsetDateTime::now_utc() + time::Duration::seconds(away);
        assert!(created.contains(&there.date().to_string()), "{created} is not {away} s away");
    }
    running(&mut login(&host));
    check(&node.servers(), writer.stop());
}

#[test]
fn records_of_the_distant_past_and_future_pass_as_they_are() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    let mut wire = login(&host);
    network(&mut wire, 1);
    for flow in [SOURCE, COPY, ALL] {
        wire.ok(&format!(
            "UPDATE FLOW {flow} message.timestamp.after.max.ms={} retention.ms=-1",
            i64::MAX
        ));
    }
    let writer = Writer::start_wild(&node.servers(), SOURCE, 500);
    std::thread::sleep(Duration::from_secs(3));
    running(&mut wire);
    check(&node.servers(), writer.stop());
}
