//! Who may do what: rights given and taken, while people read, write and run processors.

use std::time::Duration;

use stories::{
    Config, Fnaad, Fnua, Wire, event, events, eventually, eventually_described, eventually_holds,
};
use tempfile::TempDir;

const NS: &str = "flows.unix.ar";
const A: &str = "a.flows.unix.ar";
const B: &str = "b.flows.unix.ar";
const P: &str = "p.flows.unix.ar";

/// A host with an administrator (`test`) and some who are nobody yet, and flow `a`.
struct House {
    host: Fnaad,
    root: Wire,
    config: Config,
    dir: TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path()).with_users(&["ana", "bo"]);
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    root.ok(&format!("CREATE FLOW {A}"));
    House { host, root, config, dir }
}

impl House {
    fn user(&self, name: &str) -> Wire {
        self.host.login_as(name, "test")
    }

    /// The user agent of a user.
    fn fnua(&self, user: &str) -> Fnua {
        let text = format!(
            "[[agents]]\nname = \"home\"\naddress = \"{}\"\nusername = \"{user}\"\npassword = \"test\"\n\
             namespaces = [\"{NS}\"]\n",
            self.host.address()
        );
        let file = self.dir.path().join(format!("{user}.toml"));
        std::fs::write(&file, text).unwrap();
        let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, owner).unwrap();
        Fnua::new(file)
    }
}

fn forbidden(right: &str, on: &str) -> String {
    format!("403 FORBIDDEN {right} on {on} is not granted")
}

#[test]
fn who_has_no_right_hears_what_he_would_hear_if_there_were_nothing() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    house.root.ok(&format!("REPLICATE {A} {B} AS {P}"));
    let mut ana = house.user("ana");
    for (here, nowhere) in [
        ("READ a.flows.unix.ar", "READ z.flows.unix.ar"),
        ("DESCRIBE FLOW a.flows.unix.ar", "DESCRIBE FLOW z.flows.unix.ar"),
        ("DESCRIBE FLOW a.flows.unix.ar", "DESCRIBE FLOW a.nowhere.test"),
        ("UPDATE FLOW a.flows.unix.ar x=y", "UPDATE FLOW z.flows.unix.ar x=y"),
        ("DELETE FLOW a.flows.unix.ar", "DELETE FLOW z.flows.unix.ar"),
        ("PAUSE a.flows.unix.ar", "PAUSE z.flows.unix.ar"),
        ("DESCRIBE NAMESPACE flows.unix.ar", "DESCRIBE NAMESPACE nowhere.test"),
        ("GET FLOWS flows.unix.ar", "GET FLOWS nowhere.test"),
        ("CREATE FLOW a.flows.unix.ar", "CREATE FLOW a.nowhere.test"),
        ("DESCRIBE PROCESSOR p.flows.unix.ar", "DESCRIBE PROCESSOR z.flows.unix.ar"),
        ("GET LOG p.flows.unix.ar", "GET LOG z.flows.unix.ar"),
        ("UPDATE PROCESSOR p.flows.unix.ar no=such", "UPDATE PROCESSOR z.flows.unix.ar no=such"),
        ("REPLAY p.flows.unix.ar", "REPLAY z.flows.unix.ar"),
        ("REPLICATE a.flows.unix.ar b.flows.unix.ar", "REPLICATE z.flows.unix.ar b.flows.unix.ar"),
        ("COLLECT *.flows.unix.ar b.flows.unix.ar", "COLLECT *.flows.unix.ar z.flows.unix.ar"),
        ("GRANT read ON a.flows.unix.ar TO user:ana", "GRANT read ON z.flows.unix.ar TO user:ana"),
    ] {
        let unnamed = |line: String| {
            let names = ["a.flows.unix.ar", "z.flows.unix.ar", "a.nowhere.test", "p.flows.unix.ar"];
            let more = ["b.flows.unix.ar", "nowhere.test", "flows.unix.ar"];
            names.iter().chain(&more).fold(line, |line, name| line.replace(name, "NAME"))
        };
        let (there, absent) = (ana.refused(here), ana.refused(nowhere));
        assert!(there.starts_with("404 NOT_FOUND "), "{here}: {there}");
        assert_eq!(unnamed(there), unnamed(absent), "{here}");
        // And the same as the host says to who may know.
        if !nowhere.starts_with("GRANT") {
            let truth = house.root.refused(&nowhere.replace("no=such", "upgrade=auto"));
            assert_eq!(ana.refused(nowhere), truth, "{nowhere}");
        }
    }
    assert_eq!(ana.write(A, &events(0..1)), format!("404 NOT_FOUND flow {A}"));
    for list in ["GET FLOWS", "GET NAMESPACES", "GET PROCESSORS", "GET GRANTS"] {
        assert!(ana.data(list).is_empty(), "{list}");
    }
}

#[test]
fn rights_open_what_they_name_and_everything_below_it() {
    let mut house = house();
    let mut ana = house.user("ana");
    house.root.ok(&format!("GRANT read ON {NS} TO user:ana"));
    assert!(ana.read(A).is_empty());
    assert_eq!(ana.data("GET FLOWS"), [A]);
    assert_eq!(ana.write(A, &events(0..1)), forbidden("write", A));
    assert_eq!(ana.refused(&format!("DELETE FLOW {A}")), forbidden("administer", A));
    assert_eq!(ana.refused(&format!("CREATE FLOW {B}")), forbidden("administer", B));
    house.root.ok(&format!("GRANT write ON {A} TO everybody"));
    assert_eq!(ana.write(A, &events(0..1)), "220 OK 1 events");
    let mut bo = house.user("bo");
    assert_eq!(bo.write(A, &events(1..2)), "220 OK 1 events");
    assert_eq!(bo.refused(&format!("READ {A}")), forbidden("read", A));
    // Who administers a part of the names makes flows there, and hands rights on.
    house.root.ok(&format!("GRANT administer ON team.{NS} TO group:users"));
    bo.ok(&format!("CREATE FLOW x.team.{NS}"));
    bo.ok(&format!("GRANT read ON x.team.{NS} TO user:ana"));
    assert_eq!(bo.refused(&format!("GRANT read ON {A} TO user:bo")), forbidden("administer", A));
    assert_eq!(bo.refused("GRANT read ON * TO user:bo"), forbidden("administer", "*"));
    assert_eq!(bo.refused("CREATE NAMESPACE bo.test"), forbidden("administer", "*"));
    assert_eq!(
        bo.refused(&format!("CREATE FLOW y.team.{NS} topic=x")),
        forbidden("administer", "*")
    );
    assert!(house.root.describe(&format!("FLOW x.team.{NS}"))["owner"] == "user:bo");
}

#[test]
fn grants_are_listed_to_who_gave_them_and_to_whom_and_survive_a_restart() {
    let mut house = house();
    house.root.ok(&format!("GRANT read,write ON {A} TO user:ana"));
    house.root.ok(&format!("GRANT write,read ON {A} TO user:ana"));
    house.root.ok("GRANT subscribe ON * TO group:domains");
    house.root.ok("REVOKE administer ON * FROM user:nobody");
    let line =
        |right: &str| format!("right={right} object={A} scope=below subject=user:ana by=user:test");
    let all = "right=subscribe object=* scope=below subject=group:domains by=user:test".to_owned();
    assert_eq!(house.root.data("GET GRANTS"), [all, line("read"), line("write")]);
    assert_eq!(house.root.data(&format!("GET GRANTS ON {A} TO user:ana")).len(), 2);
    assert!(house.root.data("GET GRANTS TO user:bo").is_empty());
    assert_eq!(house.user("ana").data("GET GRANTS"), [line("read"), line("write")]);
    assert!(house.user("bo").data("GET GRANTS").is_empty());
    let object = house.root.json("GET GRANTS ON *").remove(0);
    assert_eq!((&object["right"], &object["by"]), (&"subscribe".into(), &"user:test".into()));
    assert_eq!(object["scope"], "below");
    assert!(object["at"].as_str().unwrap().ends_with('Z'), "{object}");
    let dir = house.host.kill();
    house.host = Fnaad::serve(&dir, house.config.save());
    let mut ana = house.user("ana");
    assert_eq!(ana.data("GET GRANTS").len(), 2);
    assert!(ana.read(A).is_empty());
}

#[test]
fn a_right_is_given_and_taken_however_the_name_is_spelt() {
    let mut house = house();
    house.root.ok(&format!("GRANT read ON {A} TO user:an\u{aa}"));
    assert!(house.user("ana").read(A).is_empty());
    assert_eq!(house.root.data("GET GRANTS TO user:\u{aa}na").len(), 1);
    house.root.ok(&format!("REVOKE read ON {A} FROM user:\u{aa}n\u{aa}"));
    assert_eq!(house.user("ana").refused(&format!("READ {A}")), format!("404 NOT_FOUND flow {A}"));
    for command in ["GRANT read ON * TO", "REVOKE read ON * FROM", "GET GRANTS TO"] {
        let refused = house.root.refused(&format!("{command} user:\u{ad}"));
        assert_eq!(refused, "400 BAD_FORMAT user:\u{ad} can be nobody");
    }
}

#[test]
fn the_user_agent_grants_and_revokes() {
    let house = house();
    let root = house.fnua("test");
    root.ok(&["grant", "read,write", A, "user:ana"]);
    root.ok(&["revoke", "write", A, "user:ana"]);
    let listed = root.ok(&["get", "grants", "--on", A]);
    assert_eq!(
        listed,
        format!("right=read object={A} scope=below subject=user:ana by=user:test\n")
    );
    assert_eq!(house.fnua("ana").ok(&["read", A]), "");
    let refused = house.fnua("ana").run(&["grant", "read", A, "user:bo"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("administer on a.flows.unix.ar is not granted"), "{refused:?}");
}

/// Begins to follow and waits for the first event.
fn follow(mut wire: Wire, flow: &str) -> Wire {
    wire.send(format!("READ {flow} FROM earliest FOLLOW\r\n").as_bytes());
    assert_eq!(wire.line(), "220 DATA");
    assert!(wire.line().contains("\"e0\""));
    wire
}

#[test]
fn a_revoked_right_ends_running_reads_and_refuses_the_next_write() {
    let mut house = house();
    house.root.write(A, &events(0..1));
    house.root.ok(&format!("GRANT read,write ON {A} TO user:ana"));
    house.root.ok(&format!("GRANT read ON {A} TO group:users"));
    house.root.ok(&format!("UPDATE FLOW {A} access=open"));
    let mut reader = follow(house.user("ana"), A);
    let mut writer = house.user("ana");
    // As long as one way is left, nothing ends.
    for change in [
        format!("REVOKE read,write ON {A} FROM user:ana"),
        format!("REVOKE read ON {A} FROM group:users"),
    ] {
        assert_eq!(writer.write(A, &events(1..2)).get(..4), Some("220 "), "{change}");
        house.root.ok(&change);
        assert!(reader.line().contains("\"e1\""));
        if change.contains("write") {
            assert_eq!(writer.write(A, &events(1..2)), forbidden("write", A));
            house.root.ok(&format!("GRANT write ON {A} TO user:ana"));
        }
    }
    house.root.ok(&format!("REVOKE write ON {A} FROM user:ana"));
    house.root.ok(&format!("UPDATE FLOW {A} access=closed"));
    assert_eq!(reader.line(), forbidden("read", A));
    reader.ok("NOOP");
    assert_eq!(reader.refused(&format!("READ {A}")), format!("404 NOT_FOUND flow {A}"));
}

#[test]
fn a_reader_who_is_slow_gets_whole_lines_and_then_hears_that_his_right_is_gone() {
    let mut house = house();
    // More than lies between two sockets that nobody empties.
    let large = |n: usize| event(n).replace("\"n\"", &format!("\"{}\"", "n".repeat(16 * 1024)));
    for batch in 0..40 {
        let batch: Vec<String> = (batch * 50..(batch + 1) * 50).map(large).collect();
        assert_eq!(house.root.write(A, &batch), "220 OK 50 events");
    }
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    let mut reader = follow(house.user("ana"), A);
    house.root.ok(&format!("REVOKE read ON {A} FROM user:ana"));
    let mut seen = 1;
    let last = loop {
        let line = reader.line();
        if !line.starts_with('{') {
            break line;
        }
        let event: serde_json::Value = serde_json::from_str(&line).expect("a whole line");
        assert_eq!(event["id"], format!("e{seen}"));
        seen += 1;
    };
    assert_eq!(last, forbidden("read", A));
    assert!(seen < 2000, "all was read before the right was revoked");
    reader.ok("NOOP");
}

#[test]
fn an_administrator_who_is_none_any_more_is_stopped_at_the_reload() {
    let mut house = house();
    house.root.write(A, &events(0..1));
    let mut reader = follow(house.user("test"), A);
    house.config.text = house.config.text.replace("[\"user:test\"]", "[\"user:bo\"]");
    house.config.save();
    house.host.signal(rustix::process::Signal::HUP);
    // He has made the flow: it stays his.
    let mut bo = house.user("bo");
    eventually("the new administrator", || match bo.ask("GET BROKERS").remove(0) {
        line if line == "220 DATA" => Ok(()),
        line => Err(line),
    });
    assert_eq!(house.root.refused("GET BROKERS"), forbidden("administer", "*"));
    bo.write(A, &events(1..2));
    assert!(reader.line().contains("\"e1\""), "it is his own flow");
    assert_eq!(house.root.refused(&format!("CREATE FLOW {B}")).get(..4), Some("404 "));
}

#[test]
fn an_open_flow_is_seen_and_read_by_everybody_and_written_by_nobody() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    house.root.ok(&format!("UPDATE FLOW {A} access=open"));
    house.root.write(A, &events(0..1));
    let mut ana = house.user("ana");
    assert_eq!(ana.read(A).len(), 1);
    assert_eq!(ana.data("GET FLOWS"), [A]);
    assert_eq!(ana.data(&format!("GET FLOWS {NS}")), [A]);
    assert_eq!(ana.describe(&format!("FLOW {A}"))["access"], "open");
    assert_eq!(ana.write(A, &events(1..2)), forbidden("write", A));
    assert_eq!(ana.refused(&format!("UPDATE FLOW {A} access=ask")), forbidden("administer", A));
    let wrong = house.root.refused(&format!("UPDATE FLOW {A} access=all"));
    assert_eq!(wrong, "400 BAD_FORMAT access is open, closed, ask or domains=NAME,…");
}

#[test]
fn a_processor_works_by_its_owners_rights_and_waits_while_he_has_none() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    let mut ana = house.user("ana");
    let make = format!("REPLICATE {A} {B} AS {P}");
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    assert_eq!(ana.refused(&make), format!("404 NOT_FOUND flow {B}"));
    house.root.ok(&format!("GRANT write ON {B} TO user:ana"));
    // A name of her own choice is hers only where she may make flows.
    assert_eq!(ana.refused(&make), format!("404 NOT_FOUND no namespace of this host holds {P}"));
    house.root.ok(&format!("GRANT administer ON {P} TO user:ana"));
    ana.ok(&make);
    assert_eq!(ana.describe(&format!("PROCESSOR {P}"))["owner"], "user:ana");
    house.root.write(A, &events(0..10));
    eventually_holds(&mut house.root, B, 10);
    for (lost, held) in [("read", A), ("write", B)] {
        house.root.ok(&format!("REVOKE {lost} ON {held} FROM user:ana"));
        let reason = format!("user:ana may not {lost} {held}");
        let held_now =
            |seen: &serde_json::Value| seen["state"] == "paused" && seen["reason"] == *reason;
        eventually_described(&mut house.root, P, "it is held", held_now);
        let before = house.root.read(B).len();
        house.root.write(A, &events(before..before + 10));
        // Its owner still has it, and sees why it does not go on.
        assert_eq!(ana.describe(&format!("PROCESSOR {P}"))["reason"], *reason);
        assert_eq!(house.root.read(B).len(), before);
        house.root.ok(&format!("GRANT {lost} ON {held} TO user:ana"));
        let copied = eventually_holds(&mut house.root, B, before + 10);
        let expected: Vec<String> = (0..before + 10).map(|n| format!("e{n}")).collect();
        assert_eq!(stories::ids(&copied), expected, "once each, in order");
    }
}

#[test]
fn a_processor_is_still_held_after_a_restart() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    house.root.ok(&format!("GRANT write ON {B} TO user:ana"));
    house.root.ok(&format!("GRANT administer ON {P} TO user:ana"));
    house.user("ana").ok(&format!("REPLICATE {A} {B} AS {P}"));
    house.root.ok(&format!("REVOKE read ON {A} FROM user:ana"));
    house.root.write(A, &events(0..5));
    let dir = house.host.kill();
    house.host = Fnaad::serve(&dir, house.config.save());
    house.root = house.user("test");
    eventually_described(&mut house.root, P, "it is held", |seen| seen["state"] == "paused");
    assert!(house.root.read(B).is_empty());
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    eventually_holds(&mut house.root, B, 5);
}

#[test]
fn who_reads_in_a_namespace_sees_of_its_processors_no_more_than_that_they_are_there() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    house.root.ok("CREATE NAMESPACE secret.test");
    house.root.ok("CREATE FLOW x.secret.test");
    let config = r#"{"filter":"true || 'secret' == ''"}"#;
    house.root.ok(&format!("COLLECT x.secret.test,{A} {B} AS {P}"));
    house.root.ok(&format!("REPLICATE {A} x.secret.test AS q.{NS} CONFIG {config}"));
    house.root.ok(&format!("GRANT read ON {NS} TO user:ana"));
    let mut ana = house.user("ana");
    let seen = ana.describe(&format!("PROCESSOR {P}"));
    assert_eq!((&seen["from"], &seen["to"]), (&serde_json::json!([A]), &serde_json::json!([B])));
    for of in [P, "q.flows.unix.ar"] {
        let seen = ana.describe(&format!("PROCESSOR {of}")).to_string();
        assert!(!seen.contains("secret") && !seen.contains("\"log\""), "{seen}");
    }
    assert_eq!(ana.data("GET PROCESSORS"), [P, "q.flows.unix.ar"]);
    assert_eq!(ana.refused(&format!("GET LOG {P}")), forbidden("administer", P));
    let mine = house.root.describe(&format!("PROCESSOR q.{NS}"));
    assert_eq!(mine["config"], config);
}

#[test]
fn a_pattern_takes_in_what_its_owner_may_read_now_and_later() {
    let mut house = house();
    house.root.ok(&format!("GRANT administer ON team.{NS} TO user:ana"));
    house.root.ok(&format!("CREATE FLOW x-1.{NS}"));
    house.root.ok(&format!("CREATE FLOW x-2.{NS}"));
    house.root.ok(&format!("GRANT read ON x-1.{NS} TO user:ana"));
    let mut ana = house.user("ana");
    ana.ok(&format!("CREATE FLOW all.team.{NS}"));
    ana.ok(&format!("COLLECT x-*.{NS} all.team.{NS} AS m.team.{NS}"));
    let taken = |wire: &mut Wire| wire.describe(&format!("PROCESSOR m.team.{NS}"))["flows"].clone();
    assert_eq!(taken(&mut ana), serde_json::json!([format!("x-1.{NS}")]));
    house.root.write(&format!("x-2.{NS}"), &events(0..1));
    house.root.write(&format!("x-1.{NS}"), &events(1..2));
    eventually_holds(&mut ana, &format!("all.team.{NS}"), 1);
    house.root.ok(&format!("GRANT read ON x-2.{NS} TO user:ana"));
    assert_eq!(taken(&mut ana).as_array().unwrap().len(), 2);
    eventually_holds(&mut ana, &format!("all.team.{NS}"), 2);
    // Each gets a flow of its own: only where he may make flows.
    let refused = ana.refused(&format!("REPLICATE x-*.{NS} y-*.{NS}"));
    assert!(refused.starts_with("404 NOT_FOUND "), "{refused}");
}

/// Settings of a filter that does not end where it is asked about `e0`.
fn loses_e0() -> String {
    let list = format!("[{}]", vec!["0"; 60].join(","));
    let forever = (0..7).fold("true".to_owned(), |inner, x| format!("{list}.all(x{x}, {inner})"));
    let config = serde_json::json!({ "filter": format!("id != 'e0' || {forever}") });
    format!("limit.call_ms=40 CONFIG {config}")
}

fn taken(dead: &str) -> String {
    format!(
        "{dead}, where its dead letters would go, is somebody else's: have that deleted, or make the processor under another name (AS)"
    )
}

/// Waits for the flow and the first letter in it.
fn eventually_a_letter(wire: &mut Wire, dead: &str) {
    eventually("a dead letter", || match wire.ask(&format!("READ {dead} FROM earliest")) {
        answer if answer.len() == 3 => Ok(()),
        answer => Err(answer.join(" ")),
    });
}

/// A host where `ana` and `bo` write to `b`, only `ana` reads `a`, and `bo` has left the flow where the dead
/// letters of `p` would go.
fn house_with_a_left_flow() -> (House, String) {
    let mut house = house();
    let dead = format!("p.dead.{NS}");
    house.root.ok(&format!("CREATE FLOW {B}"));
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    house.root.ok(&format!("GRANT write ON {B} TO group:users"));
    house.root.ok(&format!("GRANT administer ON {P} TO user:ana"));
    house.root.ok(&format!("GRANT administer ON {dead} TO user:bo"));
    let mut bo = house.user("bo");
    bo.ok(&format!("CREATE FLOW {dead}"));
    // What he gives her makes it no more hers.
    bo.ok(&format!("GRANT administer ON {dead} TO user:ana"));
    (house, dead)
}

#[test]
fn dead_letters_go_into_no_flow_of_who_could_not_have_had_the_events() {
    let (mut house, dead) = house_with_a_left_flow();
    let mut ana = house.user("ana");
    let make = format!("REPLICATE {A} {B} AS {P} {}", loses_e0());
    assert_eq!(ana.refused(&make), format!("409 CONFLICT {}", taken(&dead)));
    // Without letters it needs no place for them.
    ana.ok(&make.replace("limit", "dead-letters=off limit"));
    ana.ok(&format!("UPDATE PROCESSOR {P} dead-letters=auto"));
    let held =
        |seen: &serde_json::Value| seen["state"] == "paused" && seen["reason"] == *taken(&dead);
    eventually_described(&mut ana, P, "it is held", held);
    // Nothing that lies there is one of its letters.
    assert_eq!(ana.refused(&format!("REPLAY {P}")), format!("409 CONFLICT {}", taken(&dead)));
    house.root.write(A, &events(0..2));
    assert!(house.root.read(&dead).is_empty());
    // Who could read the events anyway may have them there, too.
    house.root.ok(&format!("GRANT read ON {A} TO user:bo"));
    eventually_holds(&mut house.root, B, 1);
    eventually_holds(&mut house.root, &dead, 1);
    house.root.ok(&format!("REVOKE read ON {A} FROM user:bo"));
    eventually_described(&mut ana, P, "it is held again", held);
    // In the way of somebody else's processor it can be deleted, and then the letters get a flow of their own.
    house.user("bo").ok(&format!("DELETE FLOW {dead}"));
    house.root.write(A, &events(0..1));
    eventually_a_letter(&mut ana, &dead);
    assert_eq!(ana.describe(&format!("FLOW {dead}"))["owner"], "user:ana");
}

#[test]
fn a_flow_that_comes_into_the_place_of_dead_letters_gets_none() {
    let (mut house, dead) = house_with_a_left_flow();
    let (mut ana, mut bo) = (house.user("ana"), house.user("bo"));
    bo.ok(&format!("DELETE FLOW {dead}"));
    ana.ok(&format!("REPLICATE {A} {B} AS {P} {}", loses_e0()));
    house.root.ok(&format!("GRANT administer ON {dead} TO user:bo"));
    bo.ok(&format!("CREATE FLOW {dead}"));
    house.root.write(A, &events(0..2));
    let failed = |seen: &serde_json::Value| seen["reason"].as_str() == Some(&taken(&dead));
    eventually_described(&mut ana, P, "it keeps its place", failed);
    assert!(house.root.read(&dead).is_empty());
    // A processor of that name stands in the way as well.
    bo.ok(&format!("DELETE FLOW {dead}"));
    eventually_a_letter(&mut ana, &dead);
    ana.ok(&format!("DELETE PROCESSOR {P}"));
    house.root.ok(&format!("DELETE FLOW {dead}"));
    house.root.ok(&format!("REPLICATE {A} {B} AS {dead}"));
    house.root.ok(&format!("GRANT administer ON {P} TO user:ana"));
    let refused = ana.refused(&format!("REPLICATE {A} {B} AS {P}"));
    assert_eq!(refused, format!("409 CONFLICT {}", taken(&dead)));
}

#[test]
fn dead_letters_are_for_who_has_the_processor() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    house.root.ok(&format!("GRANT read,write ON {B} TO user:ana"));
    house.root.ok(&format!("GRANT administer ON {P} TO user:ana"));
    let mut ana = house.user("ana");
    ana.ok(&format!("REPLICATE {A} {B} AS {P} {}", loses_e0()));
    house.root.write(A, &events(0..1));
    let dead = "p.dead.flows.unix.ar";
    let letters =
        eventually("a dead letter", || match ana.ask(&format!("READ {dead} FROM earliest")) {
            answer if answer.len() > 2 => Ok(answer),
            answer => {
                Err(format!("{answer:?}; {:?}", house.root.describe(&format!("PROCESSOR {P}"))))
            }
        });
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert_eq!(ana.describe(&format!("FLOW {dead}"))["owner"], "user:ana");
    house.root.ok(&format!("GRANT read ON {A} TO user:bo"));
    assert_eq!(
        house.user("bo").refused(&format!("READ {dead}")),
        format!("404 NOT_FOUND flow {dead}")
    );
    ana.ok(&format!("DISCARD {P}"));
}

#[test]
fn who_has_one_name_takes_nothing_below_it() {
    let mut house = house();
    house.root.ok(&format!("CREATE FLOW {B}"));
    for (right, on) in [("read", A), ("write", B), ("administer", "f.flows.unix.ar")] {
        house.root.ok(&format!("GRANT {right} ON {on} TO user:ana"));
    }
    house.root.ok("CREATE FLOW salaries.payroll.flows.unix.ar");
    let mut ana = house.user("ana");
    // A processor's name is as good as a flow's: not hers, taken or not, in the namespace of an output or not.
    house.root.ok("CREATE FLOW taken.flows.unix.ar");
    for name in ["payroll.flows.unix.ar", "taken.flows.unix.ar", "p.nowhere.test"] {
        let absent = format!("404 NOT_FOUND no namespace of this host holds {name}");
        assert_eq!(ana.refused(&format!("REPLICATE {A} {B} AS {name}")), absent);
        assert_eq!(ana.refused(&format!("COLLECT *.flows.unix.ar {B} AS {name}")), absent);
        let create = format!("CREATE PROCESSOR {name} TYPE bridge FROM {A} TO {B}");
        assert_eq!(ana.refused(&create), absent);
    }
    // The derived one is hers, also where it is said.
    let derived = ana.ok(&format!("REPLICATE {A} {B}"));
    ana.ok(&format!("DELETE PROCESSOR {derived}"));
    ana.ok(&format!("REPLICATE {A} {B} AS {derived}"));
    // What is hers alone is given on alone, by her and by whom she gave it to.
    let below = format!("x.{derived}");
    house.root.ok(&format!("CREATE FLOW {below}"));
    ana.ok(&format!("GRANT administer,read ON {derived} TO user:ana"));
    ana.ok(&format!("GRANT administer ON {derived} TO user:bo"));
    let mut bo = house.user("bo");
    bo.ok(&format!("GRANT administer ON {derived} TO everybody"));
    for who in [&mut ana, &mut bo] {
        assert_eq!(who.refused(&format!("READ {below}")), format!("404 NOT_FOUND flow {below}"));
        assert_eq!(
            who.refused(&format!("GRANT read ON {below} TO everybody")).get(..4),
            Some("404 ")
        );
    }
    assert_eq!(
        bo.data("GET GRANTS TO user:bo"),
        [format!("right=administer object={derived} scope=name subject=user:bo by=user:ana")]
    );
    // Who may give more widens it, and who may not cannot take that away.
    house.root.ok(&format!("GRANT administer ON {derived} TO user:bo"));
    assert_eq!(bo.json("GET GRANTS TO user:bo")[0]["scope"], "below");
    assert!(bo.read(&below).is_empty());
    let names_below = format!("the names below {derived}");
    assert_eq!(
        ana.refused(&format!("REVOKE administer ON {derived} FROM user:bo")),
        forbidden("administer", &names_below)
    );
    ana.ok(&format!("REVOKE read ON {derived} FROM user:ana"));
}

#[test]
fn a_grant_outlives_no_flow_of_its_name() {
    let mut house = house();
    house.root.ok(&format!("GRANT read ON {A} TO user:ana"));
    house.root.ok(&format!("DELETE FLOW {A}"));
    house.root.ok(&format!("CREATE FLOW {A}"));
    assert!(house.root.data("GET GRANTS").is_empty());
    assert_eq!(house.user("ana").refused(&format!("READ {A}")), format!("404 NOT_FOUND flow {A}"));
}

#[test]
fn a_grant_outlives_no_namespace_that_held_its_name() {
    let mut house = house();
    house.root.ok("CREATE NAMESPACE team.test");
    house.root.ok("GRANT administer ON sub.team.test TO user:ana");
    house.root.ok("DELETE NAMESPACE team.test");
    house.root.ok("CREATE NAMESPACE team.test");
    assert!(house.root.data("GET GRANTS").is_empty());
    assert_eq!(house.user("ana").refused("CREATE FLOW x.sub.team.test").get(..4), Some("404 "));
}

#[test]
fn check_warns_where_nobody_is_an_administrator() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text = config.text.replace("administrators = [\"user:test\"]\n", "");
    let check = |path: &std::path::Path| {
        let mut command = std::process::Command::new(stories::program("fnaad"));
        let output = command.args(["check", "--config"]).arg(path).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let said = check(config.save());
    assert!(said.contains("nobody is an administrator"), "{said}");
    // A host like that runs, and nobody may do anything.
    let host = Fnaad::serve(dir.path(), config.save());
    let mut test = host.login_as("test", "test");
    assert!(test.data("GET FLOWS").is_empty());
    assert_eq!(test.refused("CREATE NAMESPACE a.test"), forbidden("administer", "*"));
    assert!(host.log().contains("nobody is an administrator"), "{}", host.log());
}

/// What a read still holds back is a second at most; what is waited for here is generous, as everywhere.
#[test]
fn a_hundred_reads_end_together_when_their_right_does() {
    let mut house = house();
    house.root.write(A, &events(0..1));
    house.root.ok(&format!("GRANT read ON {NS} TO user:ana"));
    let mut readers: Vec<Wire> = (0..100).map(|_| follow(house.user("ana"), A)).collect();
    let begun = std::time::Instant::now();
    house.root.ok(&format!("REVOKE read ON {NS} FROM user:ana"));
    for reader in &mut readers {
        assert_eq!(reader.line(), forbidden("read", A));
    }
    eprintln!("100 reads ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(60));
}
