//! How much of a host one principal may use.

use stories::{Config, Fnaad, Wire, events};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";

/// A host with quotas, `test` who administers it, and `ana` and `bo` who may do everything in a namespace.
fn house(quotas: &str) -> (Wire, Fnaad, Config, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path()).with_users(&["ana", "bo"]);
    config.text += quotas;
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    root.ok("GRANT administer ON flows.unix.ar TO group:users");
    root.ok(&format!("CREATE FLOW {A}"));
    (root, host, config, dir)
}

fn quota(whose: &str, limits: &str) -> String {
    format!("\n[[quotas]]\nfor = \"{whose}\"\n{limits}\n")
}

fn is_limited(answer: &str, what: &str) {
    assert!(answer.starts_with("429 RATE_LIMIT retry-after="), "{answer}");
    assert!(answer.contains(what), "{answer}");
}

#[test]
fn one_connection_too_many_is_refused_when_it_authenticates() {
    let (_root, host, _config, _dir) = house(&quota("user:ana", "connections = 2"));
    let first = host.login_as("ana", "test");
    let mut second = host.login_as("ana", "test");
    let mut third = host.connect();
    let token = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "\0ana\0test");
    is_limited(
        &third.refused(&format!("AUTHENTICATE PLAIN {token}")),
        "at most 2 connections for user:ana",
    );
    host.login_as("bo", "test").ok("NOOP");
    second.ok("NOOP");
    drop(first);
    // Another one gets in when there is room.
    stories::eventually("room for a connection", || {
        Wire::try_login(host.address(), "ana", "test").map(drop).ok_or_else(|| "none".to_owned())
    });
    // The connection goes on.
    third.ok("NOOP");
}

#[test]
fn commands_over_the_rate_are_refused_and_other_principals_go_on() {
    // Slow enough that a machine under load does not earn the next one meanwhile.
    let (_root, host, _config, _dir) = house(&quota("user:ana", "commands_per_second = 3"));
    let mut ana = host.login_as("ana", "test");
    ana.send("GET FLOWS\r\n".repeat(40).as_bytes());
    let answers: Vec<Vec<String>> = (0..40).map(|_| ana.answer()).collect();
    let served = answers.iter().filter(|answer| answer[0] == "220 DATA").count();
    let limited = answers.iter().filter(|answer| answer[0].starts_with("429 ")).count();
    assert_eq!(served + limited, 40, "{answers:?}");
    assert!(served >= 3 && limited > 0, "{served} served");
    is_limited(
        &answers.iter().find(|one| one[0].starts_with("429")).unwrap()[0],
        "3 commands a second",
    );
    ana.ok("NOOP");
    let mut bo = host.login_as("bo", "test");
    for _ in 0..20 {
        bo.data("GET FLOWS");
    }
}

#[test]
fn a_write_over_the_rate_is_refused_whole_and_told_when_to_come_again() {
    let (mut root, host, _config, _dir) = house(&quota("group:users", "events_per_second = 1"));
    let mut ana = host.login_as("ana", "test");
    // More than a second's worth goes through once, and is paid for.
    assert_eq!(ana.write(A, &events(0..500)), "220 OK 500 events");
    let refused = ana.write(A, &events(500..501));
    is_limited(&refused, "1 events a second for user:ana");
    let wait = refused.split("retry-after=").nth(1).unwrap().split(' ').next().unwrap();
    assert!((300..=500).contains(&wait.parse::<u32>().unwrap()), "{refused}");
    is_limited(&host.login_as("ana", "test").write(A, &events(500..501)), "events a second");
    // It is hers alone.
    assert_eq!(host.login_as("bo", "test").write(A, &events(500..501)), "220 OK 1 events");
    drop(root.ask("NOOP"));
}

#[test]
fn reading_is_slowed_down_and_loses_nothing() {
    let (mut root, host, _config, _dir) = house(&quota("user:ana", "events_per_second = 100"));
    root.write(A, &events(0..300));
    let mut ana = host.login_as("ana", "test");
    let begun = std::time::Instant::now();
    let seen = ana.read(A);
    // A second's worth at once, the rest in time: never sooner.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(1_000), "{:?}", begun.elapsed());
    let expected: Vec<String> = (0..300).map(|n| format!("e{n}")).collect();
    assert_eq!(stories::ids(&seen), expected);
    // Whoever reads again and again, also from elsewhere, is not read to faster.
    let begun = std::time::Instant::now();
    for n in 0..4 {
        let mut again = host.login_as("ana", "test");
        let answer = again.ask(&format!("READ {A} FROM OFFSET 0:{} LIMIT 100", n * 50));
        assert_eq!(answer.len(), 102, "{answer:?}");
    }
    assert!(begun.elapsed() >= std::time::Duration::from_millis(2_500), "{:?}", begun.elapsed());
    // DONE is heard while it waits.
    ana.send(format!("READ {A} FROM earliest FOLLOW\r\nDONE\r\n").as_bytes());
    assert_eq!(ana.answer().last().unwrap(), "220 OK");
}

#[test]
fn flows_and_processors_count_what_somebody_has_made_and_deletion_makes_room() {
    let (mut root, host, _config, _dir) = house(&quota("everybody", "flows = 2\nprocessors = 1"));
    let mut ana = host.login_as("ana", "test");
    ana.ok("CREATE FLOW x.flows.unix.ar");
    ana.ok("CREATE FLOW y.flows.unix.ar");
    is_limited(&ana.refused("CREATE FLOW z.flows.unix.ar"), "user:ana has 2 flows");
    ana.ok("DELETE FLOW y.flows.unix.ar");
    ana.ok("CREATE FLOW z.flows.unix.ar");
    ana.ok("REPLICATE x.flows.unix.ar z.flows.unix.ar AS p.flows.unix.ar");
    is_limited(
        &ana.refused(&format!("REPLICATE {A} z.flows.unix.ar")),
        "user:ana has 1 processors",
    );
    // What others have made does not count.
    root.ok("CREATE FLOW w.flows.unix.ar");
    ana.ok("DELETE PROCESSOR p.flows.unix.ar");
    ana.ok(&format!("REPLICATE {A} z.flows.unix.ar"));
}

#[test]
fn other_quotas_count_for_who_is_connected_when_the_configuration_is_read_again() {
    let (_root, host, mut config, _dir) = house("");
    let mut ana = host.login_as("ana", "test");
    config.text += &quota("user:ana", "flows = 0");
    config.save();
    host.signal(rustix::process::Signal::HUP);
    let mut number = 0;
    stories::eventually("the quota", || {
        number += 1;
        match ana.ask(&format!("CREATE FLOW n{number}.flows.unix.ar")).remove(0) {
            line if line.starts_with("429 ") => Ok(()),
            line => Err(line),
        }
    });
}
