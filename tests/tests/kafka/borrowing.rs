//! Two participants, the one with a Kafka that others may reach: a subscription of the other's comes as a topic there,
//! each event once.

use std::path::{Path, PathBuf};

use kafka_node::{Node, Setup};
use serde_json::Value;
use stories::{At, Config, Fnaad, Wire, events, eventually, eventually_holds};

const TIME: &str = "time.flows.unix.ar";
const LOCAL: &str = "emiliano.ar-time.flows.unix.ar";

const UNIX: usize = 0;
const EMILIANO: usize = 1;

/// The draft's two participants, and the first one's node.
struct Two {
    node: Node,
    dir: tempfile::TempDir,
    places: [At; 2],
    hosts: [Option<Fnaad>; 2],
    /// What the second one's operator says of topics of others.
    kafka: String,
}

/// Those of the first one, on this machine.
const NEAR: &str = "\n[peers.kafka]\ndomains = [\"unix.ar\"]\nnetworks = [\"127.0.0.0/8\"]\n";

impl Two {
    fn start() -> Self {
        Self::start_with(NEAR)
    }

    fn start_with(kafka: &str) -> Self {
        let node = Node::start(Setup::default().user("nobody", "nobody").acls());
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = stories::own_network();
        let place = |domain, namespace, last| {
            let address = [127, a, b, last];
            At { domain, namespace, address, port: 61_000 }
        };
        let places = [place("unix.ar", "flows.unix.ar", 1), place("emiliano.ar", "emiliano.ar", 2)];
        let kafka = kafka.to_owned();
        let mut two = Self { node, dir, places, hosts: [None, None], kafka };
        two.begin(UNIX);
        two.begin(EMILIANO);
        two
    }

    fn begin(&mut self, which: usize) {
        let dir = self.dir_of(which);
        std::fs::create_dir_all(&dir).unwrap();
        let config = self.config(which, &dir);
        self.hosts[which] = Some(Fnaad::serve(&dir, config.save()));
    }

    fn dir_of(&self, which: usize) -> PathBuf {
        self.dir.path().join(self.places[which].domain)
    }

    fn config(&self, which: usize, dir: &Path) -> Config {
        let secret = self.dir.path().join("peers.secret");
        let mut config = self.places[which].config(dir, &[self.places[1 - which]], &secret);
        if which == EMILIANO {
            config.text += &self.kafka;
        }
        if which == UNIX {
            config.text += &format!(
                "\n[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{}\"\n\
                 [brokers.subscriptions]\nservers = \"{}\"\nsecurity = \"SASL_PLAINTEXT\"\n",
                self.node.servers(),
                self.node.sasl_servers()
            );
        }
        config
    }

    fn wire(&self, which: usize) -> Wire {
        self.hosts[which].as_ref().unwrap().login_as("test", "test")
    }
}

fn subscription(user: &mut Wire) -> Value {
    user.json("GET SUBSCRIPTIONS").pop().unwrap_or(Value::Null)
}

fn subscribe(user: &mut Wire) -> String {
    let answer = user.data(&format!("SUBSCRIBE {TIME} LOCAL {LOCAL} transport=kafka"));
    let id = answer[0].strip_prefix(&format!("{LOCAL} SUBSCRIBED TO ")).unwrap();
    id.to_owned()
}

fn numbers(user: &mut Wire) -> Vec<u64> {
    user.read(LOCAL).iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

#[test]
fn no_broker_is_connected_to_that_the_operator_has_not_allowed() {
    let by_kafka = format!("SUBSCRIBE {TIME} LOCAL {LOCAL} transport=kafka");
    let mut two = Two::start_with("");
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..10));
    let refused = user.refused(&by_kafka);
    assert!(refused.starts_with("501") && refused.contains("[peers.kafka]"), "{refused}");
    assert_eq!(subscription(&mut user), Value::Null);
    assert_eq!(owner.flows(), [TIME], "nothing was asked for");
    // Of others' owners they are allowed, and of this one where his brokers cannot be.
    for (kafka, code, why) in [
        ("domains = [\"a.test\"]\nnetworks = [\"127.0.0.0/8\"]", "501", "[peers.kafka]"),
        ("domains = [\"unix.ar\"]", "503", "no address that brokers of others may have"),
    ] {
        drop(user);
        two.kafka = format!("\n[peers.kafka]\n{kafka}\n");
        two.hosts[EMILIANO].take().unwrap().kill();
        two.begin(EMILIANO);
        user = two.wire(EMILIANO);
        let refused = user.refused(&by_kafka);
        assert!(refused.starts_with(code) && refused.contains(why), "{kafka}: {refused}");
    }
    let seen = subscription(&mut user);
    assert_eq!(seen["state"], "waiting");
    assert!(seen["why"].as_str().unwrap().contains("127."), "{seen}");
    drop(user);
    // It goes on where it is allowed.
    two.kafka = NEAR.to_owned();
    two.hosts[EMILIANO].take().unwrap().kill();
    two.begin(EMILIANO);
    let mut user = two.wire(EMILIANO);
    eventually("a subscription that goes on", || {
        let seen = subscription(&mut user);
        if seen["state"] == "active" { Ok(()) } else { Err(seen.to_string()) }
    });
    eventually_holds(&mut user, LOCAL, 10);
}

#[test]
fn a_subscription_over_kafka_takes_each_event_once_whichever_host_is_killed() {
    let mut two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..100));
    let id = subscribe(&mut user);
    assert_eq!(subscribe(&mut user), id, "the same again");
    eventually_holds(&mut user, LOCAL, 100);
    let seen = subscription(&mut user);
    assert_eq!((&seen["state"], &seen["transport"]), (&"active".into(), &"kafka".into()));
    assert_eq!(owner.json(&format!("GET SUBSCRIBERS {TIME}"))[0]["transport"], "kafka");
    drop((owner, user));
    for (round, which) in [EMILIANO, UNIX].into_iter().enumerate() {
        two.hosts[which].take().unwrap().kill();
        two.begin(which);
        let from = 100 + round * 100;
        two.wire(UNIX).write(TIME, &events(from..from + 100));
    }
    let mut user = two.wire(EMILIANO);
    eventually_holds(&mut user, LOCAL, 300);
    assert_eq!(numbers(&mut user), (0..300).collect::<Vec<u64>>());
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    let mut owner = two.wire(UNIX);
    eventually("an owner who is told", || match owner.flows() {
        flows if flows == [TIME] => Ok(()),
        flows => Err(format!("{flows:?}")),
    });
    assert_eq!(subscription(&mut user), Value::Null);
    assert_eq!(user.flows(), [LOCAL]);
    assert_eq!(numbers(&mut user).len(), 300, "what came stays");
    // The password was in memory alone.
    for file in ["registry.db", "registry.db-wal"] {
        let kept = std::fs::read(two.dir_of(EMILIANO).join("data").join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&kept).contains("password"), "{file}");
    }
}

#[test]
fn events_that_a_policy_makes_anew_go_round_no_circle() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    let plugins = two.dir_of(UNIX).join("data/plugins");
    stories::drop_in(&plugins, "guest.wasm", stories::guest());
    eventually("the plugin", || match owner.json("GET PROCESSOR TYPES") {
        types if types.iter().any(|found| found["type"] == "guest") => Ok(()),
        types => Err(format!("{types:?}")),
    });
    let policy = Value::from(r#"guest {"act":"mask-anew"}"#);
    owner.ok(&format!("CREATE FLOW {TIME} access=open policy={policy}"));
    subscribe(&mut user);
    let (all, back) = ("all.emiliano.ar", "back.flows.unix.ar");
    user.ok(&format!("CREATE FLOW {all} access=open"));
    user.ok(&format!("REPLICATE {LOCAL} {all}"));
    eventually("a subscription the other way", || {
        let answer = owner.ask(&format!("SUBSCRIBE {all} LOCAL {back}"));
        if answer[0] == "220 DATA" { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    owner.ok(&format!("REPLICATE {back} {TIME}"));
    // Together, so that new events come of several in one batch.
    owner.write(TIME, &events(0..7));
    eventually_holds(&mut user, all, 7);
    user.write(all, &[stories::event(7)]);
    // That one comes round to where it began, and those of the owner's to him not at all.
    eventually_holds(&mut owner, back, 1);
    eventually_holds(&mut owner, TIME, 8);
    owner.write(TIME, &[stories::event(8)]);
    eventually_holds(&mut user, LOCAL, 8);
    user.write(all, &[stories::event(9)]);
    eventually_holds(&mut owner, back, 2);
    eventually_holds(&mut owner, TIME, 10);
    assert_eq!(user.read(all).len(), 10);
}

#[test]
fn what_its_owner_ends_ends_at_the_subscribers_too_and_nothing_more_comes() {
    let two = Two::start();
    let (mut owner, mut user) = (two.wire(UNIX), two.wire(EMILIANO));
    owner.ok(&format!("CREATE FLOW {TIME} access=open"));
    owner.write(TIME, &events(0..10));
    let id = subscribe(&mut user);
    eventually_holds(&mut user, LOCAL, 10);
    owner.ok(&format!("REMOVE SUBSCRIBER {id}"));
    owner.write(TIME, &events(10..20));
    eventually("a subscription that has ended", || {
        let seen = subscription(&mut user);
        let is_over = seen["state"] == "ended";
        if is_over { Ok(()) } else { Err(seen.to_string()) }
    });
    let why = subscription(&mut user)["why"].as_str().unwrap().to_owned();
    assert!(why.contains("403 FORBIDDEN") && why.contains("owner"), "{why}");
    assert_eq!(numbers(&mut user), (0..10).collect::<Vec<u64>>());
    eventually("nothing but the events", || match user.data("GET PROCESSORS") {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    user.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert_eq!(user.flows(), [LOCAL]);
}
