//! Every way through the state machine.

use proptest::prelude::*;

use super::*;
use crate::command::Command;
use crate::line::MAX_COMMAND;
use crate::reply::{Code, Failure, Reply};
use crate::sasl::{MAX_RESPONSE, Mechanism, Response};

const GREETING: &str = "220 h FNAA\r\n";
const LOGIN: &[u8] = b"AUTHENTICATE PLAIN AHRlc3QAdGVzdA==\r\n";
const FAILED: &str = "401 AUTH_REQUIRED authentication failed\r\n";
const ENCRYPTED: Tls = Tls::Established { certificate: false };
const WITH_CERTIFICATE: Tls = Tls::Established { certificate: true };

fn options() -> ServerOptions {
    ServerOptions {
        clear_text: true,
        max_waiting: 1000,
        max_data_line: 100,
        ..ServerOptions::new("h")
    }
}

/// What is sent until the session waits or wants something else, and what that is.
fn settle(session: &mut ServerSession<u8>) -> (String, Option<Action<u8>>) {
    let mut sent = String::new();
    while let Some(action) = session.next_action() {
        match action {
            Action::Send(bytes) => sent += std::str::from_utf8(&bytes).unwrap(),
            other => return (sent, Some(other)),
        }
    }
    (sent, None)
}

fn say(session: &mut ServerSession<u8>, text: &str) -> (String, Option<Action<u8>>) {
    session.receive(text.as_bytes());
    settle(session)
}

/// What is sent, and nothing else wanted.
fn sent(session: &mut ServerSession<u8>, text: &str) -> String {
    let (sent, action) = say(session, text);
    assert_eq!(action, None, "{text}");
    sent
}

fn greeted(options: ServerOptions) -> ServerSession<u8> {
    let mut session = ServerSession::new(options);
    assert_eq!(session.phase(), Phase::Waiting);
    assert_eq!(settle(&mut session), (GREETING.to_owned(), None));
    assert_eq!(session.phase(), Phase::Accepting);
    session
}

fn response(base64: &str) -> Response {
    Response::decode(base64).unwrap()
}

/// What begins an authentication with or without a response.
fn begin(mechanism: Mechanism, base64: Option<&str>) -> Option<Action<u8>> {
    Some(Action::Authenticate { mechanism, response: base64.map(response) })
}

/// Nothing sent, and this wanted.
fn wants(session: &mut ServerSession<u8>, text: &str, wanted: Option<Action<u8>>) {
    assert_eq!(say(session, text), (String::new(), wanted), "{text}");
}

fn ready() -> ServerSession<u8> {
    ready_with(options())
}

fn ready_with(options: ServerOptions) -> ServerSession<u8> {
    let mut session = greeted(options);
    session.receive(LOGIN);
    assert_eq!(settle(&mut session).1, begin(Mechanism::Plain, Some("AHRlc3QAdGVzdA==")));
    assert_eq!(session.phase(), Phase::CmdRecvd);
    session.authenticated(7);
    assert_eq!(settle(&mut session).0, "220 Authenticated\r\n");
    assert_eq!(session.phase(), Phase::Ready);
    session
}

fn execute(line: &str) -> Option<Action<u8>> {
    Some(Action::Execute { principal: 7, command: line.parse().unwrap() })
}

fn batch(action: Option<Action<u8>>) -> WriteBatch {
    match action {
        Some(Action::ExecuteWrite { principal: 7, batch }) => batch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_authentication_everything_else_is_401_and_nothing_is_said_back() {
    let mut session = greeted(options());
    for line in
        ["GET FLOWS\r\n", "FLY\r\n", "WRITE f\r\n", "AHRlc3QAdGVzdA==\r\n", "DONE\r\n", "\r\n"]
    {
        assert_eq!(sent(&mut session, line), "401 AUTH_REQUIRED authenticate first\r\n");
    }
    // What is no blank is a part of the verb, which is unknown then.
    for line in [
        "NOOP\rNOOP\r\n",
        "AUTHENTICATE\rPLAIN x\r\n",
        "CAPABILITIES\r\r\n",
        "QUIT\u{c}\n",
        "\rHELP\n",
    ] {
        assert_eq!(
            sent(&mut session, line),
            "401 AUTH_REQUIRED authenticate first\r\n",
            "{line:?}"
        );
    }
    assert_eq!(sent(&mut session, "noop\r\n"), "220 OK\r\n");
    assert_eq!(sent(&mut session, "\t noop\t\r\n"), "220 OK\r\n");
    assert_eq!(
        sent(&mut session, "NOOP x\r\n"),
        "400 BAD_FORMAT nothing more expected at word 2\r\n"
    );
    assert!(sent(&mut session, "HELP\n").starts_with("220 DATA\r\nCAPABILITIES\r\n"));
    assert_eq!(sent(&mut session, "HELP FLY\n"), "404 NOT_FOUND command FLY\r\n");
    assert_eq!(
        sent(&mut session, "AUTHENTICATE\n"),
        "400 BAD_FORMAT expected a mechanism at word 2\r\n"
    );
    assert_eq!(
        sent(&mut session, "AUTHENTICATE scram-sha-256\n"),
        "404 NOT_FOUND mechanism SCRAM-SHA-256\r\n"
    );
}

#[test]
fn quit_says_bye_and_closes_before_and_after_authentication() {
    for mut session in [greeted(options()), ready()] {
        assert_eq!(
            say(&mut session, "QUIT\r\nNOOP\r\n"),
            ("220 Bye\r\n".into(), Some(Action::Close))
        );
        assert_eq!(settle(&mut session), (String::new(), None));
        assert_eq!(session.phase(), Phase::Waiting);
        assert!(!session.wants_input());
        assert_eq!(sent(&mut session, "NOOP\r\n"), "");
    }
}

#[test]
fn capabilities_follow_from_what_is_possible_on_this_connection() {
    let capabilities = |clear_text, tls| {
        let capabilities = vec!["PROCESSOR=bridge".to_owned()];
        let mechanisms = Mechanism::ALL.to_vec();
        let options = ServerOptions { clear_text, tls, capabilities, mechanisms, ..options() };
        let said = sent(&mut greeted(options), "CAPABILITIES\r\n").replace("\r\n", " ");
        let said = said.strip_suffix("PIPELINING PROCESSOR=bridge 220 OK ").unwrap();
        said.strip_prefix("220 DATA ").unwrap().to_owned()
    };
    let all = "AUTH=PLAIN AUTH=SCRAM-SHA-256 AUTH=OAUTHBEARER AUTH=EXTERNAL AUTH=ANONYMOUS ";
    let without_certificate = all.replace("AUTH=EXTERNAL ", "");
    assert_eq!(capabilities(false, Tls::Unavailable), "");
    assert_eq!(capabilities(false, Tls::Offered), "STARTTLS ");
    assert_eq!(capabilities(true, Tls::Unavailable), without_certificate);
    assert_eq!(capabilities(true, Tls::Offered), format!("STARTTLS {without_certificate}"));
    for clear_text in [false, true] {
        assert_eq!(capabilities(clear_text, ENCRYPTED), without_certificate);
        assert_eq!(capabilities(clear_text, WITH_CERTIFICATE), all);
    }
}

#[test]
fn what_is_not_announced_is_taken_all_the_same() {
    let (mechanisms, unannounced) = (Mechanism::ALL[..2].to_vec(), vec![Mechanism::ScramSha256]);
    let options = ServerOptions { mechanisms, unannounced, tls: ENCRYPTED, ..options() };
    let mut session = greeted(options);
    let said = sent(&mut session, "CAPABILITIES\r\n");
    assert!(said.contains("AUTH=PLAIN\r\n") && !said.contains("SCRAM"), "{said}");
    let wanted = begin(Mechanism::ScramSha256, None);
    wants(&mut session, "AUTHENTICATE SCRAM-SHA-256\r\n", wanted);
}

#[test]
fn over_an_open_connection_every_mechanism_is_426_and_nothing_is_passed_on() {
    let words =
        [(Tls::Unavailable, "nobody authenticates"), (Tls::Offered, "STARTTLS comes first")];
    for (tls, words) in words {
        let mechanisms = Mechanism::ALL.to_vec();
        let options = ServerOptions { clear_text: false, tls, mechanisms, ..options() };
        let mut session = greeted(options);
        for mechanism in Mechanism::ALL {
            for response in ["", " =", " AHRlc3QAdGVzdA==", " no-base64"] {
                let line = format!("AUTHENTICATE {}{response}\r\n", mechanism.name());
                let answer = sent(&mut session, &line);
                assert!(answer.starts_with(&format!("426 TLS_REQUIRED {words}")), "{answer}");
            }
        }
        assert_eq!(session.phase(), Phase::Accepting);
    }
}

#[test]
fn a_mechanism_that_is_not_offered_is_404() {
    let mechanisms = vec![Mechanism::ScramSha256, Mechanism::External];
    let mut session = greeted(ServerOptions { mechanisms, tls: ENCRYPTED, ..options() });
    let answers = [
        ("PLAIN AHRlc3QAdGVzdA==", "mechanism PLAIN"),
        ("anonymous", "mechanism ANONYMOUS"),
        ("GSSAPI", "mechanism GSSAPI"),
        ("EXTERNAL =", "mechanism EXTERNAL without a client certificate"),
    ];
    for (line, words) in answers {
        let answer = sent(&mut session, &format!("AUTHENTICATE {line}\r\n"));
        assert_eq!(answer, format!("404 NOT_FOUND {words}\r\n"));
    }
    wants(&mut session, "authenticate scram-sha-256\r\n", begin(Mechanism::ScramSha256, None));
}

#[test]
fn external_is_begun_where_the_peer_has_a_certificate_and_equals_is_an_empty_response() {
    let mechanisms = vec![Mechanism::External];
    let mut session = greeted(ServerOptions { mechanisms, tls: WITH_CERTIFICATE, ..options() });
    let wanted = begin(Mechanism::External, Some("="));
    wants(&mut session, "AUTHENTICATE EXTERNAL =\r\n", wanted.clone());
    assert!(matches!(wanted, Some(Action::Authenticate { response: Some(empty), .. })
        if empty.expose().is_empty()));
    session.authenticated(7);
    assert_eq!(settle(&mut session), ("220 Authenticated\r\n".into(), None));
}

#[test]
fn plain_without_a_response_is_asked_as_the_draft_shows() {
    let mut session = greeted(options());
    wants(&mut session, "AUTHENTICATE PLAIN\r\n", begin(Mechanism::Plain, None));
    assert_eq!(session.phase(), Phase::CmdRecvd);
    session.challenge(b"");
    assert_eq!(settle(&mut session), ("220 OK\r\n".into(), None));
    assert_eq!(session.phase(), Phase::Receiving);
    let wanted = Some(Action::Respond(response("AHRlc3QAdGVzdA==")));
    wants(&mut session, "AHRlc3QAdGVzdA==\r\n", wanted);
    session.authenticated(7);
    assert_eq!(settle(&mut session), ("220 Authenticated\r\n".into(), None));
}

#[test]
fn challenges_are_base64_after_330_and_an_empty_one_is_an_equals_sign() {
    let mechanisms = vec![Mechanism::ScramSha256];
    for begun in [false, true] {
        let options = ServerOptions { mechanisms: mechanisms.clone(), ..options() };
        let mut session = greeted(options);
        if begun {
            wants(&mut session, "AUTHENTICATE SCRAM-SHA-256 bg==\r\n", {
                begin(Mechanism::ScramSha256, Some("bg=="))
            });
        } else {
            say(&mut session, "AUTHENTICATE SCRAM-SHA-256\r\n");
            session.challenge(b"");
            assert_eq!(settle(&mut session).0, "220 OK\r\n");
            wants(&mut session, "bg==\r\n", Some(Action::Respond(response("bg=="))));
        }
        session.challenge(b"r=\0");
        assert_eq!(settle(&mut session), ("330 cj0A\r\n".into(), None));
        wants(&mut session, "Yw==\r\n", Some(Action::Respond(response("Yw=="))));
        session.challenge(b"");
        assert_eq!(settle(&mut session), ("330 =\r\n".into(), None), "not the first one");
        wants(&mut session, "=\r\n", Some(Action::Respond(response("="))));
        session.challenge(b"v=");
        assert_eq!(settle(&mut session), ("330 dj0=\r\n".into(), None));
        wants(&mut session, "=\r\n", Some(Action::Respond(response("="))));
        session.authenticated(7);
        assert_eq!(settle(&mut session), ("220 Authenticated\r\n".into(), None));
    }
    let mut session = greeted(ServerOptions { mechanisms, ..options() });
    say(&mut session, "AUTHENTICATE SCRAM-SHA-256 =\r\n");
    session.challenge(b"");
    assert_eq!(settle(&mut session).0, "330 =\r\n", "there was a response");
}

#[test]
fn a_third_failure_closes_and_every_cause_has_one_text() {
    let mut session = greeted(options());
    say(&mut session, "AUTHENTICATE PLAIN AHRlc3QAdGVzdA==\r\n");
    session.refused();
    assert_eq!(settle(&mut session), (FAILED.into(), None));
    say(&mut session, "AUTHENTICATE PLAIN\r\n");
    session.challenge(b"");
    assert_eq!(settle(&mut session).0, "220 OK\r\n");
    wants(&mut session, "not base64\r\n", Some(Action::Misread));
    session.refused();
    assert_eq!(settle(&mut session), (FAILED.into(), None));
    wants(&mut session, "AUTHENTICATE PLAIN AHRlc3QAdGVzdB==\r\nNOOP\r\n", Some(Action::Misread));
    session.refused();
    assert_eq!(settle(&mut session), (FAILED.into(), Some(Action::Close)));
    assert_eq!(settle(&mut session), (String::new(), None));
}

#[test]
fn a_failure_in_the_middle_of_an_exchange_ends_it() {
    let mut session =
        greeted(ServerOptions { mechanisms: vec![Mechanism::ScramSha256], ..options() });
    say(&mut session, "AUTHENTICATE SCRAM-SHA-256 bg==\r\n");
    session.challenge(b"r=1");
    assert_eq!(say(&mut session, "Yw==\r\n").0, "330 cj0x\r\n");
    session.refused();
    assert_eq!(settle(&mut session), (FAILED.into(), None));
    assert_eq!(session.phase(), Phase::Accepting);
    session.challenge(b"late");
    session.authenticated(7);
    assert_eq!(settle(&mut session), (String::new(), None), "unasked answers are dropped");
    assert_eq!(sent(&mut session, "Yw==\r\n"), "401 AUTH_REQUIRED authenticate first\r\n");
}

#[test]
fn a_response_that_cannot_be_read_is_a_failure_and_so_is_a_star() {
    let too_long = [&vec![b'x'; MAX_RESPONSE + 4][..], b"\r\n"].concat();
    for bad in [&b"\xff\r\n"[..], b"\0\r\n", b"\r\n", b"=====\r\n", b"QQ\r\n", &too_long] {
        let mut session = greeted(options());
        say(&mut session, "AUTHENTICATE PLAIN\r\n");
        session.challenge(b"");
        settle(&mut session);
        session.receive(bad);
        assert_eq!(settle(&mut session), (String::new(), Some(Action::Misread)));
        session.refused();
        assert_eq!(settle(&mut session), (FAILED.into(), None));
    }
    let mut session = greeted(options());
    let cancelled = "401 AUTH_REQUIRED authentication cancelled\r\n";
    for number in 1..=MAX_AUTH_FAILURES {
        say(&mut session, "AUTHENTICATE PLAIN\r\n");
        session.challenge(b"");
        settle(&mut session);
        let closed = (number == MAX_AUTH_FAILURES).then_some(Action::Close);
        assert_eq!(say(&mut session, "*\r\n"), (cancelled.into(), closed));
    }
}

#[test]
fn a_response_may_be_longer_than_a_command_but_not_than_its_limit() {
    let longest = "A".repeat(MAX_RESPONSE);
    let mut session = greeted(options());
    say(&mut session, "AUTHENTICATE PLAIN\r\n");
    session.challenge(b"");
    settle(&mut session);
    let wanted = Some(Action::Respond(response(&longest)));
    wants(&mut session, &format!("{longest}\r\n"), wanted);
    session.refused();
    settle(&mut session);
    assert_eq!(
        sent(&mut session, &format!("AUTHENTICATE PLAIN {longest}\r\n")),
        "413 TOO_LARGE line over 8192 bytes\r\n"
    );
}

#[test]
fn a_check_that_was_not_possible_says_so_and_counts_like_a_failure() {
    let mut session = greeted(options());
    for number in 1..=MAX_AUTH_FAILURES {
        session.receive(LOGIN);
        settle(&mut session);
        session.not_checked(Failure::new(Code::Unavailable, "later"));
        let closed = (number == MAX_AUTH_FAILURES).then_some(Action::Close);
        assert_eq!(settle(&mut session), ("503 UNAVAILABLE later\r\n".into(), closed));
    }
}

#[test]
fn authenticating_twice_or_starting_tls_afterwards_is_409() {
    let mut session = ready();
    for line in ["AUTHENTICATE PLAIN\r\n", "STARTTLS\r\n"] {
        assert_eq!(sent(&mut session, line), "409 CONFLICT already authenticated\r\n");
    }
}

fn with_tls() -> ServerOptions {
    ServerOptions { clear_text: false, tls: Tls::Offered, ..options() }
}

#[test]
fn starttls_starts_again_and_what_is_received_before_the_handshake_is_gone() {
    for certificate in [false, true] {
        let mechanisms = vec![Mechanism::Plain, Mechanism::External];
        let mut session = greeted(ServerOptions { mechanisms, ..with_tls() });
        let started = say(&mut session, "STARTTLS\r\n");
        assert_eq!(started, ("220 OK\r\n".into(), Some(Action::StartTls)));
        assert_eq!(session.phase(), Phase::Upgrading);
        assert!(!session.wants_input());
        assert_eq!(sent(&mut session, "NOOP\r\nAUTH"), "");
        session.tls_established(certificate);
        assert_eq!(settle(&mut session), (String::new(), None));
        let answer = sent(&mut session, "STARTTLS\r\n");
        assert_eq!(answer, "409 CONFLICT tls is established already\r\n");
        let capabilities = sent(&mut session, "CAPABILITIES\r\n");
        assert!(!capabilities.contains("STARTTLS") && capabilities.contains("AUTH=PLAIN\r\n"));
        assert_eq!(capabilities.contains("AUTH=EXTERNAL"), certificate);
        session.receive(LOGIN);
        assert!(matches!(settle(&mut session).1, Some(Action::Authenticate { .. })));
    }
    let mut session = greeted(options());
    assert_eq!(sent(&mut session, "STARTTLS\r\n"), "501 NOT_IMPLEMENTED tls\r\n");
}

#[test]
fn whatever_follows_starttls_in_clear_text_closes_and_is_never_performed() {
    for injected in ["NOOP\r\n", "AUTHENTICATE PLAIN AHRlc3QAdGVzdA==\r\n", "A", "\n", "\0"] {
        let mut session = greeted(with_tls());
        let answer = say(&mut session, &format!("STARTTLS\r\n{injected}"));
        let refusal = "400 BAD_FORMAT nothing may follow STARTTLS\r\n";
        assert_eq!(answer, (refusal.into(), Some(Action::Close)), "{injected:?}");
        session.tls_established(false);
        assert_eq!(settle(&mut session), (String::new(), None));
    }
}

#[test]
fn the_end_does_not_wait_for_a_check() {
    let mut session = greeted(options());
    session.receive(LOGIN);
    assert!(matches!(settle(&mut session).1, Some(Action::Authenticate { .. })));
    session.end(Failure::new(Code::Unavailable, "later"));
    assert_eq!(settle(&mut session), ("503 UNAVAILABLE later\r\n".into(), Some(Action::Close)));
    session.authenticated(7);
    assert_eq!(settle(&mut session), (String::new(), None));
}

#[test]
fn failures_before_starttls_count_after_it() {
    let mut session = greeted(ServerOptions { tls: Tls::Offered, ..options() });
    for _ in 1..MAX_AUTH_FAILURES {
        session.receive(LOGIN);
        settle(&mut session);
        session.refused();
        assert_eq!(settle(&mut session), (FAILED.into(), None));
    }
    say(&mut session, "STARTTLS\r\n");
    session.tls_established(false);
    session.receive(LOGIN);
    settle(&mut session);
    session.refused();
    assert_eq!(settle(&mut session), (FAILED.into(), Some(Action::Close)));
}

#[test]
fn lines_that_cannot_be_used_are_answered_and_the_session_goes_on() {
    let mut session = ready();
    assert_eq!(
        sent(&mut session, &("x".repeat(8193) + "\r\n")),
        "413 TOO_LARGE line over 8192 bytes\r\n"
    );
    assert!(sent(&mut session, &("x".repeat(8192) + "\r\n")).starts_with("404 NOT_FOUND command"));
    session.receive(b"\xff\r\n");
    assert_eq!(settle(&mut session).0, "400 BAD_FORMAT line is not utf-8\r\n");
    assert_eq!(sent(&mut session, "a\0\r\n"), "400 BAD_FORMAT line with a nul\r\n");
    assert_eq!(
        sent(&mut session, "CREATE FLOW\r\n"),
        "400 BAD_FORMAT expected a flow at word 3\r\n"
    );
    assert_eq!(sent(&mut session, "NOOP\r\n"), "220 OK\r\n");
}

#[test]
fn one_command_is_performed_at_a_time_and_the_others_wait() {
    let mut session = ready();
    let first = say(&mut session, "GET FLOWS\r\nNOOP\r\nGET BROKERS\r\n");
    assert_eq!(first, (String::new(), execute("GET FLOWS")));
    assert_eq!(session.phase(), Phase::CmdRecvd);
    assert_eq!(settle(&mut session), (String::new(), None));
    session.reply(Reply::data(["a.b"]));
    let second = settle(&mut session);
    assert_eq!(second, ("220 DATA\r\na.b\r\n220 OK\r\n220 OK\r\n".into(), execute("GET BROKERS")));
    session.reply(Reply::ok());
    session.reply(Reply::ok());
    session.authenticated(8);
    session.refused();
    session.challenge(b"");
    session.tls_established(false);
    assert_eq!(settle(&mut session), ("220 OK\r\n".into(), None), "unasked answers are dropped");
}

#[test]
fn a_peer_that_sends_too_much_behind_a_command_has_to_wait() {
    let mut session = ready();
    say(&mut session, "GET FLOWS\r\n");
    assert!(session.wants_input());
    session.receive(&b"NOOP\r\n".repeat(200));
    assert_eq!(settle(&mut session), (String::new(), None));
    assert!(!session.wants_input());
    session.reply(Reply::ok());
    assert_eq!(settle(&mut session).0, "220 OK\r\n".repeat(201));
    assert!(session.wants_input());
}

#[test]
fn a_write_collects_its_lines_without_copying_and_waits_for_the_dot() {
    let mut session = ready();
    let asked = "330 Send events, end with a line of one dot\r\n";
    assert_eq!(sent(&mut session, "WRITE a.b ID t1\r\n{}\r\n{\"x\":1}\n"), asked);
    assert_eq!(session.phase(), Phase::Receiving);
    let batch = batch(say(&mut session, " . \r\nNOOP\r\n").1);
    assert_eq!((batch.flow.as_str(), batch.token), ("a.b", Some("t1".parse().unwrap())));
    assert_eq!(batch.lines, ["{}", "{\"x\":1}"]);
    session.reply(Reply::ok_with("2 events"));
    assert_eq!(settle(&mut session).0, "220 OK 2 events\r\n220 OK\r\n");
}

#[test]
fn a_write_over_a_limit_is_swallowed_to_the_dot_and_413() {
    let lines = |count: usize| "{}\r\n".repeat(count) + ".\r\n";
    let mut session = ready();
    assert_eq!(
        batch(say(&mut session, &format!("WRITE f\r\n{}", lines(MAX_WRITE_LINES))).1).lines.len(),
        512
    );
    session.reply(Reply::ok());
    settle(&mut session);
    let answer = sent(&mut session, &format!("WRITE f\r\n{}NOOP\r\n", lines(MAX_WRITE_LINES + 1)));
    assert!(
        answer.ends_with("\r\n413 TOO_LARGE more than 512 events in one write\r\n220 OK\r\n"),
        "{answer}"
    );
    let long = format!("WRITE f\r\n{{}}\r\n{}\r\n{{}}\r\n.\r\nNOOP\r\n", "x".repeat(101));
    let answer = sent(&mut session, &long);
    assert!(
        answer.ends_with("\r\n413 TOO_LARGE line 2: line over 100 bytes\r\n220 OK\r\n"),
        "{answer}"
    );
}

#[test]
fn a_write_of_more_than_1_mib_is_413_unless_one_event_may_be_larger() {
    let half = "x".repeat(MAX_WRITE_BYTES / 2);
    let answer = |max_data_line, last: &str| {
        let mut session = greeted(ServerOptions { max_data_line, ..options() });
        session.receive(LOGIN);
        settle(&mut session);
        session.authenticated(7);
        settle(&mut session);
        say(&mut session, &format!("WRITE f\r\n{half}\r\n{half}\r\n{last}.\r\n"))
    };
    assert_eq!(batch(answer(1 << 20, "").1).lines.len(), 2);
    let too_large = "413 TOO_LARGE more than 1048576 bytes in one write\r\n";
    assert!(answer(1 << 20, "x\r\n").0.ends_with(too_large));
    assert_eq!(batch(answer(2 << 20, "x\r\n").1).lines.len(), 3);
}

#[test]
fn a_line_that_is_no_text_refuses_the_write_and_names_its_number() {
    for (bad, why) in [(&b"\xff"[..], "line is not utf-8"), (b"\0", "line with a nul")] {
        let mut session = ready();
        session.receive(&[b"WRITE f\r\n{}\r\n", bad, b"\r\n.\r\n"].concat());
        let (sent, action) = settle(&mut session);
        assert!(sent.ends_with(&format!("\r\n422 INVALID_EVENT line 2: {why}\r\n")), "{sent}");
        assert_eq!(action, None);
    }
}

#[test]
fn a_read_writes_its_data_between_220_data_and_its_end() {
    let mut session = ready();
    assert_eq!(say(&mut session, "READ f\r\nNOOP\r\n").1, execute("READ f"));
    session.read_started();
    session.read_started();
    assert_eq!(settle(&mut session), ("220 DATA\r\n".into(), None));
    assert_eq!(session.phase(), Phase::CmdRecvd);
    session.read_ended(Err(Failure::new(Code::ServerErr, "incident 1")));
    assert_eq!(settle(&mut session).0, "500 SERVER_ERR incident 1\r\n220 OK\r\n");
    say(&mut session, "READ f\r\n");
    session.reply(Reply::error(Code::NotFound, "flow f"));
    assert_eq!(settle(&mut session).0, "404 NOT_FOUND flow f\r\n");
}

fn following() -> ServerSession<u8> {
    let mut session = ready();
    assert_eq!(say(&mut session, "READ f FOLLOW\r\n").1, execute("READ f FOLLOW"));
    session.read_started();
    assert_eq!(settle(&mut session), ("220 DATA\r\n".into(), None));
    assert_eq!(session.phase(), Phase::Following);
    session
}

#[test]
fn only_done_is_taken_while_following_and_other_commands_wait() {
    let mut session = following();
    assert_eq!(say(&mut session, "NOOP\r\nDO"), (String::new(), None));
    assert_eq!(say(&mut session, "NE\r\nGET FLOWS\r\n").1, Some(Action::StopFollowing));
    assert_eq!(say(&mut session, "DONE\r\n"), (String::new(), None), "it was stopped already");
    session.read_ended(Ok(()));
    assert_eq!(settle(&mut session), ("220 OK\r\n220 OK\r\n".into(), execute("GET FLOWS")));
    session.reply(Reply::ok());
    assert_eq!(settle(&mut session), ("220 OK\r\n".into(), None));
}

#[test]
fn done_sent_with_its_read_stops_it_once_it_has_started() {
    let mut session = ready();
    assert_eq!(say(&mut session, "READ f FOLLOW\r\ndone \r\n").1, execute("READ f FOLLOW"));
    assert_eq!(settle(&mut session), (String::new(), None));
    session.read_started();
    assert_eq!(settle(&mut session), ("220 DATA\r\n".into(), Some(Action::StopFollowing)));
    session.read_ended(Ok(()));
    assert_eq!(settle(&mut session), ("220 OK\r\n".into(), None));
}

#[test]
fn done_that_comes_too_late_has_no_answer() {
    let mut session = following();
    session.read_ended(Ok(()));
    assert_eq!(settle(&mut session).0, "220 OK\r\n");
    assert_eq!(sent(&mut session, "DONE\r\nNOOP\r\n"), "220 OK\r\n");
}

#[test]
fn a_stream_that_is_accepted_ends_the_session_and_one_that_is_not_goes_on() {
    let mut session = ready();
    assert_eq!(say(&mut session, "STREAM\r\n").1, execute("STREAM"));
    session.reply(Reply::error(Code::NotImplemented, "STREAM"));
    assert_eq!(settle(&mut session).0, "501 NOT_IMPLEMENTED STREAM\r\n");
    say(&mut session, "STREAM\r\nNOOP\r\n");
    session.stream_accepted();
    assert_eq!(
        settle(&mut session),
        ("220 OK\r\n".into(), Some(Action::StartStream { principal: 7 }))
    );
    assert_eq!(session.phase(), Phase::Upgrading);
    assert_eq!(settle(&mut session), (String::new(), None));
}

#[test]
fn the_end_comes_when_no_command_is_being_performed() {
    let stop = || Failure::new(Code::Unavailable, "shutting down");
    let last = ("503 UNAVAILABLE shutting down\r\n".to_owned(), Some(Action::Close));
    let mut session = ready();
    session.end(stop());
    assert_eq!(settle(&mut session), last);

    let mut session = ready();
    say(&mut session, "GET FLOWS\r\nNOOP\r\n");
    session.end(stop());
    assert_eq!(settle(&mut session), (String::new(), None));
    session.reply(Reply::ok());
    assert_eq!(settle(&mut session), (format!("220 OK\r\n{}", last.0), Some(Action::Close)));

    let mut session = following();
    session.end(stop());
    assert_eq!(settle(&mut session), (String::new(), Some(Action::StopFollowing)));
    session.read_ended(Ok(()));
    assert_eq!(settle(&mut session), (format!("220 OK\r\n{}", last.0), Some(Action::Close)));

    let mut session = ready();
    sent(&mut session, "WRITE f\r\n{}\r\n");
    session.end(Failure::new(Code::Timeout, ""));
    assert_eq!(settle(&mut session), ("408 TIMEOUT\r\n".into(), Some(Action::Close)));
}

#[test]
fn what_was_sent_before_the_peer_finished_is_still_performed() {
    let mut session = ready();
    say(&mut session, "GET FLOWS\r\nNOOP\r\nNOO");
    session.input_ended();
    assert!(!session.wants_input());
    session.reply(Reply::ok());
    assert_eq!(settle(&mut session), ("220 OK\r\n220 OK\r\n".into(), Some(Action::Close)));

    let mut session = following();
    session.input_ended();
    assert_eq!(settle(&mut session).1, Some(Action::StopFollowing));

    let mut session = ready();
    sent(&mut session, "WRITE f\r\n{}\r\n");
    session.input_ended();
    assert_eq!(settle(&mut session), (String::new(), Some(Action::Close)), "half a write is none");
}

/// Performs everything at once; READs are refused.
fn play(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Vec<Command>) {
    let mut session = ServerSession::new(options());
    let (mut out, mut commands) = (Vec::new(), Vec::new());
    for piece in std::iter::once(Vec::new()).chain(pieces) {
        session.receive(&piece);
        while let Some(action) = session.next_action() {
            match action {
                Action::Send(bytes) => out.extend_from_slice(&bytes),
                Action::Authenticate { response: None, .. } => session.challenge(b""),
                Action::Authenticate { .. } | Action::Respond(_) => session.authenticated(7),
                Action::Misread => session.refused(),
                Action::Execute { command, .. } => {
                    commands.push(command);
                    session.reply(Reply::ok());
                }
                Action::ExecuteWrite { batch, .. } => {
                    session.reply(Reply::ok_with(batch.lines.len()))
                }
                Action::StartTls => session.tls_established(false),
                Action::StopFollowing | Action::StartStream { .. } | Action::Close => {}
            }
        }
    }
    (out, commands)
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_dialogue(
        parts in proptest::collection::vec(prop_oneof![
            Just(LOGIN.to_vec()),
            Just(b"AUTHENTICATE PLAIN\r\nAHRlc3QAdGVzdA==\r\n".to_vec()),
            Just(b"WRITE f\r\n{}\n".to_vec()),
            Just(b".\r\n".to_vec()),
            Just(b"GET FLOWS\r\n".to_vec()),
            Just(b"READ f FOLLOW\r\nDONE\r\n".to_vec()),
            Just(b"NOOP".to_vec()),
            Just(b"\n".to_vec()),
            Just([b'x'; 150].to_vec()),
            proptest::collection::vec(any::<u8>(), 0..10),
        ], 0..20),
        chunk in 1_usize..40,
    ) {
        let bytes = [LOGIN.to_vec(), parts.concat()].concat();
        let whole = play(std::iter::once(bytes.clone()));
        let cut = play(bytes.chunks(chunk).map(<[u8]>::to_vec));
        prop_assert_eq!(whole, cut);
    }
}

proptest! {
    #[test]
    fn nobody_authenticates_in_clear_text_whatever_is_said(
        parts in proptest::collection::vec(prop_oneof![
            Just(LOGIN.to_vec()),
            Just(b"AUTHENTICATE ANONYMOUS =\r\n".to_vec()),
            Just(b"AUTHENTICATE PLAIN\r\n".to_vec()),
            Just(b"AHRlc3QAdGVzdA==\r\n".to_vec()),
            Just(b"CAPABILITIES\r\n".to_vec()),
            Just(b"STARTTLS".to_vec()),
            Just(b"\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..10),
        ], 0..20),
        chunk in 1_usize..40,
    ) {
        let mechanisms = Mechanism::ALL.to_vec();
        let mut session = ServerSession::<u8>::new(ServerOptions { mechanisms, ..with_tls() });
        for piece in parts.concat().chunks(chunk) {
            session.receive(piece);
            while let Some(action) = session.next_action() {
                let harmless =
                    matches!(action, Action::Send(_) | Action::StartTls | Action::Close);
                prop_assert!(harmless, "{action:?}");
            }
        }
    }
}

#[test]
fn pipelined_writes_begin_together_and_are_answered_in_order() {
    let mut session = ready_with(ServerOptions { writes_at_once: 2, ..options() });
    let write = |flow: &str| format!("WRITE {flow}\r\n{{}}\r\n.\r\n");
    session.receive((write("a.test") + &write("b.test") + &write("c.test")).as_bytes());
    session.receive(b"QUIT\r\n");
    let asks = "330 Send events, end with a line of one dot\r\n";
    let (sent, action) = settle(&mut session);
    assert_eq!((sent.as_str(), batch(action).flow.as_str()), (asks, "a.test"));
    let (sent, action) = settle(&mut session);
    assert_eq!((sent.as_str(), batch(action).flow.as_str()), ("", "b.test"));
    assert_eq!(settle(&mut session), (String::new(), None));
    assert_eq!(session.phase(), Phase::CmdRecvd);
    session.reply(Reply::Ok("one".into()));
    let (sent, action) = settle(&mut session);
    assert_eq!(sent, format!("220 one\r\n{asks}"));
    assert_eq!(batch(action).flow.as_str(), "c.test");
    session.reply(Reply::Ok("two".into()));
    assert_eq!(settle(&mut session), (format!("220 two\r\n{asks}"), None));
    session.reply(Reply::Ok("three".into()));
    assert_eq!(settle(&mut session), ("220 three\r\n220 Bye\r\n".into(), Some(Action::Close)));
}

#[test]
fn refused_writes_behind_one_that_is_performed_wait_when_their_answers_are_too_many() {
    let mut session = ready_with(ServerOptions { writes_at_once: 2, ..options() });
    say(&mut session, "WRITE f\r\n{}\r\n.\r\n");
    let refused = "WRITE f\r\na\0\r\n.\r\n".repeat(50);
    let mut taken = 0;
    while session.wants_input() {
        assert_eq!(sent(&mut session, &refused), "");
        taken += 50;
        assert!(session.held() <= MAX_HELD_REPLIES + 4096, "{} held", session.held());
    }
    session.reply(Reply::ok());
    let answers = settle(&mut session).0;
    assert_eq!(answers.matches("422 INVALID_EVENT line 1: line with a nul\r\n").count(), taken);
    assert_eq!(session.held(), 0);
    assert!(session.wants_input());
}

#[test]
fn what_serves_nobody_is_counted_and_events_are_not() {
    let toll = |said: &str| {
        let mut session = ready();
        session.take_toll();
        say(&mut session, said);
        let Toll { commands, faults, thrown_away } = session.take_toll();
        assert_eq!(session.take_toll(), Toll::default());
        (commands, faults, thrown_away)
    };
    let long = "x".repeat(MAX_COMMAND + 1);
    let refused = "x\r\n".repeat(MAX_WRITE_LINES + 10);
    for (said, counted) in [
        ("", (0, 0, 0)),
        ("NOOP\r\nHELP\r\nDONE\r\n", (3, 0, 0)),
        ("what\r\n\r\n", (2, 2, 0)),
        ("a\0b\r\n", (0, 1, 0)),
        (&long, (0, 1, MAX_COMMAND + 1)),
        (&format!("{long}yyy\r\nNOOP\r\n"), (1, 1, 0)),
        ("WRITE f.example\r\nx\r\ny\r\n.\r\n", (0, 0, 0)),
        (&format!("WRITE f.example\r\n{refused}"), (0, 0, 30)),
        (&format!("WRITE f.example\r\n{refused}.\r\n"), (0, 1, 30)),
        ("WRITE f.example\r\n\0\r\n\r\n", (0, 0, MAX_COMMAND + 2)),
    ] {
        assert_eq!(toll(said), counted, "{said:.40}");
    }
    let mut stranger = greeted(options());
    say(&mut stranger, "GET FLOWS\r\nNOOP\r\n");
    assert_eq!(stranger.take_toll(), Toll { commands: 2, faults: 1, thrown_away: 0 });
}
