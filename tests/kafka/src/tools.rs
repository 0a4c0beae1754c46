//! Kafka's own tools and Java programs, run to their end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::home::Home;

/// How a tool ended and what it said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Package of each tool that is not in `org.apache.kafka.tools`.
const ELSEWHERE: [(&str, &str); 5] = [
    ("ConsoleConsumer", "org.apache.kafka.tools.consumer"),
    ("ConsumerGroupCommand", "org.apache.kafka.tools.consumer.group"),
    ("ReassignPartitionsCommand", "org.apache.kafka.tools.reassign"),
    ("ConfigCommand", "kafka.admin"),
    ("DumpLogSegments", "kafka.tools"),
];

/// Runs a tool with these arguments alone: for listeners that no other method names.
pub fn tool(class: &str, args: &[&str]) -> Ran {
    tool_with(class, args, &[])
}

/// The same with `input` as its standard input.
pub fn tool_with(class: &str, args: &[&str], input: &[u8]) -> Ran {
    Home::get().prepare();
    let mut command = Home::get().tool();
    let package = ELSEWHERE
        .iter()
        .find(|(name, _)| *name == class)
        .map_or("org.apache.kafka.tools", |(_, p)| p);
    command.arg(if class.contains('.') { class.to_owned() } else { format!("{package}.{class}") });
    command.args(args);
    run(command, input)
}

/// A JVM with Kafka's jars and settings of its own, for programs that run on: the caller adds options,
/// the class and its arguments.
pub fn jvm() -> Command {
    Home::get().java("-Xshare:auto")
}

/// Compiles and runs the one file `source`; its first argument is `servers`.
pub(crate) fn java(servers: &str, source: &Path, args: &[&str]) -> Ran {
    Home::get().prepare();
    let mut command = Home::get().tool();
    command.arg(source).arg(servers).args(args);
    run(command, &[])
}

fn run(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("java runs");
    let mut stdin = child.stdin.take().unwrap();
    let Output { status, stdout, stderr } = std::thread::scope(|scope| {
        // A tool that ends early does not read it all; what it says tells why.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { ok: status.success(), out: text(stdout), err: text(stderr) }
}
