use std::net::TcpListener;

use crate::fake::{Fake, Fnua};

#[test]
fn a_flow_is_created_as_in_the_draft() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("CREATE FLOW time.flows.unix.ar");
        talk.say("220 OK time.flows.unix.ar");
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["create", "flow", "flow://time.flows.unix.ar"]);
    assert_eq!(said.well(), "time.flows.unix.ar\n");
    fake.finish();
}

#[test]
fn a_flow_is_described_as_in_the_draft() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("DESCRIBE FLOW time.flows.unix.ar");
        // The draft's host sends blanks at the ends of these lines.
        talk.say("220 DATA \nflow=time.flows.unix.ar\ntype=kafka\ntopic=time.flows.unix.ar\nserver=kf1.unix.ar:9092\n220 OK ");
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["describe", "flow", "time.flows.unix.ar"]);
    let wanted =
        "flow=time.flows.unix.ar\ntype=kafka\ntopic=time.flows.unix.ar\nserver=kf1.unix.ar:9092\n";
    assert_eq!(said.well(), wanted);
    fake.finish();
}

#[test]
fn the_dialogue_is_shown_without_the_password() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.line();
        talk.say("220 OK time.flows.unix.ar");
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["-d", "create", "flow", "time.flows.unix.ar"]);
    let wanted = format!(
        "C: Connecting to {}\nS: 220 fnaa.unix.ar FNAA\nC: CAPABILITIES\nS: 220 DATA\nS: AUTH=PLAIN\n\
         S: 220 OK\nC: AUTHENTICATE PLAIN\nS: 220 OK\nC: <credentials>\n\
         S: 220 Authenticated\nC: CREATE FLOW time.flows.unix.ar\nS: 220 OK time.flows.unix.ar\nC: QUIT\nS: 220 Bye\n",
        fake.address()
    );
    assert_eq!((said.code, said.err), (0, wanted));
    fake.finish();
}

#[test]
fn a_wrong_password_is_exit_1_with_the_hosts_words() {
    let fake = Fake::once(|talk| talk.refuse_login());
    let said = Fnua::with(&fake).run(&["get", "flows"]);
    said.badly(1, "fnua: 401 AUTH_REQUIRED authentication failed\n");
    assert_eq!(said.out, "");
    fake.finish();
}

#[test]
fn a_no_of_the_host_is_exit_1_with_its_code_and_words() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("DESCRIBE FLOW x.flows.unix.ar");
        talk.say("404 NOT_FOUND flow x.flows.unix.ar");
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["describe", "flow", "x.flows.unix.ar"]);
    assert_eq!((said.code, said.err.as_str()), (1, "fnua: 404 NOT_FOUND flow x.flows.unix.ar\n"));
    fake.finish();
}

#[test]
fn what_the_host_does_not_have_yet_is_shown_as_it_says_it() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar");
        talk.say("501 NOT_IMPLEMENTED SUBSCRIBE");
        talk.quit();
    });
    let words = ["subscribe", "time.flows.unix.ar", "--local", "emiliano.ar-time.flows.unix.ar"];
    Fnua::with(&fake).run(&words).badly(1, "fnua: 501 NOT_IMPLEMENTED SUBSCRIBE\n");
    fake.finish();
}

#[test]
fn a_subscription_without_a_local_name_gets_one_of_the_own_namespace() {
    for (flow, said, answer) in [
        (
            "time.unix.ar",
            "SUBSCRIBE time.unix.ar LOCAL emiliano.ar-time.unix.ar",
            "emiliano.ar-time.unix.ar SUBSCRIBED TO id.time.unix.ar",
        ),
        (
            "time.emiliano.ar",
            "SUBSCRIBE time.emiliano.ar LOCAL emiliano.ar-time.emiliano.ar",
            "id.time.emiliano.ar",
        ),
    ] {
        let fake = Fake::once(move |talk| {
            talk.login();
            talk.expect(said);
            talk.say(&format!("220 DATA\n{answer}\n220 OK"));
            talk.quit();
        });
        let fnua = Fnua::with_agents(&[("home", &fake.address(), "emiliano.ar")]);
        assert_eq!(fnua.run(&["subscribe", flow]).well(), format!("{answer}\n"));
        fake.finish();
    }
}

#[test]
fn a_subscription_that_waits_for_the_owners_word_is_exit_5() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("SUBSCRIBE time.unix.ar LOCAL emiliano.ar-time.unix.ar");
        talk.say("450 PENDING request=r7");
        talk.quit();
    });
    let fnua = Fnua::with_agents(&[("home", &fake.address(), "emiliano.ar")]);
    fnua.run(&["subscribe", "time.unix.ar"]).badly(5, "fnua: 450 PENDING request=r7\n");
    fake.finish();
}

#[test]
fn a_host_that_cannot_be_reached_is_exit_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let fnua = Fnua::with_agents(&[("unix", &address, "flows.unix.ar")]);
    let said = fnua.run(&["get", "flows"]);
    said.badly(3, &format!("fnua: cannot reach {address}: "));
    fnua.run(&["write", "a.flows.unix.ar"]).badly(3, "cannot reach");
    fnua.run(&["read", "a.flows.unix.ar", "--follow"]).badly(3, "cannot reach");
}

#[test]
fn a_connection_that_ends_too_soon_and_a_stranger_are_exit_3() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            talk.line();
        }),
        Box::new(|talk| {
            talk.say("HTTP/1.1 400 Bad Request");
            talk.closed();
        }),
    ]);
    let fnua = Fnua::with(&fake);
    fnua.run(&["get", "flows"]).badly(3, "broken: the host closed it");
    fnua.run(&["get", "flows"]).badly(3, "does not speak fnap");
    fake.finish();
}

#[test]
fn wrong_arguments_and_wrong_configurations_are_exit_2() {
    let fnua = Fnua::with_agents(&[]);
    fnua.run(&["get", "flows"]).badly(2, "no agent");
    fnua.run(&["create", "flow", "a..b"]).badly(2, "empty label");
    fnua.run(&["--config", "none.toml", "get", "flows"]).badly(2, "cannot read config none.toml");
    fnua.run(&["--agent", "nobody", "get", "flows"]).badly(2, "no agent named \"nobody\"");
    fnua.configure("[[agents]]\nname = \"a\"\naddress = \"b\"\ncolour = 1\n");
    fnua.run(&["get", "flows"]).badly(2, "fnua.toml:4: unknown field `colour`");
}

#[test]
fn the_agent_whose_namespace_fits_best_is_asked() {
    let talk = |talk: &mut crate::fake::Talk| {
        talk.login();
        let line = talk.line();
        talk.say(&format!("220 OK {}", line.replace("CREATE FLOW ", "")));
        talk.quit();
    };
    let (far, near) = (Fake::start(vec![]), Fake::once(talk));
    let fnua = Fnua::with_agents(&[
        ("far", &far.address(), "unix.ar"),
        ("near", &near.address(), "flows.unix.ar"),
    ]);
    assert_eq!(fnua.run(&["create", "flow", "time.flows.unix.ar"]).well(), "time.flows.unix.ar\n");
    near.finish();
}

#[test]
fn an_agent_without_credentials_does_not_authenticate() {
    let fake = Fake::once(|talk| {
        talk.greet("AUTH=PLAIN\nAUTH=ANONYMOUS");
        talk.offer("AUTH=PLAIN");
        talk.quit();
    });
    let fnua = Fnua::with_agents(&[]);
    assert_eq!(fnua.run(&["--agent", &fake.address(), "capabilities"]).well(), "AUTH=PLAIN\n");
    fake.finish();
}

#[test]
fn json_of_the_host_is_printed_as_it_is() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("GET FLOWS FORMAT json");
        talk.say("220 DATA\n{\"flow\":\"a.b\"}\n{\"flow\":\"c.b\"}\n220 OK");
        talk.quit();
    });
    let said = Fnua::with(&fake).run(&["get", "flows", "--format", "json"]);
    assert_eq!(said.well(), "{\"flow\":\"a.b\"}\n{\"flow\":\"c.b\"}\n");
    fake.finish();
}

#[test]
fn status_puts_lists_and_descriptions_together() {
    let fake = Fake::once(|talk| {
        talk.login();
        talk.expect("GET FLOWS FORMAT json");
        talk.say("220 DATA\n{\"flow\":\"a.b\",\"status\":\"active\"}\n{\"flow\":\"gone.b\",\"status\":\"active\"}\n220 OK");
        talk.expect("DESCRIBE FLOW a.b FORMAT json");
        talk.say("220 DATA\n{\"flow\":\"a.b\",\"status\":\"active\",\"partitions\":1,\"log\":[{\"partition\":0,\"earliest\":2,\"latest\":5}]}\n220 OK");
        talk.expect("DESCRIBE FLOW gone.b FORMAT json");
        talk.say("404 NOT_FOUND flow gone.b");
        talk.expect("GET PROCESSORS FORMAT json");
        talk.say("220 DATA\n220 OK");
        talk.expect("GET PROCESSOR TYPES FORMAT json");
        talk.say("501 NOT_IMPLEMENTED types");
        talk.quit();
    });
    let wanted = "\
FLOW    STATUS  PARTITIONS  OFFSETS  BYTES
a.b     active           1        3
gone.b  active

PROCESSOR  TYPE  STATE  IN  OUT  LAG  BEHIND  DEAD  FLOWS

nothing is wrong
";
    assert_eq!(Fnua::with(&fake).run(&["status"]).well(), wanted);
    fake.finish();
}

#[test]
fn status_is_exit_4_where_something_is_wrong() {
    for quiet in [true, false] {
        let fake = Fake::once(|talk| {
            talk.login();
            talk.expect("GET FLOWS FORMAT json");
            talk.say("220 DATA\n220 OK");
            talk.expect("GET PROCESSORS FORMAT json");
            talk.say("220 DATA\n{\"processor\":\"p.b\",\"state\":\"failed\"}\n220 OK");
            talk.expect("DESCRIBE PROCESSOR p.b FORMAT json");
            talk.say(
                "220 DATA\n{\"processor\":\"p.b\",\"state\":\"failed\",\"reason\":\"gap\"}\n220 OK",
            );
            talk.expect("GET PROCESSOR TYPES FORMAT json");
            talk.say("220 DATA\n220 OK");
            talk.quit();
        });
        let words = if quiet { &["--quiet", "status"][..] } else { &["status"] };
        let said = Fnua::with(&fake).run(words);
        said.badly(4, "fnua: 1 thing is wrong");
        assert!(said.out.ends_with("! p.b: failed: gap\n"), "{said:?}");
        assert_eq!(said.out.lines().count() == 1, quiet, "{said:?}");
        fake.finish();
    }
}

#[test]
fn help_and_completions_go_to_stdout() {
    let fnua = Fnua::with_agents(&[]);
    for words in
        [&["--help"][..], &["write", "--help"], &["create", "processor", "--help"], &["--version"]]
    {
        assert!(fnua.run(words).well().contains("fnua"), "{words:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(fnua.run(&["completions", shell]).well().contains("replicate"), "{shell}");
    }
}
