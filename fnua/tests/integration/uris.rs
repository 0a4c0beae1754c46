//! A `flow://` URI stands wherever a name does, for every command that takes one.

use crate::fake::{Fake, Fnua};

/// The protocol's line for each command, `@` for the name as it is typed.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["create", "flow", "@"], "CREATE FLOW a.b"),
    (&["create", "namespace", "@"], "CREATE NAMESPACE a.b"),
    (
        &["create", "processor", "@", "--type", "t", "--from", "@,c.b", "--to", "@"],
        "CREATE PROCESSOR a.b TYPE t FROM a.b,c.b TO a.b",
    ),
    (&["delete", "flow", "@"], "DELETE FLOW a.b"),
    (&["delete", "namespace", "@"], "DELETE NAMESPACE a.b"),
    (&["delete", "processor", "@"], "DELETE PROCESSOR a.b"),
    (&["get", "flows", "@"], "GET FLOWS a.b"),
    (&["get", "subscribers", "@"], "GET SUBSCRIBERS a.b"),
    (&["describe", "flow", "@"], "DESCRIBE FLOW a.b"),
    (&["describe", "namespace", "@"], "DESCRIBE NAMESPACE a.b"),
    (&["describe", "processor", "@"], "DESCRIBE PROCESSOR a.b"),
    (&["describe", "agent", "@"], "DESCRIBE AGENT a.b"),
    (&["describe", "nameserver", "@"], "DESCRIBE NAMESERVER a.b"),
    (&["update", "flow", "@", "x=y"], "UPDATE FLOW a.b x=y"),
    (&["update", "namespace", "@", "x=y"], "UPDATE NAMESPACE a.b x=y"),
    (&["update", "processor", "@", "x=y"], "UPDATE PROCESSOR a.b x=y"),
    (&["purge", "flow", "@", "--confirm", "@"], "PURGE FLOW a.b CONFIRM a.b"),
    (&["replicate", "@", "c.b", "--as", "@"], "REPLICATE a.b c.b AS a.b"),
    (&["collect", "@,c.b", "@"], "COLLECT a.b,c.b a.b"),
    (&["distribute", "@", "c.b,@"], "DISTRIBUTE a.b c.b,a.b"),
    (&["signal", "t", "--from", "@", "--to", "@"], "SIGNAL t FROM a.b TO a.b"),
    (&["pause", "@"], "PAUSE a.b"),
    (&["resume", "@"], "RESUME a.b"),
    (&["stop", "@"], "STOP a.b"),
    (&["subscribe", "@", "--local", "@"], "SUBSCRIBE a.b LOCAL a.b"),
    (&["unsubscribe", "@"], "UNSUBSCRIBE a.b"),
    (&["remove", "subscriber", "@"], "REMOVE SUBSCRIBER a.b"),
    (&["read", "@"], "READ a.b"),
    (&["logs", "@"], "GET LOG a.b"),
    (&["deadletters", "list", "@"], "DESCRIBE PROCESSOR a.b"),
];

fn typed(words: &[&str], name: &str) -> Vec<String> {
    words.iter().map(|word| word.replace('@', name)).collect()
}

#[test]
fn every_command_takes_a_flow_uri() {
    for (words, line) in COMMANDS {
        let fake = Fake::once(move |talk| {
            talk.login();
            let sent = talk.line();
            assert!(sent.starts_with(line), "{sent:?} for {line:?}");
            talk.say("501 NOT_IMPLEMENTED");
            talk.closed();
        });
        let words = typed(words, "Flow://A.b./");
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let said = Fnua::with(&fake).run(&words);
        assert_eq!(said.code, 1, "{words:?}: {}", said.err);
        fake.finish();
    }
}

#[test]
fn a_uri_that_says_more_than_a_name_is_refused_before_anything_is_sent() {
    let fnua = Fnua::with_agents(&[("unix", "127.0.0.1:1", "b")]);
    for (words, _) in COMMANDS {
        for (name, part) in
            [("flow://a.b:61000", "port"), ("flow://a.b/x", "path"), ("flow://a.b?x", "query")]
        {
            let words = typed(words, name);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            fnua.run(&words).badly(2, &format!("this one has a {part}"));
        }
    }
}
