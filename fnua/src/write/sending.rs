//! One WRITE on its way to the socket: the command, the events, the dot.

use super::batch::Batch;

/// What ends a batch.
pub(super) const DOT: &[u8] = b".\r\n";

/// What is still to be sent of a WRITE.
#[derive(Debug)]
pub(super) struct Sending {
    head: Vec<u8>,
    part: Part,
    offset: usize,
}

/// A part of a WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Body,
    Dot,
}

impl Sending {
    /// Begins with the command line.
    pub(super) const fn new(head: Vec<u8>) -> Self {
        Self { head, part: Part::Head, offset: 0 }
    }

    /// What may be sent now: nothing behind the head before the host has proven to take events.
    pub(super) fn bytes<'a>(&'a self, batch: &'a Batch, proven: bool) -> &'a [u8] {
        if self.part != Part::Head && !proven {
            return &[];
        }
        self.whole(batch).get(self.offset..).unwrap_or_default()
    }

    /// Notes that so many bytes are sent; gives the part that is through with them.
    pub(super) fn advance(&mut self, batch: &Batch, count: usize) -> Option<Part> {
        self.offset += count;
        if self.offset < self.whole(batch).len() {
            return None;
        }
        let done = self.part;
        self.offset = 0;
        self.part = match done {
            Part::Head => Part::Body,
            Part::Body | Part::Dot => Part::Dot,
        };
        Some(done)
    }

    fn whole<'a>(&'a self, batch: &'a Batch) -> &'a [u8] {
        match self.part {
            Part::Head => &self.head,
            Part::Body => &batch.body,
            Part::Dot => DOT,
        }
    }
}
