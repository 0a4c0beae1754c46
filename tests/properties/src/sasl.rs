//! What both sides of an exchange say before either knows the other: nobody is proved to be anybody out of
//! thin air, what one side says the other can read, and secrets stay out of what is shown.

use std::sync::LazyLock;

use fnap::client::sasl::{Exchange, NONCE, SaslError};
use fnap::sasl::{MAX_RESPONSE, PlainCredentials, Response, encode};
use host_iam::messages::{Asked, ClientFirst, Final, Request, Wanted, trace};
use host_iam::{ScramVerifier, prepared_name};

use crate::input::Input;

/// Messages, one a line where there are more. The first control says of which kind.
pub fn sasl(data: &[u8]) {
    let input = Input::of(data);
    let payload = input.payload;
    let mut lines = payload.split(|byte| *byte == b'\n').chain([&[][..], &[]]);
    let mut next = || lines.next().unwrap_or_default();
    match input.choice(0) % 8 {
        0 => host_of_scram(next(), next()),
        1 => agent_of_scram(next(), next()),
        2 => both_of_scram(&input, next(), next()),
        3 => host_of_bearer(payload),
        4 => agent_of_bearer(payload),
        5 => host_of_others(payload),
        6 => plain(payload),
        _ => line(payload),
    }
}

fn host_of_scram(first: &[u8], last: &[u8]) {
    let Some(first) = whole_first(first) else { return };
    let (asked, challenge) = Asked::new(&first, VERIFIER.clone(), &OURS);
    let challenge = String::from_utf8(challenge).unwrap();
    assert!(challenge.starts_with(&format!("r={}", first.nonce)) && challenge.ends_with(",i=4096"));
    assert_eq!(challenge.split(',').count(), 3 + first.nonce.matches(',').count());
    if let Some(last) = Final::parse(last) {
        assert_eq!(asked.proves(&last), None, "a proof without the password");
    }
}

fn whole_first(message: &[u8]) -> Option<ClientFirst<'_>> {
    let first = ClientFirst::parse(message)?;
    assert_eq!([first.gs2_header, first.bare].concat().as_bytes(), message);
    assert!(!first.user.is_empty() && !first.nonce.is_empty());
    Some(first)
}

/// What a host asks and what it says last; it does not know the password.
fn agent_of_scram(challenge: &[u8], last: &[u8]) {
    if is_slow(challenge) {
        return;
    }
    let mut agent = agent("", "ana").unwrap();
    agent.respond(b"").unwrap();
    match agent.respond(challenge) {
        Ok(said) => {
            // A host that guesses it gets back what it said.
            assert!(!holds(&said, PASSWORD) || holds(challenge, PASSWORD));
            assert!(said.len() <= MAX_RESPONSE / 4 * 3);
        }
        Err(error) => return harmless(&error),
    }
    assert!(agent.finish().is_err());
    if let Err(error) = agent.respond(last) {
        harmless(&error);
    }
    assert!(agent.finish().is_err(), "a host that knows nothing is believed");
    assert!(agent.respond(last).is_err());
}

/// So many iterations that a fuzzer would do nothing else.
fn is_slow(challenge: &[u8]) -> bool {
    let text = String::from_utf8_lossy(challenge);
    let count = text.split(',').nth(2).and_then(|part| part.strip_prefix("i="));
    count.and_then(|count| count.parse().ok()).is_some_and(|count: u64| count > 5000)
}

/// An agent that knows the password comes in, whatever its name; with one bit changed it does not.
fn both_of_scram(input: &Input<'_>, authorize: &[u8], user: &[u8]) {
    let (Ok(authorize), Ok(user)) = (std::str::from_utf8(authorize), std::str::from_utf8(user))
    else {
        return;
    };
    let Ok(mut agent) = agent(authorize, user) else { return };
    let first = agent.respond(b"").unwrap();
    let first = whole_first(&first).expect("what an agent says a host can read");
    assert_eq!(first.authorize.as_deref().unwrap_or_default(), authorize);
    assert_eq!(prepared_name(&first.user), prepared_name(user));
    let (asked, challenge) = Asked::new(&first, VERIFIER.clone(), &OURS);
    let last = agent.respond(&challenge).unwrap();
    let proof = asked.proves(&Final::parse(&last).unwrap()).expect("the right password");
    assert!(agent.finish().is_err(), "before the host has proved anything");
    assert_eq!(*agent.respond(&proof).unwrap(), b"");
    agent.finish().unwrap();
    let mut changed = last.to_vec();
    let at = usize::from(input.choice(1)) % changed.len();
    changed[at] ^= 1 << (input.choice(2) % 8);
    let taken = Final::parse(&changed).and_then(|last| asked.proves(&last));
    assert_eq!(taken, None, "at {at}");
}

fn host_of_bearer(message: &[u8]) {
    let Some(request) = Request::parse(message) else { return };
    let token = &*request.token;
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(
        token.len() < 8 || !format!("{request:?}").contains(token) || holds_authorize(&request)
    );
    if let Ok(mut agent) = Exchange::oauth_bearer(&request.authorize, "h", 1, token) {
        let again = Request::parse(&agent.respond(b"").unwrap());
        assert_eq!(again.expect("what an agent says a host can read"), request);
    }
}

fn holds_authorize(request: &Request) -> bool {
    format!("{:?}", request.authorize).contains(&*request.token)
}

/// What a host says of a token that it refuses.
fn agent_of_bearer(challenge: &[u8]) {
    let mut agent = Exchange::oauth_bearer("", "h", 1, "t0ken").unwrap();
    agent.respond(b"").unwrap();
    agent.respond(challenge).unwrap();
    let refusal = agent.refusal().unwrap();
    assert!(refusal.len() <= 64 && refusal.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(agent.finish().is_err() && agent.respond(challenge).is_err());
}

fn host_of_others(message: &[u8]) {
    let is_prepared = |name: &String| prepared_name(name).as_ref() == Some(name);
    match Wanted::parse(message) {
        Some(Wanted::User(name)) => assert!(is_prepared(&name)),
        Some(Wanted::Either(user, _)) => assert!(user.is_none_or(|name| is_prepared(&name))),
        Some(Wanted::Any) => assert!(message.is_empty()),
        Some(Wanted::Domain(_)) | None => {}
    }
    assert!(trace(message).is_none_or(|trace| trace.len() <= 4 * 255 && !trace.contains('\0')));
}

fn plain(message: &[u8]) {
    let Ok(plain) = PlainCredentials::parse(message) else { return };
    assert_eq!(PlainCredentials::decode(&plain.encode()).as_ref(), Ok(&plain));
    let names = format!("{:?}{:?}", plain.user(), plain.authorize());
    let shown = format!("{plain:?}");
    let password = plain.password();
    assert!(password.len() < 16 || names.contains(password) || !shown.contains(password));
    if let Ok(mut agent) = Exchange::plain(plain.authorize(), &plain) {
        assert_eq!(*agent.respond(b"").unwrap(), message);
    }
}

fn line(message: &[u8]) {
    let Ok(text) = std::str::from_utf8(message) else { return };
    if let Ok(response) = Response::decode(text) {
        assert!(text.len() <= MAX_RESPONSE);
        assert_eq!(*encode(response.expose()), text);
        assert_eq!(format!("{response:?}"), "(hidden)");
    }
}

fn agent(authorize: &str, user: &str) -> Result<Exchange, SaslError> {
    Exchange::scram_sha_256(authorize, user, PASSWORD, [7; NONCE])
}

fn harmless(error: &SaslError) {
    let words = error.to_string();
    assert!(words.len() < 200 && !words.contains(char::is_control) && !words.contains(PASSWORD));
}

fn holds(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len()).any(|window| window == text.as_bytes())
}

const PASSWORD: &str = "pencil";

/// The host's part of each nonce.
const OURS: [u8; 18] = [7; 18];

/// That of `pencil`, with the salt of RFC 7677's example.
static VERIFIER: LazyLock<ScramVerifier> = LazyLock::new(|| {
    let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    ScramVerifier::parse(text).unwrap()
});
