//! docs/mirrormaker.md step by step, as its reader would: two clusters, real events, and every command as
//! it stands on the page. A host that is killed in the middle changes nothing of it. What lies in the new
//! cluster afterwards is compared record by record, as Kafka's own client reads it.

use std::collections::BTreeMap;
use std::path::Path;

use kafka_node::{Node, Record, Setup, Writer, read_committed};
use serde_json::Value;
use stories::{Config, Fnaad, Fnua, Said, eventually};
use tempfile::TempDir;

/// A week of earthquakes.
const QUAKES: &str = include_str!("../../../demo/usgs-earthquakes-week.jsonl");

/// The page, and what it does it to.
struct Page {
    text: String,
    old: Node,
    new: Node,
    dir: TempDir,
    fnua: Fnua,
}

impl Page {
    fn open() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mirrormaker.md");
        let dir = tempfile::tempdir().unwrap();
        let fnua = Fnua::new(dir.path().join("fnua.toml"));
        let (old, new) = (Node::start(Setup::default()), Node::start(Setup::default()));
        Self { text: std::fs::read_to_string(path).unwrap(), old, new, dir, fnua }
    }

    /// The configuration of step 1, with these clusters.
    fn configuration(&self) -> String {
        let toml = self.text.split_once("```toml\n").expect("a configuration").1;
        let toml = toml.split_once("```").unwrap().0;
        assert!(toml.contains("old1.example:9092") && toml.contains("new1.example:9092"), "{toml}");
        toml.replace("old1.example:9092", &self.old.servers())
            .replace("new1.example:9092", &self.new.servers())
    }

    fn start(&self) -> Fnaad {
        let mut config = Config::new(self.dir.path());
        // The page's namespaces, and no other.
        let (host, users) = config.text.split_once("\n[[namespaces]]").unwrap();
        let users = &users[users.find("[[users]]").unwrap()..];
        config.text = format!("{host}\n{}\n{users}", self.configuration());
        let path = config.save().to_owned();
        let host = Fnaad::serve(self.dir.path(), &path);
        let agent = format!(
            "[[agents]]\nname = \"home\"\naddress = \"{}\"\nusername = \"test\"\npassword = \"test\"\n\
             namespaces = [\"old.example\", \"new.example\"]\n",
            host.address()
        );
        let file = self.dir.path().join("fnua.toml");
        std::fs::write(&file, agent).unwrap();
        let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, owner).unwrap();
        host
    }

    /// Does what a line of the page says.
    fn step(&self, line: &str) -> String {
        let said = self.try_step(line);
        assert_eq!(said.code, 0, "{line}: {said:?}");
        said.stdout
    }

    fn try_step(&self, line: &str) -> Said {
        let lines = self.text.lines().map(str::trim);
        assert!(lines.into_iter().any(|known| known == line), "not on the page: {line}");
        let words = line.strip_prefix("fnua ").expect("a command of fnua").split(' ');
        let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
        self.fnua.run(&words)
    }

    /// One of the tools that it names, at the new cluster.
    fn flows(&self, namespace: &str) -> Vec<String> {
        let flows = self.fnua.ok(&["get", "flows", namespace]);
        flows.lines().map(str::to_owned).collect()
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        let said = self.fnua.ok(&[&["--format", "json"], args].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn topic(node: &Node, name: &str, partitions: u32, more: &[&str]) {
    let partitions = partitions.to_string();
    let args = ["--create", "--topic", name, "--partitions", &partitions];
    node.tool("TopicCommand", &[&args[..], more].concat());
}

/// Earthquakes as a program writes them: by the id as key, with a header.
fn quakes(node: &Node, topic: &str, lines: &[&str]) {
    let line = |line: &&str| {
        let quake: Value = serde_json::from_str(line).unwrap();
        let kind = quake["properties"]["type"].as_str().unwrap().to_owned();
        format!("kind:{kind}\t{}\t{line}\n", quake["id"].as_str().unwrap())
    };
    let input: String = lines.iter().map(line).collect();
    // A topic that was just made has no leader for a moment.
    let patient = ["--message-send-max-retries", "200", "--request-timeout-ms", "60000"];
    let args =
        ["--topic", topic, "--property", "parse.key=true", "--property", "parse.headers=true"];
    let ran = node.try_tool("ConsoleProducer", &[&args[..], &patient].concat(), input.as_bytes());
    assert!(ran.ok, "{ran:?}");
}

type Partitions = BTreeMap<u32, Vec<Record>>;

/// What both clusters hold is the same: keys, values, headers and times, in the order of each partition.
fn same(page: &Page, topic: &str, mirrored: &str, count: usize) -> Partitions {
    let source = read_committed(&page.old.servers(), topic, count);
    let target = read_committed(&page.new.servers(), mirrored, count);
    assert_eq!(source.values().map(Vec::len).sum::<usize>(), count, "{topic} itself");
    assert_eq!(source.keys().collect::<Vec<_>>(), target.keys().collect::<Vec<_>>(), "{mirrored}");
    for (partition, records) in &source {
        let found = &target[partition];
        let differs = records.iter().zip(found).position(|(wanted, found)| wanted != found);
        assert_eq!(differs, None, "{mirrored} {partition}: differ first there");
        assert_eq!(records.len(), found.len(), "{mirrored} {partition}");
    }
    target
}

#[test]
fn what_mirrormaker_did_is_done_as_the_page_says_and_no_record_differs() {
    let page = Page::open();
    let quakes_all: Vec<&str> = QUAKES.lines().collect();
    let (before, later) = quakes_all.split_at(1000);
    topic(&page.old, "orders.eu", 3, &["--config", "retention.ms=-1"]);
    topic(&page.old, "payments", 2, &["--config", "segment.bytes=1048576"]);
    for aside in ["orders.internal", "secrets"] {
        topic(&page.old, aside, 1, &[]);
    }
    quakes(&page.old, "orders.eu", before);
    let payments = Writer::start(&page.old.servers(), "payments", 300);

    let mut host = page.start();
    page.step("fnua update namespace old.example 'adopt=orders.*,payments,!*.internal'");
    let adopted = page.step("fnua get flows old.example");
    assert_eq!(adopted, "orders.eu.old.example\npayments.old.example\n");
    let described = page.step("fnua describe namespace old.example");
    assert!(described.contains("orders.*,payments,!*.internal"), "{described}");

    // A topic that is to be called otherwise in the new cluster.
    topic(&page.old, "orders.EU_west", 3, &[]);
    quakes(&page.old, "orders.EU_west", &before[..50]);
    topic(&page.new, "orders.eu_west", 3, &[]);
    eventually("the flow of the topic that came later", || match page.flows("old.example") {
        flows if flows.len() == 3 => Ok(()),
        flows => Err(format!("{flows:?}")),
    });
    page.step("fnua create flow orders.eu-west.new.example topic=orders.eu_west");

    page.step("fnua replicate '*.old.example' '*.new.example' --as mirror.new.example");
    let described = page.step("fnua describe processor mirror.new.example");
    assert!(
        described.contains("pattern") && described.contains("payments.old.example"),
        "{described}"
    );
    page.step("fnua status");
    let names = ["orders.eu-west.new.example", "orders.eu.new.example", "payments.new.example"];
    assert_eq!(page.flows("new.example"), names);
    let made = page.new.tool("TopicCommand", &["--describe", "--topic", "payments.new.example"]);
    assert!(made.contains("PartitionCount: 2") && made.contains("segment.bytes=1048576"), "{made}");

    // Nobody waits for anything.
    for part in later.chunks(later.len().div_ceil(3)) {
        quakes(&page.old, "orders.eu", part);
        host.kill();
        host = page.start();
    }
    // Two topics of one name as flows: told, and taken over under a name of one's own.
    topic(&page.old, "orders.EU-west", 1, &[]);
    quakes(&page.old, "orders.EU-west", &before[..7]);
    eventually("the trouble", || {
        let seen = page.json(&["describe", "namespace", "old.example"]).swap_remove(0);
        let told = seen["trouble"].to_string().contains("orders.EU-west");
        if told { Ok(()) } else { Err(seen.to_string()) }
    });
    page.step("fnua create flow other.old.example topic=orders.EU-west");

    let paid = payments.stop();
    eventually("no lag", || {
        let said = page.step("fnua --format json get processors");
        let seen: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let bridges: Vec<_> = seen
            .iter()
            .filter(|one| one["type"] == "bridge" && one["state"] != "pattern")
            .collect();
        let done = |one: &&Value| one["lag-events"] == 0 && one["lag-seconds"] == 0.0;
        if bridges.len() == 4 && bridges.iter().all(done) { Ok(()) } else { Err(said) }
    });
    let mirrored = same(&page, "orders.eu", "orders.eu.new.example", quakes_all.len());
    same(&page, "payments", "payments.new.example", paid);
    same(&page, "orders.EU_west", "orders.eu_west", 50);
    same(&page, "orders.EU-west", "other.new.example", 7);

    // Groups begin by time: the same records come as at the old cluster.
    let times: Vec<i64> = mirrored.values().flatten().map(|record| record.timestamp).collect();
    let middle = times.iter().max().unwrap() - 1;
    let rest = times.iter().filter(|time| **time >= middle).count();
    let time =
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(middle) * 1_000_000).unwrap();
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]"
    );
    let time = time.format(format).unwrap();
    let group = ["--group", "billing", "--topic", "orders.eu.new.example"];
    let reset = ["--reset-offsets", "--to-datetime", &time, "--execute"];
    page.new.tool("ConsumerGroupCommand", &[&group[..], &reset].concat());
    let rest = rest.to_string();
    let read = ["--isolation-level", "read_committed", "--max-messages", &rest];
    let consumed = page.new.tool("ConsoleConsumer", &[&group[..], &read].concat());
    assert_eq!(consumed.lines().count().to_string(), rest);

    // The pattern ends; what it made goes on.
    page.step("fnua delete processor mirror.new.example");
    let left = page.step("fnua get processors");
    assert!(left.lines().count() == 4 && !left.contains("mirror.new.example"), "{left}");
    quakes(&page.old, "orders.eu", &before[..20]);
    same(&page, "orders.eu", "orders.eu.new.example", quakes_all.len() + 20);
}

#[test]
fn all_topics_of_a_pattern_come_together_in_one_as_the_page_says() {
    let page = Page::open();
    for name in ["orders-a", "orders-b"] {
        topic(&page.old, name, 2, &[]);
    }
    let lines: Vec<&str> = QUAKES.lines().collect();
    quakes(&page.old, "orders-a", &lines[..100]);
    quakes(&page.old, "orders-b", &lines[100..250]);
    let _host = page.start();
    page.fnua.ok(&["update", "namespace", "old.example", "adopt=orders-*"]);
    page.step("fnua create flow all.new.example partitions=2");
    page.step("fnua collect 'orders-*.old.example' all.new.example");
    topic(&page.old, "orders-c", 2, &[]);
    quakes(&page.old, "orders-c", &lines[250..300]);
    let all = read_committed(&page.new.servers(), "all.new.example", 300);
    let values = |partitions: &Partitions| {
        let text = |record: &Record| record.text.split(" ce_").next().unwrap().to_owned();
        partitions.values().flat_map(|records| records.iter().map(text)).collect::<Vec<_>>()
    };
    let mut collected = values(&all);
    let mut written: Vec<String> = ["orders-a", "orders-b", "orders-c"]
        .iter()
        .flat_map(|topic| values(&read_committed(&page.old.servers(), topic, 50)))
        .collect();
    collected.sort();
    written.sort();
    assert_eq!(collected, written);
}
