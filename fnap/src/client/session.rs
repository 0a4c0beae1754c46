//! The state machine itself.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::pending::{Outbox, Pending};
use super::{ClientError, ClientPhase, Event, MAX_OUTSTANDING};
use crate::command::{Command, shortened};
use crate::line::{MAX_COMMAND, MAX_DATA_LINE};
use crate::name::FlowName;
use crate::reply::{Code, Failure, ReplyDecoder, ReplyItem, write_event_line};
use crate::value::Word;

/// One connection's session.
#[derive(Debug)]
pub struct ClientSession {
    pub(super) decoder: ReplyDecoder,
    pub(super) outbox: Outbox,
    pub(super) pending: VecDeque<Pending>,
    pub(super) stage: Stage,
    /// The host has agreed to STARTTLS: the handshake comes next, and nothing else.
    pub(super) handshake: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    ConPend,
    Connected,
    Authenticated,
    /// What comes is no longer for the session.
    Streaming,
    Broken,
}

impl Default for ClientSession {
    fn default() -> Self {
        Self::new(MAX_DATA_LINE)
    }
}

impl ClientSession {
    /// A session that takes data lines of at most `max_data_line` bytes.
    #[must_use]
    pub fn new(max_data_line: usize) -> Self {
        let decoder = ReplyDecoder::new(max_data_line);
        Self {
            decoder,
            outbox: Outbox::default(),
            pending: VecDeque::new(),
            stage: Stage::Idle,
            handshake: false,
        }
    }

    /// The connection is being made: the greeting comes next.
    pub fn connecting(&mut self) {
        if self.stage == Stage::Idle {
            self.stage = Stage::ConPend;
        }
    }

    /// Where the session stands.
    #[must_use]
    pub fn phase(&self) -> ClientPhase {
        match self.stage {
            Stage::Idle | Stage::Broken => ClientPhase::Idle,
            Stage::ConPend => ClientPhase::ConPend,
            _ if !self.pending.is_empty() => ClientPhase::CmdPend,
            Stage::Connected => ClientPhase::Connected,
            Stage::Authenticated | Stage::Streaming => ClientPhase::Authenticated,
        }
    }

    /// How many commands wait for their answers.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// Asks for something; may be called again before the answer, and before the greeting. WRITE asks for
    /// its events with [`Event::SendEvents`]; what is sent behind it waits until it has them.
    ///
    /// # Errors
    /// When the line would be too long, too many commands wait, or it is AUTHENTICATE without its response.
    pub fn send(&mut self, command: &Command) -> Result<(), ClientError> {
        let (pending, blocks) = match command {
            Command::Authenticate { initial: None, .. } => return Err(ClientError::NeedsExchange),
            Command::Authenticate { .. } => (Pending::Outcome, false),
            Command::Write { .. } => (Pending::Write, true),
            Command::StartTls => (Pending::StartTls, true),
            Command::Stream => (Pending::Stream, true),
            _ => (Pending::Command, false),
        };
        self.queue(command_line(command)?, pending, blocks)
    }

    /// WRITE with its events at once, for hosts that list `PIPELINING` among their capabilities: several may
    /// be under way. Line ends inside an event become blanks.
    ///
    /// # Errors
    /// When the line would be too long, or too many commands wait.
    pub fn write_at_once<L: AsRef<[u8]>>(
        &mut self,
        flow: FlowName,
        token: Option<Word>,
        events: impl IntoIterator<Item = L>,
    ) -> Result<(), ClientError> {
        let line = command_line(&Command::Write { flow, token })?;
        let mut bytes = BytesMut::from(&line[..]);
        put_events(&mut bytes, events);
        self.queue(bytes.freeze(), Pending::WriteAtOnce, false)
    }

    /// The events of the WRITE that asked for them, and the dot that ends them. At most
    /// [`crate::server::MAX_WRITE_LINES`]. Line ends inside an event become blanks. Without a WRITE that
    /// asked, nothing is sent.
    pub fn send_events<L: AsRef<[u8]>>(&mut self, events: impl IntoIterator<Item = L>) {
        if let Some(waiting @ Pending::Events) = self.pending.front_mut() {
            *waiting = Pending::Command;
            put_events(self.outbox.urgent(), events);
            self.outbox.unblock();
        }
    }

    /// `DONE`: ends the READ that follows. Has no answer of its own.
    pub fn done(&mut self) {
        self.outbox.send(Bytes::from_static(b"DONE\r\n"), false);
    }

    /// Takes what is to be sent; empty when there is nothing.
    pub fn take_output(&mut self) -> Bytes {
        self.outbox.take()
    }

    /// Where to read the socket into, with some room; only for appending. Call [`Self::next_event`]
    /// afterwards until it has nothing more.
    pub fn input(&mut self) -> &mut BytesMut {
        self.decoder.input()
    }

    /// Takes bytes of the host.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// What has come behind a good answer to STREAM: its first frames. The session has no more to say then; nothing
    /// where there was no such answer.
    pub fn take_frames(&mut self) -> Bytes {
        match self.stage {
            Stage::Streaming => self.decoder.input().split().freeze(),
            _ => Bytes::new(),
        }
    }

    /// What came next, if it is complete.
    pub fn next_event(&mut self) -> Option<Event> {
        while !matches!(self.stage, Stage::Broken | Stage::Streaming) {
            let event = if self.handshake {
                self.injected()
            } else {
                match self.decoder.next_item()? {
                    Ok(item) => self.item(item),
                    Err(error) => Some(Event::Broken(error.into())),
                }
            };
            let nothing = event.is_none() && self.handshake;
            if matches!(event, Some(Event::Broken(_))) {
                self.stage = Stage::Broken;
            }
            if event.is_some() || nothing {
                return event;
            }
        }
        None
    }

    fn item(&mut self, item: ReplyItem) -> Option<Event> {
        match item {
            ReplyItem::Data(line) => Some(Event::Data(line)),
            ReplyItem::Line(code, text) => self.line(code, &text),
            ReplyItem::DataStart => match self.pending.front() {
                Some(Pending::Command) => Some(Event::DataStart),
                _ => Some(unexpected("220 DATA")),
            },
            ReplyItem::DataEnd => {
                self.pending.pop_front();
                Some(Event::End)
            }
            ReplyItem::NoReply(line) => {
                let line = shortened(&String::from_utf8_lossy(&line));
                Some(Event::Broken(ClientError::NoReply { line }))
            }
        }
    }

    fn line(&mut self, code: Code, text: &str) -> Option<Event> {
        match (code, matches!(self.stage, Stage::Idle | Stage::ConPend)) {
            (Code::Ok, true) => {
                self.stage = Stage::Connected;
                Some(Event::Greeting(text.to_owned()))
            }
            (Code::More, true) => Some(unexpected(text)),
            (Code::Ok | Code::More, false) => self.success(code, text),
            (_, _) => Some(self.failure(code, text)),
        }
    }

    fn success(&mut self, code: Code, text: &str) -> Option<Event> {
        match (self.pending.pop_front(), code) {
            (Some(Pending::Authenticate(exchange)), _) => self.begin(exchange, code, text),
            (Some(Pending::Respond(exchange)), Code::More) => self.respond(exchange, text),
            (Some(Pending::Respond(exchange)), _) => {
                self.outbox.unblock();
                match exchange.finish() {
                    Ok(()) => Some(self.authenticated(text)),
                    Err(error) => Some(Event::Broken(error.into())),
                }
            }
            (Some(Pending::Write), Code::More) => {
                self.pending.push_front(Pending::Events);
                Some(Event::SendEvents(text.to_owned()))
            }
            (Some(Pending::WriteAtOnce), Code::More) => {
                self.pending.push_front(Pending::Command);
                None
            }
            (Some(Pending::Outcome), Code::Ok) => Some(self.authenticated(text)),
            (Some(Pending::Command), Code::Ok) => Some(Event::Ok(text.to_owned())),
            (Some(Pending::StartTls), Code::Ok) => {
                self.handshake = true;
                Some(Event::Ok(text.to_owned()))
            }
            (Some(Pending::Stream), Code::Ok) => {
                self.stage = Stage::Streaming;
                Some(Event::Ok(text.to_owned()))
            }
            _ => Some(unexpected(text)),
        }
    }

    fn failure(&mut self, code: Code, text: &str) -> Event {
        let failed = self.pending.pop_front();
        let holds_back = matches!(
            failed,
            Some(
                Pending::Authenticate(_)
                    | Pending::Respond(_)
                    | Pending::Write
                    | Pending::Events
                    | Pending::StartTls
                    | Pending::Stream
            )
        );
        if holds_back {
            self.outbox.unblock();
        }
        let mut words = without_name(code, text).to_owned();
        if let Some(Pending::Respond(exchange)) = &failed
            && let Some(why) = exchange.refusal()
        {
            words.push_str(&format!(" ({why})"));
        }
        Event::Failed(Failure { code, words })
    }

    pub(super) fn queue(
        &mut self,
        bytes: Bytes,
        pending: Pending,
        blocks: bool,
    ) -> Result<(), ClientError> {
        if self.pending.len() >= MAX_OUTSTANDING {
            return Err(ClientError::TooMany);
        }
        self.pending.push_back(pending);
        self.outbox.send(bytes, blocks);
        Ok(())
    }
}

fn command_line(command: &Command) -> Result<Bytes, ClientError> {
    let line = command.to_string();
    if line.len() > MAX_COMMAND {
        return Err(ClientError::TooLong { len: line.len(), limit: MAX_COMMAND });
    }
    Ok(Bytes::from(line + "\r\n"))
}

fn put_events<L: AsRef<[u8]>>(out: &mut BytesMut, events: impl IntoIterator<Item = L>) {
    for event in events {
        write_event_line(out, event.as_ref());
    }
    out.extend_from_slice(b".\r\n");
}

/// The words behind an error's name, which a host of the proof of concept leaves out.
fn without_name(code: Code, text: &str) -> &str {
    match text.strip_prefix(code.name()) {
        Some("") => "",
        Some(words) if words.starts_with(' ') => words.trim(),
        _ => text,
    }
}

fn unexpected(line: &str) -> Event {
    Event::Broken(ClientError::Unexpected { line: shortened(line) })
}
