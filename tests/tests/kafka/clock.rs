//! Clocks that are wrong: the host's, which jumps, and those of whoever writes records, whose times pass,
//! whatever they are.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kafka_node::{Node, Setup, Writer};
use stories::{Dice, Fnaad, event};
use time::OffsetDateTime;

use crate::site::{ALL, COPY, SOURCE, Site, check, commits, load, login, network, running, times};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The time of day of one host: clocks of whole machines are nobody's to set here, and the kernel's time
/// namespaces leave this one out.
struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// Right at first.
    fn new(dir: &Path) -> Self {
        let (library, path) = (dir.join("clock.so"), dir.join("clock"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/clock.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        let made = compiler.status().expect("missing: cc, the compiler of the workspace's C parts");
        assert!(made.success(), "cc: {made}");
        let clock = Self { library, file: File::create(&path).unwrap(), path };
        clock.jump(0);
        clock
    }

    /// So many seconds away from the true time from now on.
    fn jump(&self, seconds: i64) {
        self.file.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0).unwrap();
    }

    /// A host that has this clock.
    fn host(&self, site: &Site) -> Fnaad {
        let environment = [("LD_PRELOAD", &*self.library), ("CLOCK_FILE", &*self.path)];
        Fnaad::serve_with(site.dir(), &site.config, &environment)
    }
}

/// Sees that a host believes in a jump: what it makes now was made then.
fn has_seen(host: &Fnaad, flow: &str, seconds: i64) {
    let mut wire = login(host);
    wire.ok(&format!("CREATE FLOW {flow}"));
    let created = wire.describe(&format!("FLOW {flow}"))["created"].to_string();
    let then = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let near = [-1, 0].map(|minutes| {
        let then = then + time::Duration::minutes(minutes);
        format!("{}T{:02}:{:02}", then.date(), then.hour(), then.minute())
    });
    assert!(near.iter().any(|near| created.contains(near)), "{created} is not {near:?}");
}

#[test]
fn a_host_whose_clock_jumps_goes_on_and_nothing_is_lost_or_repeated() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let clock = Clock::new(site.dir());
    let host = clock.host(&site);
    network(&mut login(&host), 1);
    let writer = load(&node.servers());
    let mut dice = Dice::of("CHAOS_SEED");
    let jumps = [2 * HOUR, -400 * DAY, 400 * DAY];
    for (number, seconds) in jumps.repeat(times(1, 10)).into_iter().enumerate() {
        dice.wait(200, 2000);
        clock.jump(seconds);
        has_seen(&host, &format!("jump{number}.flows.unix.ar"), seconds);
        commits(&host, 500);
        // Everything has to be found again, and waited for by the clock that jumped.
        node.kill();
        clock.jump(seconds - 5 * HOUR);
        dice.wait(200, 2000);
        node.restart();
        commits(&host, 500);
    }
    running(&mut login(&host));
    check(&node.servers(), writer.stop());
}

#[test]
fn a_host_whose_clock_is_wrong_says_so_where_kafka_does_not_take_its_times() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let clock = Clock::new(site.dir());
    clock.jump(2 * DAY);
    let host = clock.host(&site);
    let mut wire = login(&host);
    wire.ok("CREATE FLOW ahead.flows.unix.ar");
    let refused = wire.write("ahead.flows.unix.ar", &[event(1)]);
    assert!(refused.to_lowercase().contains("timestamp"), "{refused}");
    for seconds in [0, -2 * DAY] {
        clock.jump(seconds);
        assert_eq!(wire.write("ahead.flows.unix.ar", &[event(1)]), "220 OK 1 events");
    }
}

#[test]
fn records_of_the_distant_past_and_future_pass_as_they_are() {
    let node = Node::start(Setup::default());
    let site = Site::on(&node.servers(), "");
    let host = site.start();
    let mut wire = login(&host);
    network(&mut wire, 1);
    // Without this a topic of Kafka takes nothing from more than an hour ahead.
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
