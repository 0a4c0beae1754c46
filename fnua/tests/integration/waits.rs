//! A run that waits for its host says so, once, and says when it goes on.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::fake::{Fake, Fnua, Script, Talk, ended, interrupt};

const FLOW: &str = "time.flows.unix.ar";
const EVENT: &str = r#"{"id":"a","flowpartition":0,"flowoffset":"0"}"#;
/// What a writer adds to each reason.
const HINT: &str = " (for 60 s at most, as --retry-for says; Ctrl-C ends it)";
const DESCRIPTION: &str =
    "220 DATA\n{\"log\":[{\"partition\":0,\"earliest\":0,\"latest\":0}]}\n220 OK";

/// The lines that a run says on stderr, as they come.
fn words(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap)
}

/// Accepts, and says nothing.
fn silent(talk: &mut Talk) {
    talk.closed();
}

#[test]
fn a_host_that_accepts_and_says_nothing_takes_no_longer_than_was_given_to_it() {
    let waits: [&[&str]; 2] = [&["--wait", "1", "capabilities"], &["--wait", "1", "write", FLOW]];
    for words in waits {
        let fake = Fake::once(silent);
        let said = Fnua::with(&fake).run(words);
        said.badly(3, "fnua: cannot reach 127.0.0.1:");
        said.badly(3, ": no answer within 1 s");
        fake.finish();
    }
}

#[test]
fn one_that_greets_and_does_not_let_in_takes_no_longer_either() {
    let fake = Fake::once(|talk| {
        talk.greet("AUTH=PLAIN");
        talk.expect("AUTHENTICATE PLAIN");
        talk.closed();
    });
    let said = Fnua::with(&fake).run(&["--wait", "1", "get", "flows"]);
    said.badly(3, " broken: no answer within 1 s");
    fake.finish();
}

#[test]
fn one_that_says_its_answer_octet_by_octet_takes_no_longer_either() {
    let slowly = |talk: &mut Talk| {
        let cut = (0..60).any(|_| {
            thread::sleep(Duration::from_millis(300));
            !talk.try_say("2")
        });
        assert!(cut, "it was waited for");
    };
    let fake = Fake::once(move |talk| {
        talk.greet("AUTH=PLAIN");
        talk.expect("AUTHENTICATE PLAIN");
        slowly(talk);
    });
    let said = Fnua::with(&fake).run(&["--wait", "1", "get", "flows"]);
    said.badly(3, " broken: no answer within 1 s");
    fake.finish();
}

#[test]
fn little_time_for_breaks_is_none_the_less_enough_to_begin_with() {
    let fake = Fake::once(|talk| {
        // Longer than it may take after a break.
        thread::sleep(Duration::from_millis(2_500));
        talk.login_to_write();
        talk.write_ok(FLOW);
        talk.quit();
    });
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--retry-for", "1"], "{}\n");
    said.badly(0, "fnua: wrote 1 event");
    fake.finish();
}

#[test]
fn after_a_break_answers_have_what_is_left_of_the_time_and_no_more() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login_to_write();
            talk.take_write(FLOW);
        }),
        Box::new(|talk| {
            talk.login_to_write();
            talk.take_write(FLOW);
            talk.closed();
        }),
    ]);
    let said = Fnua::with(&fake).run_with(&["write", FLOW, "--retry-for", "1"], "{}\n");
    said.badly(3, " broken: no answer within 1 s");
    said.badly(3, "fnua: not known whether written: stdin:1\n");
    fake.finish();
}

fn until(released: &Receiver<()>) {
    released.recv().unwrap();
}

#[test]
fn a_follower_says_that_its_host_is_away_and_that_it_is_back() {
    let (release, released) = channel();
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            talk.line();
            talk.say(DESCRIPTION);
            talk.line();
            talk.say(&format!("220 DATA\n{EVENT}"));
        }),
        Box::new(move |talk| {
            until(&released);
            talk.login();
            talk.line();
            talk.say(DESCRIPTION);
            talk.expect("READ time.flows.unix.ar FROM OFFSET 0:1 FOLLOW");
            talk.say("220 DATA");
            talk.expect("DONE");
            talk.say("220 OK");
            talk.quit();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let mut child = fnua.command(&["read", FLOW, "--follow"]).spawn().unwrap();
    let mut said = words(&mut child);
    let wanted = "fnua: waiting for the host: no answer to a new connection";
    assert_eq!(said.next().as_deref(), Some(wanted));
    release.send(()).unwrap();
    assert!(said.next().unwrap().starts_with("fnua: goes on, after "));
    interrupt(&child);
    assert_eq!(said.next(), None);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, format!("{EVENT}\n"));
    assert_eq!(ended(child).code, 0);
    fake.finish();
}

/// One that is given 513 lines: a batch of 512, and one of a single line when that was taken.
fn writer_of_two_batches(fnua: &Fnua) -> Child {
    let mut command = fnua.command(&["write", FLOW, "--window", "1", "--run-id", "r"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let lines = "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}\n";
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, lines.repeat(513).as_bytes()).unwrap();
    child
}

#[test]
fn a_writer_says_that_its_host_does_not_answer_and_what_it_said_last() {
    let (release, released) = channel();
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.login_to_write();
            talk.take_write(FLOW);
            until(&released);
            talk.say("220 OK 1 events");
            talk.take_write(FLOW);
            // Longer than anybody waits in silence.
            talk.say("503 UNAVAILABLE disk full retry-after=3");
            talk.closed();
        }),
        Box::new(|talk| {
            talk.login_to_write();
            talk.write_ok(FLOW);
            talk.quit();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let mut child = writer_of_two_batches(&fnua);
    let mut said = words(&mut child);
    let wanted = format!("fnua: waiting for the host: no answer yet{HINT}");
    assert_eq!(said.next(), Some(wanted));
    release.send(()).unwrap();
    assert!(said.next().unwrap().starts_with("fnua: goes on, after "));
    let wanted =
        format!("fnua: waiting for the host: 503 UNAVAILABLE disk full retry-after=3{HINT}");
    assert_eq!(said.next(), Some(wanted));
    assert!(said.next().unwrap().starts_with("fnua: goes on, after "));
    assert!(said.next().unwrap().starts_with("fnua: wrote 513 events"));
    assert_eq!(ended(child).code, 0);
    fake.finish();
}

#[test]
fn a_writer_does_not_go_on_where_what_was_taken_lies_before_the_wait() {
    let (release, released) = channel();
    let mut scripts: Vec<Script> = vec![Box::new(move |talk| {
        talk.login_to_write();
        talk.take_write(FLOW);
        talk.say("220 OK 512 events");
        talk.take_write(FLOW);
        until(&released);
    })];
    for _ in 0..REFUSALS {
        scripts.push(Box::new(refuse));
    }
    scripts.push(Box::new(|talk| {
        talk.login_to_write();
        talk.write_ok(FLOW);
        talk.quit();
    }));
    let fake = Fake::start(scripts);
    let fnua = Fnua::with(&fake);
    let mut child = writer_of_two_batches(&fnua);
    let mut said = words(&mut child);
    let wanted = format!("fnua: waiting for the host: no answer yet{HINT}");
    assert_eq!(said.next(), Some(wanted));
    release.send(()).unwrap();
    assert!(said.next().unwrap().starts_with("fnua: goes on, after "));
    assert!(said.next().unwrap().starts_with("fnua: wrote 513 events"));
    assert_eq!(ended(child).code, 0);
    fake.finish();
}

/// So many refusals take longer than anybody waits in silence: the pauses grow to 2 s.
const REFUSALS: usize = 7;

fn refuse(talk: &mut Talk) {
    talk.login_to_write();
    assert!(talk.line().starts_with("WRITE "));
    talk.say("503 UNAVAILABLE flow time.flows.unix.ar is paused");
    talk.closed();
}

#[test]
fn a_writer_says_that_the_flow_is_paused_and_how_to_stop_and_goes_on_when_it_is_not() {
    let mut scripts: Vec<Script> = Vec::new();
    for _ in 0..REFUSALS {
        scripts.push(Box::new(refuse));
    }
    scripts.push(Box::new(|talk| {
        talk.login_to_write();
        talk.write_ok(FLOW);
        talk.quit();
    }));
    let fake = Fake::start(scripts);
    let said = Fnua::with(&fake).run_with(&["write", FLOW], "{}\n");
    let paused = "fnua: waiting for the host: 503 UNAVAILABLE flow time.flows.unix.ar is paused";
    assert_eq!(said.err.lines().next(), Some(format!("{paused}{HINT}").as_str()), "{said:?}");
    said.badly(0, "\nfnua: goes on, after ");
    fake.finish();
}
