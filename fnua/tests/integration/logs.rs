use std::io::{BufRead, BufReader};

use crate::fake::{Fake, Fnua, Talk, ended, interrupt};

const P: &str = "br.flows.unix.ar";

fn line(seq: u64, message: &str) -> String {
    let time = format!("2026-01-31T12:00:{:02}Z", seq % 60);
    format!(
        "{{\"seq\":{seq},\"time\":\"{time}\",\"level\":\"warn\",\"by\":\"plugin\",\"shard\":0,\"message\":\"{message}\",\"fields\":{{\"n\":\"{seq}\"}}}}"
    )
}

fn asked(talk: &mut Talk, since: &str, lines: &[String]) {
    talk.expect(&format!("GET LOG {P}{since} FORMAT json"));
    talk.say("220 DATA");
    lines.iter().for_each(|line| talk.say(line));
    talk.say("220 OK");
}

#[test]
fn a_log_is_shown_line_by_line_and_what_would_steer_a_terminal_is_escaped() {
    let fake = Fake::once(|talk| {
        talk.login();
        let lines = ["{\"missed\":3}".to_owned(), line(3, "a\\u001b[2Jb"), line(4, "c")];
        asked(talk, " SINCE 0", &lines);
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["logs", P, "--since", "0"]);
    let wanted = "… 3 lines are gone\n\
        2026-01-31T12:00:03Z warn  shard=0 a\\u{1b}[2Jb n=3\n\
        2026-01-31T12:00:04Z warn  shard=0 c n=4\n";
    assert_eq!(said.well(), wanted);
    fake.finish();
}

#[test]
fn only_the_last_lines_are_shown_where_so_many_are_asked_for_and_json_is_the_hosts_own() {
    let fake = Fake::once(|talk| {
        talk.login();
        asked(talk, "", &[line(0, "a"), line(1, "b"), line(2, "c")]);
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["logs", P, "-n", "2", "--format", "json"]);
    assert_eq!(said.well(), format!("{}\n{}\n", line(1, "b"), line(2, "c")));
    fake.finish();
}

#[test]
fn following_asks_for_what_comes_and_goes_on_with_a_host_that_was_restarted() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            asked(talk, "", &[line(7, "a")]);
            asked(talk, " SINCE 8", &[]);
            asked(talk, " SINCE 8", &[line(8, "b")]);
            talk.line();
        }),
        Box::new(|talk| {
            talk.login();
            // It counts from the beginning again; the first of these was seen before.
            asked(talk, "", &[line(5, "old"), line(30, "new")]);
            talk.closed();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let mut child = fnua.command(&["logs", P, "--follow"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for wanted in ["a", "b", "new"] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("shard=0 {wanted} n=")), "{line}");
    }
    interrupt(&child);
    ended(child).well();
    assert!(lines.next().is_none());
    fake.finish();
}

#[test]
fn a_processor_that_is_deleted_ends_the_following() {
    let fake = Fake::once(|talk| {
        talk.login();
        asked(talk, "", &[]);
        talk.line();
        talk.say(&format!("404 NOT_FOUND processor {P}"));
        talk.closed();
    });
    Fnua::with(&fake).run(&["logs", P, "-f"]).badly(1, "404 NOT_FOUND processor br.flows.unix.ar");
    fake.finish();
}
