//! What was read of a partition and is not forgotten yet: contiguous pieces, which several readers share.
//!
//! Does no I/O. Pieces go when everybody has read them, or when they are too many bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use host_events::Stored;

use crate::broker::BatchLimits;
use crate::cut::{Cut, cut};

/// A piece of a partition, which may be a hole without records.
pub(super) struct Piece {
    from: u64,
    next: u64,
    records: Arc<[Stored]>,
    bytes: usize,
}

/// Pieces, each beginning where the one before ends.
#[derive(Default)]
pub(super) struct Window {
    pieces: VecDeque<Piece>,
    end: u64,
    bytes: usize,
}

impl Window {
    /// Forgets everything, and goes on at an offset.
    pub(super) fn reset(&mut self, end: u64) {
        self.pieces.clear();
        (self.end, self.bytes) = (end, 0);
    }

    /// Where the next piece begins.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether somebody who stands at an offset can go on here.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        let start = self.pieces.front().map_or(self.end, |piece| piece.from);
        (start..=self.end).contains(&offset)
    }

    /// Adds what lies between the end and an offset.
    pub(super) fn push(&mut self, records: impl Into<Arc<[Stored]>>, bytes: usize, next: u64) {
        let from = std::mem::replace(&mut self.end, next);
        self.bytes += bytes;
        self.pieces.push_back(Piece { from, next, records: records.into(), bytes });
    }

    /// What lies at an offset, as much as fits, and the offset behind it.
    pub(super) fn read(&self, offset: u64, limits: BatchLimits) -> Option<Cut> {
        let index = self.pieces.partition_point(|piece| piece.next <= offset);
        let piece = self.pieces.get(index).filter(|piece| piece.from <= offset)?;
        Some(cut(&piece.records, offset, piece.next, limits))
    }

    /// Forgets pieces from the front: those that end at or before an offset while they are more than
    /// `keep` bytes, and all but the last while they are more than `most`: somebody is reading that one.
    pub(super) fn forget(&mut self, read: u64, keep: usize, most: usize) {
        while let Some(piece) = self.pieces.front() {
            let done = piece.next <= read && self.bytes > keep;
            let over = self.bytes > most && self.pieces.len() > 1;
            if !done && !over {
                return;
            }
            self.bytes -= piece.bytes;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use host_events::Record;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits { records: 2, bytes: 1000 };

    fn records(offsets: &[u64]) -> Vec<Stored> {
        offsets.iter().map(|&offset| Stored { offset, record: Record::default() }).collect()
    }

    fn window() -> Window {
        let mut window = Window::default();
        window.reset(5);
        window.push(records(&[5, 7, 8]), 10, 10);
        window.push(Vec::new(), 0, 12);
        window.push(records(&[12]), 10, 13);
        window
    }

    fn read(window: &Window, offset: u64) -> Option<(Vec<u64>, u64)> {
        let (next, records) = window.read(offset, LIMITS)?;
        Some((records.iter().map(|stored| stored.offset).collect(), next))
    }

    #[test]
    fn a_window_is_read_from_any_offset_in_it_without_a_jump() {
        let window = window();
        let (mut seen, mut next) = (Vec::new(), 5);
        while let Some((offsets, after)) = read(&window, next) {
            assert!(after > next);
            seen.extend(offsets);
            next = after;
        }
        assert_eq!((seen, next), (vec![5, 7, 8, 12], 13));
        assert_eq!(read(&window, 6), Some((vec![7, 8], 10)));
        assert_eq!(read(&window, 9), Some((vec![], 10)));
        assert_eq!((read(&window, 4), read(&window, 13)), (None, None));
        assert!(window.reaches(5) && window.reaches(13));
        assert!(!window.reaches(4) && !window.reaches(14));
    }

    #[test]
    fn what_everybody_has_read_is_forgotten_and_too_much_is_in_any_case() {
        let mut window = window();
        window.forget(9, 0, 100);
        assert!(window.reaches(5));
        window.forget(10, 0, 100);
        assert!(!window.reaches(5) && window.reaches(10));
        window.forget(13, 10, 100);
        assert!(window.reaches(10));
        window.forget(0, 100, 0);
        assert!(!window.reaches(11) && window.reaches(12));
        window.forget(13, 0, 0);
        assert_eq!((window.bytes(), window.end()), (0, 13));
    }
}
