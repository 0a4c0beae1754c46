//! What both sides of a connection share: frames in and out, Hello, Ping, Close, and the end.

use std::time::Duration;

use bytes::BytesMut;

use super::error::{Refused, StreamError};
use super::frame::{FrameDecoder, decode, encode};
use super::limits::{MAX_CODE_NAME, MAX_WORDS, PING_AFTER, SILENCE};
use super::messages::{Close, Hello, Message, Ping, Pong};
use super::outgoing::Outgoing;
use crate::reply::{Code, Failure};

/// The version of the protocol that this is.
pub const VERSION: u32 = 1;

/// What a Hello says where Zstandard is taken.
pub const ZSTD: &str = "zstd";

/// A connection, whichever side.
#[derive(Debug)]
pub(super) struct Link {
    frames: FrameDecoder,
    out: Outgoing,
    own_zstd: bool,
    /// What the peer's Hello said of Zstandard, once it has come.
    peer_zstd: Option<bool>,
    /// How long nothing was heard.
    silence: Duration,
    /// At what silence the next Ping goes out.
    next_ping: Duration,
    pings: u64,
    /// The latest Ping that is to be answered.
    to_answer: Option<u64>,
    over: Over,
}

#[derive(Debug)]
enum Over {
    /// Not.
    No,
    /// Close has come or was sent.
    Closed,
    /// The peer broke a rule.
    Failed(StreamError),
}

/// What came.
pub(super) enum Incoming {
    /// The peer's Hello.
    Hello,
    /// Its Close.
    Close(Failure),
    /// Something of a stream.
    Message(Message),
}

impl Link {
    /// Begins with Hello.
    pub(super) fn new(zstd: bool) -> Self {
        let mut link = Self {
            frames: FrameDecoder::default(),
            out: Outgoing::default(),
            own_zstd: zstd,
            peer_zstd: None,
            silence: Duration::ZERO,
            next_ping: PING_AFTER,
            pings: 0,
            to_answer: None,
            over: Over::No,
        };
        let offers = Vec::from_iter(zstd.then(|| ZSTD.to_owned()));
        link.send(Message::Hello(Hello { version: VERSION, offers }));
        link
    }

    pub(super) fn input(&mut self) -> &mut BytesMut {
        self.frames.input()
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    pub(super) fn room(&self) -> usize {
        self.frames.room()
    }

    pub(super) fn held(&self) -> usize {
        self.frames.held()
    }

    pub(super) fn is_over(&self) -> bool {
        !matches!(self.over, Over::No)
    }

    pub(super) fn wants_input(&self) -> bool {
        !self.is_over() && !self.frames.is_ready()
    }

    /// Whether both sides take Zstandard.
    pub(super) fn zstd(&self) -> bool {
        self.own_zstd && self.peer_zstd == Some(true)
    }

    pub(super) fn send(&mut self, message: Message) {
        self.out.push_control(encode(message));
    }

    /// The queue, for what has no message to encode.
    pub(super) fn out(&mut self) -> &mut Outgoing {
        &mut self.out
    }

    /// The queue as it is to be written: the answer to a Ping is put in here, so that there is one at a time.
    pub(super) fn outgoing(&mut self) -> &mut Outgoing {
        if !self.is_over()
            && self.out.takes_control()
            && let Some(token) = self.to_answer.take()
        {
            self.send(Message::Pong(Pong { token }));
        }
        &mut self.out
    }

    /// The next thing that came; none where more octets are needed, or after a Close.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, StreamError> {
        self.listen();
        loop {
            match &self.over {
                Over::Failed(error) => return Err(error.clone()),
                Over::Closed => return Ok(None),
                Over::No => {}
            }
            let message = match self.frames.next_frame() {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => decode(frame),
                Err(error) => Err(error),
            };
            match message.and_then(|message| self.sort(message)) {
                Ok(Some(incoming)) => return Ok(Some(incoming)),
                Ok(None) => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// Ends the connection because of what the peer did, and tells it.
    pub(super) fn fail(&mut self, error: StreamError) -> StreamError {
        if !self.is_over() {
            self.close(&error.failure());
            self.over = Over::Failed(error.clone());
        }
        error
    }

    /// Ends the connection: records that have not begun to be sent are dropped, the last frame says why.
    pub(super) fn close(&mut self, failure: &Failure) {
        if self.is_over() {
            return;
        }
        self.out.withdraw_all();
        let (code, name, words) = spell(failure);
        self.send(Message::Close(Close { code, name, words }));
        self.end();
    }

    /// So much time has passed.
    pub(super) fn passed(&mut self, time: Duration) {
        self.listen();
        // Whoever does not listen cannot say that nothing was said.
        if !self.wants_input() {
            return;
        }
        self.silence = self.silence.saturating_add(time);
        if self.silence >= SILENCE {
            self.fail(StreamError::Silent);
        } else if self.silence >= self.next_ping && self.out.takes_control() {
            self.next_ping = self.silence + PING_AFTER;
            self.pings += 1;
            self.send(Message::Ping(Ping { token: self.pings }));
        }
    }

    /// What a caller may say now, apart from what it is about.
    pub(super) fn may_send(&self) -> Result<(), Refused> {
        match () {
            () if self.is_over() => Err(Refused::Over),
            () if !self.out.takes_control() => Err(Refused::Full),
            () => Ok(()),
        }
    }

    fn listen(&mut self) {
        if self.frames.any_news() {
            self.silence = Duration::ZERO;
            self.next_ping = PING_AFTER;
        }
    }

    fn sort(&mut self, message: Message) -> Result<Option<Incoming>, StreamError> {
        match message {
            Message::Hello(hello) => self.greet(&hello).map(Some),
            _ if self.peer_zstd.is_none() => Err(StreamError::NoHello),
            Message::Ping(Ping { token }) => {
                self.to_answer = Some(token);
                Ok(None)
            }
            Message::Pong(_) => Ok(None),
            Message::Close(close) => {
                let failure = read_failure(close.code, &close.name, &close.words)?;
                self.out.withdraw_all();
                self.end();
                Ok(Some(Incoming::Close(failure)))
            }
            message => Ok(Some(Incoming::Message(message))),
        }
    }

    fn greet(&mut self, hello: &Hello) -> Result<Incoming, StreamError> {
        if self.peer_zstd.is_some() {
            return Err(StreamError::SecondHello);
        }
        if hello.version == 0 {
            return Err(StreamError::Version);
        }
        self.peer_zstd = Some(hello.offers.iter().any(|offer| offer == ZSTD));
        Ok(Incoming::Hello)
    }

    fn end(&mut self) {
        self.over = Over::Closed;
        self.frames.clear();
    }
}

/// Code, name and words as they are sent.
pub(super) fn spell(failure: &Failure) -> (u32, String, String) {
    let name = cut(failure.code.name(), MAX_CODE_NAME);
    (failure.code.number().into(), name, cut(&failure.words, MAX_WORDS))
}

/// What the peer says of an end. Its words may go to a terminal or a log: what could move a cursor there becomes blanks.
pub(super) fn read_failure(code: u32, name: &str, words: &str) -> Result<Failure, StreamError> {
    let malformed = StreamError::Malformed { what: "code" };
    let number = u16::try_from(code).ok().filter(|code| (100..1_000).contains(code));
    let code = Code::from_number(number.ok_or(malformed)?);
    let clean = |text: &str| text.replace(char::is_control, " ");
    let words = match code {
        Code::Other(_) => [clean(name), clean(words)].join(" ").trim().to_owned(),
        _ => clean(words),
    };
    Ok(Failure::new(code, words))
}

/// At most so many octets, whole characters.
fn cut(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
