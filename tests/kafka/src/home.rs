//! Where Java and Kafka's jars are, and what is made of them once a machine so that starts are quick.
//!
//! A first start loads ten thousand classes: five seconds of two cores. An archive of them, which
//! the JVM itself writes at the end of a first run, makes it one. Formatting an empty folder is a
//! JVM start of its own, and its result the same each time, so that is kept, too.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::node::Node;
use crate::setup::{Setup, User};

/// Pinned in pom.xml, too.
const VERSION: &str = "4.1.1";

/// What every JVM here gets: the quick compiler only, and no warnings of an archive that is out of date.
const JVM: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xlog:disable"];

/// Runs every kind of tool once, so that the archive knows their classes.
const REHEARSAL: &str = include_str!("../java/Rehearsal.java");

#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    java: PathBuf,
    classpath: String,
    /// Of this Java and these jars: an archive of others would be ignored.
    key: String,
}

impl Home {
    /// The one of this machine; panics with one line where a part is missing.
    pub(crate) fn get() -> &'static Self {
        static HOME: OnceLock<Home> = OnceLock::new();
        HOME.get_or_init(Self::find)
    }

    fn find() -> Self {
        let cache = std::env::var_os("FNAA_CACHE").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/fnaa"),
            PathBuf::from,
        );
        let dir = cache.join("kafka").join(VERSION);
        let java = java()
            .unwrap_or_else(|| panic!("missing: a JDK of version 17 or newer; run `make kafka`"));
        let jars = jars(&dir.join("libs"));
        if jars.is_empty() {
            panic!(
                "missing: Apache Kafka's jars in {}; run `make kafka`",
                dir.join("libs").display()
            );
        }
        let mut hasher = DefaultHasher::new();
        for file in jars.iter().chain([&java]) {
            (file, fs::metadata(file).unwrap().modified().unwrap()).hash(&mut hasher);
        }
        let classpath = jars.iter().map(|jar| jar.to_str().unwrap()).collect::<Vec<_>>().join(":");
        Self { dir, java, classpath, key: format!("{:016x}", hasher.finish()) }
    }

    /// A JVM with Kafka's jars; `archive` is the option that reads one or writes one.
    pub(crate) fn java(&self, archive: &str) -> Command {
        let mut command = Command::new(&self.java);
        command.args(["-cp", &self.classpath, archive]);
        command.env_remove("JAVA_TOOL_OPTIONS").env_remove("CLASSPATH");
        command
    }

    fn archive(&self, of: &str) -> PathBuf {
        self.dir.join(format!("{of}-{}.jsa", self.key))
    }

    fn reads(&self, archive: &str) -> String {
        format!("-XX:SharedArchiveFile={}", self.archive(archive).display())
    }

    /// Where a JVM writes an archive at its end, and the option that makes it do so.
    fn writes(&self, archive: &str) -> (PathBuf, String) {
        let made = self.dir.join(format!("{archive}.new"));
        let option = format!("-XX:ArchiveClassesAtExit={}", made.display());
        (made, option)
    }

    /// A JVM for a node; its properties are the caller's last argument.
    pub(crate) fn node(&self, setup: &Setup) -> Command {
        let archive = if setup.rehearsal { self.writes("node").1 } else { self.reads("node") };
        let mut command = self.java(&archive);
        if setup.tuned {
            command.arg(JVM[2]);
        } else {
            command.args(JVM).arg("-Xmx384m");
        }
        command.args(&setup.java);
        command
    }

    /// A JVM for a tool, which writes its own complaints to standard error.
    pub(crate) fn tool(&self) -> Command {
        self.quiet(&self.reads("tools"))
    }

    fn quiet(&self, archive: &str) -> Command {
        let mut command = self.java(archive);
        command.args(JVM).arg("-Xmx256m").arg(log4j(&self.dir.join("tools.properties")));
        command
    }

    /// Makes what is made once a machine. Programs that start together wait for one of them.
    pub(crate) fn prepare(&self) {
        static DONE: OnceLock<()> = OnceLock::new();
        DONE.get_or_init(|| {
            let lock = File::create(self.dir.join("lock")).expect("the cache can be written");
            lock.lock().expect("a lock on the cache");
            if !self.archive("tools").exists() {
                self.rehearse();
            }
        });
    }

    fn rehearse(&self) {
        forget(&self.dir, "jsa");
        fs::write(self.dir.join("tools.properties"), TOOLS_LOG).unwrap();
        fs::write(self.dir.join("bootstrap.checkpoint"), self.formatted(&[])).unwrap();
        let node = Node::start(Setup::rehearsal());
        let (tools_made, option) = self.writes("tools");
        let source = self.dir.join("Rehearsal.java");
        fs::write(&source, REHEARSAL).unwrap();
        let mut tools = self.quiet(&option);
        let done = tools.arg(source).arg(node.servers()).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "no rehearsal: {}", String::from_utf8_lossy(&done.stderr));
        node.terminate();
        fs::rename(self.writes("node").0, self.archive("node"))
            .expect("the JVM has written its archive");
        fs::rename(tools_made, self.archive("tools")).expect("the JVM has written its archive");
    }

    /// The first records of an empty node, as `StorageTool format` writes them.
    pub(crate) fn checkpoint(&self, users: &[User]) -> Vec<u8> {
        if users.is_empty() {
            return fs::read(self.dir.join("bootstrap.checkpoint")).unwrap();
        }
        self.formatted(users)
    }

    fn formatted(&self, users: &[User]) -> Vec<u8> {
        let scratch = tempfile::tempdir().unwrap();
        let (properties, log) = (scratch.path().join("properties"), scratch.path().join("log"));
        let text = "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=C\n\
                    controller.quorum.voters=1@127.0.0.1:9093\nlisteners=P://127.0.0.1:9092,C://127.0.0.1:9093\n\
                    listener.security.protocol.map=C:PLAINTEXT,P:PLAINTEXT\n\
                    inter.broker.listener.name=P\n";
        fs::write(&properties, format!("{text}log.dirs={}\n", log.display())).unwrap();
        let mut tool = self.tool();
        tool.args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"])
            .arg(properties);
        for User { name, password } in users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                tool.args([
                    "--add-scram",
                    &format!("{mechanism}=[name={name},password={password}]"),
                ]);
            }
        }
        let done = tool.output().unwrap();
        assert!(done.status.success(), "not formatted: {}", String::from_utf8_lossy(&done.stderr));
        fs::read(log.join("bootstrap.checkpoint")).unwrap()
    }
}

const TOOLS_LOG: &str = "rootLogger.level=ERROR\nrootLogger.appenderRef.e.ref=E\n\
    appender.e.type=Console\nappender.e.name=E\nappender.e.target=SYSTEM_ERR\n\
    appender.e.layout.type=PatternLayout\nappender.e.layout.pattern=%p %m%n\n";

/// The option that makes log4j read `file`.
pub(crate) fn log4j(file: &Path) -> String {
    format!("-Dlog4j2.configurationFile={}", file.display())
}

fn jars(libs: &Path) -> BTreeSet<PathBuf> {
    let found = fs::read_dir(libs).into_iter().flatten().flatten();
    found
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "jar"))
        .collect()
}

fn java() -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin"));
    let path = std::env::var_os("PATH")?;
    let found = home.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join("java"));
    found.filter(|java| java.exists()).find_map(|java| java.canonicalize().ok())
}

fn forget(dir: &Path, extension: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|e| e == extension) {
            drop(fs::remove_file(entry.path()));
        }
    }
}
