//! Transcripts: dialogues as text, which are documents and tests at once. For tests only.
//!
//! A line `C: …` is what the client sends, `S: …` what the server answers; lines that begin with `#`
//! and empty ones say nothing. Blanks at the end of a server's line are kept for the client to cope
//! with, and are not expected of a server.

use std::io::{BufRead, BufReader, Read, Write};

use bytes::BytesMut;

use crate::client::{ClientError, ClientSession, Event, Exchange};
use crate::command::{Command, ParseError};
use crate::sasl::{MalformedResponse, PlainCredentials};
use crate::server::{Action, ServerSession};

/// A whole dialogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// What is said, in turns.
    pub turns: Vec<Turn>,
}

/// The client says something (nothing before the greeting), then the server does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The client's lines, without ends.
    pub client: Vec<String>,
    /// The server's lines, without ends.
    pub server: Vec<String>,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line of the file begins with something else.
    #[error("line {line} begins with neither C: nor S: nor #")]
    Malformed {
        /// Which line, counted from 1.
        line: usize,
    },
    /// Something else was said.
    #[error("after {after:?}: expected {expected:?}, found {found:?}")]
    Mismatch {
        /// What the other side had said.
        after: Vec<String>,
        /// What the transcript says.
        expected: String,
        /// What was said.
        found: String,
    },
    /// A command of the transcript is none.
    #[error("command of the transcript: {0}")]
    Command(#[from] ParseError),
    /// A SASL response of the transcript is none.
    #[error("response of the transcript: {0}")]
    Response(#[from] MalformedResponse),
    /// The client refuses to send.
    #[error("client: {0}")]
    Client(#[from] ClientError),
    /// The stream fails.
    #[error("stream: {0}")]
    Stream(#[from] std::io::Error),
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    /// When a line begins with neither `C:`, `S:` nor `#`.
    pub fn parse(text: &str) -> Result<Self, ReplayError> {
        let mut turns = vec![Turn::default()];
        for (index, line) in text.lines().enumerate() {
            let Some(turn) = turns.last_mut() else { break };
            if line.is_empty() || line.starts_with('#') {
                continue;
            } else if let Some(said) = said_by("S:", line) {
                turn.server.push(said);
            } else if let Some(said) = said_by("C:", line) {
                if turn.server.is_empty() {
                    turn.client.push(said);
                } else {
                    turns.push(Turn { client: vec![said], server: Vec::new() });
                }
            } else {
                return Err(ReplayError::Malformed { line: index + 1 });
            }
        }
        Ok(Self { turns })
    }

    /// The same as one turn: the client says everything at once.
    #[must_use]
    pub fn pipelined(&self) -> Self {
        let mut whole = Turn::default();
        for turn in &self.turns {
            whole.client.extend(turn.client.iter().cloned());
            whole.server.extend(turn.server.iter().cloned());
        }
        Self { turns: vec![whole] }
    }

    /// Plays the client against a session, its bytes cut into pieces of `chunk`. `perform` does every
    /// action but `Send`, and may write data lines to the output it gets.
    ///
    /// # Errors
    /// When the session says something else.
    pub fn replay<P: Clone>(
        &self,
        session: &mut ServerSession<P>,
        chunk: usize,
        mut perform: impl FnMut(&mut ServerSession<P>, &mut BytesMut, Action<P>),
    ) -> Result<(), ReplayError> {
        for turn in &self.turns {
            let mut out = BytesMut::new();
            let mut settle = |session: &mut ServerSession<P>, out: &mut BytesMut| {
                while let Some(action) = session.next_action() {
                    match action {
                        Action::Send(bytes) => out.extend_from_slice(&bytes),
                        other => perform(session, out, other),
                    }
                }
            };
            settle(session, &mut out);
            for piece in turn.client_bytes().chunks(chunk.max(1)) {
                session.receive(piece);
                settle(session, &mut out);
            }
            turn.compare(&turn.client, &turn.server_bytes(), &out)?;
        }
        Ok(())
    }

    /// Plays the client over a stream, such as a socket (with a time-out) to a running host.
    ///
    /// # Errors
    /// When the host says something else, or the stream fails.
    pub fn replay_over(
        &self,
        stream: &mut (impl Read + Write),
        chunk: usize,
    ) -> Result<(), ReplayError> {
        let mut stream = BufReader::new(stream);
        for turn in &self.turns {
            for piece in turn.client_bytes().chunks(chunk.max(1)) {
                stream.get_mut().write_all(piece)?;
                stream.get_mut().flush()?;
            }
            for expected in &turn.server {
                let mut found = String::new();
                stream.read_line(&mut found)?;
                let expected = format!("{}\r\n", expected.trim_end());
                turn.compare(&turn.client, expected.as_bytes(), found.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Plays the server against a client, with these line ends and pieces, and gives what the client
    /// made of it. The client is made to ask what the transcript's client asks.
    ///
    /// # Errors
    /// When the client says something else, or cannot say it.
    pub fn replay_client(
        &self,
        client: &mut ClientSession,
        line_end: &str,
        chunk: usize,
    ) -> Result<Vec<Event>, ReplayError> {
        client.connecting();
        let mut events = Vec::new();
        for (index, turn) in self.turns.iter().enumerate() {
            let response = self.turns.get(index + 1).and_then(|next| next.client.first());
            let asked = matches!(events.last(), Some(Event::SendEvents(_)));
            turn.ask(client, asked, response.map_or("", String::as_str))?;
            turn.compare(&[], &turn.client_bytes(), &client.take_output())?;
            let said: String = turn.server.iter().flat_map(|line| [line, line_end]).collect();
            for piece in said.as_bytes().chunks(chunk.max(1)) {
                client.receive(piece);
                events.extend(std::iter::from_fn(|| client.next_event()));
            }
        }
        Ok(events)
    }
}

impl Turn {
    fn client_bytes(&self) -> Vec<u8> {
        self.client.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
    }

    fn server_bytes(&self) -> Vec<u8> {
        self.server.iter().flat_map(|line| [line.trim_end().as_bytes(), b"\r\n"].concat()).collect()
    }

    fn compare(&self, after: &[String], expected: &[u8], found: &[u8]) -> Result<(), ReplayError> {
        if expected == found {
            return Ok(());
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (expected, found) = (text(expected), text(found));
        Err(ReplayError::Mismatch { after: after.to_vec(), expected, found })
    }

    fn ask(
        &self,
        client: &mut ClientSession,
        asked: bool,
        response: &str,
    ) -> Result<(), ReplayError> {
        if asked {
            client.send_events(self.client.iter().filter(|line| *line != "."));
            return Ok(());
        }
        for line in &self.client {
            match line.parse() {
                Ok(Command::Authenticate { initial: None, .. }) => {
                    let plain = PlainCredentials::decode(response)?;
                    client.authenticate(Exchange::plain("", &plain).map_err(ClientError::from)?)?;
                }
                Ok(command) => client.send(&command)?,
                Err(_) if line == "DONE" => client.done(),
                // The response that the client has sent by itself.
                Err(_) if PlainCredentials::decode(line).is_ok() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn said_by(who: &str, line: &str) -> Option<String> {
    let said = line.strip_prefix(who)?;
    Some(said.strip_prefix(' ').unwrap_or(said).to_owned())
}
