//! Every command of the protocol, asked by everybody that there can be: who gets which code.
//!
//! The rows come from [`fnap::server::SYNTAX`]: a new command without a line in [`row`] fails here.

use std::collections::BTreeMap;

use bind_node::{Bind, Zone};
use stories::{Config, Fnaad, Trust, Wire, events};
use tempfile::TempDir;

use crate::domains;

/// Who asks. In `{who}` of a command stands a name of his own, so that one does not find what another has
/// made or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// Connected, and no more.
    Nobody,
    /// Came in with ANONYMOUS.
    Anonymous,
    /// A user without any right.
    Stranger,
    /// The agent of another domain, which may subscribe where the owner has his flows.
    Domain,
    /// May read where the owner has his flows.
    Reader,
    /// Has made the flows and processors that are asked about, and may make more beside them.
    Owner,
    /// May everything.
    Administrator,
}

const ALL: [Who; 7] = [
    Who::Nobody,
    Who::Anonymous,
    Who::Stranger,
    Who::Domain,
    Who::Reader,
    Who::Owner,
    Who::Administrator,
];

/// The code that each gets, in the order of [`ALL`].
type Codes = [&'static str; 7];

/// A command, and who gets which code.
struct Row(&'static str, Codes);

/// Whoever is in may ask.
const ANYBODY_IN: Codes = ["401", "220", "220", "220", "220", "220", "220"];
/// Whoever has any right on what it is about.
const SEEN: Codes = ["401", "404", "404", "220", "220", "220", "220"];
/// Whoever may read what it is about.
const READERS: Codes = ["401", "404", "404", "403", "220", "220", "220"];
/// Whoever administers what it is about.
const HIS: Codes = ["401", "404", "404", "403", "403", "220", "220"];
/// The same, who hears that there is no such thing: nobody else is told.
const HIS_AND_NONE: Codes = ["401", "404", "404", "403", "403", "404", "404"];
/// The same, who hears that it is still in use.
const HIS_AND_USED: Codes = ["401", "404", "404", "403", "403", "409", "409"];
/// Whoever may subscribe to what it is about.
const SUBSCRIBERS: Codes = ["401", "404", "404", "220", "403", "220", "220"];
/// Something that is there for nobody, whoever asks.
const NONE: Codes = ["401", "404", "404", "404", "404", "404", "404"];
/// The operator's matter.
const HOST: Codes = ["401", "403", "403", "403", "403", "403", "220"];
/// Before anybody is known, and only then.
const ONCE: Codes = ["220", "409", "409", "409", "409", "409", "409"];
/// Everybody, known or not.
const EVERYBODY: Codes = ["220"; 7];

/// The row of a form of a command.
fn row(syntax: &str) -> Row {
    match syntax {
        "CAPABILITIES" => Row("CAPABILITIES", EVERYBODY),
        "HELP [command]" => Row("HELP READ", EVERYBODY),
        "NOOP" => Row("NOOP", EVERYBODY),
        "STARTTLS" => Row("STARTTLS", ONCE),
        "AUTHENTICATE MECHANISM [initial-response]" => Row("AUTHENTICATE ANONYMOUS =", ONCE),
        "QUIT" => Row("QUIT", EVERYBODY),

        "CREATE NAMESPACE ns [BROKER b]" => Row("CREATE NAMESPACE {who}.test", HOST),
        "UPDATE NAMESPACE ns key=value..." => Row("UPDATE NAMESPACE team.test note={who}", HIS),
        // It holds something.
        "DELETE NAMESPACE ns" => Row("DELETE NAMESPACE team.test", HIS_AND_USED),
        "DESCRIBE NAMESPACE ns [FORMAT json]" => Row("DESCRIBE NAMESPACE team.test", SEEN),
        "GET NAMESPACES [FORMAT json]" => Row("GET NAMESPACES", ANYBODY_IN),

        "CREATE FLOW f [key=value...]" => Row("CREATE FLOW new-{who}.team.test", HIS),
        "UPDATE FLOW f key=value..." => Row("UPDATE FLOW f.team.test access=ask", HIS),
        "DELETE FLOW f" => Row("DELETE FLOW old-{who}.team.test", HIS),
        "DESCRIBE FLOW f [FORMAT json]" => Row("DESCRIBE FLOW f.team.test", SEEN),
        "GET FLOWS [ns] [FORMAT json]" => Row("GET FLOWS team.test", SEEN),

        "SUBSCRIBE f [LOCAL l] [key=value...]" => Row("SUBSCRIBE f.team.test", SUBSCRIBERS),
        "UNSUBSCRIBE s [key=value...]" => Row("UNSUBSCRIBE s.f.test", NONE),
        "GET SUBSCRIPTIONS [FORMAT json]" => Row("GET SUBSCRIPTIONS", ANYBODY_IN),
        "GET SUBSCRIBERS f [FORMAT json]" => Row("GET SUBSCRIBERS f.team.test", HIS),
        "GET CREDENTIALS s [FORMAT json]" => Row("GET CREDENTIALS s.f.test", NONE),
        "REMOVE SUBSCRIBER s" => Row("REMOVE SUBSCRIBER s.f.team.test", HIS_AND_NONE),
        "GET REQUESTS [FORMAT json]" => Row("GET REQUESTS", ANYBODY_IN),
        "APPROVE r [FILTER text] [POLICY text]" => Row("APPROVE r", NONE),
        "DENY r [reason]" => Row("DENY r", NONE),

        "PAUSE s" => Row("PAUSE p.team.test", HIS),
        "STOP s" => Row("STOP p.team.test", HIS),
        "RESUME s" => Row("RESUME p.team.test", HIS),

        "READ f [FROM earliest|latest|OFFSET p:n,p:n,...|TIME rfc3339] [LIMIT n] [FOLLOW]" => {
            Row("READ f.team.test", READERS)
        }
        // Said while a READ follows; elsewhere it has no answer, and the next one is NOOP's.
        "DONE (ends a READ that follows)" => Row("DONE\r\nNOOP", ANYBODY_IN),
        "WRITE f [ID token]" => Row("WRITE f.team.test", HIS),
        "PURGE FLOW f CONFIRM f" => Row("PURGE FLOW g.team.test CONFIRM g.team.test", HIS),

        "REPLICATE a b [AS p] [FROM start] [key=value...] [CONFIG json]" => {
            Row("REPLICATE f.team.test g.team.test AS r-{who}.team.test", HIS)
        }
        "REPLICATE a-* b-* [AS p] [FROM start] [key=value...] [CONFIG json]" => {
            Row("REPLICATE none-*.test x-*.team.test AS m-{who}.team.test", HIS)
        }
        "COLLECT a,b,... c [AS p] [FROM start] [key=value...] [CONFIG json]" => {
            Row("COLLECT f.team.test g.team.test AS c-{who}.team.test", HIS)
        }
        "COLLECT a-* b [AS p] [FROM start] [key=value...] [CONFIG json]" => {
            Row("COLLECT none-*.test g.team.test AS n-{who}.team.test", HIS)
        }
        "DISTRIBUTE a b,c,... [AS p] [FROM start] [key=value...] [CONFIG json]" => {
            Row("DISTRIBUTE f.team.test g.team.test AS d-{who}.team.test", HIS)
        }
        // No such type is installed: told only to who may have it done.
        "SIGNAL type FROM a,b,... TO c,d,... [AS p] [START start] [key=value...] [CONFIG json]" => {
            Row("SIGNAL nosuch FROM f.team.test TO g.team.test AS s-{who}.team.test", HIS_AND_NONE)
        }
        "CREATE PROCESSOR p TYPE t FROM a,b,... TO c,d,... [START start] [key=value...] [CONFIG json]" => {
            Row(
                "CREATE PROCESSOR t-{who}.team.test TYPE bridge FROM f.team.test TO g.team.test",
                HIS,
            )
        }
        "UPDATE PROCESSOR p CONFIG json" => Row("UPDATE PROCESSOR p.team.test CONFIG {}", HIS),
        // STOP was asked for before.
        "UPDATE PROCESSOR p POSITION earliest|latest|OFFSET p:n|TIME rfc3339 [STATE keep|reset]" => {
            Row("UPDATE PROCESSOR p.team.test POSITION earliest", HIS)
        }
        "UPDATE PROCESSOR p SHADOW version|digest" => {
            Row("UPDATE PROCESSOR p.team.test SHADOW 9.9.9", HIS_AND_NONE)
        }
        // It has none.
        "UPDATE PROCESSOR p PROMOTE [version|digest]" => {
            Row("UPDATE PROCESSOR p.team.test PROMOTE 9.9.9", HIS_AND_USED)
        }
        "UPDATE PROCESSOR p DISCARD" => Row("UPDATE PROCESSOR p.team.test DISCARD", HIS_AND_USED),
        "UPDATE PROCESSOR p key=value..." => Row("UPDATE PROCESSOR p.team.test on-gap=stop", HIS),
        "SNAPSHOT p [FORGET n]" => Row("SNAPSHOT p.team.test FORGET 7", HIS_AND_NONE),
        "COMPARE p VERSION version|digest [FROM start|SNAPSHOT n] [TO start]" => {
            Row("COMPARE p.team.test VERSION 9.9.9", HIS_AND_NONE)
        }
        "COMPARE p STOP" => Row("COMPARE p.team.test STOP", HIS_AND_NONE),
        "DELETE PROCESSOR p" => Row("DELETE PROCESSOR old-p-{who}.team.test", HIS),
        "DESCRIBE PROCESSOR p|t [FORMAT json]" => Row("DESCRIBE PROCESSOR p.team.test", SEEN),
        // It has none.
        "REPLAY p [OFFSET p:n,p:n,...]" => Row("REPLAY p.team.test", HIS_AND_NONE),
        "DISCARD p [OFFSET p:n,p:n,...]" => Row("DISCARD p.team.test", HIS_AND_NONE),
        "GET LOG p [SINCE n] [FORMAT json]" => Row("GET LOG p.team.test", HIS),
        "GET PROCESSORS [FORMAT json]" => Row("GET PROCESSORS", ANYBODY_IN),
        "GET PROCESSOR TYPES [FORMAT json]" => Row("GET PROCESSOR TYPES", ANYBODY_IN),

        "GRANT right,... ON name|* TO subject" => {
            Row("GRANT read ON f.team.test TO user:{who}", HIS)
        }
        "REVOKE right,... ON name|* FROM subject" => {
            Row("REVOKE read ON f.team.test FROM user:{who}", HIS)
        }
        "GET GRANTS [ON name|*] [TO subject] [FORMAT json]" => Row("GET GRANTS", ANYBODY_IN),

        "GET BROKERS [FORMAT json]" => Row("GET BROKERS", HOST),
        "DESCRIBE BROKER b [FORMAT json]" => Row("DESCRIBE BROKER embedded", HOST),
        "GET AGENTS [FORMAT json]" => Row("GET AGENTS", ANYBODY_IN),
        "DESCRIBE AGENT ns [FORMAT json]" => Row("DESCRIBE AGENT team.test", SEEN),
        "DESCRIBE NAMESERVER ns [FORMAT json]" => Row("DESCRIBE NAMESERVER team.test", SEEN),
        "STREAM" => Row("STREAM", ANYBODY_IN),
        other => panic!("no row for {other}: who may do that?"),
    }
}

/// A host, and what it takes to come to it.
struct House {
    host: Fnaad,
    /// What the agent of a domain trusts and shows.
    agent: Trust,
    _bind: Bind,
    _dir: TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let bind = Bind::start(&[Zone::signed("emiliano.ar", domains::AGENT)]);
    let agents = domains::agent(&dir.path().join("agents"), "emiliano.ar");
    let mut config = Config::new(dir.path()).with_users(&["stranger", "reader", "owner"]);
    config.text = config.text.replacen("listen", "anonymous = true\nlisten", 1);
    let trust = domains::believe(&mut config, dir.path(), &bind, &agents);
    let agent = trust.showing(&agents, "domain-emiliano.ar");
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    for namespace in ["team.test", "open.test"] {
        root.ok(&format!("CREATE NAMESPACE {namespace}"));
        root.ok(&format!("GRANT administer ON {namespace} TO user:owner"));
    }
    root.ok("GRANT read ON team.test TO user:reader");
    root.ok("GRANT subscribe ON team.test TO domain:emiliano.ar");
    let mut owner = host.login_as("owner", "test");
    for flow in ["f.team.test", "g.team.test", "f.open.test"] {
        owner.ok(&format!("CREATE FLOW {flow}"));
    }
    owner.ok("UPDATE FLOW f.open.test access=open");
    owner.ok("REPLICATE f.team.test g.team.test AS p.team.test");
    for who in ALL {
        owner.ok(&with("CREATE FLOW old-{who}.team.test", who));
        owner.ok(&with("REPLICATE f.team.test g.team.test AS old-p-{who}.team.test", who));
    }
    House { host, agent, _bind: bind, _dir: dir }
}

fn with(command: &str, who: Who) -> String {
    command.replace("{who}", &format!("{who:?}").to_lowercase())
}

impl House {
    fn connect(&self, who: Who) -> Wire {
        let host = &self.host;
        match who {
            Who::Nobody => host.connect(),
            Who::Anonymous => {
                let mut wire = host.connect();
                assert_eq!(wire.ask("AUTHENTICATE ANONYMOUS ="), ["220 Authenticated"]);
                wire
            }
            Who::Stranger => host.login_as("stranger", "test"),
            Who::Domain => {
                let (wire, answer) = domains::come(host, &self.agent, "emiliano.ar");
                assert_eq!(answer, "220 Authenticated");
                wire
            }
            Who::Reader => host.login_as("reader", "test"),
            Who::Owner => host.login_as("owner", "test"),
            Who::Administrator => host.login_as("test", "test"),
        }
    }

    /// What is wrong when everybody asks for what stands in the rows.
    fn wrong(&self, rows: &[Row]) -> Vec<String> {
        let mut wrong = BTreeMap::new();
        for (column, who) in ALL.into_iter().enumerate() {
            let mut wire = self.connect(who);
            for (at, Row(command, codes)) in rows.iter().enumerate() {
                let (command, expected) = (with(command, who), codes[column]);
                let (code, answer) = code(&mut wire, &command);
                if code != expected {
                    let words = format!("{who:?}: {command}: {expected} expected, got {answer}");
                    wrong.insert((at, who), words);
                }
                // What was asked for ends the connection, or makes another one of it.
                let other = command.starts_with("AUTHENTICATE");
                let other = other || matches!(command.as_str(), "STARTTLS" | "STREAM");
                if command == "QUIT" || (other && code == "220") {
                    wire = self.connect(who);
                }
            }
        }
        wrong.into_values().collect()
    }
}

/// The code of the whole answer, and the answer.
fn code(wire: &mut Wire, command: &str) -> (String, String) {
    let mut answer = wire.ask(command);
    if answer[0].starts_with("330 ") {
        wire.send(format!("{}\r\n.\r\n", events(0..1)[0]).as_bytes());
        answer = wire.answer();
    } else if command.contains("\r\n") && answer[0].starts_with("401 ") {
        wire.answer();
    }
    (answer[0].chars().take(3).collect(), answer.join(" | "))
}

#[test]
fn every_command_gives_everybody_the_code_that_is_his() {
    let rows: Vec<Row> = fnap::server::SYNTAX.iter().map(|syntax| row(syntax)).collect();
    let wrong = house().wrong(&rows);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_open_flow_gives_those_without_a_grant_what_a_reader_gets_and_no_more() {
    let read = ["401", "220", "220", "220", "220", "220", "220"];
    // A subscription is somebody's.
    let subscribe = ["401", "403", "220", "220", "220", "220", "220"];
    let administer = ["401", "403", "403", "403", "403", "220", "220"];
    let wrong = house().wrong(&[
        Row("READ f.open.test", read),
        Row("DESCRIBE FLOW f.open.test", read),
        Row("SUBSCRIBE f.open.test", subscribe),
        Row("WRITE f.open.test", administer),
        Row("UPDATE FLOW f.open.test access=open", administer),
        Row("PAUSE f.open.test", administer),
        Row("RESUME f.open.test", administer),
        Row("PURGE FLOW f.open.test CONFIRM f.open.test", administer),
        Row("GRANT read ON f.open.test TO user:{who}", administer),
        // A flow that is not is as hidden as before.
        Row("READ f.team.test", READERS),
    ]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A host that says 403 of what one may not even see, or 404 of what one may, leaks names or helps nobody.
#[test]
fn nobody_but_who_may_see_it_is_told_403_and_the_others_are() {
    for syntax in fnap::server::SYNTAX {
        let Row(command, [nobody, anonymous, stranger, domain, reader, ..]) = row(syntax);
        let about = command.contains("team.test");
        assert!(!about || ![anonymous, stranger].contains(&"403"), "{syntax}");
        assert!(!about || ![domain, reader].contains(&"404"), "{syntax}");
        assert!(nobody == "401" || !about, "{syntax}");
    }
}
