//! Every way through the state machine.

use proptest::prelude::*;

use super::*;
use crate::command::Command;
use crate::line::{LineError, MAX_COMMAND};
use crate::reply::Code;
use crate::sasl::PlainCredentials;

fn connected() -> ClientSession {
    let mut client = ClientSession::new(100);
    assert_eq!(client.phase(), ClientPhase::Idle);
    client.connecting();
    assert_eq!(client.phase(), ClientPhase::ConPend);
    assert_eq!(heard(&mut client, "220 h FNAA\r\n"), [Event::Greeting("h FNAA".into())]);
    assert_eq!(client.phase(), ClientPhase::Connected);
    client
}

fn heard(client: &mut ClientSession, text: &str) -> Vec<Event> {
    client.receive(text.as_bytes());
    std::iter::from_fn(|| client.next_event()).collect()
}

fn output(client: &mut ClientSession) -> String {
    String::from_utf8(client.take_output().to_vec()).unwrap()
}

fn send(client: &mut ClientSession, line: &str) {
    client.send(&line.parse::<Command>().unwrap()).unwrap();
}

fn ok(text: &str) -> Event {
    Event::Ok(text.to_owned())
}

fn failed(code: Code, words: &str) -> Event {
    Event::Failed(Failure::new(code, words))
}

fn data(text: &'static str) -> Event {
    Event::Data(Bytes::from_static(text.as_bytes()))
}

fn plain() -> Exchange {
    Exchange::plain("", &PlainCredentials::new("test", "test").unwrap()).unwrap()
}

fn broken(text: &str) -> Vec<Event> {
    let mut client = connected();
    heard(&mut client, text)
}

#[test]
fn commands_may_be_sent_before_their_answers_and_get_them_in_order() {
    let mut client = connected();
    send(&mut client, "NOOP");
    send(&mut client, "GET FLOWS");
    send(&mut client, "CREATE FLOW a.b");
    assert_eq!(output(&mut client), "NOOP\r\nGET FLOWS\r\nCREATE FLOW a.b\r\n");
    assert_eq!((client.phase(), client.outstanding()), (ClientPhase::CmdPend, 3));
    let events =
        heard(&mut client, "220 OK\r\n220 DATA\r\na.b\r\n220 OK\r\n409 CONFLICT flow a.b\r\n");
    let expected =
        [ok("OK"), Event::DataStart, data("a.b"), Event::End, failed(Code::Conflict, "flow a.b")];
    assert_eq!(events, expected);
    assert_eq!(client.phase(), ClientPhase::Connected);
}

#[test]
fn the_token_goes_out_when_asked_for_and_later_commands_behind_it() {
    for asks in ["220 OK\r\n", "330 \r\n", "330 =\r\n", "330\n"] {
        let mut client = connected();
        client.authenticate(plain()).unwrap();
        send(&mut client, "NOOP");
        assert_eq!(output(&mut client), "AUTHENTICATE PLAIN\r\n");
        assert_eq!(heard(&mut client, asks), []);
        assert_eq!(output(&mut client), "AHRlc3QAdGVzdA==\r\n");
        let events = heard(&mut client, "220 Authenticated\r\n");
        assert_eq!(events, [Event::Authenticated("Authenticated".into())]);
        assert_eq!(output(&mut client), "NOOP\r\n");
        assert_eq!(heard(&mut client, "220 OK\r\n"), [ok("OK")]);
        assert_eq!(client.phase(), ClientPhase::Authenticated);
    }
}

#[test]
fn a_refused_mechanism_keeps_the_token_back() {
    let mut client = connected();
    client.authenticate(plain()).unwrap();
    send(&mut client, "QUIT");
    output(&mut client);
    assert_eq!(heard(&mut client, "426 TLS_REQUIRED no\r\n"), [failed(Code::TlsRequired, "no")]);
    assert_eq!(output(&mut client), "QUIT\r\n");
    let needs = client.send(&"AUTHENTICATE PLAIN".parse().unwrap());
    assert_eq!(needs, Err(ClientError::NeedsExchange));
    send(&mut client, "AUTHENTICATE PLAIN AHRlc3QAdGVzdA==");
    assert_eq!(heard(&mut client, "220 Bye\r\n220 Authenticated\r\n").len(), 2);
    assert_eq!(client.phase(), ClientPhase::Authenticated);
}

#[test]
fn events_go_out_when_asked_for_and_cannot_end_the_write_themselves() {
    let mut client = connected();
    send(&mut client, "WRITE f ID t");
    send(&mut client, "NOOP");
    assert_eq!(output(&mut client), "WRITE f ID t\r\n");
    client.send_events(["too early"]);
    assert_eq!(output(&mut client), "");
    assert_eq!(heard(&mut client, "330 Send\r\n"), [Event::SendEvents("Send".into())]);
    client.send_events(["{\r\n}", ".", "{}"]);
    client.send_events(["again"]);
    assert_eq!(output(&mut client), "{  }\r\n..\r\n{}\r\n.\r\nNOOP\r\n");
    assert_eq!(heard(&mut client, "220 OK 3 events\r\n220 OK\r\n"), [ok("OK 3 events"), ok("OK")]);
}

#[test]
fn a_refused_write_lets_later_commands_go() {
    for answers in ["503 UNAVAILABLE\r\n", "330 Send\r\n408 TIMEOUT\r\n"] {
        let mut client = connected();
        send(&mut client, "WRITE f");
        send(&mut client, "QUIT");
        output(&mut client);
        assert!(matches!(heard(&mut client, answers).last(), Some(Event::Failed(_))));
        assert_eq!(output(&mut client), "QUIT\r\n");
    }
}

#[test]
fn writes_at_once_may_be_under_way_together() {
    let mut client = connected();
    for _ in 0..2 {
        client.write_at_once("f".parse().unwrap(), None, ["{}"]).unwrap();
    }
    assert_eq!(output(&mut client), "WRITE f\r\n{}\r\n.\r\nWRITE f\r\n{}\r\n.\r\n");
    let events = heard(
        &mut client,
        "330 Send\r\n220 OK 1 events\r\n330 Send\r\n422 INVALID_EVENT line 1\r\n",
    );
    assert_eq!(events, [ok("OK 1 events"), failed(Code::InvalidEvent, "line 1")]);
}

#[test]
fn a_read_that_follows_ends_behind_done() {
    let mut client = connected();
    send(&mut client, "READ f FOLLOW");
    assert_eq!(heard(&mut client, "220 DATA\r\n{}\r\n"), [Event::DataStart, data("{}")]);
    client.done();
    assert_eq!(output(&mut client), "READ f FOLLOW\r\nDONE\r\n");
    assert_eq!(heard(&mut client, "{\"x\":1}\r\n220 OK\r\n"), [data("{\"x\":1}"), Event::End]);
    send(&mut client, "READ f");
    let events = heard(&mut client, "220 DATA\r\n{}\r\n500 SERVER_ERR incident 1\r\n");
    assert_eq!(events.last(), Some(&failed(Code::ServerErr, "incident 1")));
    assert_eq!(client.outstanding(), 0);
}

/// RFC 7677, section 3, framed.
#[test]
fn scram_has_several_rounds_and_the_host_must_prove_itself() {
    let begun = || {
        let mut client = connected();
        let scram = Exchange::scram_sha_256("", "user", "pencil", [7; sasl::NONCE]).unwrap();
        client.authenticate(scram).unwrap();
        send(&mut client, "NOOP");
        assert_eq!(output(&mut client), "AUTHENTICATE SCRAM-SHA-256\r\n");
        heard(&mut client, "220 OK\r\n");
        let first = output(&mut client);
        // n,,n=user,r=BwcH…
        assert_eq!(first, "biwsbj11c2VyLHI9QndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0g=\r\n");
        client
    };
    let mut client = begun();
    let unproved = ClientError::Sasl(SaslError::NotProved);
    assert_eq!(heard(&mut client, "220 Authenticated\r\n"), [Event::Broken(unproved.clone())]);
    assert_eq!(client.phase(), ClientPhase::Idle);
    let mut client = begun();
    // r=BwcH…x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096
    let challenge = "330 cj1Cd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSHgscz1XMjJaYUowU05ZN3NvRXNVRWpiNmdRPT0saT00MDk2\r\n";
    assert_eq!(heard(&mut client, challenge), []);
    assert!(output(&mut client).starts_with("Yz1iaXdz"));
    assert_eq!(
        heard(&mut client, "330 dj1BQUFB\r\n"),
        [Event::Broken(ClientError::Sasl(SaslError::NotTheHost))]
    );
    let mut client = begun();
    heard(&mut client, challenge);
    output(&mut client);
    // e=invalid-proof: the host is let say no, and may not say yes.
    assert_eq!(heard(&mut client, "330 ZT1pbnZhbGlkLXByb29m\r\n"), []);
    assert_eq!(output(&mut client), "=\r\n");
    assert_eq!(heard(&mut client, "220 Authenticated\r\n"), [Event::Broken(unproved)]);
    let mut client = begun();
    let no = heard(&mut client, "401 AUTH_REQUIRED authentication failed\r\n");
    assert_eq!(no, [failed(Code::AuthRequired, "authentication failed")]);
    assert_eq!(output(&mut client), "NOOP\r\n");
}

#[test]
fn challenges_that_are_none_end_the_session() {
    for challenge in ["330 ?\r\n", "330 AAA\r\n", "330 Send events\r\n", "330 AAAA\r\n"] {
        let mut client = connected();
        client.authenticate(plain()).unwrap();
        let wrong = ClientError::Sasl(SaslError::Challenge("PLAIN"));
        assert_eq!(heard(&mut client, challenge), [Event::Broken(wrong)], "{challenge}");
        assert_eq!(output(&mut client), "AUTHENTICATE PLAIN\r\n");
    }
}

#[test]
fn why_a_token_is_refused_is_told_with_the_hosts_words() {
    let mut client = connected();
    client.authenticate(Exchange::oauth_bearer("", "h", 1, "abc").unwrap()).unwrap();
    // {"status":"invalid_token"}
    heard(&mut client, "220 OK\r\n330 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\r\n");
    assert!(output(&mut client).ends_with("\r\nAQ==\r\n"));
    let no = heard(&mut client, "401 AUTH_REQUIRED authentication failed\r\n");
    assert_eq!(no, [failed(Code::AuthRequired, "authentication failed (invalid_token)")]);
}

#[test]
fn nothing_goes_out_between_starttls_and_the_handshake() {
    let mut client = connected();
    send(&mut client, "STARTTLS");
    send(&mut client, "NOOP");
    assert_eq!(output(&mut client), "STARTTLS\r\n");
    assert_eq!(heard(&mut client, "220 OK\r\n"), [ok("OK")]);
    assert_eq!((output(&mut client).as_str(), client.next_event()), ("", None));
    client.tls_established().unwrap();
    assert_eq!(output(&mut client), "NOOP\r\n");
    assert_eq!(heard(&mut client, "220 OK\r\n"), [ok("OK")]);
    send(&mut client, "STARTTLS");
    send(&mut client, "QUIT");
    assert_eq!(heard(&mut client, "404\r\n"), [failed(Code::NotFound, "")]);
    assert_eq!(output(&mut client), "STARTTLS\r\nQUIT\r\n");
}

#[test]
fn what_comes_behind_the_answer_to_stream_is_kept_and_is_no_line() {
    for pieces in [&["220 OK\r\n\0\0\0\x05220 OK"][..], &["220 OK\r\n\0", "\0\0\x05220 OK"]] {
        let mut client = connected();
        assert_eq!(client.take_frames(), "");
        send(&mut client, "STREAM");
        send(&mut client, "NOOP");
        assert_eq!(output(&mut client), "STREAM\r\n");
        let events: Vec<_> = pieces.iter().flat_map(|piece| heard(&mut client, piece)).collect();
        assert_eq!(events, [ok("OK")]);
        assert_eq!(client.take_frames(), "\0\0\0\x05220 OK");
        assert_eq!(output(&mut client), "");
    }
    let mut client = connected();
    send(&mut client, "STREAM");
    let no = failed(Code::NotImplemented, "streams");
    assert_eq!(heard(&mut client, "501 NOT_IMPLEMENTED streams\r\n"), [no]);
    assert_eq!(client.take_frames(), "");
}

#[test]
fn whatever_comes_in_clear_behind_the_answer_to_starttls_ends_the_session() {
    for (first, then) in
        [("220 OK\r\n220 injected\r\n", ""), ("220 OK\r\n2", ""), ("220 OK\r\n", "x")]
    {
        let mut client = connected();
        send(&mut client, "STARTTLS");
        send(&mut client, "NOOP");
        output(&mut client);
        let mut events = heard(&mut client, first);
        events.extend(heard(&mut client, then));
        assert_eq!(events, [ok("OK"), Event::Broken(ClientError::Injected)], "{first:?}");
        assert_eq!(client.tls_established(), Err(ClientError::Injected));
        assert_eq!(output(&mut client), "");
    }
    let mut client = connected();
    assert_eq!(client.tls_established(), Err(ClientError::Injected));
}

#[test]
fn a_host_may_refuse_to_greet_and_may_end_the_connection_unasked() {
    let mut client = ClientSession::default();
    client.connecting();
    assert_eq!(heard(&mut client, "503 UNAVAILABLE full\r\n"), [failed(Code::Unavailable, "full")]);
    assert_eq!(broken("408 TIMEOUT\r\n"), [failed(Code::Timeout, "")]);
}

#[test]
fn errors_without_a_name_or_with_an_unknown_number_keep_their_words() {
    assert_eq!(broken("404 no such thing\r\n"), [failed(Code::NotFound, "no such thing")]);
    assert_eq!(broken("404 NOT_FOUNDED x\r\n"), [failed(Code::NotFound, "NOT_FOUNDED x")]);
    assert_eq!(broken("599 ODD x\r\n"), [failed(Code::Other(599), "ODD x")]);
}

#[test]
fn a_host_that_does_not_keep_to_the_protocol_is_broken_for_good() {
    let unexpected =
        |line: &str| [Event::Broken(ClientError::Unexpected { line: line.to_owned() })];
    assert_eq!(broken("220 OK\r\n220 OK\r\n"), unexpected("OK"));
    assert_eq!(broken("220 DATA\r\nx\r\n"), unexpected("220 DATA"));
    assert_eq!(broken("330 Send\r\n"), unexpected("Send"));
    let no_reply = ClientError::NoReply { line: "HTTP/1.1 400 Bad Request".into() };
    assert_eq!(broken("HTTP/1.1 400 Bad Request\r\n\r\n"), [Event::Broken(no_reply)]);
    assert_eq!(broken("22\0\r\n"), [Event::Broken(LineError::Nul.into())]);
    let long = LineError::TooLong { limit: MAX_COMMAND };
    assert_eq!(broken(&"x".repeat(MAX_COMMAND + 1)), [Event::Broken(long.into())]);
    let mut client = ClientSession::default();
    assert_eq!(heard(&mut client, "330 x\r\n"), unexpected("x"));
    assert_eq!(client.phase(), ClientPhase::Idle);
    send(&mut client, "NOOP");
}

#[test]
fn data_before_an_answer_to_a_write_is_unexpected() {
    let mut client = connected();
    send(&mut client, "WRITE f");
    assert!(matches!(heard(&mut client, "220 DATA\r\n")[..], [Event::Broken(_)]));
    let mut client = connected();
    send(&mut client, "WRITE f");
    assert!(matches!(heard(&mut client, "220 OK\r\n")[..], [Event::Broken(_)]));
}

#[test]
fn a_command_over_8_kib_and_a_command_too_many_are_not_sent() {
    let mut client = connected();
    let topic = |len: usize| Command::Help { topic: Some("x".repeat(len)) };
    let too_long = ClientError::TooLong { len: MAX_COMMAND + 1, limit: MAX_COMMAND };
    assert_eq!(client.send(&topic(MAX_COMMAND - 4)), Err(too_long));
    assert_eq!(client.send(&topic(MAX_COMMAND - 5)), Ok(()));
    for _ in 1..MAX_OUTSTANDING {
        send(&mut client, "NOOP");
    }
    assert_eq!(client.send(&Command::Noop), Err(ClientError::TooMany));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events(
        parts in proptest::collection::vec(prop_oneof![
            Just(b"220 OK\r\n".to_vec()),
            Just(b"220 DATA \n".to_vec()),
            Just(b"330 Send\n".to_vec()),
            Just(b"404 NOT_FOUND x\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..10),
        ], 0..20),
        chunk in 1_usize..20,
    ) {
        let bytes = parts.concat();
        let play = |chunk: usize| {
            let mut client = connected();
            send(&mut client, "GET FLOWS");
            send(&mut client, "NOOP");
            send(&mut client, "READ f");
            let mut events = Vec::new();
            for piece in bytes.chunks(chunk) {
                client.receive(piece);
                events.extend(std::iter::from_fn(|| client.next_event()));
            }
            events
        };
        prop_assert_eq!(play(chunk), play(usize::MAX));
    }
}
