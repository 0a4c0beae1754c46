//! Every transcript, replayed against both state machines and cut into pieces of any size.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests too")]

use bytes::{Bytes, BytesMut};
use fnap::client::{ClientSession, Event};
use fnap::reply::write_data_line;
use fnap::transcript::Transcript;
use fnap::{Action, Code, Command, Failure, Reply, ServerOptions, ServerSession, Start};

/// Whole is more than any transcript has.
const CHUNKS: [usize; 5] = [1, 2, 3, 7, usize::MAX];

const TRANSCRIPTS: [(&str, &str); 9] = [
    ("authenticate", include_str!("transcripts/authenticate.txt")),
    ("create_flow", include_str!("transcripts/create_flow.txt")),
    ("describe_flow", include_str!("transcripts/describe_flow.txt")),
    ("subscribe_on_the_same_host", include_str!("transcripts/subscribe_on_the_same_host.txt")),
    ("subscribe_to_a_remote_flow", include_str!("transcripts/subscribe_to_a_remote_flow.txt")),
    ("subscribe_as_a_remote_agent", include_str!("transcripts/subscribe_as_a_remote_agent.txt")),
    ("write_and_read", include_str!("transcripts/write_and_read.txt")),
    ("follow", include_str!("transcripts/follow.txt")),
    ("refusals", include_str!("transcripts/refusals.txt")),
];

/// A host that has one flow and one user, and answers what the transcripts say.
struct Script {
    /// Whether `time.flows.unix.ar` is another host's.
    remote: bool,
}

impl Script {
    fn perform(&self, session: &mut ServerSession<()>, out: &mut BytesMut, action: Action<()>) {
        match action {
            Action::Authenticate { response: None, .. } => session.challenge(b""),
            Action::Authenticate { response: Some(response), .. } | Action::Respond(response) => {
                match response.expose() {
                    b"\0test\0test" => session.authenticated(()),
                    _ => session.refused(),
                }
            }
            Action::Execute { command: Command::Read(read), .. } => match read.from {
                Some(Start::Offset { .. }) => {
                    session.reply(Reply::error(Code::OutOfRange, "earliest=0 latest=2"));
                }
                _ => start_reading(session, out, read.follow),
            },
            Action::Execute { command, .. } => session.reply(self.answer(&command)),
            Action::ExecuteWrite { batch, .. } => {
                session.reply(Reply::ok_with(format_args!("{} events", batch.lines.len())));
            }
            Action::StopFollowing => session.read_ended(Ok(())),
            Action::Close => {}
            other => panic!("unexpected {other:?}"),
        }
    }

    fn answer(&self, command: &Command) -> Reply {
        match command {
            Command::CreateFlow { flow, .. } => Reply::ok_with(flow),
            Command::DescribeFlow { flow, .. } if flow.as_str().starts_with("time.") => {
                let (flow, topic) = (format!("flow={flow}"), format!("topic={flow}"));
                Reply::data([&flow, "type=kafka", &topic, "server=kf1.unix.ar:9092"])
            }
            Command::DescribeFlow { flow, .. } => {
                Failure::new(Code::NotFound, format!("flow {flow}")).into()
            }
            Command::Subscribe { flow, local: Some(local), .. } if self.remote => {
                Reply::data([format!("{local} SUBSCRIBED TO ksdj898.{flow}")])
            }
            Command::Subscribe { flow, .. } => Reply::data([flow.child("ksdj898").unwrap()]),
            other => Reply::error(Code::NotImplemented, other.to_string()),
        }
    }
}

fn start_reading(session: &mut ServerSession<()>, out: &mut BytesMut, follow: bool) {
    session.read_started();
    if let Some(Action::Send(bytes)) = session.next_action() {
        out.extend_from_slice(&bytes);
    }
    write_data_line(out, br#"{"specversion":"1.0","id":"1","source":"/clock","type":"tick"}"#);
    if !follow {
        session.read_ended(Ok(()));
    }
}

fn session() -> ServerSession<()> {
    let mut options = ServerOptions::new("fnaa.unix.ar");
    options.clear_text = true;
    ServerSession::new(options)
}

#[test]
fn the_server_says_every_transcript_byte_for_byte_at_any_chunk_size() {
    for (name, text) in TRANSCRIPTS {
        let script = Script { remote: name == "subscribe_to_a_remote_flow" };
        let transcript = Transcript::parse(text).unwrap();
        for chunk in CHUNKS {
            for transcript in [&transcript, &transcript.pipelined()] {
                let played = transcript.replay(&mut session(), chunk, |session, out, action| {
                    script.perform(session, out, action);
                });
                assert!(played.is_ok(), "{name} in pieces of {chunk}: {played:?}");
            }
        }
    }
}

#[test]
fn the_client_says_every_transcript_and_understands_the_other_side() {
    for (name, text) in TRANSCRIPTS {
        let transcript = Transcript::parse(text).unwrap();
        let mut expected = None;
        for chunk in CHUNKS {
            for end in ["\r\n", "\n", " \r\n"] {
                let mut client = ClientSession::default();
                let events = transcript.replay_client(&mut client, end, chunk);
                let events = events.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(!events.iter().any(|event| matches!(event, Event::Broken(_))), "{name}");
                assert_eq!(client.outstanding(), 0, "{name}: {events:?}");
                assert_eq!(expected.get_or_insert_with(|| events.clone()), &events, "{name}");
            }
        }
    }
}

#[test]
fn the_client_gets_the_description_of_the_draft() {
    let transcript = Transcript::parse(include_str!("transcripts/describe_flow.txt")).unwrap();
    let events = transcript.replay_client(&mut ClientSession::default(), "\r\n", 3).unwrap();
    let data = |text: &'static str| Event::Data(Bytes::from_static(text.as_bytes()));
    let expected = [
        Event::Greeting("fnaa.unix.ar FNAA".into()),
        Event::Authenticated("Authenticated".into()),
        Event::DataStart,
        data("flow=time.flows.unix.ar"),
        data("type=kafka"),
        data("topic=time.flows.unix.ar"),
        data("server=kf1.unix.ar:9092"),
        Event::End,
    ];
    assert_eq!(events, expected);
}

#[test]
fn the_client_writes_as_many_bytes_as_the_draft_counts() {
    let counted = [
        ("CREATE FLOW time.flow.unix.ar", 31),
        ("DESCRIBE FLOW time.flow.unix.ar", 33),
        ("SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar", 67),
        ("SUBSCRIBE time.flows.unix.ar", 30),
        ("QUIT", 6),
    ];
    for (line, bytes) in counted {
        let mut client = ClientSession::default();
        client.send(&line.parse().unwrap()).unwrap();
        assert_eq!(client.take_output().len(), bytes, "{line}");
    }
}

#[test]
fn a_transcript_is_replayed_over_a_stream() {
    struct Stream(std::collections::VecDeque<u8>, Vec<u8>);
    impl std::io::Read for Stream {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl std::io::Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let transcript = Transcript::parse("S: 220 x FNAA \nC: NOOP\nS: 220 OK\n").unwrap();
    let mut good = Stream(b"220 x FNAA\r\n220 OK\r\n".to_vec().into(), Vec::new());
    transcript.replay_over(&mut good, 3).unwrap();
    assert_eq!(good.1, b"NOOP\r\n");
    let mut bad = Stream(b"220 x FNAA\r\n220 OK\n".to_vec().into(), Vec::new());
    assert!(transcript.replay_over(&mut bad, 3).is_err());
    assert!(Transcript::parse("X: 1").is_err());
}
