use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::fake::{Fake, Fnua, Talk, ended, interrupt};

const FLOW: &str = "time.flows.unix.ar";

fn events(from: usize, to: usize) -> String {
    (from..=to).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect()
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn many_lines_become_writes_of_512_with_tokens_of_one_run() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        let mut all = Vec::new();
        for number in 1..=3 {
            let (token, events) = talk.write_ok(FLOW);
            assert_eq!(token, format!("import-{number}"));
            all.extend(events);
        }
        talk.quit();
        assert_eq!(joined(&all), events(1, 1300));
    });
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--run-id", "import"], &events(1, 1300));
    said.badly(0, "fnua: wrote 1300 events to time.flows.unix.ar in ");
    assert_eq!(said.out, "");
    fake.finish();
}

#[test]
fn the_result_is_json_where_asked_for() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        talk.write_ok(FLOW);
        talk.quit();
    });
    let fnua = Fnua::with(&fake);
    let file = fnua.file("events.jsonl", &events(1, 3));
    let words = ["--format", "json", "--quiet", "write", FLOW, file.to_str().unwrap()];
    let result: serde_json::Value = serde_json::from_str(&fnua.run(&words).well()).unwrap();
    assert_eq!((result["events"].as_u64(), result["batches"].as_u64()), (Some(3), Some(1)));
    assert_eq!(result["flow"], FLOW);
    fake.finish();
}

#[test]
fn what_was_not_answered_is_sent_again_in_order_with_the_same_tokens() {
    let lost = Arc::new(Mutex::new(Vec::new()));
    let again = Arc::clone(&lost);
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.login_to_write();
            talk.write_ok(FLOW);
            // Two more arrive whole; their answers are lost.
            for _ in 0..2 {
                lost.lock().unwrap().push(talk.take_write(FLOW));
            }
        }),
        // A host that is not quite back yet.
        Box::new(|talk| talk.say("503 UNAVAILABLE starting")),
        Box::new(move |talk| {
            talk.login_to_write();
            let mut tokens = Vec::new();
            for lost in again.lock().unwrap().iter() {
                let repeated = talk.write_ok(FLOW);
                assert_eq!(&repeated, lost);
                tokens.push(repeated.0);
            }
            assert!(tokens[0].ends_with("-2") && tokens[1].ends_with("-3"), "{tokens:?}");
            assert_eq!(talk.write_ok(FLOW).1.len(), 4);
            talk.quit();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let file = fnua.file("events.jsonl", &events(1, 3 * 512 + 4));
    fnua.run(&["write", FLOW, file.to_str().unwrap()]).badly(0, "wrote 1540 events");
    fake.finish();
}

#[test]
fn a_host_that_breaks_the_first_connections_off_gets_everything_once_all_the_same() {
    let fake = Fake::start(vec![
        // Accepted, and gone: a host that is killed, or a proxy before one that starts.
        Box::new(|_| {}),
        Box::new(|talk| talk.say("503 UNAVAILABLE starting")),
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN\nPIPELINING");
            talk.expect("AUTHENTICATE PLAIN");
        }),
        Box::new(|talk| {
            talk.login_to_write();
            assert!(talk.line().starts_with("WRITE"));
        }),
        Box::new(|talk| {
            talk.login_to_write();
            let (token, events) = talk.write_ok(FLOW);
            assert_eq!((token.as_str(), events.len()), ("r-1", 10));
            talk.quit();
        }),
    ]);
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--run-id", "r"], &events(1, 10));
    said.badly(0, "wrote 10 events");
    said.badly(0, ", connected again 2 times");
    fake.finish();
}

#[test]
fn where_nobody_listens_a_write_fails_at_once_and_a_first_connection_is_not_retried_without_patience()
 {
    let nobody = Fake::start(vec![]);
    let fnua = Fnua::with(&nobody);
    // Its listener is gone when it is through.
    nobody.finish();
    fnua.run_with(&["write", FLOW], &events(1, 3)).badly(3, "fnua: cannot reach 127.0.0.1:");
    let fake = Fake::once(|_| {});
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--retry-for", "0"], &events(1, 3));
    said.badly(3, " broken: ");
    fake.finish();
}

#[test]
fn without_patience_a_broken_connection_is_exit_3_and_says_what_is_not_known() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        talk.write_ok(FLOW);
        talk.take_write(FLOW);
    });
    let fnua = Fnua::with(&fake);
    fnua.file("events.jsonl", &events(1, 600));
    let said = fnua.run(&["write", FLOW, "events.jsonl", "--retry-for", "0", "--run-id", "r7"]);
    said.badly(3, "broken: ");
    said.badly(3, "not known whether written: events.jsonl:513-600");
    said.badly(3, "--run-id r7 writes the rest");
    said.badly(3, "wrote 512 events");
    fake.finish();
}

#[test]
fn a_refused_line_is_named_as_a_line_of_the_input() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        talk.write_ok(FLOW);
        let (_, events) = talk.take_write(FLOW);
        assert_eq!(events[2], "{\"id\":\"515\"}");
        talk.say("422 INVALID_EVENT line 3: no source");
        talk.closed();
    });
    let fnua = Fnua::with(&fake);
    // A blank line shifts the numbers.
    fnua.file("events.jsonl", &format!("\n{}", events(1, 600)));
    let said = fnua.run(&["write", FLOW, "events.jsonl"]);
    said.badly(1, "fnua: 422 INVALID_EVENT line 3: no source");
    said.badly(1, "events.jsonl:516 is the line that the host refused");
    said.badly(1, "nothing of events.jsonl:514-601 was written");
    said.badly(
        1,
        "fnua: once the cause is mended, each line in its place, the same with --run-id ",
    );
    said.badly(1, "wrote 512 events");
    fake.finish();
}

#[test]
fn what_was_sent_ahead_of_a_refused_batch_is_reported() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        // The answer of the first comes late: by then the others are under way.
        let first = talk.take_write(FLOW);
        assert_eq!(first.1.len(), 512);
        let line = talk.line();
        assert!(line.starts_with("WRITE"), "{line}");
        while talk.line() != "." {}
        talk.say("422 INVALID_EVENT line 1: no source\n330 Send events\n220 OK 512 events");
        talk.closed();
    });
    let fnua = Fnua::with(&fake);
    fnua.file("events.jsonl", &events(1, 1024));
    let said = fnua.run(&["write", FLOW, "events.jsonl"]);
    said.badly(1, "nothing of events.jsonl:1-512 was written");
    said.badly(1, "events.jsonl:513-1024 was sent ahead and was written");
    fake.finish();
}

#[test]
fn what_follows_a_batch_that_is_refused_for_good_is_told_too_and_how_it_gets_there() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        talk.take_write(FLOW);
        talk.say("422 INVALID_EVENT line 1: no source");
        talk.closed();
    });
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--window", "1"], &events(1, 1024));
    said.badly(1, "fnua: nothing of stdin:1-");
    said.badly(1, " was written\nfnua: not written: what follows\n");
    said.badly(
        1,
        "is not kept: once the cause is mended, give it those lines again, and no others\n",
    );
    fake.finish();
}

#[test]
fn nobody_is_told_to_give_again_what_may_be_written() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        talk.take_write(FLOW);
    });
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--retry-for", "0"], &events(1, 10));
    said.badly(
        3,
        "fnua: not known whether written: stdin:1-10\nfnua: stdin:1-10 may be there already",
    );
    assert!(!said.err.contains("those lines again"), "{said:?}");
    fake.finish();
}

#[test]
fn a_write_that_is_refused_at_once_sends_no_events() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        assert!(talk.line().starts_with("WRITE"));
        talk.say("404 NOT_FOUND flow time.flows.unix.ar");
        assert_eq!(talk.line(), "");
    });
    let said = Fnua::with(&fake).run_with(&["write", FLOW], &events(1, 10));
    said.badly(1, "fnua: 404 NOT_FOUND flow time.flows.unix.ar\n");
    said.badly(1, "nothing of stdin:1-10 was written");
    assert!(!said.err.contains("again"), "{said:?}");
    fake.finish();
}

#[test]
fn times_that_no_clock_can_count_are_taken_for_very_long_ones() {
    let most = u64::MAX.to_string();
    let fake = Fake::once(move |talk| {
        talk.login_to_write();
        assert!(talk.line().starts_with("WRITE "));
        talk.say(&format!("503 UNAVAILABLE busy retry-after={}", u64::MAX));
        talk.closed();
    });
    let said = Fnua::with(&fake)
        .run_with(&["--wait", &most, "write", FLOW, "--retry-for", "60"], &events(1, 3));
    said.badly(1, "fnua: not written: stdin:1-3\n");
    said.badly(1, "fnua: 503 UNAVAILABLE busy retry-after=");
    fake.finish();
}

#[test]
fn a_host_that_asks_to_wait_gets_the_same_again() {
    fn refuse(talk: &mut Talk) {
        talk.login_to_write();
        let (token, _) = talk.take_write(FLOW);
        assert_eq!(token, "r-1");
        talk.say("503 UNAVAILABLE flow is paused");
        talk.closed();
    }
    let fake = Fake::start(vec![
        Box::new(refuse),
        Box::new(refuse),
        Box::new(|talk| {
            talk.login_to_write();
            assert_eq!(talk.write_ok(FLOW).0, "r-1");
            talk.quit();
        }),
    ]);
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--run-id", "r"], &events(1, 10));
    said.badly(0, "wrote 10 events");
    fake.finish();
}

#[test]
fn who_gives_up_on_a_flow_that_is_paused_is_told_which_lines_are_not_written_and_how_they_get_there()
 {
    let paused = || {
        Fake::once(|talk| {
            talk.login_to_write();
            assert!(talk.line().starts_with("WRITE "));
            talk.say("503 UNAVAILABLE flow is paused");
            talk.closed();
        })
    };
    let fake = paused();
    let fnua = Fnua::with(&fake);
    fnua.file("events.jsonl", &events(1, 600));
    let said = fnua.run(&["write", FLOW, "events.jsonl", "--retry-for", "0", "--run-id", "r7"]);
    said.badly(1, "fnua: 503 UNAVAILABLE flow is paused\n");
    said.badly(1, "fnua: not written: events.jsonl:1-512, and what follows\n");
    said.badly(1, "fnua: the same with --run-id r7 writes the rest and nothing twice\n");
    assert!(!said.err.contains("not known"), "{said:?}");
    fake.finish();
    let fake = paused();
    let words = ["write", FLOW, "--retry-for", "0", "--quiet", "--format", "json"];
    let said = Fnua::with(&fake).run_with(&words, &events(1, 10));
    said.badly(1, "fnua: not written: stdin:1-10\n");
    said.badly(1, "give it those lines again");
    assert!(said.out.contains("\"events\":0"), "{said:?}");
    fake.finish();
}

#[test]
fn who_ends_a_write_is_told_what_is_written_and_how_the_rest_gets_there() {
    let (sent, taken) = std::sync::mpsc::channel();
    let fake = Fake::once(move |talk| {
        talk.login_to_write();
        talk.write_ok(FLOW);
        talk.take_write(FLOW);
        sent.send(()).unwrap();
        talk.closed();
    });
    let fnua = Fnua::with(&fake);
    fnua.file("events.jsonl", &events(1, 1_200));
    let words = ["write", FLOW, "events.jsonl", "--window", "1", "--run-id", "r7"];
    let child = fnua.command(&words).spawn().unwrap();
    taken.recv().unwrap();
    interrupt(&child);
    let said = ended(child);
    said.badly(130, "fnua: not written: what follows\n");
    said.badly(130, "fnua: not known whether written: events.jsonl:513-1024\n");
    said.badly(130, "fnua: the same with --run-id r7 writes the rest and nothing twice\n");
    said.badly(130, "fnua: ended before it was through");
    fake.finish();
}

#[test]
fn who_is_put_out_while_he_writes_comes_again_with_the_same_and_nobody_without_a_name_does() {
    fn put_out(talk: &mut Talk) {
        assert_eq!(talk.line(), format!("WRITE {FLOW} ID r-1"));
        talk.say("401 AUTH_REQUIRED the token has expired, authenticate again");
        talk.closed();
    }
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login_to_write();
            put_out(talk);
        }),
        Box::new(|talk| {
            talk.login_to_write();
            assert_eq!(talk.write_ok(FLOW).0, "r-1");
            talk.quit();
        }),
        Box::new(|talk| {
            talk.greet("PIPELINING");
            put_out(talk);
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let words = ["write", FLOW, "--run-id", "r"];
    fnua.run_with(&words, &events(1, 10)).badly(0, "wrote 10 events");
    fnua.configure(&format!("[[agents]]\nname = \"x\"\naddress = \"{}\"\n", fake.address()));
    fnua.run_with(&words, &events(1, 10)).badly(1, "nothing of stdin:1-10 was written");
    fake.finish();
}

#[test]
fn a_host_without_pipelining_is_asked_for_each_batch() {
    let fake = Fake::once(|talk| {
        talk.say("220 fnaa.unix.ar FNAA");
        talk.expect("CAPABILITIES");
        talk.say("404 NOT_FOUND CAPABILITIES");
        talk.plain();
        assert_eq!(talk.write_ok(FLOW).1.len(), 512);
        assert_eq!(talk.write_ok(FLOW).1.len(), 88);
        talk.quit();
    });
    let fnua = Fnua::with(&fake);
    fnua.file("events.jsonl", &events(1, 600));
    fnua.run(&["write", FLOW, "events.jsonl"]).badly(0, "wrote 600 events");
    fake.finish();
}

#[test]
fn input_that_is_not_one_event_a_line_is_refused_with_its_place_after_what_was_good() {
    for (bad, reason) in
        [("[1]", "a json array"), ("{\n}", "no whole json object"), ("hi", "no json object")]
    {
        let fake = Fake::once(|talk| {
            talk.login_to_write();
            assert_eq!(talk.write_ok(FLOW).1.len(), 2);
            talk.quit();
        });
        let fnua = Fnua::with(&fake);
        fnua.file("events.jsonl", &format!("{}{bad}\n{}", events(1, 2), events(3, 4)));
        let said = fnua.run(&["write", FLOW, "events.jsonl"]);
        said.badly(2, &format!("fnua: events.jsonl:3: {reason}"));
        said.badly(2, "wrote 2 events");
        fake.finish();
    }
    let fnua = Fnua::with_agents(&[]);
    fnua.run(&["--agent", "127.0.0.1:1", "write", FLOW, "none.jsonl"])
        .badly(2, "cannot read none.jsonl");
}

#[test]
fn any_lines_are_wrapped_as_events() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        let (_, events) = talk.write_ok(FLOW);
        let event: serde_json::Value = serde_json::from_str(&events[1]).unwrap();
        let wanted = serde_json::json!({"specversion": "1.0", "id": "log-2", "source": "/app",
            "type": "app.line", "datacontenttype": "text/plain", "data": "say \"hi\""});
        assert_eq!(event, wanted);
        talk.quit();
    });
    let words = [
        "write", FLOW, "--format", "raw", "--run-id", "log", "--source", "/app", "--type",
        "app.line",
    ];
    Fnua::with(&fake).run_with(&words, "hello\nsay \"hi\"\n").badly(0, "wrote 2 events");
    fake.finish();
}

#[test]
fn a_slow_input_is_written_as_it_comes_and_an_idle_connection_may_be_closed() {
    let (told, wait) = std::sync::mpsc::channel();
    let again = told.clone();
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.login_to_write();
            assert_eq!(joined(&talk.write_ok(FLOW).1), events(1, 1));
            talk.say("408 TIMEOUT idle");
            told.send(()).unwrap();
        }),
        Box::new(move |talk| {
            talk.login_to_write();
            assert_eq!(joined(&talk.write_ok(FLOW).1), events(2, 2));
            again.send(()).unwrap();
            talk.quit();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let mut child = fnua.command(&["write", FLOW]).stdin(Stdio::piped()).spawn();
    let child = child.as_mut().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for number in 1..=2 {
        stdin.write_all(events(number, number).as_bytes()).unwrap();
        wait.recv().unwrap();
    }
    drop(stdin);
    fake.finish();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_megabyte_of_events_ends_a_batch_before_512_lines_do() {
    let fake = Fake::once(|talk| {
        talk.login_to_write();
        let mut sizes = Vec::new();
        while sizes.iter().sum::<usize>() < 30 {
            sizes.push(talk.write_ok(FLOW).1.len());
        }
        assert_eq!(sizes, [9, 9, 9, 3]);
        talk.quit();
    });
    let fnua = Fnua::with(&fake);
    let event = format!("{{\"d\":\"{}\"}}\n", "x".repeat(100_000));
    fnua.file("events.jsonl", &event.repeat(30));
    let child = fnua.command(&["write", FLOW, "events.jsonl"]).spawn().unwrap();
    ended(child).badly(0, "wrote 30 events");
    fake.finish();
}
