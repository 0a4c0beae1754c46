//! The client's session: whatever a host answers, nothing panics, a password goes out only when it was
//! asked for, and the same bytes in other pieces mean the same.

use fnap::client::sasl::Exchange;
use fnap::client::{ClientSession, Event};
use fnap::command::Command;
use fnap::sasl::PlainCredentials;

use crate::input::Input;

/// A host's bytes for a client that asked for what the controls say.
pub fn client(data: &[u8]) {
    let input = Input::of(data);
    let pieces: Vec<&[u8]> = input.pieces().into_iter().map(|(piece, _)| piece).collect();
    let cut = heard(input.controls, &pieces);
    // What comes behind a good answer to STARTTLS is thrown away, so there the pieces matter.
    if !input
        .controls
        .iter()
        .any(|control| ASKED.get(usize::from(control >> 4)) == Some(&"STARTTLS"))
    {
        assert_eq!(heard(input.controls, &[input.payload]), cut);
    }
}

fn heard(controls: &[u8], pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>) {
    let mut client = ClientSession::new(100);
    client.connecting();
    let mut asked = controls.len();
    controls.iter().for_each(|control| asked -= usize::from(!ask(&mut client, *control)));
    let (mut events, mut sent) = (Vec::new(), client.take_output().to_vec());
    assert!(!contains(&sent, TOKEN), "a password that nobody asked for");
    for piece in pieces {
        client.receive(piece);
        while let Some(event) = client.next_event() {
            let broken = matches!(event, Event::Broken(_));
            if matches!(event, Event::SendEvents(_)) {
                client.send_events(["{}", "."]);
            }
            events.push(event);
            if broken {
                client.receive(b"220 OK\r\n");
                assert_eq!(client.next_event(), None);
            }
        }
        assert!(client.outstanding() <= asked);
        sent.extend_from_slice(&client.take_output());
    }
    (events, sent)
}

/// Asks for one thing; whether it will be answered.
fn ask(client: &mut ClientSession, control: u8) -> bool {
    let events = ["{}"];
    match ASKED.get(usize::from(control >> 4)) {
        Some(&"DONE") => {
            client.done();
            return false;
        }
        Some(&"AUTHENTICATE") => {
            let plain = PlainCredentials::new("ana", "S3cr3t").unwrap();
            client.authenticate(Exchange::plain("", &plain).unwrap()).unwrap();
        }
        Some(&"WRITE at once") => {
            client.write_at_once("f".parse().unwrap(), None, events).unwrap();
        }
        Some(line) => client.send(&line.parse::<Command>().unwrap()).unwrap(),
        None => return false,
    }
    true
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What is asked for, by the upper half of a control.
const ASKED: &[&str] = &[
    "NOOP",
    "AUTHENTICATE",
    "GET FLOWS",
    "READ f FOLLOW",
    "DONE",
    "WRITE f",
    "WRITE at once",
    "STARTTLS",
    "QUIT",
    "CAPABILITIES",
];

/// What `ana` sends to prove herself.
const TOKEN: &[u8] = b"AGFuYQBTM2NyM3Q=";
