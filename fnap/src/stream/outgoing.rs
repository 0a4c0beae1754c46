//! What waits to be sent, in whole frames, so that what has not begun can still be taken back.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::limits::{MAX_CONTROL, MAX_QUEUED};

/// Frames on their way out. As a [`Buf`] it is what to write next, in pieces for a vectored write.
#[derive(Debug, Default)]
pub struct Outgoing {
    frames: VecDeque<Waiting>,
    /// Octets of frames with records.
    records: usize,
    /// Octets of all others.
    control: usize,
}

#[derive(Debug)]
struct Waiting {
    /// The stream whose records these are.
    stream: Option<u32>,
    pieces: VecDeque<Bytes>,
    begun: bool,
}

impl Waiting {
    fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

impl Outgoing {
    pub(super) fn push_control(&mut self, frame: Bytes) {
        self.control += frame.len();
        self.frames.push_back(Waiting { stream: None, pieces: [frame].into(), begun: false });
    }

    pub(super) fn push_records(&mut self, stream: u32, pieces: VecDeque<Bytes>) {
        let waiting = Waiting { stream: Some(stream), pieces, begun: false };
        self.records += waiting.len();
        self.frames.push_back(waiting);
    }

    /// Takes back a stream's records that have not begun to be sent.
    pub(super) fn withdraw(&mut self, stream: u32) {
        self.withdraw_where(|of| of == stream);
    }

    /// Takes back all records that have not begun to be sent.
    pub(super) fn withdraw_all(&mut self) {
        self.withdraw_where(|_| true);
    }

    fn withdraw_where(&mut self, goes: impl Fn(u32) -> bool) {
        let mut gone = 0;
        self.frames.retain(|frame| {
            let keep = frame.begun || !frame.stream.is_some_and(&goes);
            gone += if keep { 0 } else { frame.len() };
            keep
        });
        self.records = self.records.saturating_sub(gone);
    }

    /// Octets of a stream's records that wait, or are in the middle of being sent.
    pub(super) fn waiting_of(&self, stream: u32) -> usize {
        let of = self.frames.iter().filter(|frame| frame.stream == Some(stream));
        of.map(Waiting::len).sum()
    }

    /// Whether records are taken: not while as much as [`MAX_QUEUED`] waits.
    #[must_use]
    pub fn takes_records(&self) -> bool {
        self.records < MAX_QUEUED
    }

    pub(super) fn takes_control(&self) -> bool {
        self.control < MAX_CONTROL
    }

    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter().flat_map(|frame| &frame.pieces)
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.records + self.control
    }

    fn chunk(&self) -> &[u8] {
        self.pieces().find(|piece| !piece.is_empty()).map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.pieces().filter(|piece| !piece.is_empty());
        let both = slices.iter_mut().zip(pieces);
        both.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(frame) = self.frames.front_mut() {
            let total = if frame.stream.is_some() { &mut self.records } else { &mut self.control };
            while let Some(piece) = frame.pieces.front_mut() {
                let step = count.min(piece.len());
                piece.advance(step);
                *total = total.saturating_sub(step);
                frame.begun |= step > 0;
                count -= step;
                if !piece.is_empty() {
                    return;
                }
                frame.pieces.pop_front();
            }
            self.frames.pop_front();
            if count == 0 {
                return;
            }
        }
    }
}
