//! How an input is read: some bytes that steer, then what the stranger sends.
//!
//! The first byte says how many steer, so that a transcript with a zero in front is an input.

/// Most bytes that steer.
const MOST: usize = 32;

/// An input taken apart.
pub(crate) struct Input<'a> {
    /// What steers: sizes of pieces, choices of answers.
    pub(crate) controls: &'a [u8],
    /// What the stranger sends.
    pub(crate) payload: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn of(data: &'a [u8]) -> Self {
        let (first, rest) = data.split_first().unwrap_or((&0, &[]));
        let (controls, payload) = rest.split_at((usize::from(*first) % (MOST + 1)).min(rest.len()));
        Self { controls, payload }
    }

    /// A choice; zero where nothing steers.
    pub(crate) fn choice(&self, number: usize) -> u8 {
        self.controls.get(number).copied().unwrap_or_default()
    }

    /// The payload in pieces of 1 to 64 bytes as the controls say, again and again; whole where
    /// nothing steers. With each piece comes the byte that cut it.
    pub(crate) fn pieces(&self) -> Vec<(&'a [u8], u8)> {
        if self.controls.is_empty() {
            return vec![(self.payload, 0)];
        }
        let (mut rest, mut pieces) = (self.payload, Vec::new());
        for control in self.controls.iter().cycle() {
            let (piece, behind) = rest.split_at((usize::from(control % 64) + 1).min(rest.len()));
            pieces.push((piece, *control));
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        pieces
    }
}
