//! The events of a WRITE, while they come in.
//!
//! Keeps lines without copying them, up to the limits; past a limit it keeps nothing more and only waits for
//! the dot, so that peer and host stay in step. Whether a line is an event is not looked at.

use bytes::Bytes;

use super::action::WriteBatch;
use super::{MAX_WRITE_BYTES, MAX_WRITE_LINES};
use crate::line::LineError;
use crate::name::FlowName;
use crate::reply::{Code, Failure};
use crate::value::Word;

/// What has come so far.
#[derive(Debug)]
pub(super) struct Incoming {
    batch: WriteBatch,
    bytes: usize,
    max_bytes: usize,
    /// Lines seen, kept or not.
    seen: usize,
    /// Why the whole will be refused. Nothing is kept from then on.
    refusal: Option<Failure>,
}

/// Whether a WRITE goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// More lines are to come.
    More,
    /// That was the dot.
    End,
}

impl Incoming {
    pub(super) fn new(flow: FlowName, token: Option<Word>, max_data_line: usize) -> Self {
        let batch = WriteBatch { flow, token, lines: Vec::new() };
        // One event of the largest size has to fit, whatever the operator allows.
        let max_bytes = MAX_WRITE_BYTES.max(max_data_line);
        Self { batch, bytes: 0, max_bytes, seen: 0, refusal: None }
    }

    pub(super) fn take(&mut self, line: Result<Bytes, LineError>) -> Taken {
        if line.as_ref().is_ok_and(|line| line.trim_ascii() == b".") {
            return Taken::End;
        }
        self.seen = self.seen.saturating_add(1);
        if self.refusal.is_none()
            && let Err(failure) = self.keep(line)
        {
            self.refusal = Some(failure);
            self.batch.lines = Vec::new();
        }
        Taken::More
    }

    /// Whether nothing more is kept.
    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    pub(super) fn finish(self) -> Result<WriteBatch, Failure> {
        match self.refusal {
            Some(failure) => Err(failure),
            None => Ok(self.batch),
        }
    }

    fn keep(&mut self, line: Result<Bytes, LineError>) -> Result<(), Failure> {
        let line = line.map_err(|error| self.unusable(error))?;
        self.bytes = self.bytes.saturating_add(line.len());
        if self.seen > MAX_WRITE_LINES {
            let words = format!("more than {MAX_WRITE_LINES} events in one write");
            return Err(Failure::new(Code::TooLarge, words));
        }
        if self.bytes > self.max_bytes {
            let words = format!("more than {} bytes in one write", self.max_bytes);
            return Err(Failure::new(Code::TooLarge, words));
        }
        self.batch.lines.push(line);
        Ok(())
    }

    fn unusable(&self, error: LineError) -> Failure {
        let code = match error {
            LineError::TooLong { .. } => Code::TooLarge,
            LineError::NotUtf8 | LineError::Nul => Code::InvalidEvent,
        };
        Failure::new(code, format!("line {}: {error}", self.seen))
    }
}
