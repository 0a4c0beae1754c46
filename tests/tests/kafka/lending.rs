//! Subscriptions whose events lie in a topic of their own: what its subscriber gets to read it with, and that nothing
//! is left of it once it has ended, whatever was killed on the way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kafka_node::{Node, Ran, Setup, jvm, tool};
use serde_json::Value;
use stories::{
    Config, Fnaad, Following, PLACES_OF_LENDING, Wire, drop_in, events, eventually,
    eventually_holds, guest,
};
use tempfile::TempDir;

const TIME: &str = "time.flows.unix.ar";

/// A host whose broker is offered to others, on a node of its own that asks who may what.
struct House {
    node: Node,
    dir: TempDir,
    config: PathBuf,
    host: Option<Fnaad>,
}

impl House {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With more in its configuration.
    fn start_with(more: &str) -> Self {
        let node = Node::start(Setup::default().user("nobody", "nobody").acls());
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path()).with_users(&["eva"]);
        config.text += &format!(
            "\n[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{}\"\n\
             [brokers.subscriptions]\nservers = \"{}\"\nsecurity = \"SASL_PLAINTEXT\"\n",
            node.servers(),
            node.sasl_servers()
        );
        config.text += more;
        let config = config.save().to_owned();
        let mut house = Self { node, dir, config, host: None };
        house.begin();
        house
    }

    fn begin(&mut self) {
        Fnaad::arm(self.dir.path(), "");
        let mortal = [("FNAAD_FAILPOINTS", &*self.dir.path().join("failpoints"))];
        self.host = Some(Fnaad::serve_with(self.dir.path(), &self.config, &mortal));
    }

    fn host(&mut self) -> &mut Fnaad {
        self.host.as_mut().unwrap()
    }

    fn owner(&mut self) -> Wire {
        self.host().login_as("test", "test")
    }

    fn eva(&mut self) -> Wire {
        self.host().login_as("eva", "test")
    }

    /// Eva says something, or the owner where it is his to say, and the host ends itself at a place if it comes there. Gives whether it did.
    fn dies(&mut self, place: &str, said: &str) -> bool {
        let mut wire = if said.starts_with("PURGE") { self.owner() } else { self.eva() };
        Fnaad::arm(self.dir.path(), place);
        let answer = wire.try_ask::<&str>(said, &[]);
        Fnaad::arm(self.dir.path(), "");
        if answer.is_none() {
            eventually("a host that has ended", || match self.host().has_ended() {
                true => Ok(()),
                false => Err("it lives".to_owned()),
            });
        }
        let died = self.host().has_ended();
        if died {
            self.begin();
        }
        died
    }

    /// What the node knows of topics, users and rights.
    fn traces(&self) -> String {
        let users = ["--describe", "--entity-type", "users"];
        let asked: [(&str, &[&str]); 3] =
            [("TopicCommand", &["--list"]), ("ConfigCommand", &users), ("AclCommand", &["--list"])];
        asked.iter().map(|(class, args)| self.node.tool(class, args)).collect()
    }
}

/// The one line of an answer.
fn subscribed(wire: &mut Wire, more: &str) -> String {
    wire.data(&format!("SUBSCRIBE {TIME} transport=kafka{more}")).swap_remove(0)
}

fn credentials(wire: &mut Wire, id: &str) -> Value {
    wire.json(&format!("GET CREDENTIALS {id}")).swap_remove(0)
}

/// The settings of a Kafka client, as they are told.
fn settings(dir: &Path, told: &Value) -> PathBuf {
    let said = |key: &str| told[key].as_str().unwrap();
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let text = format!(
        "security.protocol={}\nsasl.mechanism={}\n\
         sasl.jaas.config={module} required username=\"{}\" password=\"{}\";\n",
        said("security"),
        said("mechanism"),
        said("username"),
        said("password"),
    );
    let file = dir.join("client.properties");
    fs::write(&file, text).unwrap();
    file
}

/// Arguments of Kafka's own consumer that reads a topic from its beginning.
fn reading<'a>(told: &'a Value, topic: &'a str, group: &'a str, file: &'a Path) -> Vec<&'a str> {
    let server = told["server"].as_str().unwrap();
    let mut args = vec!["--bootstrap-server", server, "--topic", topic, "--group", group];
    args.extend(["--from-beginning", "--isolation-level", "read_committed"]);
    args.extend(["--consumer.config", file.to_str().unwrap()]);
    args
}

/// So many events of a topic.
fn consumed(told: &Value, topic: &str, group: &str, count: usize) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let (file, count) = (settings(dir.path(), told), count.to_string());
    let mut args = reading(told, topic, group, &file);
    args.extend(["--max-messages", &count, "--timeout-ms", "60000"]);
    tool("ConsoleConsumer", &args)
}

/// A consumer that goes on reading.
struct Follower {
    child: Child,
    dir: TempDir,
}

impl Follower {
    fn start(told: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = settings(dir.path(), told);
        let group = told["group"].as_str().unwrap();
        let out = |name: &str| Stdio::from(File::create(dir.path().join(name)).unwrap());
        let mut command: Command = jvm();
        command.arg("org.apache.kafka.tools.consumer.ConsoleConsumer");
        command.args(reading(told, told["topic"].as_str().unwrap(), group, &file));
        let child = command.stdout(out("out")).stderr(out("err")).stdin(Stdio::null()).spawn();
        Self { child: child.unwrap(), dir }
    }

    fn came(&self) -> usize {
        let said = fs::read_to_string(self.dir.path().join("out")).unwrap();
        // Beside events it says what it has against the broker.
        said.lines().filter(|line| line.starts_with("{\"n\":")).count()
    }

    fn eventually_came(&self, count: usize) {
        eventually("events at the consumer", || match self.came() {
            came if came == count => Ok(()),
            came => Err(format!("{came}")),
        });
    }

    fn eventually_ends(&mut self) {
        eventually("a consumer that is refused", || match self.child.try_wait().unwrap() {
            Some(_) => Ok(()),
            None => Err("it waits".to_owned()),
        });
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_subscriber_reads_a_topic_of_his_own_with_kafkas_tools_and_no_other() {
    let mut house = House::start();
    let mut owner = house.owner();
    owner.ok(&format!("CREATE FLOW {TIME} partitions=2"));
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    owner.write(TIME, &events(0..10));
    let mut eva = house.eva();
    assert!(eva.data("CAPABILITIES").contains(&"KAFKA=1".to_owned()));
    let id = subscribed(&mut eva, " filter=\"data.n >= 4\"");
    assert_eq!(subscribed(&mut eva, " filter=\"data.n >= 4\""), id, "the same again");
    for other in ["transport=stream", "filter=\"data.n >= 4\""] {
        let answer = eva.refused(&format!("SUBSCRIBE {TIME} {other}"));
        assert!(answer.starts_with("409 CONFLICT"), "{other}: {answer}");
    }
    let told = credentials(&mut eva, &id);
    let group = format!("{id}.readers");
    let ran = consumed(&told, &id, &group, 6);
    let mut came: Vec<&str> = ran.out.lines().collect();
    came.sort_unstable();
    assert_eq!(came, (4..10).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>(), "{ran:?}");
    let ran = consumed(&told, TIME, &group, 1);
    assert!(ran.err.contains("TopicAuthorizationException"), "{ran:?}");
    let ran = consumed(&told, &id, "readers", 1);
    assert!(ran.err.contains("GroupAuthorizationException"), "{ran:?}");
    // Another password each time, and the one before is void.
    let again = credentials(&mut eva, &id);
    assert_ne!(again["password"], told["password"]);
    let ran = consumed(&told, &id, &group, 1);
    assert!(ran.err.contains("SaslAuthenticationException"), "{ran:?}");
    // Nobody else gets one, and it stands nowhere.
    let answer = owner.refused(&format!("GET CREDENTIALS {id}"));
    assert_eq!(answer, format!("404 NOT_FOUND subscription {id}"));
    let row = owner.json(&format!("GET SUBSCRIBERS {TIME}")).swap_remove(0);
    assert_eq!(row["transport"], "kafka");
    for what in [format!("FLOW {id}"), format!("PROCESSOR {}", row["processor"].as_str().unwrap())]
    {
        let answer = owner.refused(&format!("DELETE {what}"));
        assert!(answer.starts_with("409 CONFLICT"), "{answer}");
        assert!(answer.contains(&format!("REMOVE SUBSCRIBER {id}")), "{answer}");
    }
    let held = |owner: &mut Wire| {
        owner.describe(&format!("PROCESSOR {}", row["processor"].as_str().unwrap()))["state"]
            .clone()
    };
    owner.ok(&format!("PAUSE {id}"));
    assert_eq!(held(&mut owner), "paused");
    owner.ok(&format!("RESUME {id}"));
    assert_eq!(held(&mut owner), "running");
    let (log, password) = (house.host().log(), again["password"].as_str().unwrap());
    assert!(!log.contains(password) && !log.contains(told["password"].as_str().unwrap()));
    for file in ["registry.db", "registry.db-wal"] {
        let kept = fs::read(house.dir.path().join("data").join(file)).unwrap_or_default();
        assert!(!kept.windows(password.len()).any(|part| part == password.as_bytes()), "{file}");
    }
}

#[test]
fn after_a_removal_a_connected_consumer_gets_nothing_more_and_nothing_is_left() {
    let mut house = House::start();
    let (mut owner, mut eva) = (house.owner(), house.eva());
    owner.ok(&format!("CREATE FLOW {TIME}"));
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    owner.write(TIME, &events(0..10));
    let ends: [fn(&mut Wire, &mut Wire, &str); 3] = [
        |owner, _, id| drop(owner.ok(&format!("REMOVE SUBSCRIBER {id}"))),
        |_, eva, id| drop(eva.ok(&format!("UNSUBSCRIBE {id}"))),
        |owner, _, _| drop(owner.ok(&format!("REVOKE subscribe ON {TIME} FROM user:eva"))),
    ];
    for end in ends {
        let id = subscribed(&mut eva, "");
        let told = credentials(&mut eva, &id);
        let mut follower = Follower::start(&told);
        follower.eventually_came(10);
        end(&mut owner, &mut eva, &id);
        owner.write(TIME, &[stories::event(10)]);
        let traces = house.traces();
        assert!(traces.contains(TIME) && !traces.contains(&id), "{traces}");
        follower.eventually_ends();
        assert_eq!(follower.came(), 10);
        assert_eq!(owner.data("GET FLOWS"), [TIME]);
        assert_eq!(owner.data("GET PROCESSORS"), Vec::<String>::new());
        let answer = eva.refused(&format!("GET CREDENTIALS {id}"));
        assert!(answer.starts_with("403") || answer.starts_with("404"), "{answer}");
        owner.ok(&format!("PURGE FLOW {TIME} CONFIRM {TIME}"));
        owner.write(TIME, &events(0..10));
    }
}

#[test]
fn a_broker_that_is_away_is_not_told_as_a_policy_that_fails() {
    let mut house = House::start_with("\n[reports]\nenabled = true\n");
    let mut owner = house.owner();
    let policy = Value::from(r#"bridge {"filter":"data.n >= 0"}"#);
    owner.ok(&format!("CREATE FLOW {TIME} policy={policy}"));
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    owner.write(TIME, &events(0..3));
    let id = house.eva().data(&format!("SUBSCRIBE {TIME}")).swap_remove(0);
    let mut following = Following::begin(house.eva());
    let stream = following.attach(&id, &[(0, 0)].into(), 64 << 10);
    following.attached(stream);
    assert_eq!(following.records(stream, 3).len(), 3);
    // What users of this host subscribe to in any other way is not told.
    owner.ok("CREATE NAMESPACE eva.test");
    owner.ok("GRANT administer ON eva.test TO user:eva");
    let told = house.eva().data(&format!("SUBSCRIBE {TIME} LOCAL time.eva.test")).swap_remove(0);
    eventually_holds(&mut house.eva(), "time.eva.test", 3);
    house.node.kill();
    let (failure, _) = following.ended(stream);
    assert!(
        failure.to_string().starts_with("503") && !failure.words.contains("policy"),
        "{failure}"
    );
    for row in owner.json(&format!("GET SUBSCRIBERS {TIME}")) {
        assert_eq!(row["trouble"], Value::Null, "{row}");
    }
    house.node.restart();
    eventually("an answer", || {
        let answer = owner.ask(&format!("REMOVE SUBSCRIBER {told}")).swap_remove(0);
        if answer.starts_with("220") { Ok(()) } else { Err(answer) }
    });
    // Whatever was told on the way stands before it.
    eventually("the report of the end", || {
        let answer = owner.ask("READ reports.flows.unix.ar FROM earliest LIMIT 100");
        assert!(!answer.iter().any(|line| line.contains("policy-failed")), "{answer:?}");
        let ends = answer.iter().filter(|line| line.contains("subscriber.ended")).count();
        if ends == 1 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn what_was_purged_lies_in_no_topic_of_a_subscriber_any_more() {
    let mut house = House::start();
    let (mut owner, mut eva) = (house.owner(), house.eva());
    owner.ok(&format!("CREATE FLOW {TIME} partitions=2"));
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    owner.write(TIME, &events(0..10));
    let id = subscribed(&mut eva, "");
    let paused = subscribed(&mut eva, " REF=6f0c1d7e-6d0b-4f0e-9d8f-000000000001");
    let told = credentials(&mut eva, &id);
    eventually_holds(&mut owner, &id, 10);
    eventually_holds(&mut owner, &paused, 10);
    owner.ok(&format!("PAUSE {paused}"));
    owner.write(TIME, &events(10..20));
    owner.ok(&format!("PURGE FLOW {TIME} CONFIRM {TIME}"));
    for name in [TIME, &id, &paused] {
        assert_eq!(owner.read(name).len(), 0, "{name}");
    }
    // What comes afterwards comes, also behind what one that was held has never read.
    owner.write(TIME, &[stories::event(20)]);
    let ran = consumed(&told, &id, &format!("{id}.readers"), 1);
    assert_eq!(ran.out.trim(), "{\"n\":20}", "{ran:?}");
    owner.ok(&format!("RESUME {paused}"));
    eventually_holds(&mut owner, &paused, 1);
    assert_eq!(owner.data("GET FLOWS").len(), 3, "nothing is kept of what was passed over");
}

#[test]
fn what_a_subscribers_filter_cannot_evaluate_is_left_out_and_kept_nowhere() {
    let mut house = House::start();
    let (mut owner, mut eva) = (house.owner(), house.eva());
    owner.ok(&format!("CREATE FLOW {TIME}"));
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    // Sixteen million steps for one of them.
    let list = Value::from(Vec::from_iter(0..64)).to_string();
    let slow = format!(
        "data.n != 25 || {list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a + b + c + d >= 0))))"
    );
    let id = subscribed(&mut eva, &format!(" filter={}", Value::from(slow)));
    owner.write(TIME, &events(20..30));
    let told = credentials(&mut eva, &id);
    let ran = consumed(&told, &id, &format!("{id}.readers"), 9);
    let wanted = (20..30).filter(|n| *n != 25).map(|n| format!("{{\"n\":{n}}}"));
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "{ran:?}");
    let row = owner.json(&format!("GET SUBSCRIBERS {TIME}")).swap_remove(0);
    let carrier = owner.describe(&format!("PROCESSOR {}", row["processor"].as_str().unwrap()));
    assert_eq!((&carrier["state"], &carrier["limit.call_ms"]), (&"running".into(), &1000.into()));
    let mut flows = owner.data("GET FLOWS");
    flows.sort();
    let mut wanted = vec![id.clone(), TIME.to_owned()];
    wanted.sort();
    assert_eq!(flows, wanted, "no dead letters");
    assert!(house.host().log().contains("left out of the topic of a subscriber"));
    // Nothing else can be made of it that would outlive it.
    let answer = owner.refused(&format!("REPLICATE {id} {TIME}"));
    assert!(answer.starts_with("409") && answer.contains("topic of a subscription"), "{answer}");
    owner.ok(&format!("REMOVE SUBSCRIBER {id}"));
    assert_eq!(owner.data("GET FLOWS"), [TIME]);
}

#[test]
fn a_policy_that_would_act_by_the_clock_adds_nothing_to_the_topic_of_a_subscriber() {
    let mut house = House::start();
    let (mut owner, mut eva) = (house.owner(), house.eva());
    drop_in(&house.dir.path().join("data/plugins"), "guest.wasm", guest());
    let policy = Value::from(r#"guest {"tick":100}"#);
    eventually("a flow with a policy", || {
        match owner.ask(&format!("CREATE FLOW {TIME} policy={policy}")).pop() {
            Some(told) if told.starts_with("220 ") => Ok(()),
            told => Err(format!("{told:?}")),
        }
    });
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    let id = subscribed(&mut eva, "");
    // Each is there before the next: a clock of a tenth of a second has its say in between.
    for n in 0..8 {
        owner.write(TIME, &[stories::event(n)]);
        eventually_holds(&mut owner, &id, n + 1);
    }
    let told = owner.read(&id);
    assert!(told.iter().all(|event| event["type"] != "ticked"), "{told:?}");
    assert_eq!(told.len(), 8);
}

#[test]
fn a_host_killed_at_any_step_leaves_a_whole_topic_or_nothing() {
    let mut house = House::start();
    let mut owner = house.owner();
    owner.ok(&format!("CREATE FLOW {TIME}"));
    owner.ok(&format!("GRANT subscribe ON {TIME} TO user:eva"));
    owner.write(TIME, &events(0..3));
    drop(owner);
    let begin = format!("SUBSCRIBE {TIME} transport=kafka");
    // Right before a change of the registry is right after the one before it, and after what was made in between.
    let changes = ["registry.before-commit", "reconciler.step-made"];
    for place in changes.into_iter().chain(PLACES_OF_LENDING) {
        for passing in 1..=MOST {
            let armed = format!("{place}:{passing}");
            let began = house.dies(&armed, &begin);
            let mut eva = house.eva();
            let id = eventually("a subscription", || {
                let answer = eva.ask(&begin);
                let is_there = answer.first().is_some_and(|line| line == "220 DATA");
                if is_there { Ok(answer[1].clone()) } else { Err(format!("{answer:?}")) }
            });
            let asked = house.dies(&armed, &format!("GET CREDENTIALS {id}"));
            assert_eq!(credentials(&mut house.eva(), &id)["topic"], *id);
            eventually_holds(&mut house.owner(), &id, 3);
            let purge = format!("PURGE FLOW {TIME} CONFIRM {TIME}");
            let purged = house.dies(&armed, &purge);
            let mut owner = house.owner();
            eventually("an answer to PURGE", || {
                let answer = owner.ask(&purge).swap_remove(0);
                if answer.starts_with("220") { Ok(()) } else { Err(answer) }
            });
            assert_eq!(owner.read(&id).len(), 0, "{armed}");
            owner.write(TIME, &events(0..3));
            eventually_holds(&mut owner, &id, 3);
            let ended = house.dies(&armed, &format!("UNSUBSCRIBE {id}"));
            // What was ended before the host died is taken away by itself; else it is said again.
            let mut eva = house.eva();
            eventually("the end of it", || {
                let answer = eva.ask(&format!("UNSUBSCRIBE {id}")).swap_remove(0);
                if answer.starts_with("220") { Ok(()) } else { Err(answer) }
            });
            let mut owner = house.owner();
            assert_eq!(owner.data("GET FLOWS"), [TIME], "{armed}");
            assert_eq!(owner.data("GET PROCESSORS"), Vec::<String>::new(), "{armed}");
            if !began && !asked && !purged && !ended {
                break;
            }
            assert!(passing < MOST, "{place} is passed again and again");
        }
    }
    let traces = house.traces();
    assert!(traces.contains(TIME) && !traces.contains(&format!(".{TIME}")), "{traces}");
}

/// Most runs for one place; there are fewer steps.
const MOST: u32 = 30;
