//! Kafka Streams: an application of its own (`benches/streams/KeyedCount.java`), compiled before it is measured.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use crate::kafka::PARTITIONS;
use crate::kafka::contender::{Killed, Running, Task};

/// Pinned in benches/streams/pom.xml, too.
const VERSION: &str = "4.1.1";

/// Threads that share the partitions: as many as the machine has processors.
const THREADS: usize = 2;
const _: () = assert!(THREADS <= PARTITIONS);

struct Application {
    process: Killed,
    _dir: TempDir,
}

impl Running for Application {
    fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Its state in RocksDB.
pub fn in_rocksdb(task: &Task<'_>) -> Box<dyn Running> {
    start(task, "rocksDB")
}

/// Its state in memory.
pub fn in_memory(task: &Task<'_>) -> Box<dyn Running> {
    start(task, "in_memory")
}

fn start(task: &Task<'_>, store: &str) -> Box<dyn Running> {
    let dir = tempfile::tempdir().unwrap();
    let classpath = format!("{}:{}", dir.path().display(), jars());
    compile(dir.path(), &classpath);
    let mut command = kafka_node::jvm();
    // The last class path counts: of Kafka's own jars only what Streams asks for.
    command.args(["-cp", &classpath, "-Xms256M", "-Xmx2G", "-server"]);
    command.args(std::env::var("JVM").unwrap_or_default().split_whitespace());
    command.arg("KeyedCount").arg(task.source).arg(task.target());
    command.args(settings(task, store, dir.path()));
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Box::new(Application { process: Killed(command.spawn().unwrap()), _dir: dir })
}

/// All else is as it comes: a commit each 100 ms, 10 MB that put outputs of a key together until then.
fn settings(task: &Task<'_>, store: &str, dir: &Path) -> Vec<String> {
    vec![
        format!("application.id={}", task.alias),
        format!("bootstrap.servers={}", task.servers),
        format!("state.dir={}", dir.join("state").display()),
        format!("default.dsl.store={store}"),
        format!("num.stream.threads={THREADS}"),
        "processing.guarantee=exactly_once_v2".to_owned(),
        "auto.offset.reset=earliest".to_owned(),
    ]
}

fn compile(to: &Path, classpath: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("streams/KeyedCount.java");
    let mut compiler = kafka_node::jvm();
    compiler.args(["-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", classpath, "-d"]);
    let done = compiler.arg(to).arg(source).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What `.ci/setup streams` leaves, one by one: the compiler knows no wildcards.
fn jars() -> String {
    let cache = std::env::var_os("FNAA_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/fnaa"),
        PathBuf::from,
    );
    let libs = cache.join("kafka-streams").join(VERSION).join("libs");
    let jars = std::fs::read_dir(&libs)
        .unwrap_or_else(|_| panic!("missing: {}; run `make streams`", libs.display()));
    let jars = jars.map(|jar| jar.unwrap().path().display().to_string());
    jars.collect::<Vec<_>>().join(":")
}
