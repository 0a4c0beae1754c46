//! The transcripts of the draft's section 6.4, over a real socket.

use fnap::transcript::Transcript;
use stories::{Config, Fnaad};
use tempfile::TempDir;

const AUTHENTICATE: &str = include_str!("../../../fnap/tests/transcripts/authenticate.txt");
const CREATE_FLOW: &str = include_str!("../../../fnap/tests/transcripts/create_flow.txt");
const SUBSCRIBE: &str =
    include_str!("../../../fnap/tests/transcripts/subscribe_as_a_remote_agent.txt");
const DESCRIBE_FLOW: &str = include_str!("../../../fnap/tests/transcripts/describe_flow.txt");

/// Sizes of the pieces in which a client's bytes arrive; the last one is the whole.
const PIECES: [usize; 5] = [1, 2, 3, 7, usize::MAX];

/// The draft's host: `fnaa.unix.ar` with the namespace `flows.unix.ar` and the user `test`.
fn host() -> (Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::serve(dir.path(), Config::new(dir.path()).save());
    (host, dir)
}

fn login(host: &Fnaad) -> stories::Wire {
    let mut wire = host.connect();
    wire.authenticate("test", "test");
    wire
}

fn replay(host: &Fnaad, transcript: &str, piece: usize) {
    let transcript = Transcript::parse(transcript).unwrap();
    let mut stream = std::net::TcpStream::connect(host.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(stories::PATIENCE)).unwrap();
    transcript.replay_over(&mut stream, piece).unwrap_or_else(|error| panic!("{piece}: {error}"));
}

#[test]
fn a_user_is_authenticated_as_the_draft_shows_it() {
    let (host, _dir) = host();
    for piece in PIECES {
        replay(&host, AUTHENTICATE, piece);
    }
}

#[test]
fn a_flow_is_created_as_the_draft_shows_it() {
    let (host, _dir) = host();
    let mut wire = login(&host);
    for piece in PIECES {
        replay(&host, CREATE_FLOW, piece);
        assert_eq!(wire.data("GET FLOWS"), ["time.flows.unix.ar"]);
        wire.ok("DELETE FLOW time.flows.unix.ar");
    }
}

#[test]
fn a_flow_is_described_as_the_draft_shows_it_with_the_broker_that_it_has() {
    let (host, _dir) = host();
    let mut wire = login(&host);
    wire.ok("CREATE FLOW time.flows.unix.ar");
    let description = wire.ask("DESCRIBE FLOW time.flows.unix.ar");
    let server = description[4].strip_prefix("server=").expect("the fifth line is the server");
    assert!(!server.is_empty());
    assert_eq!(description.last().unwrap(), "220 OK");
    // Further keys follow the draft's four, so the replay ends before them.
    let transcript = DESCRIBE_FLOW
        .replace("type=kafka", "type=embedded")
        .replace("server=kf1.unix.ar:9092", &format!("server={server}"))
        .replace("S: 220 OK \n", "");
    assert_eq!(transcript.matches("S: ").count(), 8, "{transcript}");
    for piece in PIECES {
        replay(&host, &transcript, piece);
    }
}

#[test]
fn a_remote_agent_subscribes_as_the_draft_shows_it_and_gets_the_same_name_each_time() {
    let (host, _dir) = host();
    let mut wire = login(&host);
    wire.ok("CREATE FLOW time.flows.unix.ar");
    let names = wire.data("SUBSCRIBE time.flows.unix.ar");
    let [name] = names.as_slice() else { panic!("{names:?}") };
    let transcript = SUBSCRIBE.replace("ksdj898.time.flows.unix.ar", name);
    assert_ne!(transcript, SUBSCRIBE);
    for piece in PIECES {
        replay(&host, &transcript, piece);
    }
    assert_eq!(wire.data("GET SUBSCRIBERS time.flows.unix.ar"), names);
}

#[test]
fn a_whole_dialogue_can_be_sent_at_once() {
    let (host, _dir) = host();
    let mut wire = host.connect();
    wire.send(b"AUTHENTICATE PLAIN\r\nAHRlc3QAdGVzdA==\r\nCREATE FLOW a.flows.unix.ar\r\n");
    wire.send(b"CREATE FLOW a.flows.unix.ar\nNOOP\nQUIT\n");
    let answers: Vec<String> = (0..6).map(|_| wire.line()).collect();
    assert_eq!(answers[..3], ["220 OK", "220 Authenticated", "220 OK a.flows.unix.ar"]);
    assert!(answers[3].starts_with("409 CONFLICT "), "{answers:?}");
    assert_eq!(answers[4..], ["220 OK", "220 Bye"]);
    assert!(wire.is_closed());
}

#[test]
fn nothing_but_help_is_answered_before_authentication() {
    let (host, _dir) = host();
    let mut wire = host.connect();
    assert_eq!(wire.greeting, "220 fnaa.unix.ar FNAA");
    for command in ["GET FLOWS", "CREATE FLOW a.flows.unix.ar", "READ a.flows.unix.ar", "FLY"] {
        assert_eq!(wire.refused(command), "401 AUTH_REQUIRED authenticate first");
    }
    assert!(wire.data("CAPABILITIES").contains(&"AUTH=PLAIN".to_owned()));
    let help = wire.data("HELP");
    assert!(help.iter().any(|line| line.starts_with("WRITE f")), "{help:?}");
    assert_eq!(wire.data("HELP write"), ["WRITE f [ID token]"]);
    wire.ok("NOOP");
    assert_eq!(wire.ask("QUIT"), ["220 Bye"]);
    assert!(wire.is_closed());
}

#[test]
fn a_mechanism_that_is_not_there_is_404_and_tls_501() {
    let (host, _dir) = host();
    let mut wire = host.connect();
    assert_eq!(wire.refused("AUTHENTICATE ANONYMOUS"), "404 NOT_FOUND mechanism ANONYMOUS");
    assert!(wire.refused("STARTTLS").starts_with("501 NOT_IMPLEMENTED "));
    wire.authenticate("test", "test");
}
