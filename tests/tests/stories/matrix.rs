//! Every command of the protocol, asked by everybody that there can be: who gets which code.
//!
//! The rows come from [`fnap::server::SYNTAX`]: a new command without a line in [`row`] fails here.

use std::collections::BTreeMap;

use stories::{Config, Fnaad, Wire, events};
use tempfile::TempDir;

/// Who asks. In `{who}` of a command stands a name of his own, so that one does not find what another has
/// made or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// Connected, and no more.
    Nobody,
    /// A user without any right.
    Stranger,
    /// May read where the owner has his flows.
    Reader,
    /// Has made the flows and processors that are asked about, and may make more beside them.
    Owner,
    /// May everything.
    Administrator,
}

const ALL: [Who; 5] = [Who::Nobody, Who::Stranger, Who::Reader, Who::Owner, Who::Administrator];

/// A command, and the code that each gets, in the order of [`ALL`].
struct Row(&'static str, [&'static str; 5]);

/// Whoever is in may ask.
const ANYBODY_IN: [&str; 5] = ["401", "220", "220", "220", "220"];
/// Whoever has any right on what it is about.
const SEEN: [&str; 5] = ["401", "404", "220", "220", "220"];
/// Whoever administers what it is about.
const HIS: [&str; 5] = ["401", "404", "403", "220", "220"];
/// The operator's matter.
const HOST: [&str; 5] = ["401", "403", "403", "403", "220"];
/// Nobody yet: the host does not do it.
const NOT_YET: [&str; 5] = ["401", "501", "501", "501", "501"];

/// The row of a form of a command.
fn row(syntax: &str) -> Row {
    match syntax {
        "CAPABILITIES" => Row("CAPABILITIES", ["220"; 5]),
        "HELP [command]" => Row("HELP READ", ["220"; 5]),
        "NOOP" => Row("NOOP", ["220"; 5]),
        // This host has no certificate.
        "STARTTLS" => Row("STARTTLS", ["501", "409", "409", "409", "409"]),
        "AUTHENTICATE MECHANISM [initial-response]" => {
            Row("AUTHENTICATE NOSUCH", ["404", "409", "409", "409", "409"])
        }
        "QUIT" => Row("QUIT", ["220"; 5]),

        "CREATE NAMESPACE ns [BROKER b]" => Row("CREATE NAMESPACE {who}.test", HOST),
        "UPDATE NAMESPACE ns key=value..." => Row("UPDATE NAMESPACE team.test note={who}", HIS),
        // It holds something.
        "DELETE NAMESPACE ns" => {
            Row("DELETE NAMESPACE team.test", ["401", "404", "403", "409", "409"])
        }
        "DESCRIBE NAMESPACE ns [FORMAT json]" => Row("DESCRIBE NAMESPACE team.test", SEEN),
        "GET NAMESPACES [FORMAT json]" => Row("GET NAMESPACES", ANYBODY_IN),

        "CREATE FLOW f [key=value...]" => Row("CREATE FLOW new-{who}.team.test", HIS),
        "UPDATE FLOW f key=value..." => Row("UPDATE FLOW f.team.test access=ask", HIS),
        "DELETE FLOW f" => Row("DELETE FLOW old-{who}.team.test", HIS),
        "DESCRIBE FLOW f [FORMAT json]" => Row("DESCRIBE FLOW f.team.test", SEEN),
        "GET FLOWS [ns] [FORMAT json]" => Row("GET FLOWS team.test", SEEN),

        "SUBSCRIBE f [LOCAL l] [key=value...]" => {
            Row("SUBSCRIBE f.team.test", ["401", "404", "403", "501", "501"])
        }
        "UNSUBSCRIBE s" => Row("UNSUBSCRIBE s.f.team.test", NOT_YET),
        "GET SUBSCRIPTIONS [FORMAT json]" => Row("GET SUBSCRIPTIONS", NOT_YET),
        "GET SUBSCRIBERS f [FORMAT json]" => {
            Row("GET SUBSCRIBERS f.team.test", ["401", "404", "403", "501", "501"])
        }
        "REMOVE SUBSCRIBER s" => {
            Row("REMOVE SUBSCRIBER s.f.team.test", ["401", "404", "403", "501", "501"])
        }
        "GET REQUESTS [FORMAT json]" => Row("GET REQUESTS", NOT_YET),
        "APPROVE r [FILTER text] [POLICY text]" => Row("APPROVE r", NOT_YET),
        "DENY r [reason]" => Row("DENY r", NOT_YET),

        "PAUSE s" => Row("PAUSE p.team.test", HIS),
        "STOP s" => Row("STOP p.team.test", HIS),
        "RESUME s" => Row("RESUME p.team.test", HIS),

        "READ f [FROM earliest|latest|OFFSET p:n,p:n,...|TIME rfc3339] [LIMIT n] [FOLLOW]" => {
            Row("READ f.team.test", SEEN)
        }
        // Said while a READ follows; elsewhere it has no answer, and the next one is NOOP's.
        "DONE (ends a READ that follows)" => {
            Row("DONE\r\nNOOP", ["401", "220", "220", "220", "220"])
        }
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
            Row(
                "SIGNAL nosuch FROM f.team.test TO g.team.test AS s-{who}.team.test",
                ["401", "404", "403", "404", "404"],
            )
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
        "UPDATE PROCESSOR p key=value..." => Row("UPDATE PROCESSOR p.team.test on-gap=stop", HIS),
        "DELETE PROCESSOR p" => Row("DELETE PROCESSOR old-p-{who}.team.test", HIS),
        "DESCRIBE PROCESSOR p|t [FORMAT json]" => Row("DESCRIBE PROCESSOR p.team.test", SEEN),
        // It has none.
        "REPLAY p [OFFSET p:n,p:n,...]" => {
            Row("REPLAY p.team.test", ["401", "404", "403", "404", "404"])
        }
        "DISCARD p [OFFSET p:n,p:n,...]" => {
            Row("DISCARD p.team.test", ["401", "404", "403", "404", "404"])
        }
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
        "GET AGENTS [FORMAT json]" => Row("GET AGENTS", NOT_YET),
        "DESCRIBE AGENT ns [FORMAT json]" => Row("DESCRIBE AGENT team.test", NOT_YET),
        "DESCRIBE NAMESERVER ns [FORMAT json]" => Row("DESCRIBE NAMESERVER team.test", NOT_YET),
        "STREAM" => Row("STREAM", NOT_YET),
        other => panic!("no row for {other}: who may do that?"),
    }
}

fn house() -> (Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path()).with_users(&["stranger", "reader", "owner"]);
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    root.ok("CREATE NAMESPACE team.test");
    root.ok("GRANT administer ON team.test TO user:owner");
    root.ok("GRANT read ON team.test TO user:reader");
    let mut owner = host.login_as("owner", "test");
    owner.ok("CREATE FLOW f.team.test");
    owner.ok("CREATE FLOW g.team.test");
    owner.ok("REPLICATE f.team.test g.team.test AS p.team.test");
    for who in ALL {
        owner.ok(&with("CREATE FLOW old-{who}.team.test", who));
        owner.ok(&with("REPLICATE f.team.test g.team.test AS old-p-{who}.team.test", who));
    }
    (host, dir)
}

fn with(command: &str, who: Who) -> String {
    command.replace("{who}", &format!("{who:?}").to_lowercase())
}

fn connect(host: &Fnaad, who: Who) -> Wire {
    match who {
        Who::Nobody => host.connect(),
        Who::Stranger => host.login_as("stranger", "test"),
        Who::Reader => host.login_as("reader", "test"),
        Who::Owner => host.login_as("owner", "test"),
        Who::Administrator => host.login_as("test", "test"),
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
    let (host, _dir) = house();
    let mut wrong = BTreeMap::new();
    for who in ALL {
        let mut wire = connect(&host, who);
        for (syntax, at) in fnap::server::SYNTAX.iter().zip(0..) {
            let Row(command, codes) = row(syntax);
            let expected = codes[ALL.iter().position(|one| *one == who).unwrap()];
            let command = with(command, who);
            let (code, answer) = code(&mut wire, &command);
            if code != expected {
                wrong.insert((at, who), format!("{command}: {expected} expected, got {answer}"));
            }
            if command == "QUIT" {
                wire = connect(&host, who);
            }
        }
    }
    let wrong: Vec<String> =
        wrong.iter().map(|((_, who), words)| format!("{who:?}: {words}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A host that says 403 of what one may not even see, or 404 of what one may, leaks names or helps nobody.
#[test]
fn nobody_but_who_may_see_it_is_told_403_and_the_others_are() {
    for syntax in fnap::server::SYNTAX {
        let Row(command, [nobody, stranger, reader, ..]) = row(syntax);
        let about = command.contains("team.test");
        assert!(!about || stranger != "403", "{syntax}");
        assert!(!about || reader != "404", "{syntax}");
        assert!(nobody == "401" || !about, "{syntax}");
    }
}
