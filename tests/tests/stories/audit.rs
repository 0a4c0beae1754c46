//! The audit log: every change with who made it, in a file and in a flow, once each, whatever dies.

use std::path::Path;

use serde_json::Value;
use stories::{Config, Dice, Fnaad, Wire, events, eventually};
use tempfile::TempDir;

const LOG: &str = "audit.flows.unix.ar";

fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.text += &format!("\n[audit]\nflow = \"{LOG}\"\n");
    config.save();
    config
}

fn host(dir: &TempDir) -> Fnaad {
    Fnaad::serve(dir.path(), &dir.path().join("fnaad.toml"))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// What the flow says once it says as much as the file.
fn both(wire: &mut Wire, path: &Path, last: &str) -> Vec<Value> {
    eventually(&format!("{last} in both"), || {
        let file = lines(path);
        let flow: Vec<Value> = wire.read(LOG).iter().map(|event| event["data"].clone()).collect();
        let there = file.last().is_some_and(|line| line["command"] == last);
        if there && flow == file { Ok(file) } else { Err(format!("{file:?}\n{flow:?}")) }
    })
}

#[test]
fn each_change_says_who_made_it_when_and_from_where_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let host = host(&dir);
    let mut wire = host.login_as("test", "test");
    for command in [
        "CREATE FLOW a.flows.unix.ar partitions=2",
        "CREATE FLOW b.flows.unix.ar",
        r#"REPLICATE a.flows.unix.ar b.flows.unix.ar AS p.flows.unix.ar CONFIG {"password":"s3cret"}"#,
        "GRANT read,write ON a.flows.unix.ar TO user:ana",
        "GRANT read ON a.flows.unix.ar TO user:ana",
        "REVOKE read,subscribe ON a.flows.unix.ar FROM user:ana",
        "PAUSE p.flows.unix.ar",
        "DELETE PROCESSOR p.flows.unix.ar",
    ] {
        // The bridge knows no such setting: then there is nothing to pause or delete either.
        drop(wire.ask(command));
    }
    assert!(wire.refused("DELETE FLOW nowhere.flows.unix.ar").starts_with("404 "));
    wire.ok("DELETE FLOW b.flows.unix.ar");
    let path = dir.path().join("data/audit.log");
    let log = both(&mut wire, &path, "DELETE FLOW b.flows.unix.ar");
    let of = |what: &str, change: &str| {
        let found = log.iter().filter(|line| line["what"] == what && line["change"] == change);
        let found: Vec<&Value> = found.collect();
        assert_eq!(found.len(), 1, "{what} {change}: {log:?}");
        found[0]
    };
    // The first start makes the flow, which is nothing to complain of.
    assert!(!host.log().contains("the audit log waits"), "{}", host.log());
    let made = of("a.flows.unix.ar", "creation");
    assert_eq!((&made["who"], &made["from"]), (&"user:test".into(), &"127.0.0.1".into()));
    assert_eq!(made["command"], "CREATE FLOW a.flows.unix.ar partitions=2");
    assert!(made["time"].as_str().unwrap().ends_with('Z'), "{made}");
    assert_eq!(of("flows.unix.ar", "creation")["who"], "host");
    assert_eq!(of("b.flows.unix.ar", "deletion")["who"], "user:test");
    // What was granted already is granted once.
    let granted = "GRANT read,write ON a.flows.unix.ar TO user:ana";
    assert_eq!(of("a.flows.unix.ar", "grant")["command"], granted);
    of("a.flows.unix.ar", "revocation");
    assert!(!log.iter().any(|line| line["what"] == "nowhere.flows.unix.ar"), "{log:?}");
    assert!(!std::fs::read_to_string(&path).unwrap().contains("s3cret"));
    let event = &wire.read(LOG)[0];
    assert_eq!((&event["source"], &event["id"]), (&format!("flow://{LOG}").into(), &"1".into()));
    assert!(event["type"].as_str().unwrap().starts_with("ar.unix.fnaa.audit."), "{event}");
    assert!(wire.refused(&format!("DELETE FLOW {LOG}")).starts_with("409 "));
}

#[test]
fn whoever_administers_the_namespace_can_neither_forge_nor_empty_nor_give_away_the_flow() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path()).with_users(&["ana"]);
    config.text += &format!("\n[audit]\nflow = \"{LOG}\"\n");
    config.save();
    let host = host(&dir);
    let mut root = host.login_as("test", "test");
    root.ok("GRANT administer ON flows.unix.ar TO user:ana");
    let mut ana = host.login_as("ana", "test");
    ana.ok("CREATE FLOW a.flows.unix.ar");
    both(&mut root, &dir.path().join("data/audit.log"), "CREATE FLOW a.flows.unix.ar");
    for command in [
        format!("READ {LOG} FROM earliest"),
        format!("UPDATE FLOW {LOG} protected=false access=open"),
        format!("PURGE FLOW {LOG} CONFIRM {LOG}"),
        format!("DELETE FLOW {LOG}"),
        format!("GRANT write ON {LOG} TO user:ana"),
        format!("CREATE FLOW b.{LOG}"),
        format!("REPLICATE a.flows.unix.ar {LOG}"),
    ] {
        let refused = ana.refused(&command);
        assert!(refused.starts_with("404 "), "{command}: {refused}");
    }
    assert!(ana.write(LOG, &events(0..1)).starts_with("404 "));
    root.ok(&format!("GRANT read ON {LOG} TO user:ana"));
    assert!(!ana.read(LOG).is_empty());
    assert!(ana.write(LOG, &events(0..1)).starts_with("403 "));
}

#[test]
fn a_flow_that_somebody_has_made_is_not_taken_for_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.save();
    let first = host(&dir);
    first.login_as("test", "test").ok(&format!("CREATE FLOW {LOG}"));
    drop(first.kill());
    config.text += &format!("\n[audit]\nflow = \"{LOG}\"\n");
    config.save();
    let host = host(&dir);
    eventually("the log says so", || {
        let log = host.log();
        let said = log.contains("it was made by user:test, who can change it");
        if said { Ok(()) } else { Err(log) }
    });
    let mut wire = host.login_as("test", "test");
    assert!(wire.read(LOG).is_empty());
    wire.ok(&format!("DELETE FLOW {LOG}"));
    eventually("a flow of the host's own", || {
        let answer = wire.ask(&format!("READ {LOG} FROM earliest"));
        let goes_on = answer.iter().any(|line| line.contains(&format!("\"DELETE FLOW {LOG}\"")));
        if goes_on { Ok(()) } else { Err(answer.join("\n")) }
    });
}

#[test]
fn who_administers_and_what_quotas_there_are_is_written_down_also_when_it_changed_while_nobody_ran()
{
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let path = dir.path().join("data/audit.log");
    let noted = |count: usize| {
        eventually("changes of the configuration", || {
            let all = lines(&path).into_iter().filter(|line| line["from"] == "configuration");
            let all: Vec<String> = all
                .map(|line| {
                    let words =
                        ["what", "change", "command"].map(|key| line[key].as_str().unwrap());
                    assert_eq!(line["who"], "host");
                    words.join(" ")
                })
                .collect();
            if all.len() == count { Ok(all) } else { Err(format!("{all:?}")) }
        })
    };
    let first = self::host(&dir);
    assert_eq!(noted(1), ["administrators addition user:test"]);
    drop(first.kill());
    config.text = config.text.replace("[\"user:test\"]", "[\"user:test\", \"group:ops\"]");
    config.text += "\n[[quotas]]\nfor = \"everybody\"\nflows = 2\nconnections = 9\n";
    config.save();
    let host = host(&dir);
    let last =
        ["administrators addition group:ops", "quotas addition everybody connections=9 flows=2"];
    assert_eq!(noted(3)[1..], last);
    config.text = config.text.replace("flows = 2", "flows = 3").replace(", \"group:ops\"", "");
    config.save();
    host.signal(rustix::process::Signal::HUP);
    let last =
        ["administrators removal group:ops", "quotas change everybody connections=9 flows=3"];
    assert_eq!(noted(5)[3..], last);
    drop(host.kill());
    let _again = self::host(&dir);
    noted(5);
}

#[test]
fn killed_at_random_the_file_and_the_flow_have_every_change_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let path = dir.path().join("data/audit.log");
    let mut dice = Dice::of("AUDIT_SEED");
    let mut made = 0;
    for _ in 0..8 {
        let host = host(&dir);
        let writing = std::thread::spawn({
            let (address, first) = (host.address().to_owned(), made);
            move || {
                let Some(mut wire) = Wire::try_login(&address, "test", "test") else { return 0 };
                let make = |n: usize| format!("CREATE FLOW f{n}.flows.unix.ar");
                let mut count = 0;
                while let Some(answer) = wire.try_ask::<&str>(&make(first + count), &[]) {
                    // Made by a life that could not say so any more.
                    assert!(
                        answer[0].starts_with("220 ") || answer[0].starts_with("409 "),
                        "{answer:?}"
                    );
                    count += 1;
                }
                count
            }
        });
        dice.wait(100, 900);
        drop(host.kill());
        made += writing.join().unwrap();
    }
    let host = host(&dir);
    let mut wire = host.login_as("test", "test");
    wire.ok("CREATE FLOW last.flows.unix.ar");
    let log = both(&mut wire, &path, "CREATE FLOW last.flows.unix.ar");
    let numbers: Vec<u64> = log.iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
    for n in 0..made {
        let name = format!("f{n}.flows.unix.ar");
        let found = log.iter().filter(|line| line["what"] == *name && line["change"] == "creation");
        assert_eq!(found.count(), 1, "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_written_holds_nobody_up_and_gets_everything_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let path = dir.path().join("kept/audit.log");
    config.text = config.text.replace("[audit]", "[audit]\nfile = \"kept/audit.log\"");
    config.save();
    let host = host(&dir);
    let mut wire = host.login_as("test", "test");
    wire.ok("CREATE FLOW a.flows.unix.ar");
    eventually("the log says so", || {
        let log = host.log();
        if log.contains("the audit log waits") { Ok(()) } else { Err(log) }
    });
    std::fs::create_dir(dir.path().join("kept")).unwrap();
    both(&mut wire, &path, "CREATE FLOW a.flows.unix.ar");
}
