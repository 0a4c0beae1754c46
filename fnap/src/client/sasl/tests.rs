//! The mechanisms with the RFCs' own examples, and hosts that are not who they should be.

use super::*;

/// RFC 7677, section 3.
const NONCE_OF_THE_RFC: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn scram() -> Exchange {
    let nonce = NONCE_OF_THE_RFC.to_owned();
    let scram = Scram::with_nonce("", "user", "pencil", nonce).unwrap();
    Exchange(Kind::Scram(Box::new(scram)))
}

fn said(exchange: &mut Exchange, challenge: &str) -> Result<String, SaslError> {
    let response = exchange.respond(challenge.as_bytes())?;
    Ok(String::from_utf8(response.to_vec()).unwrap())
}

fn proved_to(server_first: &str) -> Result<String, SaslError> {
    let mut exchange = scram();
    said(&mut exchange, "").unwrap();
    said(&mut exchange, server_first)
}

#[test]
fn scram_says_what_the_rfcs_example_says() {
    let mut exchange = scram();
    assert_eq!(said(&mut exchange, "").unwrap(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(
        said(&mut exchange, SERVER_FIRST).unwrap(),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(exchange.finish(), Err(SaslError::NotProved));
    assert_eq!(said(&mut exchange, SERVER_FINAL).unwrap(), "");
    assert_eq!(exchange.finish(), Ok(()));
}

#[test]
fn a_host_that_does_not_know_the_verifier_is_found_out() {
    for signature in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=AAAA", "v="] {
        let mut exchange = scram();
        said(&mut exchange, "").unwrap();
        said(&mut exchange, SERVER_FIRST).unwrap();
        let error = said(&mut exchange, signature).unwrap_err();
        assert!(
            matches!(error, SaslError::NotTheHost | SaslError::Challenge(_)),
            "{signature}: {error}"
        );
        assert_eq!(exchange.finish(), Err(SaslError::NotProved));
    }
    let mut exchange = scram();
    said(&mut exchange, "").unwrap();
    said(&mut exchange, SERVER_FIRST).unwrap();
    let forged = SERVER_FINAL.replace("v=6", "v=7");
    assert_eq!(said(&mut exchange, &forged), Err(SaslError::NotTheHost));
}

#[test]
fn a_host_that_says_no_in_its_last_message_has_proved_nothing() {
    let mut exchange = scram();
    said(&mut exchange, "").unwrap();
    said(&mut exchange, SERVER_FIRST).unwrap();
    assert_eq!(said(&mut exchange, "e=invalid-proof").unwrap(), "");
    assert_eq!(exchange.finish(), Err(SaslError::NotProved));
}

#[test]
fn iterations_have_a_lowest_and_a_highest_number() {
    let asked = |count: &str| {
        proved_to(&SERVER_FIRST.replace("i=4096", &format!("i={count}"))).map(|said| said.len())
    };
    assert!(asked("4096").is_ok());
    assert_eq!(asked("4095"), Err(SaslError::Iterations(4095)));
    assert_eq!(asked("1"), Err(SaslError::Iterations(1)));
    assert_eq!(asked("1000001"), Err(SaslError::Iterations(1_000_001)));
    assert_eq!(asked("4294971392"), Err(SaslError::Iterations(4_294_971_392)));
    for wrong in ["", "-1", "x", "99999999999999999999"] {
        assert_eq!(asked(wrong), Err(SaslError::Challenge("SCRAM-SHA-256")), "{wrong}");
    }
}

#[test]
fn a_nonce_that_is_not_ours_and_messages_out_of_shape_are_refused() {
    assert_eq!(proved_to(&SERVER_FIRST.replace("r=rO", "r=rX")), Err(SaslError::Nonce));
    let no_part_of_the_host = format!("r={NONCE_OF_THE_RFC},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_eq!(proved_to(&no_part_of_the_host), Err(SaslError::Nonce));
    let long = "x".repeat(300);
    for wrong in [
        "",
        "m=x,r=rOprNGfwEbeRWgbNEkqOy,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOy,s=,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOy,s=?,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOy,s=W22ZaJ0SNY7soEsUEjb6gQ==",
        &SERVER_FIRST.replace("r=rOprNGfwEbeRWgbNEkqO", &format!("r={NONCE_OF_THE_RFC}{long}")),
        &SERVER_FIRST.replace("s=", &format!("s={}", "AAAA".repeat(65))),
    ] {
        assert_eq!(proved_to(wrong), Err(SaslError::Challenge("SCRAM-SHA-256")), "{wrong}");
    }
    let mut exchange = scram();
    assert!(said(&mut exchange, "not empty").is_err());
}

#[test]
fn names_are_escaped_and_prepared() {
    let scram = |authorize: &str, user: &str, password: &str| {
        let mut exchange = Exchange::scram_sha_256(authorize, user, password, [7; NONCE])?;
        said(&mut exchange, "")
    };
    let nonce = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    assert_eq!(scram("a,b", "c=d", "x").unwrap(), format!("n,a=a=2Cb,n=c=3Dd,r={nonce}"));
    // RFC 4013, section 3: a soft hyphen is nothing, ª is a.
    assert_eq!(scram("", "I\u{ad}X\u{aa}", "x").unwrap(), format!("n,,n=IXa,r={nonce}"));
    for (user, password) in [("", "x"), ("ana", ""), ("a\u{7}", "x"), ("ana", "\u{627}1")] {
        assert!(matches!(scram("", user, password), Err(SaslError::Unusable { .. })), "{user:?}");
    }
    assert!(scram("", &"u".repeat(256), "x").is_err());
    assert!(scram("", "u", &"x".repeat(1025)).is_err());
}

#[test]
fn mechanisms_of_one_message_say_it_once() {
    let plain = PlainCredentials::new("test", "test").unwrap();
    let mut exchange = Exchange::plain("", &plain).unwrap();
    assert_eq!(exchange.finish(), Err(SaslError::NotProved));
    assert_eq!(said(&mut exchange, "").unwrap(), "\0test\0test");
    assert_eq!(said(&mut exchange, ""), Err(SaslError::Challenge("PLAIN")));
    assert_eq!(exchange.finish(), Ok(()));
    let mut exchange = Exchange::plain("root", &plain).unwrap();
    assert_eq!(said(&mut exchange, "").unwrap(), "root\0test\0test");
    let mut exchange = Exchange::external("domain:emiliano.ar").unwrap();
    assert_eq!(said(&mut exchange, "").unwrap(), "domain:emiliano.ar");
    assert!(Exchange::external("a\0").is_err());
    let mut exchange = Exchange::anonymous();
    assert_eq!(said(&mut exchange, "x"), Err(SaslError::Challenge("ANONYMOUS")));
    assert_eq!(said(&mut Exchange::anonymous(), "").unwrap(), "");
}

#[test]
fn a_token_goes_out_as_in_the_rfc() {
    let bearer = |token: &str| Exchange::oauth_bearer("user@example.com", "h.example", 143, token);
    let mut exchange = bearer("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==").unwrap();
    assert_eq!(
        said(&mut exchange, "").unwrap(),
        "n,a=user@example.com,\x01host=h.example\x01port=143\x01\
         auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    );
    assert_eq!(exchange.finish(), Ok(()));
    for token in ["", "=", "a b", "a\u{1}b", "a=b", "Bearer x", &"x".repeat(9216)] {
        assert!(matches!(bearer(token), Err(SaslError::Unusable { .. })), "{token}");
    }
    assert!(bearer(&"x".repeat(9000)).is_ok());
}

#[test]
fn a_refused_token_is_acknowledged_and_never_counts_as_taken() {
    let mut exchange = Exchange::oauth_bearer("", "h.example", 1, "abc").unwrap();
    said(&mut exchange, "").unwrap();
    let json = r#"{"status":"invalid_token\u001b[2J","scope":"example_scope"}"#;
    assert_eq!(said(&mut exchange, json).unwrap(), "\u{1}");
    assert_eq!(exchange.refusal(), Some("invalid_token[2J"));
    assert_eq!(exchange.finish(), Err(SaslError::NotProved));
    assert!(said(&mut exchange, json).is_err());
    let mut exchange = Exchange::oauth_bearer("", "h.example", 1, "abc").unwrap();
    said(&mut exchange, "").unwrap();
    said(&mut exchange, "no json").unwrap();
    assert_eq!(exchange.refusal(), Some("refused"));
}

#[test]
fn debug_output_shows_no_secret() {
    let plain = PlainCredentials::new("test", "sesame").unwrap();
    assert_eq!(format!("{:?}", Exchange::plain("", &plain).unwrap()), "Exchange(Plain)");
    assert_eq!(format!("{:?}", scram()), "Exchange(ScramSha256)");
}
