//! Who one is: each mechanism on the wire, and hosts that do not play by the rules.

use crate::authority::Authority;
use crate::fake::{Fake, Fnua, Talk};

fn fnua(fake: &Fake, keys: &str) -> Fnua {
    let fnua = Fnua::with_agents(&[]);
    fnua.configure(&format!(
        "[[agents]]\nname = \"unix\"\naddress = \"{}\"\n{keys}\n",
        fake.address()
    ));
    fnua
}

fn flows(talk: &mut Talk) {
    talk.expect("GET FLOWS");
    talk.say("220 DATA\na.b\n220 OK");
    talk.quit();
}

fn answered(talk: &mut Talk, command: &str, response: &str) {
    talk.expect(command);
    talk.say("220 OK");
    talk.expect(response);
    talk.say("220 Authenticated");
}

/// The server's first message of SCRAM for the client's line, in base64, with this many iterations.
fn scram_challenge(talk: &mut Talk, iterations: u32) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    talk.expect("AUTHENTICATE SCRAM-SHA-256");
    talk.say("220 OK");
    let first = String::from_utf8(STANDARD.decode(talk.line()).unwrap()).unwrap();
    let nonce = first.strip_prefix("n,,n=test,r=").unwrap_or_else(|| panic!("{first}"));
    STANDARD.encode(format!("r={nonce}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}"))
}

const PASSWORD: &str = "username = \"test\"\npassword = \"test\"";

#[test]
fn nobody_is_anonymous_where_the_host_offers_it_and_nobody_where_it_does_not() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN\nAUTH=ANONYMOUS");
            answered(talk, "AUTHENTICATE ANONYMOUS", "=");
            flows(talk);
        }),
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN");
            talk.expect("GET FLOWS");
            talk.say("401 AUTH_REQUIRED authenticate first");
            talk.quit();
        }),
    ]);
    let words = ["--agent", &fake.address(), "get", "flows"];
    let fnua = Fnua::with_agents(&[]);
    assert_eq!(fnua.run(&words).well(), "a.b\n");
    let login = format!("authenticate first: `fnua login {} --user NAME` keeps", fake.address());
    fnua.run(&words).badly(1, &login);
    fake.finish();
}

#[test]
fn a_host_that_cannot_prove_that_it_knows_the_user_is_not_believed() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.greet("AUTH=SCRAM-SHA-256");
            let challenge = scram_challenge(talk, 4096);
            talk.say(&format!("330 {challenge}"));
            talk.line();
            // v= of somebody else.
            talk.say("330 dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==");
            assert_eq!(talk.line(), "");
        }),
        Box::new(|talk| {
            talk.greet("AUTH=SCRAM-SHA-256");
            let challenge = scram_challenge(talk, 4096);
            talk.say(&format!("330 {challenge}"));
            talk.line();
            talk.say("220 Authenticated");
            assert_eq!(talk.line(), "");
        }),
        Box::new(|talk| {
            talk.greet("AUTH=SCRAM-SHA-256");
            let challenge = scram_challenge(talk, 1_000_001);
            talk.say(&format!("330 {challenge}"));
            assert_eq!(talk.line(), "");
        }),
    ]);
    let fnua = fnua(&fake, PASSWORD);
    fnua.run(&["get", "flows"]).badly(3, "cannot be trusted: the host does not know this user");
    fnua.run(&["get", "flows"]).badly(3, "cannot be trusted: the host has not proved");
    fnua.run(&["get", "flows"]).badly(3, "asks for 1000001 iterations");
    fake.finish();
}

#[test]
fn a_forced_mechanism_is_used_or_none() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.greet("AUTH=SCRAM-SHA-256");
            talk.closed();
        }),
        // This one may be taken by a host that has not all users' verifiers for it, and does not announce it.
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN");
            talk.expect("AUTHENTICATE SCRAM-SHA-256");
            talk.say("404 NOT_FOUND mechanism SCRAM-SHA-256");
            talk.closed();
        }),
    ]);
    let forced = |mechanism| fnua(&fake, &format!("{PASSWORD}\nmechanism = \"{mechanism}\""));
    let plain = forced("plain").run(&["get", "flows"]);
    plain.badly(2, "does not take PLAIN here: it offers SCRAM-SHA-256");
    let scram = forced("scram-sha-256").run(&["get", "flows"]);
    scram.badly(1, "404 NOT_FOUND mechanism SCRAM-SHA-256");
    fake.finish();
}

#[test]
fn a_password_that_scram_did_not_prove_is_not_sent_by_plain() {
    let fake = Fake::start(vec![Box::new(|talk| {
        talk.greet("AUTH=PLAIN\nAUTH=SCRAM-SHA-256");
        let challenge = scram_challenge(talk, 4096);
        talk.say(&format!("330 {challenge}"));
        talk.line();
        talk.say("401 AUTH_REQUIRED authentication failed");
        assert_eq!(talk.line(), "");
    })]);
    let fnua = fnua(&fake, PASSWORD);
    fnua.run(&["get", "flows"]).badly(1, "401 AUTH_REQUIRED authentication failed");
    fake.finish();
}

#[test]
fn a_token_comes_from_a_file_or_a_program_and_a_refusal_is_told_with_its_status() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.greet("AUTH=OAUTHBEARER");
            talk.closed();
        }),
        Box::new(|talk| {
            talk.greet("AUTH=OAUTHBEARER\nAUTH=PLAIN");
            talk.expect("AUTHENTICATE OAUTHBEARER");
            talk.say("220 OK");
            let line = talk.line();
            // n,a=ana,\x01host=127.0.0.1\x01port=…
            assert!(line.starts_with("bixhPWFuYSwBaG9zdD0xMjcuMC4wLjEBcG9ydD"), "{line}");
            talk.say("220 Authenticated");
            flows(talk);
        }),
        Box::new(|talk| {
            talk.greet("AUTH=OAUTHBEARER");
            talk.expect("AUTHENTICATE OAUTHBEARER");
            talk.say("220 OK");
            talk.line();
            // {"status":"invalid_token"}
            talk.say("330 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=");
            talk.expect("AQ==");
            talk.say("401 AUTH_REQUIRED authentication failed");
            talk.closed();
        }),
        Box::new(|talk| {
            talk.greet("AUTH=OAUTHBEARER");
            talk.closed();
        }),
    ]);
    let from_file = fnua(&fake, "token_file = \"token\"\nas = \"ana\"");
    from_file.file_with_mode("token", "abc.def\n", 0o644);
    let said = from_file.run(&["get", "flows"]);
    said.badly(2, "no token: token: others can read it (mode 0644): chmod 600");
    from_file.file_with_mode("token", "abc.def\n", 0o600);
    from_file.run(&["get", "flows"]).well();
    let from_program = fnua(&fake, "token_command = [\"/bin/sh\", \"-c\", \"echo abc\"]");
    let said = from_program.run(&["--config", "fnua.toml", "-d", "get", "flows"]);
    said.badly(1, "401 AUTH_REQUIRED authentication failed (invalid_token)");
    assert!(!said.err.contains("abc") && said.err.contains("S: 330 <challenge>"), "{}", said.err);
    let failing =
        fnua(&fake, "token_command = [\"/bin/sh\", \"-c\", \"echo no session >&2; exit 3\"]");
    failing
        .run(&["--config", "fnua.toml", "get", "flows"])
        .badly(2, "no token: /bin/sh: exit status: 3: no session");
    fake.finish();
}

#[test]
fn a_certificate_is_shown_and_says_who_one_is() {
    let authority = Authority::new();
    let host = authority.host_that_asks("127.0.0.1");
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.greet_with_tls("", &host, "AUTH=PLAIN\nAUTH=EXTERNAL");
            assert!(talk.client_certificate().is_some());
            // domain:emiliano.ar
            answered(talk, "AUTHENTICATE EXTERNAL", "ZG9tYWluOmVtaWxpYW5vLmFy");
            flows(talk);
        }),
        Box::new(|talk| {
            talk.greet("STARTTLS");
            talk.expect("STARTTLS");
            talk.say("220 OK");
            talk.closed();
        }),
    ]);
    let keys = "ca_file = \"ca.pem\"\ncertificate_file = \"own.pem\"\nkey_file = \"own.key\"\nas = \"domain:emiliano.ar\"";
    let fnua = fnua(&fake, keys);
    let own = authority.pair("fnaa.emiliano.ar");
    fnua.file("ca.pem", &authority.pem());
    fnua.file("own.pem", &own.certificate);
    fnua.file_with_mode("own.key", &own.key, 0o600);
    assert_eq!(fnua.run(&["get", "flows"]).well(), "a.b\n");
    fnua.file_with_mode("own.key", &authority.pair("fnaa.emiliano.ar").key, 0o600);
    let said = fnua.run(&["get", "flows"]);
    said.badly(2, "own.key is not the key of the certificate in ");
    fake.finish();
}

#[test]
fn hosts_of_the_proof_of_concept_still_get_the_drafts_dialogue() {
    let fake = Fake::once(|talk| {
        talk.say_bytes("220 fnaa.unix.ar FNAA\n");
        talk.expect("CAPABILITIES");
        talk.say_bytes("404 \n");
        talk.expect("AUTHENTICATE PLAIN");
        talk.say_bytes("220 OK \n");
        talk.expect("AHRlc3QAdGVzdA==");
        talk.say_bytes("220 Authenticated\n");
        talk.expect("CREATE FLOW time.flows.unix.ar");
        talk.say_bytes("220 OK time.flows.unix.ar\n");
        talk.expect("QUIT");
    });
    let said = fnua(&fake, PASSWORD).run(&["create", "flow", "time.flows.unix.ar"]);
    assert_eq!(said.well(), "time.flows.unix.ar\n");
    fake.finish();
}

#[test]
fn a_password_may_come_from_a_program_and_one_that_is_missing_is_told() {
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.login();
            flows(talk);
        }),
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN");
            talk.closed();
        }),
    ]);
    let program = "username = \"test\"\npassword_command = [\"/bin/sh\", \"-c\", \"echo test\"]";
    let fnua_with = fnua(&fake, program);
    fnua_with.run(&["get", "flows"]).badly(2, "was found here and has password_command");
    fnua_with.run(&["--config", "fnua.toml", "get", "flows"]).well();
    let missing = fnua(&fake, "username = \"test\"").run(&["get", "flows"]);
    missing.badly(
        2,
        &format!("no password for test at {0}: `fnua login {0} --user test`", fake.address()),
    );
    fake.finish();
}
