//! `fnaad demo` and `fnaad dev` on a Kafka of somebody else's.

use std::ffi::OsStr;

use kafka_node::{Node, Setup};
use stories::{Fnaad, event, eventually_holds};

#[test]
fn the_demo_on_somebodys_kafka_loses_nothing_and_leaves_nothing_there() {
    let node = Node::start(Setup::default());
    let dir = tempfile::tempdir().unwrap();
    let (at, kafka) = (dir.path().join("demo"), format!("kafka={}", node.servers()));
    let args =
        ["demo".as_ref(), "--broker".as_ref(), kafka.as_ref(), OsStr::new("--dir"), at.as_ref()];
    let said = Fnaad::refused(&args);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("1707") && said.stdout.contains("1600"), "{}", said.stdout);
    let topics = node.tool("TopicCommand", &["--list"]);
    let left: Vec<&str> = topics.lines().filter(|topic| !topic.starts_with("__")).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_directory_for_trying_out_goes_on_at_the_kafka_that_was_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = format!("kafka={}", Node::shared().servers());
    let args = ["--namespace", "dev.example", "--broker", &kafka];
    let mut host = Fnaad::dev_with(dir.path(), &args);
    let mut wire = host.login();
    wire.ok("CREATE FLOW a.dev.example partitions=2");
    wire.ok("CREATE FLOW b.dev.example partitions=2");
    wire.ok("REPLICATE a.dev.example b.dev.example");
    wire.write("a.dev.example", &(0..20).map(event).collect::<Vec<_>>());
    eventually_holds(&mut wire, "b.dev.example", 20);
    host.kill();
    host = Fnaad::dev_with(dir.path(), &[]);
    wire = host.login();
    assert_eq!(wire.describe("FLOW a.dev.example")["type"], "kafka");
    wire.write("a.dev.example", &(20..30).map(event).collect::<Vec<_>>());
    eventually_holds(&mut wire, "b.dev.example", 30);
}
