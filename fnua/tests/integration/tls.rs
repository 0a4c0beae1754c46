//! TLS as a user meets it: what is verified, what is refused, and what he is told.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::authority::{Authority, config};
use crate::fake::{Fake, Fnua, Talk};

/// An agent at the fake's address, with these further keys.
fn fnua(fake: &Fake, authority: &Authority, keys: &str) -> Fnua {
    let fnua = Fnua::with_agents(&[]);
    fnua.file("ca.pem", &authority.pem());
    fnua.configure(&format!(
        "[[agents]]\nname = \"unix\"\naddress = \"{}\"\nusername = \"test\"\npassword = \"test\"\n{keys}\n",
        fake.address()
    ));
    fnua
}

fn flows(talk: &mut Talk) {
    talk.plain();
    talk.expect("GET FLOWS");
    talk.say("220 DATA\na.b\n220 OK");
    talk.quit();
}

/// A host that says hello under TLS to a client that will not have it.
fn unwanted(pair: Arc<ServerConfig>) -> Fake {
    Fake::once(move |talk| {
        talk.say("220 fnaa.unix.ar FNAA");
        talk.offer("STARTTLS");
        talk.expect("STARTTLS");
        talk.say("220 OK");
        talk.tls(&pair);
        assert_eq!(talk.line(), "", "nothing may be said to a host that is not trusted");
    })
}

#[test]
fn starttls_is_made_and_the_host_is_asked_again_what_it_can_do() {
    let authority = Authority::new();
    let host = authority.host("127.0.0.1");
    // The mechanism that is offered in clear only is not taken.
    let fake = Fake::once(move |talk| {
        talk.greet_with_tls("AUTH=ANONYMOUS\nAUTH=SCRAM-SHA-256", &host, "AUTH=PLAIN");
        flows(talk);
    });
    let fnua = fnua(&fake, &authority, "tls = \"starttls\"\nca_file = \"ca.pem\"");
    let said = fnua.run(&["-d", "get", "flows"]);
    assert_eq!((said.code, said.out.as_str()), (0, "a.b\n"), "{}", said.err);
    assert!(
        said.err.contains("C: STARTTLS\nS: 220 OK\nC: TLSv1_3 with 127.0.0.1\n"),
        "{}",
        said.err
    );
    fake.finish();
}

#[test]
fn tls_at_once_is_made_before_the_greeting_and_under_another_name_than_the_address() {
    let authority = Authority::new();
    let host = authority.host("fnaa.unix.ar");
    let fake = Fake::once(move |talk| {
        talk.tls(&host);
        talk.greet("AUTH=PLAIN");
        flows(talk);
    });
    let keys = "tls = \"implicit\"\nca_file = \"ca.pem\"\nfqdn = \"fnaa.unix.ar\"";
    assert_eq!(fnua(&fake, &authority, keys).run(&["get", "flows"]).well(), "a.b\n");
    fake.finish();
}

#[test]
fn on_loopback_nothing_is_sent_without_tls_where_the_authority_is_known() {
    let authority = Authority::new();
    let host = authority.host("127.0.0.1");
    let fake = Fake::start(vec![
        Box::new(move |talk| {
            talk.greet_with_tls("", &host, "AUTH=PLAIN");
            flows(talk);
        }),
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN");
            talk.closed();
        }),
        Box::new(|talk| {
            talk.greet("STARTTLS\nAUTH=PLAIN");
            flows(talk);
        }),
    ]);
    let known = fnua(&fake, &authority, "ca_file = \"ca.pem\"");
    known.run(&["get", "flows"]).well();
    known.run(&["get", "flows"]).badly(3, "it does not offer starttls, so nothing is sent");
    fnua(&fake, &authority, "").run(&["get", "flows"]).well();
    fake.finish();
}

#[test]
fn a_certificate_that_is_not_good_is_refused_by_its_reason() {
    let authority = Authority::new();
    let expired = Arc::new(config(&authority.expired("127.0.0.1"), None));
    for (host, wanted) in [
        (
            authority.host("other.example"),
            "its certificate is not for 127.0.0.1 but for other.example",
        ),
        (expired, "its certificate has expired "),
        (Authority::new().host("127.0.0.1"), "its certificate is of no authority in "),
    ] {
        let fake = unwanted(host);
        let fnua = fnua(&fake, &authority, "tls = \"starttls\"\nca_file = \"ca.pem\"");
        let said = fnua.run(&["get", "flows"]);
        said.badly(3, &format!("fnua: no tls with {}: {wanted}", fake.address()));
        assert_eq!(said.out, "");
        fake.finish();
    }
}

#[test]
fn a_host_that_speaks_clear_text_where_tls_is_required_gets_nothing() {
    let authority = Authority::new();
    let fake = Fake::start(vec![
        Box::new(|talk| {
            talk.greet("AUTH=PLAIN");
            assert_eq!(talk.line(), "");
        }),
        Box::new(|talk| {
            talk.say("220 fnaa.unix.ar FNAA");
            talk.closed();
        }),
        Box::new(|talk| {
            talk.greet("STARTTLS\nAUTH=PLAIN");
            talk.expect("STARTTLS");
            talk.say("503 UNAVAILABLE not now");
            assert_eq!(talk.line(), "");
        }),
        Box::new(|talk| {
            talk.say("220 fnaa.unix.ar FNAA");
            talk.expect("CAPABILITIES");
            talk.say("404 NOT_FOUND");
            assert_eq!(talk.line(), "");
        }),
    ]);
    let required = fnua(&fake, &authority, "tls = \"starttls\"\nca_file = \"ca.pem\"");
    required.run(&["get", "flows"]).badly(3, "it does not offer starttls, so nothing is sent");
    let at_once = fnua(&fake, &authority, "tls = \"implicit\"\nca_file = \"ca.pem\"");
    at_once.run(&["get", "flows"]).badly(3, "what answers there does not speak tls at once");
    required.run(&["get", "flows"]).badly(3, "it offers starttls and refuses it: 503");
    required.run(&["get", "flows"]).badly(3, "it does not offer starttls, so nothing is sent");
    fake.finish();
}

#[test]
fn words_that_somebody_puts_before_the_handshake_end_the_connection() {
    let authority = Authority::new();
    let fake = Fake::once(|talk| {
        talk.greet("STARTTLS");
        talk.expect("STARTTLS");
        talk.say_bytes("220 OK\r\n220 DATA\r\nAUTH=PLAIN\r\n220 OK\r\n");
        assert_eq!(talk.line(), "");
    });
    let fnua = fnua(&fake, &authority, "tls = \"starttls\"\nca_file = \"ca.pem\"");
    let said = fnua.run(&["get", "flows"]);
    said.badly(3, "cannot be trusted: the host said something between its answer to starttls");
    fake.finish();
}

#[test]
fn files_that_are_missing_or_hold_nothing_are_told_by_name() {
    let authority = Authority::new();
    let fake = Fake::start(
        (0..2)
            .map(|_| {
                let script = |talk: &mut Talk| {
                    talk.greet("STARTTLS");
                    talk.expect("STARTTLS");
                    talk.say("220 OK");
                    talk.closed();
                };
                Box::new(script) as Box<dyn FnOnce(&mut Talk) + Send>
            })
            .collect(),
    );
    let missing = fnua(&fake, &authority, "tls = \"starttls\"\nca_file = \"none.pem\"");
    missing.run(&["get", "flows"]).badly(2, "none.pem: ");
    let empty = fnua(&fake, &authority, "tls = \"starttls\"\nca_file = \"fnua.toml\"");
    empty.run(&["get", "flows"]).badly(2, "fnua.toml: no certificate in it");
    fake.finish();
}

#[test]
fn a_megabyte_is_written_and_read_under_tls() {
    let authority = Authority::new();
    let host = authority.host("127.0.0.1");
    let big = format!("{{\"d\":\"{}\"}}", "x".repeat(1_000_000));
    let expected = big.clone();
    let fake = Fake::start(vec![
        Box::new({
            let (host, big) = (Arc::clone(&host), big.clone());
            move |talk| {
                talk.greet_with_tls("", &host, "AUTH=PLAIN\nPIPELINING");
                talk.plain();
                for _ in 0..3 {
                    assert_eq!(talk.write_ok("a.b").1.concat(), big);
                }
                talk.quit();
            }
        }),
        Box::new(move |talk| {
            talk.greet_with_tls("", &host, "AUTH=PLAIN");
            talk.plain();
            talk.line();
            talk.say(&format!("220 DATA\n{expected}\n{expected}\n220 OK"));
            talk.quit();
        }),
    ]);
    let fnua = fnua(&fake, &authority, "ca_file = \"ca.pem\"");
    fnua.file("events.jsonl", &format!("{big}\n{big}\n{big}\n"));
    fnua.run(&["write", "a.b", "events.jsonl"]).badly(0, "wrote 3 events");
    assert_eq!(fnua.run(&["read", "a.b"]).well(), format!("{big}\n{big}\n"));
    fake.finish();
}
