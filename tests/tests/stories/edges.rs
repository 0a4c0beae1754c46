//! Where things meet that should not: purges under readers, deletions under followers, large events.

use serde_json::json;
use stories::{
    A, B, Fnaad, Hosted, P, by_partition, event, events, eventually_described, eventually_holds,
    host_with, ids, unplaced,
};

/// Flows `a` and `b`, of one partition.
fn host() -> Hosted {
    host_with(&[A, B], 1)
}

#[test]
fn a_gap_stops_a_processor_with_its_reason_and_nothing_jumps_by_itself() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..5));
    eventually_holds(&mut wire, B, 5);
    wire.ok(&format!("PAUSE {P}"));
    wire.write(A, &events(5..10));
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    wire.write(A, &events(10..12));
    wire.ok(&format!("RESUME {P}"));
    let seen = eventually_described(&mut wire, P, "its failure", |seen| seen["state"] == "failed");
    assert!(seen["reason"].as_str().unwrap().contains("gap"), "{seen}");
    assert_eq!(wire.read(B).len(), 5);
    wire.ok(&format!("PAUSE {P}"));
    wire.ok(&format!("UPDATE PROCESSOR {P} POSITION earliest"));
    wire.ok(&format!("RESUME {P}"));
    assert_eq!(ids(&eventually_holds(&mut wire, B, 7))[5..], ["e10", "e11"]);
}

#[test]
fn a_purge_behind_a_processor_does_not_disturb_it() {
    let (mut wire, host, dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    wire.write(A, &events(0..5));
    eventually_holds(&mut wire, B, 5);
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    wire.write(A, &events(5..10));
    eventually_holds(&mut wire, B, 10);
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    assert!(host.end().success());
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.write(A, &events(10..12));
    eventually_holds(&mut wire, B, 12);
}

#[test]
fn who_follows_a_flow_that_is_deleted_is_told_so() {
    let (mut wire, host, _dir) = host();
    let mut follower = host.login();
    follower.send(format!("READ {A} FOLLOW\r\n").as_bytes());
    assert_eq!(follower.line(), "220 DATA");
    wire.write(A, &events(0..1));
    assert!(follower.line().contains("\"id\":\"e0\""));
    wire.ok(&format!("DELETE FLOW {A}"));
    let end = follower.line();
    assert!(end.starts_with("404 NOT_FOUND "), "{end}");
    follower.ok("NOOP");
}

#[test]
fn a_follower_of_a_purged_flow_gets_what_comes_after() {
    let (mut wire, host, _dir) = host();
    let mut follower = host.login();
    follower.send(format!("READ {A} FOLLOW\r\n").as_bytes());
    assert_eq!(follower.line(), "220 DATA");
    wire.write(A, &events(0..1));
    assert!(follower.line().contains("\"id\":\"e0\""));
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    wire.write(A, &events(1..2));
    assert!(follower.line().contains("\"id\":\"e1\""));
}

#[test]
fn the_largest_event_travels_through_a_processor() {
    let (mut wire, _host, _dir) = host();
    wire.ok(&format!("REPLICATE {A} {B} CONFIG {}", json!({"filter": "data.size() > 10"})));
    let large = |n: usize| {
        json!({"specversion": "1.0", "id": n.to_string(), "source": "/s", "type": "t",
            "datacontenttype": "application/json", "data": format!("{n}{}", "x".repeat(1_048_000))})
    };
    for n in 0..8 {
        assert_eq!(wire.write(A, &[large(n).to_string()]), "220 OK 1 events");
    }
    let copied = eventually_holds(&mut wire, B, 8);
    for (n, event) in copied.iter().enumerate() {
        assert!(unplaced(event) == large(n), "event {n} has changed");
    }
}

#[test]
fn many_writers_at_once_lose_nothing_and_mix_nothing_up() {
    let (mut wire, host, _dir) = host();
    wire.ok(&format!("UPDATE FLOW {A} partitions=3"));
    wire.ok(&format!("UPDATE FLOW {B} partitions=3"));
    wire.ok(&format!("REPLICATE {A} {B}"));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let mut wire = host.login();
            scope.spawn(move || {
                for from in (0..200).step_by(20) {
                    let numbers = from..from + 20;
                    let lines: Vec<String> = numbers
                        .map(|n| event(n).replace("\"e", &format!("\"w{writer}-")))
                        .collect();
                    assert_eq!(wire.write(A, &lines), "220 OK 20 events");
                }
            });
        }
    });
    let copied = eventually_holds(&mut wire, B, 1600);
    assert_eq!(by_partition(&copied), by_partition(&wire.read(A)));
    for writer in 0..8 {
        let own: Vec<u64> = copied
            .iter()
            .filter(|event| event["id"].as_str().unwrap().starts_with(&format!("w{writer}-")))
            .filter(|event| event["partitionkey"] == "k3")
            .map(|event| event["data"]["n"].as_u64().unwrap())
            .collect();
        assert_eq!(own, (3..200).step_by(16).collect::<Vec<u64>>());
    }
}

#[test]
fn of_two_who_create_the_same_at_once_one_is_told_that_it_exists() {
    let (_wire, host, _dir) = host();
    for round in 0..10 {
        let answers: Vec<String> = std::thread::scope(|scope| {
            let both = [host.login(), host.login(), host.login()].map(|mut wire| {
                scope.spawn(move || {
                    wire.ask(&format!("CREATE FLOW r{round}.flows.unix.ar")).remove(0)
                })
            });
            both.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let made = answers.iter().filter(|answer| answer.starts_with("220 OK ")).count();
        let told = answers.iter().filter(|answer| answer.starts_with("409 CONFLICT ")).count();
        assert_eq!((made, told), (1, 2), "{answers:?}");
    }
}
