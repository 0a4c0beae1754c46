use std::io::{BufRead, BufReader, Read};

use fnua::Io;

use crate::fake::{Fake, Fnua, Talk, ended, interrupt};

const FLOW: &str = "time.flows.unix.ar";

fn line(partition: u32, offset: u64) -> String {
    format!(
        "{{\"id\":\"{partition}/{offset}\",\"flowpartition\":{partition},\"flowoffset\":\"{offset}\"}}"
    )
}

fn lines(places: &[(u32, u64)]) -> String {
    places.iter().map(|(partition, offset)| line(*partition, *offset) + "\n").collect()
}

fn standing(talk: &mut Talk, latest: &[u64]) {
    talk.expect(&format!("DESCRIBE FLOW {FLOW} FORMAT json"));
    let logs: Vec<String> = latest
        .iter()
        .enumerate()
        .map(|(partition, latest)| {
            format!("{{\"partition\":{partition},\"earliest\":0,\"latest\":{latest}}}")
        })
        .collect();
    talk.say(&format!(
        "220 DATA\n{{\"flow\":\"{FLOW}\",\"incarnation\":\"i\",\"log\":[{}]}}\n220 OK",
        logs.join(",")
    ));
}

#[test]
fn events_are_printed_as_the_host_sends_them() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("READ time.flows.unix.ar FROM OFFSET 0:3 LIMIT 2");
        talk.say(&format!("220 DATA\n{}220 OK", lines(&[(0, 3), (0, 4)])));
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&[
        "read",
        "flow://time.flows.unix.ar",
        "--from",
        "0:3",
        "--limit",
        "2",
    ]);
    assert_eq!(said.well(), lines(&[(0, 3), (0, 4)]));
    fake.finish();
}

#[test]
fn many_events_come_through_whole() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("READ time.flows.unix.ar");
        let all: Vec<(u32, u64)> = (0..20_000).map(|offset| (0, offset)).collect();
        talk.say(&format!("220 DATA\n{}220 OK", lines(&all)));
        talk.quit();
    });
    let all: Vec<(u32, u64)> = (0..20_000).map(|offset| (0, offset)).collect();
    assert_eq!(Fnua::with(&fake).run(&["read", FLOW]).well(), lines(&all));
    fake.finish();
}

#[test]
fn an_error_inside_a_read_comes_after_what_was_read() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.line();
        talk.say(&format!("220 DATA\n{}500 SERVER_ERR incident 7", lines(&[(0, 0)])));
        talk.closed();
    });
    let said = Fnua::with(&fake).run(&["read", FLOW]);
    said.badly(1, "fnua: 500 SERVER_ERR incident 7\n");
    assert_eq!(said.out, lines(&[(0, 0)]));
    fake.finish();
}

#[test]
fn a_read_that_breaks_in_the_middle_is_exit_3_after_what_was_read() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.line();
        talk.say(&format!("220 DATA\n{}", lines(&[(0, 0)])));
    });
    let said = Fnua::with(&fake).run(&["read", FLOW]);
    said.badly(3, "broken");
    assert_eq!(said.out, lines(&[(0, 0)]));
    fake.finish();
}

#[test]
fn a_reader_that_closes_stdout_ends_it_quietly() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.line();
        let all: Vec<(u32, u64)> = (0..50_000).map(|offset| (0, offset)).collect();
        talk.say("220 DATA");
        // The client is gone at some point in here.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| talk.say(&lines(&all)))));
    });
    let fnua = Fnua::with(&fake);
    let mut child = fnua.command(&["read", FLOW]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, lines(&[(0, 0)]));
    let said = ended(child);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn following_ends_with_done_on_ctrl_c_and_prints_what_comes_until_the_end() {
    let fake = Fake::once(|talk| {
        talk.login();
        standing(talk, &[5]);
        talk.expect("READ time.flows.unix.ar FROM latest FOLLOW");
        talk.say(&format!("220 DATA\n{}", lines(&[(0, 5)])));
        talk.expect("DONE");
        talk.say(&format!("{}220 OK", lines(&[(0, 6)])));
        talk.quit();
    });
    let fnua = Fnua::with(&fake);
    let mut child = fnua.command(&["read", FLOW, "--follow"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, lines(&[(0, 5)]));
    interrupt(&child);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, lines(&[(0, 6)]));
    ended(child).well();
    fake.finish();
}

#[test]
fn following_goes_on_after_the_last_event_seen() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            standing(talk, &[2]);
            talk.expect("READ time.flows.unix.ar FROM earliest LIMIT 4 FOLLOW");
            talk.say(&format!("220 DATA\n{}", lines(&[(0, 0), (0, 1)])));
            // Half a line, and gone.
            talk.say_bytes("{\"id\":\"x\",\"flowpart");
        }),
        Box::new(|talk| talk.say("503 UNAVAILABLE starting")),
        Box::new(|talk| {
            talk.login();
            standing(talk, &[2]);
            talk.expect("READ time.flows.unix.ar FROM OFFSET 0:2 FOLLOW");
            talk.say(&format!("220 DATA\n{}", lines(&[(0, 2), (0, 3), (0, 4)])));
            talk.expect("DONE");
            talk.say("220 OK");
            talk.quit();
        }),
    ]);
    let words = ["read", FLOW, "--from", "earliest", "--follow", "--limit", "4"];
    let said = Fnua::with(&fake).run(&words);
    assert_eq!(said.well(), lines(&[(0, 0), (0, 1), (0, 2), (0, 3)]));
    fake.finish();
}

/// What a host says to somebody whose token or certificate has expired.
const EXPIRED: &str = "401 AUTH_REQUIRED the token has expired, authenticate again";

#[test]
fn a_follower_who_is_put_out_comes_again_and_ends_when_he_is_not_let_in() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            standing(talk, &[1]);
            talk.expect("READ time.flows.unix.ar FROM earliest FOLLOW");
            talk.say(&format!("220 DATA\n{}", lines(&[(0, 0)])));
            talk.say(&format!("{EXPIRED}\n{EXPIRED}"));
            talk.closed();
        }),
        Box::new(|talk| {
            talk.login();
            standing(talk, &[1]);
            talk.expect("READ time.flows.unix.ar FROM OFFSET 0:1 FOLLOW");
            talk.say(&format!("220 DATA\n{}", lines(&[(0, 1)])));
            talk.say(EXPIRED);
            talk.closed();
        }),
        Box::new(|talk| talk.refuse_login()),
    ]);
    let said = Fnua::with(&fake).run(&["read", FLOW, "--from", "earliest", "--follow"]);
    assert_eq!(said.out, lines(&[(0, 0), (0, 1)]));
    said.badly(1, "401 AUTH_REQUIRED authentication failed");
    fake.finish();
}

#[test]
fn following_several_partitions_leaves_out_what_was_seen() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            standing(talk, &[4, 7]);
            talk.expect("READ time.flows.unix.ar FROM latest FOLLOW");
            talk.say(&format!("220 DATA\n{}", lines(&[(1, 7), (1, 8)])));
        }),
        Box::new(|talk| {
            talk.login();
            standing(talk, &[5, 9, 1]);
            // The new partition from its beginning, the others from where they stood.
            talk.expect("READ time.flows.unix.ar FROM OFFSET 0:4,1:9,2:0 FOLLOW");
            talk.say("400 BAD_FORMAT no partition:offset, such as 0:100 at word 5");
            talk.closed();
        }),
        // A host that does not know the places of several partitions.
        Box::new(|talk| {
            talk.login();
            standing(talk, &[5, 9, 1]);
            talk.expect("READ time.flows.unix.ar FROM earliest FOLLOW");
            let all = [(0, 0), (0, 3), (1, 6), (0, 4), (1, 7), (1, 8), (1, 9), (2, 0)];
            talk.say(&format!("220 DATA\n{}500 SERVER_ERR enough", lines(&all)));
            talk.closed();
        }),
    ]);
    let said = Fnua::with(&fake).run(&["read", FLOW, "--follow"]);
    said.badly(1, "500 SERVER_ERR enough");
    assert_eq!(said.out, lines(&[(1, 7), (1, 8), (0, 4), (1, 9), (2, 0)]));
    fake.finish();
}

#[test]
fn following_several_partitions_goes_on_where_each_stood() {
    for (began, next) in
        [("earliest", "OFFSET 0:2,1:0"), ("2026-01-31T12:00:00Z", "TIME 2026-01-31T12:00:00Z")]
    {
        let from = if began == "earliest" { began.to_owned() } else { format!("TIME {began}") };
        let fake = Fake::start(vec![
            Box::new(move |talk| {
                talk.login();
                standing(talk, &[2, 7]);
                talk.expect(&format!("READ time.flows.unix.ar FROM {from} FOLLOW"));
                talk.say(&format!("220 DATA\n{}", lines(&[(0, 0), (0, 1)])));
            }),
            Box::new(move |talk| {
                talk.login();
                standing(talk, &[2, 7]);
                talk.expect(&format!("READ time.flows.unix.ar FROM {next} FOLLOW"));
                talk.say(&format!("220 DATA\n{}", lines(&[(1, 6)])));
            }),
            Box::new(|talk| {
                talk.login();
                standing(talk, &[2, 7]);
                talk.expect("READ time.flows.unix.ar FROM OFFSET 0:2,1:7 FOLLOW");
                talk.say("416 OUT_OF_RANGE offset 2 of partition 0 earliest=5 latest=9");
                talk.closed();
            }),
        ]);
        let said = Fnua::with(&fake).run(&["read", FLOW, "--follow", "--from", began]);
        said.badly(1, "416 OUT_OF_RANGE");
        assert_eq!(said.out, lines(&[(0, 0), (0, 1), (1, 6)]));
        fake.finish();
    }
}

#[test]
fn a_flow_that_was_made_again_is_not_followed_as_if_it_were_the_old_one() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            standing(talk, &[0]);
            talk.line();
            talk.say(&format!("220 DATA\n{}", lines(&[(0, 0)])));
        }),
        Box::new(|talk| {
            talk.login();
            talk.line();
            talk.say("220 DATA\n{\"incarnation\":\"other\",\"log\":[{\"partition\":0,\"latest\":0}]}\n220 OK");
            talk.closed();
        }),
    ]);
    Fnua::with(&fake)
        .run(&["read", FLOW, "--follow"])
        .badly(1, "409 CONFLICT flow time.flows.unix.ar was deleted and made again");
    fake.finish();
}

#[tokio::test]
async fn another_program_can_run_it_in_process() {
    let fake = Fake::once(|talk| {
        talk.greet("AUTH=PLAIN");
        talk.line();
        talk.say(&format!("220 DATA\n{}220 OK", lines(&[(0, 0)])));
        talk.quit();
    });
    let (io, stdout, stderr) = Io::captured(Vec::new());
    let words = ["fnua", "--agent", &fake.address(), "read", FLOW].map(Into::into);
    let run = tokio::spawn(fnua::run(words, io));
    assert_eq!(run.await.unwrap(), fnua::Exit::Done);
    assert_eq!((stdout.text(), stderr.text()), (lines(&[(0, 0)]), String::new()));
    fake.finish();
}
