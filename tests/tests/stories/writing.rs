//! WRITE: all of a batch or nothing, once however often it is sent.

use serde_json::{Value, json};
use stories::{
    Fnaad, Hosted, Wire, age_tokens, by_partition, event, events, host_with, ids, unplaced,
};

const FLOW: &str = "time.flows.unix.ar";

fn host() -> Hosted {
    host_with(&[FLOW], 4)
}

#[test]
fn events_with_the_same_key_stay_in_order_in_one_partition() {
    let (mut wire, _host, _dir) = host();
    for from in [0, 40, 80] {
        assert_eq!(wire.write(FLOW, &events(from..from + 40)), "220 OK 40 events");
    }
    let read = wire.read(FLOW);
    let partitions = by_partition(&read);
    assert_eq!(partitions.values().map(Vec::len).sum::<usize>(), 120);
    assert!(partitions.len() > 1, "{partitions:?}");
    for key in 0..16 {
        let wanted: Vec<String> = (key..120).step_by(16).map(|n| format!("e{n}")).collect();
        let holds = |ids: &&Vec<&str>| ids.contains(&wanted[0].as_str());
        let partition = partitions.values().find(holds).expect("its partition");
        let found: Vec<_> =
            partition.iter().filter(|id| wanted.contains(&id.to_string())).collect();
        assert_eq!(found, wanted.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_repeated_token_gives_the_first_answer_and_writes_nothing() {
    let (mut wire, host, _dir) = host();
    for _ in 0..3 {
        assert_eq!(wire.write(&format!("{FLOW} ID once"), &events(0..5)), "220 OK 5 events");
    }
    // Also over another connection, and also with other lines: the token says that it is the same.
    let mut other = host.login();
    assert_eq!(other.write(&format!("{FLOW} ID once"), &events(5..7)), "220 OK 5 events");
    assert_eq!(wire.read(FLOW).len(), 5);
    assert_eq!(wire.write(&format!("{FLOW} ID twice"), &events(5..7)), "220 OK 2 events");
    assert_eq!(wire.read(FLOW).len(), 7);
    wire.write(FLOW, &events(7..8));
    wire.write(FLOW, &events(7..8));
    assert_eq!(wire.read(FLOW).len(), 9);
}

#[test]
fn a_token_is_remembered_for_a_day_and_then_forgotten() {
    let (mut wire, host, dir) = host();
    let write = |wire: &mut Wire| wire.write(&format!("{FLOW} ID t"), &events(0..5));
    assert_eq!(write(&mut wire), "220 OK 5 events");
    host.kill();
    age_tokens(&dir.path().join("data"), 23);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    assert_eq!(write(&mut wire), "220 OK 5 events");
    assert_eq!(wire.read(FLOW).len(), 5);
    host.kill();
    age_tokens(&dir.path().join("data"), 1);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    assert_eq!(write(&mut wire), "220 OK 5 events");
    assert_eq!(wire.read(FLOW).len(), 10);
}

#[test]
fn a_refused_batch_does_not_use_up_its_token() {
    let (mut wire, _host, _dir) = host();
    let command = format!("{FLOW} ID once");
    assert!(wire.write(&command, &["{}"]).starts_with("422 INVALID_EVENT "));
    assert_eq!(wire.write(&command, &events(0..2)), "220 OK 2 events");
    assert_eq!(wire.read(FLOW).len(), 2);
}

#[test]
fn the_first_bad_line_refuses_the_whole_batch_and_is_named() {
    let (mut wire, _host, _dir) = host();
    let bad = [
        "no json",
        "{}",
        "[]",
        r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
        r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"yesterday"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","Upper":"x"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"AA=="}"#,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"?"}"#,
    ];
    for line in bad {
        let lines = [event(0), event(1), line.to_owned(), "worse".to_owned()];
        let refused = wire.write(FLOW, &lines);
        assert!(refused.starts_with("422 INVALID_EVENT line 3: "), "{line}: {refused}");
    }
    assert!(wire.read(FLOW).is_empty());
    assert_eq!(wire.write(FLOW, &events(0..2)), "220 OK 2 events");
}

#[test]
fn a_batch_over_its_limits_is_413_and_the_session_goes_on() {
    let (mut wire, _host, _dir) = host();
    assert_eq!(wire.write(FLOW, &events(0..512)), "220 OK 512 events");
    let many = wire.write(FLOW, &events(0..513));
    assert_eq!(many, "413 TOO_LARGE more than 512 events in one write");
    let large = |n: usize, bytes: usize| {
        json!({"specversion": "1.0", "id": format!("l{n}"), "source": "/s", "type": "t",
            "data": "x".repeat(bytes)})
        .to_string()
    };
    let much = wire.write(FLOW, &[large(0, 600_000), large(1, 600_000)]);
    assert_eq!(much, "413 TOO_LARGE more than 1048576 bytes in one write");
    let line = wire.write(FLOW, &[event(0), large(2, 1_048_577)]);
    assert!(line.starts_with("413 TOO_LARGE line 2: "), "{line}");
    wire.ok("NOOP");
    assert_eq!(wire.write(FLOW, &[large(3, 900_000)]), "220 OK 1 events");
    assert_eq!(wire.read(FLOW).len(), 513);
}

#[test]
fn nothing_is_written_when_the_connection_ends_before_the_dot() {
    let (mut wire, host, _dir) = host();
    let mut other = host.login();
    assert!(other.ask(&format!("WRITE {FLOW}"))[0].starts_with("330 "));
    other.send(format!("{}\r\n", event(0)).as_bytes());
    drop(other);
    assert_eq!(wire.write(FLOW, &events(1..2)), "220 OK 1 events");
    assert_eq!(ids(&wire.read(FLOW)), ["e1"]);
}

#[test]
fn an_event_comes_back_as_it_was_written() {
    let (mut wire, _host, _dir) = host();
    let written = [
        json!({"specversion": "1.0", "id": "1", "source": "/Gr%C3%BC%C3%9Fe", "type": "t",
            "subject": "naïve \u{1F30D} \"quoted\" \\ back", "data": {"text": "snow \u{2603}", "n": 1.5}}),
        json!({"specversion": "1.0", "id": "2", "source": "/s", "type": "t",
            "datacontenttype": "application/octet-stream", "data_base64": "AP8KDQ=="}),
        json!({"specversion": "1.0", "id": "3", "source": "/s", "type": "t",
            "datacontenttype": "text/plain", "data": "two\nlines\r\nand . a dot"}),
        json!({"specversion": "1.0", "id": "4", "source": "/s", "type": "t",
            "time": "2026-01-31T12:00:00.123456789Z", "anumber": "7", "abool": "true",
            "dataschema": "https://example.com/schema"}),
        json!({"specversion": "1.0", "id": "5", "source": "/s", "type": "t",
            "datacontenttype": "application/json", "data": null}),
        json!({"specversion": "1.0", "id": "6", "source": "/s", "type": "t",
            "datacontenttype": "application/json", "data": [1, {"deep": [true, null, "x"]}]}),
    ];
    let lines: Vec<String> = written.iter().map(Value::to_string).collect();
    assert_eq!(wire.write(FLOW, &lines), "220 OK 6 events");
    let read = wire.read(FLOW);
    for (read, written) in read.iter().zip(&written) {
        let mut read = unplaced(read);
        if written.get("datacontenttype").is_none() {
            // Absent means JSON where there is data; on the way it is said.
            let said = read.as_object_mut().unwrap().remove("datacontenttype");
            assert!(said.is_none() || said.unwrap() == "application/json");
        }
        assert_eq!(&read, written);
    }
    assert_eq!(read.len(), written.len());
}

#[test]
fn a_record_that_is_no_event_is_read_and_written_byte_for_byte() {
    let (mut wire, _host, _dir) = host();
    let records = [
        json!({"key_base64": "AAEC", "value_base64": "/////w==", "headers": []}),
        json!({"key_base64": null, "value_base64": "", "headers": [["a", "AA=="], ["a", null], ["b", ""]]}),
        json!({"key_base64": "", "value_base64": null, "headers": []}),
    ];
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    assert_eq!(wire.write(FLOW, &lines), "220 OK 3 events");
    let read = wire.read(FLOW);
    let found: Vec<Value> = read.iter().map(unplaced).collect();
    assert!(records.iter().all(|record| found.contains(record)), "{found:?}");
    // What was read can be written as it is: the place is dropped.
    wire.ok("CREATE FLOW copy.flows.unix.ar");
    let lines: Vec<String> = read.iter().map(Value::to_string).collect();
    wire.write("copy.flows.unix.ar", &lines);
    let copied: Vec<Value> = wire.read("copy.flows.unix.ar").iter().map(unplaced).collect();
    assert_eq!(copied, found);
}

#[test]
fn writes_sent_ahead_of_their_answers_are_done_in_order_each_on_its_own() {
    let (mut wire, _host, _dir) = host();
    wire.ok("CREATE FLOW one.flows.unix.ar");
    assert!(wire.data("CAPABILITIES").contains(&"PIPELINING".to_owned()));
    let mut said = String::new();
    for n in 0..30 {
        let line = if n % 10 == 5 { "no event".to_owned() } else { event(n) };
        said += &format!("WRITE one.flows.unix.ar ID t{n}\r\n{line}\r\n.\r\n");
    }
    // The same again: what was refused is refused again, the rest is written already.
    let twice = format!("{said}{said}READ one.flows.unix.ar\r\nPAUSE one.flows.unix.ar\r\n{said}");
    wire.send(twice.as_bytes());
    let answers = |wire: &mut Wire, wanted: &dyn Fn(usize) -> &'static str| {
        for n in 0..30 {
            assert!(wire.line().starts_with("330 "));
            let answer = wire.line();
            assert!(answer.starts_with(wanted(n)), "{n}: {answer}");
        }
    };
    let usual = |n| if n % 10 == 5 { "422 INVALID_EVENT line 1: " } else { "220 OK 1 events" };
    answers(&mut wire, &usual);
    answers(&mut wire, &usual);
    let read = wire.answer();
    let read: Vec<Value> =
        read[1..read.len() - 1].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted: Vec<String> = (0..30).filter(|n| n % 10 != 5).map(|n| format!("e{n}")).collect();
    assert_eq!(ids(&read), wanted);
    assert_eq!(wire.answer(), ["220 OK one.flows.unix.ar"]);
    answers(&mut wire, &|_| "503 UNAVAILABLE ");
}
