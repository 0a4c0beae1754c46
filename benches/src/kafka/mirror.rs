//! Apache Kafka's MirrorMaker 2 in its dedicated mode, tuned where that helps it, and with all that is
//! not copying switched off.

use std::fmt::Write as _;
use std::process::Stdio;

use tempfile::TempDir;

use super::contender::{Contender, Killed, Mode, Running, Task};

/// Tasks that share the partitions: more than there are processors did not help.
const TASKS: usize = 2;

pub fn contender() -> Contender {
    Contender { name: super::MIRROR, start, rounds: 1 }
}

struct Mirror {
    process: Killed,
    _dir: TempDir,
}

impl Running for Mirror {
    fn id(&self) -> u32 {
        self.process.id()
    }
}

fn start(task: &Task<'_>) -> Box<dyn Running> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mm2.properties");
    std::fs::write(&file, properties(task)).unwrap();
    let log = std::fs::File::create(dir.path().join("mm2.log")).unwrap();
    let mut command = kafka_node::jvm();
    // What `connect-mirror-maker.sh` gives it.
    command.args(["-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]);
    command.arg("org.apache.kafka.connect.mirror.MirrorMaker").arg(file);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Box::new(Mirror { process: Killed(command.spawn().unwrap()), _dir: dir })
}

fn properties(task: &Task<'_>) -> String {
    let Task { servers, source, alias, mode, .. } = task;
    let mut text = format!(
        "clusters={alias},target\n\
         {alias}.bootstrap.servers={servers}\n\
         target.bootstrap.servers={servers}\n\
         {alias}->target.enabled=true\n\
         {alias}->target.topics={source}\n\
         target->{alias}.enabled=false\n\
         tasks.max={TASKS}\n"
    );
    if *mode == Mode::ExactlyOnce {
        text.push_str("target.exactly.once.source.support=enabled\n");
    }
    for off in [
        "emit.heartbeats",
        "emit.checkpoints",
        "refresh.groups",
        "refresh.topics",
        "sync.topic.configs",
        "sync.topic.acls",
    ] {
        writeln!(text, "{off}.enabled=false").unwrap();
    }
    for topic in [
        "",
        "checkpoints.topic.",
        "heartbeats.topic.",
        "offset-syncs.topic.",
        "offset.storage.",
        "config.storage.",
        "status.storage.",
    ] {
        writeln!(text, "{topic}replication.factor=1").unwrap();
    }
    text
}
