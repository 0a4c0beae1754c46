//! A flow is a topic: any client of Kafka writes and reads it with what DESCRIBE FLOW says.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use host_events::partition_for_key;
use kafka_node::{Node, tool, tool_with};
use serde_json::Value;
use stories::{Fnua, event, eventually_holds};

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

#[test]
fn what_one_writer_writes_without_waiting_lies_in_its_order() {
    const MANY: usize = 60_000;
    const LARGE: usize = 500;
    const ONE: &str = "one-writer.flows.unix.ar";
    let site = Site::on(&Node::shared().servers(), "identity = \"one-writer\"");
    let host = site.start();
    let mut wire = login(&host);
    wire.ok(&format!("CREATE FLOW {ONE} partitions=1"));
    // Every batch has a token, and so lies in a transaction.
    let fnua = user(&site, host.address());
    let events: String = (0..MANY).map(|n| event(n) + "\n").collect();
    fnua.ok_with(&["write", ONE], &events);
    // Without tokens: what is more than a batch of Kafka's, and one event that would fit beside it.
    let (mut plain, mut written) = (String::new(), MANY);
    for _ in 0..8 {
        let padding = format!("\"more\":\"{}\",\"n\"", "x".repeat(1_850));
        let large =
            (written..written + LARGE).map(|n| event(n).replacen("\"n\"", &padding, 1) + "\n");
        let large: String = large.collect();
        let last = event(written + LARGE);
        plain += &format!("WRITE {ONE}\r\n{large}.\r\nWRITE {ONE}\r\n{last}\r\n.\r\n");
        written += LARGE + 1;
    }
    let mut speaker = login(&host);
    speaker.send(plain.as_bytes());
    for _ in 0..16 {
        assert!(speaker.line().starts_with("330 "));
        let answer = speaker.line();
        assert!(answer.starts_with("220 OK "), "{answer}");
    }
    let read = fnua.ok(&["read", ONE]);
    let mut next = 0;
    for event in read.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert_eq!(event["data"]["n"], next, "in place of {next}");
        next += 1;
    }
    assert_eq!(next, written);
}

/// The user agent of the site's user.
pub(crate) fn user(site: &Site, address: &str) -> Fnua {
    use std::os::unix::fs::PermissionsExt as _;
    let file = site.dir().join("fnua.toml");
    let agent = format!(
        "[[agents]]\nname = \"x\"\naddress = \"{address}\"\nusername = \"test\"\npassword = \"test\"\n"
    );
    std::fs::write(&file, agent).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Fnua::new(file)
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
