//! The host's bridge between two flows, which are the topics that the others copy from and to.

use stories::{Config, Fnaad};
use tempfile::TempDir;

use super::contender::{Contender, Running, Task};

const SOURCE: &str = "source.flows.unix.ar";
const TARGET: &str = "target.flows.unix.ar";

pub fn contender() -> Contender {
    Contender { name: super::BRIDGE, start, rounds: 3 }
}

struct Host {
    host: Fnaad,
    _dir: TempDir,
}

impl Running for Host {
    fn id(&self) -> u32 {
        self.host.id()
    }
}

fn start(task: &Task<'_>) -> Box<dyn Running> {
    let (host, dir) = on_kafka(task.servers);
    let mut wire = host.login_as("test", "test");
    for (flow, topic) in [(SOURCE, task.source), (TARGET, &task.target())] {
        wire.ok(&format!("CREATE FLOW {flow} broker=kafka topic={topic}"));
    }
    let delivery = task.mode.word();
    wire.ok(&format!(
        "REPLICATE {SOURCE} {TARGET} AS p.flows.unix.ar START EARLIEST delivery={delivery}"
    ));
    Box::new(Host { host, _dir: dir })
}

/// A new host whose second broker is a node; `BROKER` in the environment is further lines of its
/// configuration, to try settings.
pub fn on_kafka(servers: &str) -> (Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    let more = std::env::var("BROKER").unwrap_or_default();
    config.text.push_str(&format!(
        "\n[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{servers}\"\n{more}\n"
    ));
    (Fnaad::serve(dir.path(), config.save()), dir)
}
