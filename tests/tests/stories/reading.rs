//! READ in all its forms.

use stories::{Hosted, Wire, by_partition, event, events, eventually, host_with, ids};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const FLOW: &str = "time.flows.unix.ar";

/// A flow of one partition.
fn host() -> Hosted {
    host_with(&[FLOW], 1)
}

fn read(wire: &mut Wire, rest: &str) -> Vec<String> {
    let lines = wire.data(&format!("READ {FLOW} {rest}"));
    let events: Vec<_> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    ids(&events).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_read_begins_where_it_is_told_and_ends_where_the_log_ended() {
    let (mut wire, _host, _dir) = host();
    assert_eq!(wire.ask(&format!("READ {FLOW}")), ["220 DATA", "220 OK"]);
    wire.write(FLOW, &events(0..5));
    assert_eq!(read(&mut wire, ""), ["e0", "e1", "e2", "e3", "e4"]);
    assert_eq!(read(&mut wire, "FROM earliest LIMIT 2"), ["e0", "e1"]);
    assert_eq!(read(&mut wire, "LIMIT 0"), [""; 0]);
    assert_eq!(read(&mut wire, "FROM OFFSET 0:3"), ["e3", "e4"]);
    assert_eq!(read(&mut wire, "FROM OFFSET 0:1 LIMIT 1"), ["e1"]);
    assert_eq!(read(&mut wire, "FROM OFFSET 0:5"), [""; 0]);
    assert_eq!(read(&mut wire, "FROM latest"), [""; 0]);
}

#[test]
fn a_read_begins_at_a_time() {
    let (mut wire, _host, _dir) = host();
    let now = || OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    wire.write(FLOW, &events(0..2));
    let before = now();
    // The log knows milliseconds: the next event has to be of a later one.
    let between = eventually("another millisecond", || {
        let later = now();
        if later > before { Ok(later) } else { Err(later.to_string()) }
    });
    wire.write(FLOW, &events(2..4));
    let text = |millis: i128| {
        let time = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).unwrap();
        time.format(&Rfc3339).unwrap()
    };
    assert_eq!(read(&mut wire, &format!("FROM TIME {}", text(between))), ["e2", "e3"]);
    assert_eq!(read(&mut wire, "FROM TIME 2001-01-01T00:00:00Z").len(), 4);
    assert_eq!(read(&mut wire, &format!("FROM TIME {}", text(now() + 3_600_000))), [""; 0]);
}

#[test]
fn a_position_that_is_gone_or_never_was_is_416_with_what_there_is() {
    let (mut wire, _host, _dir) = host();
    wire.write(FLOW, &events(0..3));
    let refused = wire.refused(&format!("READ {FLOW} FROM OFFSET 0:9"));
    assert!(refused.starts_with("416 OUT_OF_RANGE "), "{refused}");
    assert!(refused.contains("earliest=0") && refused.contains("latest=3"), "{refused}");
    wire.ok(&format!("PURGE FLOW {FLOW} CONFIRM {FLOW}"));
    let refused = wire.refused(&format!("READ {FLOW} FROM OFFSET 0:0 FOLLOW"));
    assert!(refused.contains("earliest=3") && refused.contains("latest=3"), "{refused}");
    let refused = wire.refused(&format!("READ {FLOW} FROM OFFSET 7:0"));
    assert!(refused.starts_with("416 OUT_OF_RANGE "), "{refused}");
    wire.ok("NOOP");
}

#[test]
fn several_partitions_are_read_each_from_its_own_place() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW three.flows.unix.ar partitions=3");
    for n in 0..90 {
        let key = format!("k{}", n % 10);
        let event = serde_json::json!({"specversion": "1.0", "id": format!("e{n}"), "source": "/s",
            "type": "t", "partitionkey": key});
        wire.write("three.flows.unix.ar", &[event.to_string()]);
    }
    let all = wire.read("three.flows.unix.ar");
    let mut wanted = by_partition(&all);
    wanted.remove(&1);
    let places: Vec<_> = wanted.keys().map(|partition| format!("{partition}:2")).collect();
    wanted.values_mut().for_each(|ids| drop(ids.drain(..2)));
    let read = format!("READ three.flows.unix.ar FROM OFFSET {}", places.join(","));
    let answer = wire.ask(&read);
    let seen: Vec<serde_json::Value> = answer[1..answer.len() - 1]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(by_partition(&seen), wanted);
    for wrong in ["0:0,2:99999", "0:0,3:0"] {
        let refused = wire.refused(&format!("READ three.flows.unix.ar FROM OFFSET {wrong}"));
        assert!(refused.starts_with("416 OUT_OF_RANGE "), "{refused}");
    }
}

#[test]
fn following_goes_on_until_done_and_what_was_pipelined_comes_after() {
    let (mut wire, host, _dir) = host();
    wire.write(FLOW, &events(0..2));
    let mut follower = host.login();
    follower.send(format!("READ {FLOW} FROM earliest FOLLOW\r\nNOOP\r\nGET FLOWS\r\n").as_bytes());
    assert_eq!(follower.line(), "220 DATA");
    for n in 0..10 {
        if n >= 2 {
            wire.write(FLOW, &[event(n)]);
        }
        assert!(follower.line().contains(&format!("\"id\":\"e{n}\"")));
    }
    follower.send(b"DONE\r\n");
    assert_eq!(follower.line(), "220 OK");
    assert_eq!(follower.line(), "220 OK");
    assert_eq!(follower.answer(), ["220 DATA", FLOW, "220 OK"]);
}

#[test]
fn who_follows_without_a_place_gets_what_comes() {
    let (mut wire, host, _dir) = host();
    wire.write(FLOW, &events(0..3));
    let mut follower = host.login();
    for (command, n) in
        [("FOLLOW", 3), ("FROM latest FOLLOW", 4), ("FROM latest LIMIT 1 FOLLOW", 5)]
    {
        follower.send(format!("READ {FLOW} {command}\r\n").as_bytes());
        assert_eq!(follower.line(), "220 DATA");
        wire.write(FLOW, &[event(n)]);
        assert!(follower.line().contains(&format!("\"id\":\"e{n}\"")));
        if !command.contains("LIMIT") {
            follower.send(b"DONE\r\n");
        }
        assert_eq!(follower.line(), "220 OK");
    }
}

#[test]
fn many_follow_the_same_flow_and_all_get_all() {
    let (mut wire, host, _dir) = host();
    let mut followers: Vec<Wire> = (0..8).map(|_| host.login()).collect();
    for follower in &mut followers {
        follower.send(format!("READ {FLOW} FOLLOW\r\n").as_bytes());
        assert_eq!(follower.line(), "220 DATA");
    }
    wire.write(FLOW, &events(0..100));
    for follower in &mut followers {
        for n in 0..100 {
            assert!(follower.line().contains(&format!("\"id\":\"e{n}\"")));
        }
    }
}

#[test]
fn a_paused_flow_holds_readers_and_writers_until_it_goes_on() {
    let (mut wire, _host, _dir) = host();
    wire.write(FLOW, &events(0..1));
    wire.ok(&format!("PAUSE {FLOW}"));
    assert_eq!(wire.describe(&format!("FLOW {FLOW}"))["status"], "paused");
    let words = format!("503 UNAVAILABLE flow {FLOW} is paused");
    assert_eq!(wire.write(&format!("{FLOW} ID t"), &events(1..2)), words);
    assert_eq!(wire.refused(&format!("READ {FLOW}")), words);
    wire.ok(&format!("RESUME {FLOW}"));
    assert_eq!(wire.write(&format!("{FLOW} ID t"), &events(1..2)), "220 OK 1 events");
    assert_eq!(read(&mut wire, ""), ["e0", "e1"]);
}

#[test]
fn more_than_fits_into_any_buffer_is_read_whole_and_in_order() {
    let (mut wire, _host, _dir) = host();
    let padding = "x".repeat(2000);
    let line = |n: usize| {
        serde_json::json!({"specversion": "1.0", "id": format!("e{n}"), "source": "/s", "type": "t",
            "data": padding})
        .to_string()
    };
    for from in (0..4000).step_by(400) {
        let lines: Vec<String> = (from..from + 400).map(line).collect();
        assert_eq!(wire.write(FLOW, &lines), "220 OK 400 events");
    }
    // The answers of three READs, asked at once, are taken as slowly as a reader likes.
    wire.send(format!("READ {FLOW}\r\nREAD {FLOW} LIMIT 1\r\nNOOP\r\n").as_bytes());
    let all = wire.answer();
    assert_eq!(all.len(), 4002);
    for (n, line) in all[1..4001].iter().enumerate() {
        assert!(line.contains(&format!("\"id\":\"e{n}\"")), "{n}");
    }
    assert_eq!(wire.answer().len(), 3);
    assert_eq!(wire.answer(), ["220 OK"]);
}
