//! One connection to a host: moves bytes between a socket and fnap's [`ClientSession`].
//!
//! Decides nothing about the protocol; it connects, reads, writes, and gives up when nothing comes.

mod authenticate;
mod connect;
mod limit;
mod offer;
mod private;
mod reconnect;
mod source;
mod stages;
mod tls;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use fnap::client::ClientError;
use fnap::sasl::Mechanism;
use fnap::{ClientSession, Code, Command, Event, Failure, FlowName, Read, Word};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

pub(crate) use authenticate::Need;
pub(crate) use limit::Limit;
use offer::Offer;
pub(crate) use reconnect::{Patience, connect, connect_first, connect_for, connect_within};
pub(crate) use stages::{Met, Safety, Stage};
pub(crate) use wire::{Reader, Writer};

use crate::config::Agent;
use crate::error::Error;
use crate::trace::Trace;

/// How long a host may take to accept a connection and to greet.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a host may take for an answer. Longer than any commit or the start of a processor.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest data line taken: a host may be configured for larger events than the usual 1 MiB.
pub const MAX_LINE: usize = 16 << 20;

/// Most bytes of one answer that is kept whole; events are never, lists of 100,000 names fit.
pub const MAX_ANSWER: usize = 64 << 20;

/// Room for one read of the socket.
const READ_CHUNK: usize = 256 << 10;

/// A connection that has been greeted, and authenticated where credentials are known.
pub struct Connection {
    address: String,
    greeting: String,
    reader: Reader,
    writer: Writer,
    session: ClientSession,
    trace: Trace,
    /// What the host said that it can do.
    offer: Offer,
    /// How one proved oneself.
    mechanism: Option<Mechanism>,
    /// By when its answers have to be there.
    limit: Limit,
}

/// What a host answered to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What stood after `220`, such as `OK time.flows.unix.ar`.
    pub text: String,
    /// The data lines, if it was a data reply.
    pub data: Vec<String>,
}

impl Answer {
    /// What stood after `220 OK`: the name of what was made, or nothing.
    #[must_use]
    pub fn subject(&self) -> &str {
        let mut words = self.text.splitn(2, ' ');
        match words.next() {
            Some(ok) if ok.eq_ignore_ascii_case("OK") => words.next().unwrap_or_default().trim(),
            _ => self.text.trim(),
        }
    }
}

impl Connection {
    /// Connects, waits for the greeting, makes TLS of it as the agent says, and authenticates: as whom the agent
    /// says, else anonymously where the host offers that.
    ///
    /// # Errors
    /// When the host cannot be reached, is not the one it should be, does not greet, or refuses.
    pub async fn open(agent: &Agent, trace: Trace) -> Result<Self, Error> {
        Self::open_for(agent, trace, Need::Somebody, Limit::default()).await
    }

    /// The same for something in particular. A host that was found in DNS is looked for again, once, where it cannot be
    /// reached any more.
    pub(crate) async fn open_for(
        agent: &Agent,
        trace: Trace,
        need: Need,
        limit: Limit,
    ) -> Result<Self, Error> {
        let Some(origin) = &agent.origin else {
            return Self::open_there(agent, trace, need, limit).await;
        };
        let moved = origin.moved();
        let before = moved.as_ref().unwrap_or(agent);
        match Self::open_there(before, trace.clone(), need, limit).await {
            Err(error) if error.may_be_elsewhere() && !limit.is_over() => {
                let found = timeout(limit.of(REPLY_TIMEOUT), origin.elsewhere(before)).await;
                match found.ok().flatten() {
                    Some(now) => {
                        trace.note(|| format!("C: {error}; found again at {}", now.address));
                        Self::open_there(&now, trace, need, limit).await
                    }
                    None => Err(error),
                }
            }
            opened => opened,
        }
    }

    async fn open_there(
        agent: &Agent,
        trace: Trace,
        need: Need,
        limit: Limit,
    ) -> Result<Self, Error> {
        let mut left = agent.others.len() + 1;
        let mut tried = Self::open_one(agent, trace.clone(), need, limit, left).await;
        for other in &agent.others {
            match &tried {
                Err(error @ Error::Unreachable { .. }) if !limit.is_over() => {
                    trace.note(|| format!("C: {error}"));
                    left -= 1;
                    tried = Self::open_one(other, trace.clone(), need, limit, left).await;
                }
                _ => break,
            }
        }
        tried
    }

    async fn open_one(
        agent: &Agent,
        trace: Trace,
        need: Need,
        limit: Limit,
        left: usize,
    ) -> Result<Self, Error> {
        let time = limit.share(left).of(CONNECT_TIMEOUT);
        let dialled = timeout(time, connect::dial(agent, trace)).await;
        let mut connection = dialled.unwrap_or_else(|_| Err(silent(agent, time)))?;
        connection.limit_answers(limit);
        connection.authenticate(agent, need).await?;
        connection.limit_answers(Limit::default());
        Ok(connection)
    }

    /// From now on answers have to be there by then.
    pub(crate) const fn limit_answers(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Whether the host takes WRITEs ahead of their answers.
    pub(crate) const fn takes_ahead(&self) -> bool {
        self.offer.pipelining
    }

    /// What the host called itself.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// When the host refuses, or the connection breaks.
    pub async fn command(&mut self, command: &Command) -> Result<Answer, Error> {
        self.send(command).await?;
        self.answer().await
    }

    /// Asks without waiting; the answers come in the same order.
    ///
    /// # Errors
    /// When the command is too long, or the connection breaks.
    pub async fn send(&mut self, command: &Command) -> Result<(), Error> {
        self.session.send(command).map_err(|error| Error::Usage(error.to_string()))?;
        self.flush().await
    }

    /// Waits for the answer of the oldest command.
    ///
    /// # Errors
    /// When the host refuses, or the connection breaks.
    pub async fn answer(&mut self) -> Result<Answer, Error> {
        let mut data = Vec::new();
        let mut size = 0;
        loop {
            match self.event_in_time().await? {
                Event::Ok(text) => return Ok(Answer { text, data }),
                Event::DataStart => {}
                Event::Data(line) => {
                    size += line.len();
                    if size > MAX_ANSWER {
                        return Err(self.protocol(format!("an answer over {MAX_ANSWER} bytes")));
                    }
                    data.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                Event::End => {
                    return Ok(Answer { text: "OK".to_owned(), data });
                }
                Event::Failed(failure) => return Err(self.refused(failure)),
                other => return Err(self.unexpected(other)),
            }
        }
    }

    /// Writes events, at most as many as one WRITE takes, and waits until they are safe. The same token again
    /// writes nothing again.
    ///
    /// # Errors
    /// When the host refuses, or the connection breaks.
    pub async fn write<L: AsRef<[u8]>>(
        &mut self,
        flow: FlowName,
        token: Option<Word>,
        events: impl IntoIterator<Item = L>,
    ) -> Result<Answer, Error> {
        self.send(&Command::Write { flow, token }).await?;
        match self.event_in_time().await? {
            Event::SendEvents(_) => {}
            Event::Failed(failure) => return Err(self.refused(failure)),
            other => return Err(self.unexpected(other)),
        }
        self.session.send_events(events);
        self.flush().await?;
        self.answer().await
    }

    /// Begins to read a flow: [`Self::next_line`] gives its events.
    ///
    /// # Errors
    /// When the connection breaks. What the host says comes with the first line.
    pub async fn read(&mut self, read: Read) -> Result<(), Error> {
        self.send(&Command::Read(read)).await
    }

    /// The next event of the READ under way, as the host sends it; none at its end. Waits for ever, and loses
    /// nothing when the future is dropped before it is ready.
    ///
    /// # Errors
    /// When the host refuses or ends the READ with an error, or the connection breaks.
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.event().await? {
                Event::Data(line) => return Ok(Some(line)),
                Event::DataStart => {}
                Event::End | Event::Ok(_) => return Ok(None),
                Event::Failed(failure) => return Err(self.refused(failure)),
                other => return Err(self.unexpected(other)),
            }
        }
    }

    /// Ends a READ that follows; its last lines and its end still come.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn done(&mut self) -> Result<(), Error> {
        self.session.done();
        self.flush().await
    }

    /// The next thing from the host, without a limit of time. Nothing is lost when the future is
    /// dropped before it is ready.
    pub(crate) async fn event(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.session.next_event() {
                return match event {
                    Event::Broken(_) => Err(self.unexpected(event)),
                    event => Ok(event),
                };
            }
            self.fill().await?;
        }
    }

    /// The next thing that has come already.
    pub(crate) fn event_at_hand(&mut self) -> Option<Event> {
        self.session.next_event()
    }

    /// Says goodbye; a host that does not answer is left all the same.
    pub async fn quit(mut self) {
        let goodbye = async { self.command(&Command::Quit).await };
        drop(timeout(Duration::from_secs(2), goodbye).await);
    }

    /// The two halves of the connection and its trace, for WRITEs, which are sent ahead of their answers.
    pub(crate) fn into_parts(self) -> (Reader, Writer, Trace) {
        (self.reader, self.writer, self.trace)
    }

    pub(crate) fn broken(&self, reason: impl ToString) -> Error {
        Error::Broken { address: self.address.clone(), reason: reason.to_string() }
    }

    pub(crate) fn protocol(&self, reason: String) -> Error {
        Error::Protocol { address: self.address.clone(), reason }
    }

    /// What the host's no means for somebody who is in.
    pub(crate) fn refused(&self, failure: Failure) -> Error {
        match failure.code {
            Code::AuthRequired if self.mechanism.is_some() => Error::PutOut(failure),
            // Who does not know CAPABILITIES before authentication may say the same to it.
            Code::AuthRequired if self.offer.mechanisms.is_some() => {
                Error::NobodyYet { address: self.address.clone(), failure }
            }
            _ => failure.into(),
        }
    }

    /// Why something that came ends the connection.
    fn unexpected(&self, event: Event) -> Error {
        match event {
            Event::Broken(error @ (ClientError::Sasl(_) | ClientError::Injected)) => {
                Error::Distrusted { address: self.address.clone(), reason: error.to_string() }
            }
            Event::Broken(error) => self.protocol(error.to_string()),
            other => self.protocol(format!("unexpected {other:?}")),
        }
    }

    async fn greeted(&mut self) -> Result<(), Error> {
        match self.event_in_time().await? {
            Event::Greeting(text) => self.greeting = text,
            Event::Failed(failure) => return Err(failure.into()),
            other => return Err(self.protocol(format!("no greeting but {other:?}"))),
        }
        Ok(())
    }

    async fn event_in_time(&mut self) -> Result<Event, Error> {
        let time = self.limit.of(REPLY_TIMEOUT);
        match timeout(time, self.event()).await {
            Ok(event) => event,
            Err(_) => Err(self.silent(time)),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let output = self.session.take_output();
        self.trace.client(&output);
        self.write_bytes(&output).await
    }

    async fn write_out(&mut self) -> Result<usize, Error> {
        let output = self.session.take_output();
        self.write_bytes(&output).await?;
        Ok(output.len())
    }

    async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        let time = self.limit.of(REPLY_TIMEOUT);
        match timeout(time, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(self.silent(time)),
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let input = self.session.input();
        input.reserve(READ_CHUNK);
        let before = input.len();
        let read = self.reader.read_buf(input).await;
        match read {
            Ok(0) => Err(self.broken("the host closed it")),
            Ok(_) => {
                let input = self.session.input();
                self.trace.server(input.get(before..).unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    fn silent(&self, time: Duration) -> Error {
        self.broken(no_answer(time))
    }
}

/// Why somebody is given up who said nothing for so long.
pub(crate) fn no_answer(time: Duration) -> String {
    format!("no answer within {:.0} s", time.as_secs_f64())
}

fn silent(agent: &Agent, time: Duration) -> Error {
    let reason = no_answer(time);
    Error::Unreachable { address: agent.address.to_string(), reason }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
