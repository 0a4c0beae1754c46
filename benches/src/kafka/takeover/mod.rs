//! How long a host takes until it goes on with a large keyed state that another host had: from nothing, and where its
//! own disk knows the state from before; and which step of it takes how long.
//!
//! The state is that of the example keyed-count: long keys that were counted once. Time runs from the group's word that the lanes
//! are this host's until each shard has processed an event: before it the group waits whether the other one comes
//! back, which is a setting and no work, and a row of its own. `STATE_MIB` in the environment asks for less than 1 GiB.

mod fill;
mod steps;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use stories::{Config, Fnaad, Wire, drop_in, eventually, keyed_count};
use tempfile::TempDir;

use crate::process::peak_mib;
use crate::table::{Reach, Table};
use steps::Steps;

const IN: &str = "in.flows.unix.ar";
const OUT: &str = "out.flows.unix.ar";
const P: &str = "count.flows.unix.ar";

/// Shards, on the eight lanes that an identity has.
const PARTITIONS: u32 = 16;
/// Octets of a key; its count has eight.
const KEY: usize = 1_000;
/// Events that whoever took over has to process: enough that each shard gets some.
const AFTERWARDS: usize = 500;
/// What a host says that may take lanes.
const GIVEN: &str = "was given lanes";
/// Between two looks: each costs the host a little.
const LOOK: Duration = Duration::from_millis(5);

pub fn measure(table: &mut Table) {
    let node = super::node();
    let mib = std::env::var("STATE_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(1024);
    let entries = mib * (1 << 20) / (KEY + 8);
    let (one, other) = (Place::new(&node.servers()), TempDir::new().unwrap());
    let host = one.start();
    make(&mut login(&host), one.dir.path());
    assert!(host.end().success());
    // The same host elsewhere, which knows nothing of the state.
    let copied =
        Command::new("cp").arg("-a").arg(one.dir.path().join(".")).arg(other.path()).status();
    assert!(copied.unwrap().success());
    let other = Place { config: other.path().join("fnaad.toml"), dir: other };
    fill::forget(other.dir.path());
    fill::fill(&node.servers(), one.dir.path(), entries);
    let what = |how: &str| format!("{mib} MiB of state, {how}");
    let cold = other.takes_over(entries, 0);
    cold.tell(table, &what("nothing known"), 30.0);
    let warm = one.takes_over(entries, 1);
    warm.tell(table, &what("warm cache"), 2.0);
    let session = cold.given.max(warm.given);
    table.figure("before: until a group gives up who ended", session, "s", None, Reach::None);
}

/// A host's directory.
struct Place {
    dir: TempDir,
    config: PathBuf,
}

/// How a host took over.
struct Taken {
    /// From its start until it was given the lanes.
    given: f64,
    /// From then until all shards have gone on.
    seconds: f64,
    /// What of it the lanes took.
    steps: Steps,
    /// Its memory at most.
    peak: f64,
}

impl Taken {
    fn tell(&self, table: &mut Table, what: &str, most: f64) {
        let mut row = |which: &str, value, unit, reach| {
            table.figure(&format!("{what}{which}"), value, unit, None, reach);
        };
        row("", self.seconds, "s", Reach::AtMost(most));
        for (which, seconds) in self.steps.rows() {
            row(which, seconds, "s", Reach::None);
        }
        row(": from there to events", self.seconds - self.steps.taken, "s", Reach::None);
        row(": most memory", self.peak, "MiB", Reach::None);
    }
}

impl Place {
    fn new(servers: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        config.text += &format!(
            "\n[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{servers}\"\n\
             \n[limits.plugin]\nstate_bytes = {}\n",
            4_u64 << 30
        );
        let config = config.save().to_owned();
        Self { dir, config }
    }

    fn start(&self) -> Fnaad {
        Fnaad::serve(self.dir.path(), &self.config)
    }

    /// Starts, takes over, processes some events, and ends in order. `round` makes the keys of these events others.
    fn takes_over(&self, entries: usize, round: usize) -> Taken {
        let (said, before) = (says_given(self.dir.path()), log(self.dir.path()).len());
        let began = Instant::now();
        let host = self.start();
        let mut wire = login(&host);
        let keys = (0..AFTERWARDS).map(|number| format!("r{round}-{number}"));
        write(&mut wire, &keys.collect::<Vec<_>>());
        while says_given(self.dir.path()) == said {
            std::thread::sleep(LOOK);
            assert!(began.elapsed() < stories::PATIENCE, "no lanes; log:\n{}", host.log());
        }
        let given = began.elapsed();
        while processed(&mut wire) < AFTERWARDS {
            std::thread::sleep(LOOK);
            assert!(began.elapsed() < 3 * stories::PATIENCE, "log:\n{}", host.log());
        }
        let seconds = (began.elapsed() - given).as_secs_f64();
        assert_eq!(
            kept(&mut wire),
            entries + (round + 1) * AFTERWARDS,
            "nothing of the state is lost"
        );
        let steps = Steps::read(log(self.dir.path()).get(before..).unwrap_or_default());
        let peak = peak_mib(host.id());
        let ending = Instant::now();
        assert!(host.end().success());
        eprintln!("  given after {given:?}, ended in {:?}", ending.elapsed());
        Taken { given: given.as_secs_f64(), seconds, steps, peak }
    }
}

fn make(wire: &mut Wire, dir: &Path) {
    drop_in(&dir.join("data/plugins"), "keyed-count.wasm", keyed_count());
    eventually("the type", || match wire.data("GET PROCESSOR TYPES") {
        types if types.iter().any(|line| line.starts_with("keyed-count")) => Ok(()),
        types => Err(format!("{types:?}")),
    });
    for flow in [IN, OUT] {
        wire.ok(&format!("CREATE FLOW {flow} broker=kafka partitions={PARTITIONS}"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE keyed-count FROM {IN} TO {OUT}"));
}

fn write(wire: &mut Wire, keys: &[String]) {
    let event = |key: &String| {
        format!(
            r#"{{"specversion":"1.0","id":"e","source":"/bench","type":"t","partitionkey":"{key}"}}"#
        )
    };
    let events: Vec<String> = keys.iter().map(event).collect();
    assert_eq!(wire.write(IN, &events), format!("220 OK {} events", events.len()));
}

/// Events that the processor has done since its host began.
fn processed(wire: &mut Wire) -> usize {
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    seen["events-in"].as_u64().and_then(|events| events.try_into().ok()).unwrap_or(0)
}

/// Entries of all shards.
fn kept(wire: &mut Wire) -> usize {
    let seen = wire.describe(&format!("PROCESSOR {P}"));
    let entries =
        (0..PARTITIONS).filter_map(|shard| seen[format!("state.{shard}")]["entries"].as_u64());
    usize::try_from(entries.sum::<u64>()).unwrap()
}

/// How often hosts of a directory were given lanes.
fn says_given(dir: &Path) -> usize {
    log(dir).lines().filter(|line| line.contains(GIVEN)).count()
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("fnaad.log")).unwrap_or_default()
}

fn login(host: &Fnaad) -> Wire {
    host.login_as("test", "test")
}
