//! The state machine itself: who may say what now, and what follows from it.
//!
//! What comes before authentication is in `accepting`, what a line means in `ready`, the collecting of events
//! in `receiving`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::action::{Action, Phase, ServerOptions, Tls};
use super::posted::Posted;
use super::ready::{is_done, is_write};
use super::receiving::Incoming;
use super::toll::Toll;
use super::{MAX_AUTH_FAILURES, MAX_HELD_REPLIES};
use crate::line::{LineDecoder, MAX_COMMAND};
use crate::reply::{Code, DATA_START, Failure, Reply};
use crate::sasl::{self, MAX_RESPONSE};

/// One connection's session. `P` is whatever the host knows about who is at the other end.
#[derive(Debug)]
pub struct ServerSession<P> {
    pub(super) options: ServerOptions,
    pub(super) state: State<P>,
    actions: VecDeque<Action<P>>,
    posted: Posted,
    lines: LineDecoder,
    /// Why the session is to end, until it does.
    ending: Option<Failure>,
    /// Whether the peer has sent everything it will.
    peer_finished: bool,
    pub(super) toll: Toll,
}

#[derive(Debug)]
pub(super) enum State<P> {
    /// The greeting is still to be sent.
    New,
    /// Nobody is authenticated, so many times somebody tried.
    Accepting { failures: u8 },
    /// A SASL response is awaited.
    Responding { failures: u8 },
    /// What came is being checked; `begun` by an AUTHENTICATE that brought no response.
    Verifying { failures: u8, begun: bool },
    /// TLS is being agreed on.
    Handshake { failures: u8 },
    /// Nothing to do.
    Ready(P),
    /// The lines of a WRITE are coming.
    Receiving(P, Incoming),
    /// A command is being performed.
    Executing(P, Running),
    /// Over: closed, or a stream now.
    Ended { streaming: bool },
}

/// What is being performed.
#[derive(Debug)]
pub(super) enum Running {
    /// Anything with one answer.
    Command,
    /// A READ, before and while its data lines are written.
    Read { follow: bool, started: bool, stopping: bool, looked: usize },
    /// The request for a stream.
    Stream,
}

impl<P: Clone> ServerSession<P> {
    /// A session that greets first.
    #[must_use]
    pub fn new(options: ServerOptions) -> Self {
        let (actions, lines) = (VecDeque::new(), LineDecoder::new());
        let posted = Posted::default();
        Self {
            options,
            state: State::New,
            actions,
            posted,
            lines,
            ending: None,
            peer_finished: false,
            toll: Toll::default(),
        }
    }

    /// Where to read the socket into, with whatever room it has; only for appending. Another with the same
    /// bytes may take its place. Call [`Self::next_action`] afterwards.
    pub fn input(&mut self) -> &mut BytesMut {
        self.lines.input()
    }

    /// Takes bytes of the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// Bytes of what the peer sent and is not looked at yet, and of replies that wait for those before
    /// them. Not the events of a WRITE, which have limits of their own.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lines.held() + self.posted.held()
    }

    /// Whether the connection should go on reading. False while too much waits behind the command being
    /// performed, while TLS is agreed on, and after the end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::Handshake { .. } | State::Ended { .. } => false,
            _ if self.peer_finished => false,
            State::Executing(..) | State::Verifying { .. } => {
                self.lines.held() < self.options.max_waiting
            }
            State::Ready(_) if self.posted.any() => self.lines.held() < self.options.max_waiting,
            // These take every complete line at once: what is held is within a line's limit.
            _ => true,
        }
    }

    /// What to do next; none when the session waits for the peer or for an answer.
    pub fn next_action(&mut self) -> Option<Action<P>> {
        while self.actions.is_empty() && self.step() {}
        self.actions.pop_front()
    }

    /// What the peer has made the host do for nothing since this was asked last.
    pub fn take_toll(&mut self) -> Toll {
        let thrown_away = self.lines.take_thrown_away();
        let mut toll = std::mem::take(&mut self.toll);
        toll.thrown_away = toll.thrown_away.saturating_add(thrown_away);
        toll
    }

    /// Where the session stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::New | State::Ended { streaming: false } => Phase::Waiting,
            State::Accepting { .. } => Phase::Accepting,
            State::Responding { .. } | State::Receiving(..) => Phase::Receiving,
            State::Ready(_) if self.posted.any() => Phase::CmdRecvd,
            State::Ready(_) => Phase::Ready,
            State::Executing(_, Running::Read { follow: true, started: true, .. }) => {
                Phase::Following
            }
            State::Executing(..) | State::Verifying { .. } => Phase::CmdRecvd,
            State::Handshake { .. } | State::Ended { streaming: true } => Phase::Upgrading,
        }
    }

    /// The mechanism goes on with a challenge. The empty one that only says "begin" is `220 OK`, as in the
    /// draft's transcript.
    pub fn challenge(&mut self, challenge: &[u8]) {
        if let State::Verifying { failures, begun } = self.state {
            let begin = begun && challenge.is_empty();
            let line = || Reply::More(sasl::encode(challenge).to_string());
            self.send(&if begin { Reply::ok() } else { line() });
            self.state = State::Responding { failures };
        }
    }

    /// It was checked who the peer is.
    pub fn authenticated(&mut self, principal: P) {
        if let State::Verifying { .. } = self.state {
            self.send(&Reply::Ok("Authenticated".to_owned()));
            self.state = State::Ready(principal);
        }
    }

    /// The peer is not who he says, for whatever reason.
    pub fn refused(&mut self) {
        if let State::Verifying { failures, .. } = self.state {
            self.authentication_failed(failures);
        }
    }

    /// It could not be checked, say because the host is overloaded. That is one of the attempts that a connection
    /// has, too: nobody goes on for ever with what cannot be checked.
    pub fn not_checked(&mut self, failure: Failure) {
        if let State::Verifying { failures, .. } = self.state {
            self.attempt_ended(failures, &failure.into());
        }
    }

    /// The answer to the command being performed, or to the oldest WRITE that is. An answer that
    /// nothing waits for is dropped.
    pub fn reply(&mut self, reply: Reply) {
        if self.posted.any() {
            self.push(Action::Send(reply.to_bytes()));
            for behind in self.posted.answered() {
                self.push(Action::Send(behind));
            }
            return;
        }
        if let State::Executing(principal, _) = &self.state {
            self.state = State::Ready(principal.clone());
            self.send(&reply);
        }
    }

    /// The READ being performed goes well so far: sends `220 DATA`. Do what [`Self::next_action`] says
    /// before writing data lines ([`crate::reply::write_data_line`]).
    pub fn read_started(&mut self) {
        if let State::Executing(_, Running::Read { started: started @ false, .. }) = &mut self.state
        {
            *started = true;
            self.push(Action::Send(Bytes::from_static(DATA_START)));
        }
    }

    /// The READ has sent its last data line: sends `220 OK`, or the error that ended it.
    pub fn read_ended(&mut self, outcome: Result<(), Failure>) {
        self.reply(outcome.map_or_else(Reply::Error, |()| Reply::ok()));
    }

    /// The STREAM being performed is accepted: sends `220 OK`, then asks for the change.
    pub fn stream_accepted(&mut self) {
        if let State::Executing(principal, Running::Stream) = &self.state {
            let principal = principal.clone();
            self.send(&Reply::ok());
            self.push(Action::StartStream { principal });
            self.lines.clear();
            self.state = State::Ended { streaming: true };
        }
    }

    /// The TLS handshake is done, with a client's certificate or without: the peer starts again, without a
    /// greeting. What failed before still counts.
    pub fn tls_established(&mut self, certificate: bool) {
        if let State::Handshake { failures } = self.state {
            self.options.tls = Tls::Established { certificate };
            self.lines.clear();
            self.state = State::Accepting { failures };
        }
    }

    /// Ends the session with an error as soon as no command is being performed: idle too long (408),
    /// shutting down (503). A READ that follows is stopped, and whoever is being authenticated no longer is:
    /// what comes of that is dropped.
    pub fn end(&mut self, failure: Failure) {
        self.ending = Some(failure);
        self.stop_following();
    }

    /// The peer will send nothing more: what it has sent is still performed, then the session closes. A
    /// READ that follows is stopped; an unfinished line or WRITE is dropped.
    pub fn input_ended(&mut self) {
        self.peer_finished = true;
        self.stop_following();
    }

    /// Looks at the next line, if this is a time for that. False when there is nothing to do.
    fn step(&mut self) -> bool {
        let limit = match &self.state {
            State::New => {
                let greeting = format!("{} FNAA", self.options.hostname);
                self.send(&Reply::Ok(greeting));
                self.state = State::Accepting { failures: 0 };
                return true;
            }
            State::Ended { .. } => return false,
            State::Executing(..) => return self.look_for_done(),
            State::Verifying { .. } => return self.end_now(true),
            State::Handshake { .. } => return self.end_now(false),
            _ if self.ending.is_some() && self.posted.any() => return false,
            _ if self.ending.is_some() => return self.end_now(true),
            State::Ready(_) if self.posted.any() && !self.may_post() => return false,
            State::Receiving(..) => self.options.max_data_line,
            State::Responding { .. } => MAX_RESPONSE,
            _ => MAX_COMMAND,
        };
        match self.lines.next_line(limit) {
            Some(line) => self.take(line),
            None if self.peer_finished && !self.posted.any() => self.close(),
            None => return false,
        }
        true
    }

    /// Whether the next line is a WRITE that may begin beside those that are being performed.
    fn may_post(&self) -> bool {
        self.posted.count() < self.options.writes_at_once
            && self.posted.held() < MAX_HELD_REPLIES
            && self.lines.next_is(is_write)
    }

    /// A WRITE is about to be performed; what is said from now on waits for its answer.
    pub(super) fn posted(&mut self) {
        self.posted.post();
    }

    fn look_for_done(&mut self) -> bool {
        let State::Executing(
            _,
            Running::Read { follow: true, started: true, stopping: false, looked },
        ) = &mut self.state
        else {
            return false;
        };
        let over = self.ending.is_some() || self.peer_finished;
        let asked = over || self.lines.take_waiting(looked, is_done);
        asked && self.stop_following()
    }

    fn stop_following(&mut self) -> bool {
        match &mut self.state {
            State::Executing(
                _,
                Running::Read { follow: true, started: true, stopping: stopping @ false, .. },
            ) => {
                *stopping = true;
                self.push(Action::StopFollowing);
                true
            }
            _ => false,
        }
    }

    fn end_now(&mut self, say_why: bool) -> bool {
        let Some(failure) = self.ending.take() else {
            return false;
        };
        if say_why {
            self.send(&failure.into());
        }
        self.close();
        true
    }

    /// Counts, answers with the one text for every cause, and closes when it was once too often.
    pub(super) fn authentication_failed(&mut self, failures: u8) {
        self.attempt_ended(failures, &Reply::error(Code::AuthRequired, "authentication failed"));
    }

    /// The same for what ended otherwise.
    pub(super) fn attempt_ended(&mut self, failures: u8, answer: &Reply) {
        let failures = failures.saturating_add(1);
        self.send(answer);
        if failures >= MAX_AUTH_FAILURES {
            self.close();
        } else {
            self.state = State::Accepting { failures };
        }
    }

    /// Whether anything was received behind the line that was taken last.
    pub(super) fn has_more(&self) -> bool {
        self.lines.held() > 0
    }

    pub(super) fn start_handshake(&mut self, failures: u8) {
        self.send(&Reply::ok());
        self.push(Action::StartTls);
        self.lines.clear();
        self.state = State::Handshake { failures };
    }

    pub(super) fn send(&mut self, reply: &Reply) {
        self.send_bytes(reply.to_bytes());
    }

    /// Sends a reply once those before it are sent.
    pub(super) fn send_bytes(&mut self, reply: Bytes) {
        if let Some(bytes) = self.posted.hold(reply) {
            self.push(Action::Send(bytes));
        }
    }

    pub(super) fn push(&mut self, action: Action<P>) {
        self.actions.push_back(action);
    }

    pub(super) fn close(&mut self) {
        self.push(Action::Close);
        self.lines.clear();
        self.state = State::Ended { streaming: false };
    }
}
