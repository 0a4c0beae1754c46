//! What tests rely on: a real node that is ready when it says so, and gone when they are.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kafka_node::{Cluster, Node, Setup, Writer, read_committed};

fn topic(node: &Node, name: &str) {
    node.tool("TopicCommand", &["--create", "--topic", name, "--partitions", "2"]);
}

fn write(node: &Node, topic: &str, lines: &str) {
    let args = [
        "--topic",
        topic,
        "--sync",
        "--request-timeout-ms",
        "30000",
        "--message-send-max-retries",
        "100",
    ];
    let ran = node.try_tool("ConsoleProducer", &args, lines.as_bytes());
    assert!(ran.ok && !ran.err.contains("ERROR"), "{}", ran.err);
}

fn read(node: &Node, topic: &str, count: usize) -> Vec<String> {
    let max = count.to_string();
    let args =
        ["--topic", topic, "--from-beginning", "--max-messages", &max, "--timeout-ms", "60000"];
    let mut lines: Vec<_> =
        node.tool("ConsoleConsumer", &args).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_node_serves_kafkas_own_tools_and_keeps_its_data_over_a_kill() {
    let node = Node::start(Setup::default());
    topic(&node, "orders");
    write(&node, "orders", "one\ntwo\n");
    node.kill();
    assert_eq!(node.pid(), None);
    node.restart();
    assert_eq!(read(&node, "orders", 2), ["one", "two"]);
}

#[test]
fn a_java_program_runs_with_kafkas_classes() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/Servers.java");
    let out = Node::shared().java(source, &["4"]);
    assert_eq!(out.trim(), "1 brokers, key in 1");
}

#[test]
fn what_a_writer_has_written_is_read_as_it_is_partition_by_partition() {
    let node = Node::shared();
    topic(node, "written");
    let writer = Writer::start(&node.servers(), "written", 2000);
    std::thread::sleep(Duration::from_millis(300));
    let count = writer.stop();
    let read = read_committed(&node.servers(), "written", count);
    assert_eq!(read.len(), 2);
    let all: BTreeSet<&str> = read.values().flatten().map(|record| record.text.as_str()).collect();
    assert!(count > 100 && all.len() == count, "{} of {count} records", all.len());
    let nulls = all.iter().filter(|text| text.starts_with("- ")).count();
    assert_eq!(nulls, count.div_ceil(7), "records without a key");
}

#[test]
fn users_sign_in_and_do_what_acls_allow() {
    let node = Node::start(
        Setup::default().tls().user("ann", "secret-of-ann").user("bob", "secret-of-bob").acls(),
    );
    topic(&node, "orders");
    let allow =
        ["--add", "--allow-principal", "User:ann", "--operation", "Describe", "--topic", "orders"];
    node.tool("AclCommand", &allow);
    let list = |name: &str, password: &str, protocol: &str, mechanism: &str, servers: &str| {
        let module = if mechanism == "PLAIN" { "plain.Plain" } else { "scram.Scram" };
        let config = format!(
            "security.protocol={protocol}\nsasl.mechanism={mechanism}\nssl.truststore.type=PEM\n\
             ssl.truststore.location={}\nsasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule \
             required username=\"{name}\" password=\"{password}\";\n",
            node.certificates().ca.display()
        );
        let file = node.dir().join(format!("{name}-{protocol}-{mechanism}-{password}"));
        std::fs::write(&file, config).unwrap();
        let args =
            ["--list", "--bootstrap-server", servers, "--command-config", file.to_str().unwrap()];
        kafka_node::tool("TopicCommand", &args)
    };
    let (clear, tls) = (node.sasl_servers(), node.sasl_tls_servers());
    assert_eq!(
        list("ann", "secret-of-ann", "SASL_PLAINTEXT", "PLAIN", &clear).out.trim(),
        "orders"
    );
    assert_eq!(
        list("ann", "secret-of-ann", "SASL_SSL", "SCRAM-SHA-512", &tls).out.trim(),
        "orders"
    );
    let bob = list("bob", "secret-of-bob", "SASL_PLAINTEXT", "SCRAM-SHA-256", &clear);
    assert!(bob.ok && bob.out.trim().is_empty(), "{bob:?}");
    let wrong = list("ann", "wrong", "SASL_SSL", "PLAIN", &tls);
    assert!(
        !wrong.ok && (wrong.out.clone() + &wrong.err).contains("Authentication failed"),
        "{wrong:?}"
    );
}

#[test]
fn three_nodes_replicate_and_one_may_be_killed() {
    let cluster = Cluster::three();
    let first = cluster.node(0);
    first.tool("TopicCommand", &["--create", "--topic", "orders", "--replication-factor", "3"]);
    write(first, "orders", "one\n");
    cluster.node(2).kill();
    write(first, "orders", "two\n");
    assert_eq!(read(cluster.node(1), "orders", 2), ["one", "two"]);
    cluster.node(2).restart();
    assert_eq!(read(cluster.node(2), "orders", 2), ["one", "two"]);
}

#[test]
fn clients_of_a_proxy_are_told_to_come_to_it() {
    let proxy = SocketAddr::from((Ipv4Addr::new(127, 1, 1, 1), 9092));
    let node = Node::start(Setup::default().behind(proxy));
    let servers = node.proxied().to_string();
    let told = kafka_node::tool("BrokerApiVersionsCommand", &["--bootstrap-server", &servers]);
    assert!((told.out + &told.err).contains("127.1.1.1:9092"));
}

/// Started by the test below, alone: it starts a node, says where, and waits for its own end.
#[test]
#[ignore = "ends only when it is killed"]
fn holder() {
    let node = std::thread::spawn(Node::shared).join().unwrap();
    println!("\nnode {} {}", node.pid().unwrap(), node.dir().display());
    std::thread::park();
}

#[test]
fn a_node_ends_with_the_program_that_started_it_however_that_ends() {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "holder", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = std::io::BufReader::new(program.stdout.take().unwrap());
    let line = std::io::BufRead::lines(said)
        .map(Result::unwrap)
        .find(|line| line.starts_with("node "))
        .unwrap();
    let (pid, dir) = line["node ".len()..].split_once(' ').unwrap();
    let there = || Path::new("/proc").join(pid).exists() || Path::new(dir).exists();
    assert!(there());
    program.kill().unwrap();
    program.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while there() {
        assert!(Instant::now() < deadline, "the node {line} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
