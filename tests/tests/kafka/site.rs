//! A host whose flows lie on a Kafka, load for it, and whether what came out is what went in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use kafka_node::{Record, Writer, read_committed};
use stories::{Config, Fnaad, Wire, eventually, eventually_described};
use tempfile::TempDir;

pub(crate) const SOURCE: &str = "source.flows.unix.ar";
pub(crate) const COPY: &str = "copy.flows.unix.ar";
pub(crate) const ALL: &str = "all.flows.unix.ar";
pub(crate) const BRIDGE: &str = "bridge.flows.unix.ar";
pub(crate) const COLLECTOR: &str = "collector.flows.unix.ar";

/// Records a second of the load.
const RATE: u32 = 500;

/// How often a story does its worst: a few times, or many when the long version is asked for.
pub(crate) fn times(few: usize, many: usize) -> usize {
    if std::env::var_os("CHAOS").is_some_and(|chaos| chaos == "long") { many } else { few }
}

/// A directory with the configuration of a host on a Kafka.
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) config: PathBuf,
}

impl Site {
    /// For a cluster at `servers`; `more` are further lines of its `[[brokers]]`.
    pub(crate) fn on(servers: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        let broker = format!(
            "\n[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{servers}\"\n{more}\n"
        );
        config.text.push_str(&broker);
        let config = config.save().to_owned();
        Self { dir, config }
    }

    /// On the node that tests share, under an identity of the test's own, with an embedded broker beside it.
    pub(crate) fn shared(test: &str) -> Self {
        let embedded = "[[brokers]]\nname = \"embedded\"\ntype = \"embedded\"";
        let servers = kafka_node::Node::shared().servers();
        Self::on(&servers, &format!("identity = \"{test}\"\n\n{embedded}"))
    }

    /// The same host once more: everything that it has, for a second process.
    pub(crate) fn copied(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copied =
            Command::new("cp").arg("-a").arg(self.dir.path().join(".")).arg(dir.path()).status();
        assert!(copied.unwrap().success());
        let config = dir.path().join(self.config.file_name().unwrap());
        Self { dir, config }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A host of it, ready.
    pub(crate) fn start(&self) -> Fnaad {
        Fnaad::serve(self.dir.path(), &self.config)
    }
}

/// A connection of its user.
pub(crate) fn login(host: &Fnaad) -> Wire {
    host.login_as("test", "test")
}

/// A source, a bridge to a copy of it, and a collector from that: four partitions each.
pub(crate) fn network(wire: &mut Wire, replication: usize) {
    for flow in [SOURCE, COPY, ALL] {
        begin(wire, &format!("CREATE FLOW {flow} partitions=4 replication={replication}"));
        eventually("a flow that is there", || {
            let seen = wire.describe(&format!("FLOW {flow}"));
            if seen["status"] == "active" { Ok(()) } else { Err(seen.to_string()) }
        });
    }
    begin(wire, &format!("REPLICATE {SOURCE} {COPY} AS {BRIDGE}"));
    begin(wire, &format!("COLLECT {COPY} {ALL} AS {COLLECTOR}"));
    running(wire);
}

/// Asks for something that may go on in the background where the machine does much else.
fn begin(wire: &mut Wire, command: &str) {
    let answer = wire.ask(command).join(" ");
    assert!(
        answer.starts_with("220 OK") || answer.contains("in the background"),
        "{command}: {answer}"
    );
}

/// Records that come in at a steady rate, with Kafka's own producer.
pub(crate) fn load(servers: &str) -> Writer {
    Writer::start(servers, SOURCE, RATE)
}

/// Waits until both processors run.
pub(crate) fn running(wire: &mut Wire) {
    for processor in [BRIDGE, COLLECTOR] {
        eventually_described(wire, processor, "a processor that runs", |seen| {
            seen["state"] == "running"
        });
    }
}

/// Waits until the host's bridge has committed so many records more.
pub(crate) fn commits(host: &Fnaad, more: u64) {
    commit(&[host], more);
}

/// Waits until hosts that share their lanes have committed so many records more, whoever it was.
pub(crate) fn commit(hosts: &[&Fnaad], more: u64) {
    let mut wires: Vec<Wire> = hosts.iter().map(|host| login(host)).collect();
    let mut committed = || {
        let each = wires.iter_mut().map(|wire| {
            wire.describe(&format!("PROCESSOR {BRIDGE}"))["events-out"].as_u64().unwrap()
        });
        each.sum::<u64>()
    };
    let from = committed();
    eventually("further records in the copy", || match committed() {
        now if now >= from + more => Ok(()),
        now => Err(format!("{now} records after {from}")),
    });
}

/// Every record once, in the copy and in what was collected from it, in the order of its partition.
pub(crate) fn check(servers: &str, written: usize) {
    let source = read_committed(servers, SOURCE, written);
    let distinct: BTreeSet<&str> =
        source.values().flatten().map(|record| record.text.as_str()).collect();
    assert_eq!(distinct.len(), written, "the source itself");
    for flow in [COPY, ALL] {
        same(&source, &read_committed(servers, flow, written), flow);
    }
    println!("{}: {written} records, each once", std::thread::current().name().unwrap_or_default());
}

type Partitions = BTreeMap<u32, Vec<Record>>;

fn same(source: &Partitions, target: &Partitions, flow: &str) {
    for (partition, wanted) in source {
        let found = target.get(partition).map_or(&[][..], Vec::as_slice);
        let differs =
            wanted.iter().zip(found).position(|(wanted, found)| plain(wanted) != plain(found));
        let Some(at) =
            differs.or((wanted.len() != found.len()).then(|| wanted.len().min(found.len())))
        else {
            continue;
        };
        let here =
            |records: &[Record]| records.iter().skip(at).take(3).cloned().collect::<Vec<_>>();
        let count =
            |record: &Record| found.iter().filter(|found| plain(found) == plain(record)).count();
        let lost = wanted.iter().filter(|record| count(record) == 0).count();
        let twice = wanted.iter().filter(|record| count(record) > 1).count();
        panic!(
            "{flow} partition {partition}: {} records, {} in the source; {lost} lost, {twice} more than once; \
             they differ first at {at}: {:?}, in the source {:?}",
            found.len(),
            wanted.len(),
            here(found),
            here(wanted)
        );
    }
}

/// Without what a collector adds.
fn plain(record: &Record) -> String {
    let parts = record.text.split(' ').filter(|part| !part.starts_with("ce_sourceflow="));
    parts.collect::<Vec<_>>().join(" ")
}

/// Takes whatever room there is; gives it back when the file is removed.
pub(crate) fn fill(path: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}
