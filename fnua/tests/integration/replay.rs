//! A comparison over past events that somebody ends early.

use std::sync::mpsc::channel;

use crate::fake::{Fake, Fnua, Said, Talk, ended, interrupt};

const P: &str = "p.flows.unix.ar";
const COMPARE: [&str; 4] = ["replay", P, "--version", "1.3.0"];

fn comparison(talk: &mut Talk, done: u64, agree: u64) {
    talk.say(&format!(
        "220 DATA\n{{\"comparison.state\":\"running\",\"comparison.done\":{done},\"comparison.all\":10,\
         \"comparison.agree\":{agree},\"comparison.differ\":1}}\n220 OK"
    ));
}

/// What a run says that is ended after its first look, when the host has come to `done` by then.
fn ended_early(done: u64) -> Said {
    let (looked, first) = channel();
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.login();
            talk.expect("COMPARE p.flows.unix.ar VERSION 1.3.0");
            talk.say("220 OK p.flows.unix.ar");
            while talk.line().starts_with("DESCRIBE PROCESSOR ") {
                comparison(talk, 0, 0);
                looked.send(()).ok();
            }
        }),
        Box::new(move |talk| {
            talk.login();
            talk.expect("DESCRIBE PROCESSOR p.flows.unix.ar FORMAT json");
            comparison(talk, done, done.saturating_sub(1));
            talk.expect("COMPARE p.flows.unix.ar STOP");
            talk.say("220 OK p.flows.unix.ar");
            talk.quit();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    let child = fnua.command(&COMPARE).spawn().unwrap();
    first.recv().unwrap();
    interrupt(&child);
    let said = ended(child);
    fake.finish();
    said
}

#[test]
fn who_ends_a_comparison_sees_what_was_compared_until_then() {
    let said = ended_early(7);
    said.badly(130, "stopped before it was through: 7 of 10 offsets were compared");
    assert!(said.out.starts_with("events: 6 alike, 1 not\n"), "{said:?}");
}

#[test]
fn where_nothing_was_compared_no_zeros_look_like_a_result() {
    let said = ended_early(0);
    said.badly(130, "stopped before it was through: 0 of 10 offsets were compared");
    assert_eq!(said.out, "");
}
