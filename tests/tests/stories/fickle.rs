//! Owners' hosts that change their answers from one try to the next: whoever subscribes is told where it ends, loses and
//! repeats nothing when the host comes to its senses, and has nothing left of it in the end.
//!
//! The host is a test server that speaks FNAP under TLS ([`Fickle`]); BIND leads to it, and the subscriber's host is real.

use std::net::SocketAddr;
use std::path::PathBuf;

use bind_node::{Bind, Zone, dig};
use fnap::stream::messages::{Attach, Message};
use serde_json::Value;
use stories::{
    Certificates, Config, Fickle, Fnaad, LIFE, Manner, Wire, eventually, eventually_holds,
    leftovers, own_network, records,
};

const TIME: &str = "time.flows.unix.ar";
const ONE: &str = "one.time.flows.unix.ar";
const TWO: &str = "two.time.flows.unix.ar";
const LOCAL: &str = "time.emiliano.ar";

/// A subscriber's host, and the host of an owner who is not to be relied on.
struct House {
    host: Fnaad,
    fickle: Fickle,
    dns: SocketAddr,
    dir: PathBuf,
    _bind: Bind,
    _temporary: tempfile::TempDir,
}

impl House {
    fn new(manner: Manner) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let (dir, theirs) = (temporary.path().join("own"), temporary.path().join("theirs"));
        std::fs::create_dir_all(&dir).unwrap();
        let theirs = Certificates::make(&theirs, &["--name", "fnaa.unix.ar"]);
        let fickle = Fickle::start(&theirs, manner);
        let port = fickle.port();
        let records = format!(
            "time.flows PTR _flow._tcp.time.flows\n_flow._tcp.time.flows SRV 0 0 {port} fnaa\n\
             _flow._tcp.time.flows TXT \"tls\"\nfnaa A 127.0.0.1\n"
        );
        let bind = Bind::start(&[Zone::unsigned("unix.ar", &records)]);
        let own = Certificates::make(&dir, &["--name", "fnaa.emiliano.ar"]);
        let [a, b] = own_network();
        let (ip, bind_at) = (format!("127.{a}.{b}.1"), bind.address());
        let file =
            |certificates: &Certificates, name| certificates.file(name).display().to_string();
        let mut config = Config::new(&dir);
        config.text = config.text.replace("unix.ar", "emiliano.ar").replace("flows.", "");
        config.text += &format!(
            "\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n\
             \n[peers]\ndomain = \"emiliano.ar\"\nca_file = \"{}\"\n\
             \n[names]\nzones = [{{ zone = \"unix.ar\", servers = [\"{bind_at}\"] }}]\n\
             \n[dns]\nagent = \"fnaa.emiliano.ar:61000\"\naddresses = [\"{ip}\"]\nlisten = [\"{ip}:5300\"]\n\
             [[dns.zones]]\nname = \"emiliano.ar\"\nembedded = true\n",
            file(&own, "server.pem"),
            file(&own, "server.key"),
            file(&theirs, "ca.pem"),
        );
        let host = Fnaad::serve(&dir, config.save());
        let dns = format!("{ip}:5300").parse().unwrap();
        Self { host, fickle, dns, dir, _bind: bind, _temporary: temporary }
    }

    fn wire(&self) -> Wire {
        self.host.login_as("test", "test")
    }

    /// Whether DNS says that the host has the local flow.
    fn is_published(&self) -> bool {
        !dig(self.dns, &["+short", &format!("_flow._tcp.{LOCAL}"), "SRV"]).is_empty()
    }

    /// The subscription ends; what had come stays until its flow is deleted, and then there is nothing.
    fn ends(self, mut wire: Wire) {
        wire.ok(&format!("UNSUBSCRIBE {LOCAL}"));
        self.leaves_nothing(wire);
    }

    fn leaves_nothing(self, mut wire: Wire) {
        eventually("the end of it", || match wire.json("GET SUBSCRIPTIONS").pop() {
            None => Ok(()),
            Some(row) => Err(row.to_string()),
        });
        if wire.data("GET FLOWS").iter().any(|flow| flow == LOCAL) {
            wire.ok(&format!("DELETE FLOW {LOCAL}"));
        }
        let flows: Vec<String> = wire.data("GET FLOWS");
        assert!(flows.iter().all(|flow| flow.starts_with("reports.")), "{flows:?}");
        assert_eq!(wire.data("GET PROCESSORS"), Vec::<String>::new());
        for name in [ONE, TWO] {
            assert!(wire.refused(&format!("DESCRIBE FLOW {name}")).starts_with("404 "), "{name}");
        }
        eventually("its names to be gone", || {
            if self.is_published() { Err("they are there".to_owned()) } else { Ok(()) }
        });
        assert_eq!(self.host.log().matches("panicked").count(), 0);
        drop(wire);
        let Self { host, dir, _temporary, .. } = self;
        host.kill();
        assert_eq!(leftovers(&dir.join("data")), Vec::<String>::new());
    }
}

fn subscribe() -> String {
    format!("SUBSCRIBE {TIME} LOCAL {LOCAL}")
}

/// The subscription, once it is in a state and says these words.
fn eventually_says(wire: &mut Wire, state: &str, words: &str) -> Value {
    eventually(&format!("{state}: {words}"), || {
        let row = wire.json("GET SUBSCRIPTIONS").pop().unwrap_or_default();
        let why = row["why"].as_str().unwrap_or_default();
        if row["state"] == state && why.contains(words) { Ok(row) } else { Err(row.to_string()) }
    })
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

#[test]
fn a_host_that_gives_another_name_the_second_time_has_one_subscription_and_nothing_stays_of_the_first()
 {
    let mut manner = Manner::good(TWO, 5);
    // The first name is of something that is not there when it is looked at.
    manner.subscribe.insert(0, format!("220 DATA\r\n{ONE}\r\n220 OK"));
    let house = House::new(manner);
    let mut wire = house.wire();
    let said = wire.refused(&subscribe());
    assert!(
        said.starts_with("503 ") && said.contains(&format!("404 NOT_FOUND flow {ONE}")),
        "{said}"
    );
    let row = eventually_says(&mut wire, "active", "");
    assert_eq!(row["subscription"], TWO, "{row}");
    assert_eq!(numbers(&eventually_holds(&mut wire, LOCAL, 5)), [0, 1, 2, 3, 4]);
    let asked = house.fickle.heard();
    let all: Vec<&String> = asked.iter().filter(|said| said.starts_with("SUBSCRIBE ")).collect();
    assert!(all.len() == 2 && all[0] == all[1], "by one reference: {all:?}");
    wire.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert!(house.fickle.heard().contains(&format!("UNSUBSCRIBE {TWO}")));
    // A name that can be none the first time, and is one the second.
    let mut manner = Manner::good(TWO, 5);
    manner.subscribe.insert(0, "220 DATA\r\none.elsewhere.ar\r\n220 OK".to_owned());
    house.fickle.becomes(manner);
    let said = wire.refused("SUBSCRIBE time.flows.unix.ar LOCAL other.emiliano.ar");
    assert!(said.starts_with("502 ") && said.contains("answer to SUBSCRIBE"), "{said}");
    house.leaves_nothing(wire);
}

#[test]
fn a_host_that_says_pending_and_then_that_there_is_nothing_ends_the_subscription_with_its_word() {
    let mut manner = Manner::good(ONE, 5);
    manner.subscribe =
        vec!["450 PENDING request=r1".to_owned(), format!("404 NOT_FOUND flow {TIME}")];
    let house = House::new(manner.clone());
    let mut wire = house.wire();
    assert_eq!(wire.refused(&subscribe()), "450 PENDING request=r1");
    let row = eventually_says(&mut wire, "ended", &format!("404 NOT_FOUND flow {TIME}"));
    assert_eq!(row["subscription"], Value::Null, "{row}");
    assert!(!house.is_published());
    // He asks again, is to wait for another word, and is let in under the third.
    wire.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    manner.subscribe[1] = "450 PENDING request=r2".to_owned();
    manner.subscribe.extend(Manner::good(ONE, 5).subscribe);
    house.fickle.becomes(manner);
    assert_eq!(wire.refused(&subscribe()), "450 PENDING request=r1");
    assert_eq!(numbers(&eventually_local(&mut wire, 5)), [0, 1, 2, 3, 4]);
    house.ends(wire);
}

/// The events of the local flow, once it is there.
fn eventually_local(wire: &mut Wire, count: usize) -> Vec<Value> {
    eventually("the local flow", || match wire.ask(&format!("DESCRIBE FLOW {LOCAL}")).first() {
        Some(line) if line.starts_with("220 ") => Ok(()),
        line => Err(format!("{line:?}")),
    });
    eventually_holds(wire, LOCAL, count)
}

#[test]
fn of_another_life_of_a_flow_nothing_comes_and_the_subscriber_is_told() {
    let other = "5b1bd8f4-0000-4000-8000-000000000002";
    let house = House::new(Manner { lives: [LIFE, other], ..Manner::good(ONE, 5) });
    let mut wire = house.wire();
    wire.data(&subscribe());
    eventually_says(&mut wire, "waiting", "another flow of that name");
    assert_eq!(wire.read(LOCAL).len(), 0);
    // When it is the one that it was it goes on, and stands again when it is not.
    house.fickle.becomes(Manner::good(ONE, 5));
    eventually_holds(&mut wire, LOCAL, 5);
    house.fickle.becomes(Manner { lives: [other; 2], ..Manner::good(ONE, 9) });
    eventually_says(&mut wire, "waiting", "another flow of that name");
    assert_eq!(numbers(&wire.read(LOCAL)), [0, 1, 2, 3, 4]);
    house.ends(wire);
}

#[test]
fn a_host_that_grants_by_a_stream_and_has_none_afterwards_is_told_of_by_name() {
    let none = Manner { stream: "501 NOT_IMPLEMENTED STREAM", ..Manner::good(ONE, 5) };
    let house = House::new(none.clone());
    let mut wire = house.wire();
    let said = wire.refused(&subscribe());
    assert!(said.contains("501 NOT_IMPLEMENTED STREAM"), "{said}");
    assert!(!house.is_published());
    // By topics now, says the host; what was granted by a stream stays what it is.
    house.fickle.becomes(Manner { offers: &["KAFKA=1"], ..none.clone() });
    eventually("another look", || {
        let heard = house.fickle.heard();
        if heard.iter().any(|said| said == "STREAM") { Ok(()) } else { Err(format!("{heard:?}")) }
    });
    house.fickle.becomes(Manner::good(ONE, 5));
    eventually_local(&mut wire, 5);
    house.fickle.becomes(none);
    eventually_says(&mut wire, "waiting", "501 NOT_IMPLEMENTED STREAM");
    house.ends(wire);
}

/// What nobody may send, and what is said of it.
type Foul = (fn(&Attach) -> Vec<Message>, &'static str);

const FOUL: [Foul; 4] = [
    (backwards, "stream with fnaa.unix.ar: "),
    (again, "stream with fnaa.unix.ar: "),
    (unattached, "stream 4000"),
    (elsewhere, "partition"),
];

fn start(attach: &Attach) -> u64 {
    attach.positions[0].offset
}

/// The position after a batch is before it.
fn backwards(attach: &Attach) -> Vec<Message> {
    let mut sent = records(attach.stream, start(attach), start(attach) + 2);
    sent.next = start(attach).saturating_sub(1);
    vec![Message::Records(sent)]
}

/// A batch comes, and comes again.
fn again(attach: &Attach) -> Vec<Message> {
    let sent = records(attach.stream, start(attach), start(attach) + 1);
    vec![Message::Records(sent.clone()), Message::Records(sent)]
}

/// Records of a stream that nobody has asked for.
fn unattached(attach: &Attach) -> Vec<Message> {
    vec![Message::Records(records(4_000, start(attach), start(attach) + 2))]
}

/// Records of a partition that nobody has asked for.
fn elsewhere(attach: &Attach) -> Vec<Message> {
    let sent = records(attach.stream, start(attach), start(attach) + 2);
    vec![Message::Records(fnap::stream::messages::Records { partition: 3, ..sent })]
}

#[test]
fn records_that_nobody_may_send_are_told_of_and_every_event_comes_once_when_the_host_has_come_to_its_senses()
 {
    let house = House::new(Manner::good(ONE, 5));
    let mut wire = house.wire();
    wire.data(&subscribe());
    eventually_holds(&mut wire, LOCAL, 5);
    for (round, (sends, words)) in FOUL.into_iter().enumerate() {
        let events = 10 + 5 * round as u64;
        house.fickle.becomes(Manner { sends: Some(sends), ..Manner::good(ONE, events) });
        eventually_says(&mut wire, "waiting", words);
        house.fickle.becomes(Manner::good(ONE, events));
        let came = eventually_holds(&mut wire, LOCAL, usize::try_from(events).unwrap());
        assert_eq!(numbers(&came), (0..events).collect::<Vec<_>>());
        eventually_says(&mut wire, "active", "");
    }
    // Who does not know what he has granted, either, is left.
    house.fickle.becomes(Manner {
        unsubscribe: "404 NOT_FOUND subscription",
        sends: Some(unattached),
        ..Manner::good(ONE, 99)
    });
    house.ends(wire);
}
