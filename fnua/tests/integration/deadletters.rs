use crate::fake::{Fake, Fnua, Talk};

const P: &str = "br.flows.unix.ar";

fn letter(partition: u32, offset: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{offset}\",\"source\":\"/s\",\"type\":\"t\",\"deadprocessor\":\"{P}\",\"deadflow\":\"a.flows.unix.ar\",\"deadpartition\":{partition},\"deadoffset\":\"7\",\"deadkind\":\"reject\",\"deadreason\":\"no mag\",\"deadtime\":\"2026-01-31T12:00:00Z\",\"flowpartition\":{partition},\"flowoffset\":\"{offset}\",\"data\":{{\"n\":1}}}}"
    )
}

fn described(talk: &mut Talk, handled: &str) {
    talk.expect(&format!("DESCRIBE PROCESSOR {P} FORMAT json"));
    talk.say(&format!(
        "220 DATA\n{{\"processor\":\"{P}\",\"dead-letters\":{{\"flow\":\"{P}.dead\",\"open\":2,\"handled\":{handled}}}}}\n220 OK"
    ));
}

#[test]
fn open_letters_are_listed_and_handled_ones_are_not() {
    let fake = Fake::once(|talk| {
        talk.login();
        described(talk, "{\"0\":[[0,2]]}");
        talk.expect("READ br.flows.unix.ar.dead FROM earliest");
        let lines = [letter(0, 1), letter(0, 2), letter(1, 0)].join("\n");
        talk.say(&format!("220 DATA\n{lines}\n220 OK"));
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["deadletters", "list", P]).well();
    let wanted = "\
0:2       2026-01-31T12:00:00Z      reject    a.flows.unix.ar:0:7  no mag
1:0       2026-01-31T12:00:00Z      reject    a.flows.unix.ar:1:7  no mag
";
    assert_eq!(said, wanted);
    fake.finish();
}

#[test]
fn without_a_flow_of_dead_letters_there_are_none() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.line();
        talk.say(&format!("220 DATA\n{{\"processor\":\"{P}\"}}\n220 OK"));
        talk.expect("READ br.flows.unix.ar.dead FROM earliest");
        talk.say("404 NOT_FOUND flow br.flows.unix.ar.dead");
        talk.quit();
    });
    assert_eq!(Fnua::with(&fake).run(&["deadletters", "list", P]).well(), "");
    fake.finish();
}

#[test]
fn a_letter_is_shown_whole_with_what_happened() {
    let fake = Fake::once(|talk| {
        talk.login();
        described(talk, "{}");
        talk.expect("READ br.flows.unix.ar.dead FROM OFFSET 1:4 LIMIT 1");
        talk.say(&format!("220 DATA\n{}\n220 OK", letter(1, 4)));
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["deadletters", "show", P, "1:4"]).well();
    let wanted = format!(
        "letter     1:4\nopen       yes\nprocessor  {P}\nflow       a.flows.unix.ar\npartition  1\n\
         offset     7\nkind       reject\nreason     no mag\ntime       2026-01-31T12:00:00Z\n\n{}\n\n",
        letter(1, 4)
    );
    assert_eq!(said, wanted);
    fake.finish();
}

#[test]
fn another_letter_is_not_shown_for_one_that_is_not_there() {
    let fake = Fake::once(|talk| {
        talk.login();
        described(talk, "{}");
        talk.line();
        talk.say(&format!("220 DATA\n{}\n220 OK", letter(1, 5)));
        talk.closed();
    });
    let said = Fnua::with(&fake).run(&["deadletters", "show", P, "1:4"]);
    said.badly(1, "404 NOT_FOUND dead letter 1:4 of br.flows.unix.ar");
    fake.finish();
}

#[test]
fn letters_are_replayed_and_dropped_by_name_or_all() {
    for (words, command) in [
        (&["replay", P, "0:7", "1:2"][..], "REPLAY br.flows.unix.ar OFFSET 0:7,1:2"),
        (&["replay", P, "--all"], "REPLAY br.flows.unix.ar"),
        (&["drop", P, "0:7", "--yes"], "DISCARD br.flows.unix.ar OFFSET 0:7"),
        // Nobody is asked where no terminal is.
        (&["drop", P, "--all"], "DISCARD br.flows.unix.ar"),
    ] {
        let fake = Fake::once(move |talk| {
            talk.login();
            talk.expect(command);
            talk.say("220 OK 2 letters");
            talk.quit();
        });
        let words = [&["deadletters"], words].concat();
        assert_eq!(Fnua::with(&fake).run(&words).well(), "2 letters\n");
        fake.finish();
    }
}

#[test]
fn whoever_names_no_letter_has_to_say_all() {
    let fake = Fake::start(Vec::new());
    for words in [&["replay", P][..], &["drop", P, "--yes"], &["drop", P, "0:1", "--all"]] {
        let said = Fnua::with(&fake).run(&[&["deadletters"], words].concat());
        assert_eq!(said.code, 2, "{said:?}");
    }
}
