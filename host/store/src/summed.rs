//! Octets that are summed as they are written or read, so that a file is known to be whole without lying in memory.
//!
//! Knows no format: what a file holds, and where its sum stands, is for whoever writes it.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// Octets of a sum.
pub const SUM: usize = 32;

/// Passes octets on, and sums them (SHA-256).
#[derive(Debug)]
pub struct Summed<T> {
    inner: T,
    sum: Sha256,
}

impl<T> Summed<T> {
    /// Has seen nothing yet.
    pub fn new(inner: T) -> Self {
        Self { inner, sum: Sha256::new() }
    }

    /// What it passed on to, or read from, and the sum of all that it has seen.
    pub fn end(self) -> (T, [u8; SUM]) {
        (self.inner, self.sum.finalize().into())
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(room)?;
        self.sum.update(room.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The sum of octets that lie in memory.
#[must_use]
pub fn sum_of(octets: &[u8]) -> [u8; SUM] {
    Sha256::digest(octets).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_the_sum_of_what_was_written_however_it_comes() {
        let mut written = Summed::new(Vec::new());
        for piece in [&b"ab"[..], b"", b"c"] {
            written.write_all(piece).unwrap();
        }
        let (octets, sum) = written.end();
        assert_eq!((&octets[..], sum), (&b"abc"[..], sum_of(b"abc")));
        let mut read = Summed::new(&octets[..]);
        let (mut one, mut rest) = ([0], Vec::new());
        read.read_exact(&mut one).unwrap();
        read.read_to_end(&mut rest).unwrap();
        assert_eq!(read.end().1, sum);
        assert_ne!(sum_of(b"abd"), sum);
    }
}
