//! A flow is a topic: any client of Kafka writes and reads it with what DESCRIBE FLOW says.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use host_events::partition_for_key;
use kafka_node::{Node, tool, tool_with};
use stories::{event, eventually_holds};

use crate::site::{Site, login};

const FLOW: &str = "clients.flows.unix.ar";

#[test]
fn what_describe_says_of_a_flow_is_all_that_kafkas_own_tools_need() {
    let site = Site::on(&Node::shared().servers(), "");
    let host = site.start();
    let mut wire = login(&host);
    wire.ok(&format!("CREATE FLOW {FLOW} partitions=5"));
    let described = wire.describe(&format!("FLOW {FLOW}"));
    assert_eq!(
        (&described["type"], &described["isolation"]),
        (&"kafka".into(), &"read_committed".into())
    );
    let [topic, server] =
        ["topic", "server"].map(|key| described[key].as_str().unwrap().to_owned());
    let written: Vec<String> = (0..20).map(event).collect();
    assert_eq!(wire.write(FLOW, &written), "220 OK 20 events");
    let produced: String = (20..40).map(produced).collect();
    let args = [
        "--bootstrap-server",
        &server,
        "--topic",
        &topic,
        "--sync",
        "--request-timeout-ms",
        "30000",
    ];
    let headers = ["--property", "parse.headers=true", "--property", "parse.key=true"];
    let ran = tool_with("ConsoleProducer", &[&args[..], &headers].concat(), produced.as_bytes());
    assert!(ran.ok && ran.err.is_empty(), "{ran:?}");
    let read = eventually_holds(&mut wire, FLOW, 40);
    let consumed = consumed(&server, &topic, 40);
    for event in &read {
        let (id, n) = (event["id"].as_str().unwrap(), event["data"]["n"].as_u64().unwrap());
        let key = format!("k{}", n % 16);
        let mine: Vec<_> =
            consumed.iter().filter(|line| line.contains(&format!("ce_id:{id},"))).collect();
        let [line] = mine[..] else { panic!("{id} in {consumed:#?}") };
        // Whoever writes a key, host or tool, it lies in the same partition.
        assert!(line.starts_with(&format!("Partition:{}\t", event["flowpartition"])), "{line}");
        assert!(line.ends_with(&format!("\t{key}\t{{\"n\":{n}}}")), "{line}");
    }
}

#[test]
fn a_key_goes_where_the_java_producer_sends_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/Partitions.java");
    let said = Node::shared().java(source, &[]);
    assert_eq!(said.lines().count(), 2000);
    for line in said.lines() {
        let [key, partitions, chosen] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let key = BASE64_STANDARD.decode(key).unwrap();
        assert_eq!(
            partition_for_key(&key, partitions.parse().unwrap()),
            chosen.parse::<u32>().unwrap(),
            "{line}"
        );
    }
}

/// The event `n` of the other stories, as the console producer reads it: headers, key and value.
fn produced(n: usize) -> String {
    let headers = format!(
        "ce_specversion:1.0,ce_id:e{n},ce_source:/stories,ce_type:told,content-type:application/json"
    );
    format!("{headers}\tk{}\t{{\"n\":{n}}}\n", n % 16)
}

fn consumed(server: &str, topic: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let mut args = vec!["--bootstrap-server", server, "--topic", topic, "--from-beginning"];
    args.extend([
        "--isolation-level",
        "read_committed",
        "--max-messages",
        &count,
        "--timeout-ms",
        "60000",
    ]);
    for property in ["print.headers=true", "print.key=true", "print.partition=true"] {
        args.extend(["--property", property]);
    }
    let ran = tool("ConsoleConsumer", &args);
    assert!(ran.ok, "{ran:?}");
    ran.out.lines().map(str::to_owned).collect()
}
