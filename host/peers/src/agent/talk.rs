//! One connection: moves octets between a socket and a [`ClientSession`], and gives up when nothing comes or too much.
//!
//! Decides nothing about the protocol. A connection on which something was asked and not answered whole takes no
//! further question: its answers would be taken for those of others.

use std::time::Duration;

use fnap::client::Exchange;
use fnap::{ClientSession, Command, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::Why;
use super::stream::{PeerStream, Wire};

/// What a host answered to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What stood after `220`, such as `OK time.flows.unix.ar`; `OK` after data.
    pub text: String,
    /// The data lines, if it was a data reply.
    pub data: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Talk {
    wire: Wire,
    session: ClientSession,
    /// Octets that came since something was asked.
    heard: usize,
    in_step: bool,
}

impl Talk {
    pub(super) fn new(wire: Wire) -> Self {
        let mut session = ClientSession::new(MAX_LINE);
        session.connecting();
        Self { wire, session, heard: 0, in_step: true }
    }

    /// The text of the greeting.
    pub(super) async fn greeting(&mut self, most: Duration) -> Result<String, Why> {
        self.begin()?;
        let event = timeout(most, self.event()).await;
        match self.end(most, event)? {
            Event::Greeting(text) => Ok(text),
            other => Err(unexpected(other)),
        }
    }

    pub(super) async fn command(
        &mut self,
        command: &Command,
        most: Duration,
    ) -> Result<Answer, Why> {
        self.session.send(command).map_err(|error| Why::Ours(error.to_string()))?;
        self.begin()?;
        let answer = timeout(most, self.answer()).await;
        self.end(most, answer)
    }

    pub(super) async fn authenticate(
        &mut self,
        exchange: Exchange,
        most: Duration,
    ) -> Result<(), Why> {
        self.session.authenticate(exchange).map_err(|error| Why::Ours(error.to_string()))?;
        self.begin()?;
        let event = timeout(most, self.event()).await;
        match self.end(most, event)? {
            Event::Authenticated(_) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// The socket, for the handshake behind a good answer to STARTTLS; nothing where it is under TLS already.
    pub(super) fn bare(self) -> Result<(TcpStream, ClientSession), Why> {
        match self.wire {
            Wire::Clear(stream) => Ok((stream, self.session)),
            Wire::Tls(_) => Err(Why::Protocol("tls inside of tls".to_owned())),
        }
    }

    /// Goes on under TLS. What came in clear text behind the answer to STARTTLS ends it.
    pub(super) fn resumed(wire: Wire, mut session: ClientSession) -> Result<Self, Why> {
        session.tls_established().map_err(|error| Why::Protocol(error.to_string()))?;
        Ok(Self { wire, session, heard: 0, in_step: true })
    }

    pub(super) fn into_stream(mut self) -> PeerStream {
        PeerStream { first: self.session.take_frames(), wire: self.wire }
    }

    /// Something was asked. We are out of step until the answer is there, also when the future that waits is dropped.
    fn begin(&mut self) -> Result<(), Why> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(Why::OutOfStep);
        }
        self.heard = 0;
        Ok(())
    }

    fn end<T>(&mut self, most: Duration, done: Result<Result<T, Why>, Elapsed>) -> Result<T, Why> {
        let done = done.unwrap_or(Err(Why::Slow(most)));
        // A refusal is an answer.
        self.in_step = matches!(done, Ok(_) | Err(Why::Refused(_)));
        done
    }

    async fn answer(&mut self) -> Result<Answer, Why> {
        let mut data = Vec::new();
        loop {
            match self.event().await? {
                Event::Ok(text) => return Ok(Answer { text, data }),
                Event::DataStart => {}
                Event::Data(line) => {
                    data.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                Event::End => return Ok(Answer { text: "OK".to_owned(), data }),
                other => return Err(unexpected(other)),
            }
        }
    }

    async fn event(&mut self) -> Result<Event, Why> {
        loop {
            if let Some(event) = self.session.next_event() {
                return Ok(event);
            }
            let output = self.session.take_output();
            if !output.is_empty() {
                self.wire.write_all(&output).await.map_err(broken)?;
                self.wire.flush().await.map_err(broken)?;
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Why> {
        if self.heard > MAX_ANSWER {
            return Err(Why::TooMuch(MAX_ANSWER));
        }
        let input = self.session.input();
        input.reserve(READ_CHUNK);
        match self.wire.read_buf(input).await.map_err(broken)? {
            0 => Err(Why::Broken("the host closed the connection".to_owned())),
            octets => {
                self.heard += octets;
                Ok(())
            }
        }
    }
}

fn broken(error: std::io::Error) -> Why {
    Why::Broken(error.to_string())
}

fn unexpected(event: Event) -> Why {
    match event {
        Event::Failed(failure) => Why::refused(failure),
        Event::Broken(error) => Why::Protocol(error.to_string()),
        Event::Greeting(_) => Why::Protocol("a second greeting".to_owned()),
        _ => Why::Protocol("an answer to something else".to_owned()),
    }
}

/// Longest line taken: no answer to what hosts ask each other has longer ones.
const MAX_LINE: usize = 64 << 10;

/// Octets of one answer: names of some thousand flows; who sends more wants to fill our memory.
pub(super) const MAX_ANSWER: usize = 1 << 20;

/// Room for one read of the socket.
const READ_CHUNK: usize = 16 << 10;
