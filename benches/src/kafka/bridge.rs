//! The host's bridge between two flows, which are the topics that the others copy from and to.

use std::path::PathBuf;

use stories::{Config, Fnaad, Wire};
use tempfile::TempDir;

use super::contender::{Contender, Running, Task};

/// The flows, which are the topics to read and to write.
pub const SOURCE: &str = "source.flows.unix.ar";
pub const TARGET: &str = "target.flows.unix.ar";

pub fn contender() -> Contender {
    Contender { name: super::BRIDGE, start, rounds: 3 }
}

/// A host at work.
pub struct Host {
    host: Fnaad,
    dir: TempDir,
}

impl Host {
    /// Where plugins are dropped.
    pub fn plugins(&self) -> PathBuf {
        self.dir.path().join("data/plugins")
    }
}

impl Running for Host {
    fn id(&self) -> u32 {
        self.host.id()
    }
}

fn start(task: &Task<'_>) -> Box<dyn Running> {
    let (host, mut wire) = with_flows(task, "");
    let delivery = task.mode.word();
    wire.ok(&format!(
        "REPLICATE {SOURCE} {TARGET} AS p.flows.unix.ar START EARLIEST delivery={delivery}"
    ));
    Box::new(host)
}

/// A host that has both topics as flows, and a connection to it; `more` are further lines of its configuration.
pub fn with_flows(task: &Task<'_>, more: &str) -> (Host, Wire) {
    let (host, dir) = on_kafka_with(task.servers, more);
    let mut wire = host.login_as("test", "test");
    for (flow, topic) in [(SOURCE, task.source), (TARGET, &task.target())] {
        wire.ok(&format!("CREATE FLOW {flow} broker=kafka topic={topic}"));
    }
    (Host { host, dir }, wire)
}

/// A new host whose second broker is a node; `BROKER` in the environment is further lines of its
/// configuration, to try settings.
pub fn on_kafka(servers: &str) -> (Fnaad, TempDir) {
    on_kafka_with(servers, "")
}

fn on_kafka_with(servers: &str, further: &str) -> (Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    let more = std::env::var("BROKER").unwrap_or_default();
    config.text.push_str(&format!(
        "\n[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{servers}\"\n{more}\n{further}\n"
    ));
    (Fnaad::serve(dir.path(), config.save()), dir)
}
