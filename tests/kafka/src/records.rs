//! Load for a topic and what a topic holds, by Kafka's own Java client.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::home::Home;
use crate::tools;

/// A producer that writes numbered records until it is told to stop, over every failure of the
/// nodes: with keys and without, null records, headers that repeat, are no UTF-8 and have no value.
#[derive(Debug)]
pub struct Writer {
    jvm: Child,
    said: BufReader<ChildStdout>,
}

/// One record as it lies in a topic; what its text is made of does not matter, two records of one
/// text have the same key, value and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Key, value and headers.
    pub text: String,
    /// Milliseconds since 1970 UTC.
    pub timestamp: i64,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("java/Records.java")
}

impl Writer {
    /// Writes `rate` records a second to `topic`, and returns when it begins.
    pub fn start(servers: &str, topic: &str, rate: u32) -> Self {
        Self::spawn(&[servers, "write", topic, &rate.to_string()])
    }

    /// The same with times of the distant past and future on some of the records.
    pub fn start_wild(servers: &str, topic: &str, rate: u32) -> Self {
        Self::spawn(&[servers, "write", topic, &rate.to_string(), "wild"])
    }

    fn spawn(args: &[&str]) -> Self {
        Home::get().prepare();
        let mut command: Command = Home::get().tool();
        command.arg(source()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut jvm = command.spawn().expect("java runs");
        let said = BufReader::new(jvm.stdout.take().unwrap());
        let mut writer = Self { jvm, said };
        assert_eq!(writer.line(), "writing");
        writer
    }

    /// Ends it when everything is written; gives the number of records.
    pub fn stop(mut self) -> usize {
        use std::io::Write;
        self.jvm.stdin.take().unwrap().write_all(b"\n").expect("the writer lives");
        self.line().parse().expect("a number of records")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jvm.kill());
        drop(self.jvm.wait());
    }
}

/// What a reader with `isolation.level=read_committed` finds in each partition, in order: waits for
/// `count` records as long as there are further ones now and then, and reads on to the end.
pub fn read_committed(servers: &str, topic: &str, count: usize) -> BTreeMap<u32, Vec<Record>> {
    let ran = tools::java(servers, &source(), &["read", topic, &count.to_string()]);
    assert!(ran.ok, "reading {topic}: {}{}", ran.out, ran.err);
    let mut partitions = BTreeMap::<u32, Vec<Record>>::new();
    for line in ran.out.lines() {
        let mut parts = line.splitn(3, '\t');
        let mut part = || parts.next().unwrap();
        let (partition, timestamp) = (part().parse().unwrap(), part().parse().unwrap());
        partitions
            .entry(partition)
            .or_default()
            .push(Record { text: part().to_owned(), timestamp });
    }
    partitions
}
