//! WRITEs over one connection, several under way at once.
//!
//! A host that says PIPELINING takes the events of a WRITE before it has asked for them; with others each
//! batch waits for its 330. The first batch of a connection always does: a host that refuses the WRITE
//! itself would take the events for commands. They begin with a brace, so that none is one, but nothing
//! more can be learned from that connection, and it is left.

use std::collections::VecDeque;
use std::io;

use fnap::command::Command;
use fnap::{Failure, FlowName, Word};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};

use super::batch::Batch;
use super::input::{Input, Next};
use super::replies::{Replies, ReplyLine};
use super::report::Tally;
use super::sending::{DOT, Part, Sending};
use crate::connection::{Connection, Limit, REPLY_TIMEOUT, Writer, no_answer};
use crate::teller::{TELL_AFTER, Teller};
use crate::trace::Trace;

/// What goes over every connection of a run.
pub(super) struct Job {
    pub(super) flow: FlowName,
    pub(super) run: String,
    pub(super) input: Input,
    /// Read and not answered, in order.
    pub(super) unanswered: VecDeque<Batch>,
    /// How many may be under way.
    pub(super) window: usize,
    pub(super) tally: Tally,
    pub(super) teller: Teller,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The input has ended and everything is answered.
    Done,
    /// Without a word; what is unanswered may or may not be written.
    Broken(String),
    /// The host refused batches.
    Refused(Refused),
}

/// What a host refused, and what it did with what was sent behind it.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// The refused batches in order, none of them written.
    pub(super) batches: Vec<(Batch, Failure)>,
    /// Stretches that were sent behind a refused one and were written.
    pub(super) written_behind: Vec<String>,
}

/// One connection's part of a job.
pub(super) struct Pump<'a> {
    job: &'a mut Job,
    replies: Replies,
    writer: Writer,
    trace: Trace,
    /// Of the unanswered batches, so many are sent or being sent.
    begun: usize,
    /// What is still to be sent of the last of them.
    sending: Option<Sending>,
    /// Something may lie in the encryption's buffer.
    unflushed: bool,
    /// The host has asked for the events of the first unanswered batch.
    asked: bool,
    /// The host takes WRITEs ahead of their answers.
    ahead: bool,
    /// The host has asked for events on this connection.
    proven: bool,
    ended: bool,
    refused: Refused,
    /// Something came or went at this time.
    moved: Instant,
    /// Nothing came or went for so long that it was told.
    slow: bool,
    /// What is left for the first batch that the host takes.
    limit: Limit,
    /// When that was begun, and by when the host has to have taken it, in however small pieces it does.
    first: (Instant, Option<Instant>),
}

enum Turn {
    Reply(Result<ReplyLine, String>),
    Wrote(io::Result<usize>),
    Input,
    Slow,
    Silence,
}

impl<'a> Pump<'a> {
    pub(super) fn new(job: &'a mut Job, connection: Connection, limit: Limit) -> Self {
        let ahead = connection.takes_ahead();
        let (reader, writer, trace) = connection.into_parts();
        let replies = Replies::new(reader, trace.clone());
        Self {
            job,
            replies,
            writer,
            trace,
            begun: 0,
            sending: None,
            unflushed: false,
            asked: false,
            ahead,
            proven: false,
            ended: false,
            refused: Refused::default(),
            moved: Instant::now(),
            slow: false,
            limit,
            first: (Instant::now(), None),
        }
    }

    /// Sends until the input ends, the host refuses or the connection breaks.
    pub(super) async fn run(mut self) -> Ended {
        loop {
            self.begin_next();
            if self.job.unanswered.is_empty() && self.ended && self.refused.batches.is_empty() {
                self.quit().await;
                return Ended::Done;
            }
            if !self.refused.batches.is_empty() && self.whole_under_way() == 0 {
                return Ended::Refused(self.refused);
            }
            let ended = match self.turn().await {
                Turn::Reply(Ok(line)) => self.reply(line),
                Turn::Reply(Err(reason)) => Some(self.broken(reason)),
                Turn::Wrote(Ok(0)) => {
                    self.unflushed = false;
                    None
                }
                Turn::Wrote(Ok(count)) => {
                    self.unflushed = true;
                    self.wrote(count);
                    None
                }
                Turn::Wrote(Err(error)) => Some(self.broken(error.to_string())),
                Turn::Input => None,
                Turn::Slow => {
                    self.job.teller.trouble(&"no answer yet", TELL_AFTER);
                    self.slow = true;
                    None
                }
                Turn::Silence => Some(self.given_up()),
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// Waits for whatever can happen next.
    async fn turn(&mut self) -> Turn {
        let hungry = self.may_begin() && !self.ended;
        let waiting = self.begun > 0;
        let slow = self.moved + TELL_AFTER;
        let silence = self.silence();
        let stopping = !self.refused.batches.is_empty();
        let bytes = match (&self.sending, self.job.unanswered.get(self.begun.wrapping_sub(1))) {
            // After a refusal the batch that is being sent is left as it is: without its dot it is nothing.
            (Some(sending), Some(batch)) if !stopping => sending.bytes(batch, self.proven),
            _ => &[],
        };
        let busy = !bytes.is_empty() || self.unflushed;
        tokio::select! {
            line = self.replies.next() => Turn::Reply(line),
            wrote = put(&mut self.writer, bytes), if busy => Turn::Wrote(wrote),
            () = self.job.input.news(), if hungry => Turn::Input,
            () = sleep_until(slow), if waiting && !self.slow => Turn::Slow,
            () = sleep_until(silence), if waiting => Turn::Silence,
        }
    }

    /// By when something has to move, or the first batch has to be through.
    fn silence(&self) -> Instant {
        let usual = self.moved + REPLY_TIMEOUT;
        self.first.1.map_or(usual, |end| end.min(usual))
    }

    fn given_up(&mut self) -> Ended {
        let (begun, end) = self.first;
        let since = if end == Some(self.silence()) { begun } else { self.moved };
        self.broken(no_answer(self.silence() - since))
    }

    /// Whether another batch may be put under way.
    fn may_begin(&self) -> bool {
        let first = self.begun == 0;
        self.sending.is_none()
            && self.refused.batches.is_empty()
            && (first || (self.ahead && self.proven && self.begun < self.job.window))
    }

    fn begin_next(&mut self) {
        if !self.may_begin() {
            return;
        }
        if self.begun == self.job.unanswered.len() {
            match self.job.input.next(self.begun == 0) {
                Next::Batch(batch) => self.job.unanswered.push_back(batch),
                Next::NotYet => return,
                Next::End => {
                    self.ended = true;
                    return;
                }
            }
        }
        let Some(batch) = self.job.unanswered.get(self.begun) else {
            return;
        };
        let head = format!("{}\r\n", self.job.command(batch)).into_bytes();
        self.trace.client(&head);
        self.sending = Some(Sending::new(head));
        if self.begun == 0 {
            self.moved = Instant::now();
            self.first = (self.moved, self.limit.whole());
            self.proven &= self.ahead;
        }
        self.begun += 1;
    }

    fn wrote(&mut self, count: usize) {
        self.moved = Instant::now();
        let Some(batch) = self.job.unanswered.get(self.begun.wrapping_sub(1)) else {
            return;
        };
        let Some(sending) = &mut self.sending else {
            return;
        };
        match sending.advance(batch, count) {
            Some(Part::Body) => {
                self.trace
                    .note(|| format!("C: ({} events, {} bytes)", batch.lines, batch.body.len()));
            }
            Some(Part::Dot) => {
                self.trace.client(DOT);
                self.sending = None;
            }
            Some(Part::Head) | None => {}
        }
    }

    /// How many batches are under way as a whole, so that an answer is certain.
    const fn whole_under_way(&self) -> usize {
        match self.sending {
            Some(_) => self.begun.saturating_sub(1),
            None => self.begun,
        }
    }

    fn reply(&mut self, line: ReplyLine) -> Option<Ended> {
        self.moved = Instant::now();
        if self.begun == 0 {
            // Nobody asked: a host that closes because it is idle, or goes down, says so first.
            return Some(match line {
                ReplyLine::Failed(failure) => self.broken(failure.to_string()),
                _ => self.broken("a reply to nothing".to_owned()),
            });
        }
        match line {
            ReplyLine::More if !self.asked => {
                self.asked = true;
                self.proven = true;
                None
            }
            ReplyLine::Ok if self.asked && self.whole_under_way() > 0 => {
                self.accepted();
                None
            }
            ReplyLine::Failed(failure) => self.failed(failure),
            _ => Some(self.broken("a reply that does not fit".to_owned())),
        }
    }

    fn accepted(&mut self) {
        self.asked = false;
        self.begun -= 1;
        if let Some(batch) = self.job.unanswered.pop_front() {
            self.job.tally.add(&batch);
            self.job.teller.well();
            self.slow = false;
            (self.limit, self.first.1) = (Limit::default(), None);
            if !self.refused.batches.is_empty() {
                self.refused.written_behind.push(batch.span().to_string());
            }
        }
    }

    fn failed(&mut self, failure: Failure) -> Option<Ended> {
        let whole = self.whole_under_way() > 0;
        let in_step = self.asked && whole;
        self.asked = false;
        self.begun -= 1;
        if !whole {
            self.sending = None;
        }
        let batch = self.job.unanswered.pop_front()?;
        self.refused.batches.push((batch, failure));
        if in_step {
            return None;
        }
        // The events of the refused WRITE are, or will be, taken for commands: nothing more can be
        // learned here.
        self.doubt();
        Some(Ended::Refused(std::mem::take(&mut self.refused)))
    }

    fn broken(&mut self, reason: String) -> Ended {
        self.doubt();
        if self.refused.batches.is_empty() {
            return Ended::Broken(reason);
        }
        Ended::Refused(std::mem::take(&mut self.refused))
    }

    /// Nothing more is learned of what is under way.
    fn doubt(&mut self) {
        let whole = self.whole_under_way();
        self.job.unanswered.iter_mut().take(whole).for_each(|batch| batch.doubtful = true);
    }

    async fn quit(mut self) {
        self.trace.client(b"QUIT");
        let goodbye = async {
            self.writer.write_all(b"QUIT\r\n").await.map_err(|error| error.to_string())?;
            self.writer.flush().await.map_err(|error| error.to_string())?;
            self.replies.next().await
        };
        drop(tokio::time::timeout(std::time::Duration::from_secs(2), goodbye).await);
    }
}

/// Sends some of the bytes; without any, all that lies in the encryption's buffer, which is 0.
async fn put(writer: &mut Writer, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    writer.write(bytes).await
}

impl Job {
    fn command(&self, batch: &Batch) -> Command {
        let token = format!("{}-{}", self.run, batch.number);
        // A run's name is checked where it is typed, so that a token is always a word.
        Command::Write { flow: self.flow.clone(), token: token.parse::<Word>().ok() }
    }
}
