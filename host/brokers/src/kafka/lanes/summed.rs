//! Octets that are summed as they are written or read, so that a file is known to be whole without lying in memory.

use std::io::{self, Read, Write};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Octets of a sum.
pub(super) const SUM: usize = 32;

/// Passes octets on, and sums them.
pub(super) struct Summed<T> {
    inner: T,
    sum: Sha256,
}

impl<T> Summed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, sum: Sha256::new() }
    }

    /// What it passed on to, or read from, and the sum of all that it has seen.
    pub(super) fn end(self) -> (T, [u8; SUM]) {
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

/// The length of what follows, as it is written.
pub(super) fn length(len: usize) -> io::Result<[u8; 4]> {
    u32::try_from(len).map(u32::to_be_bytes).map_err(io::Error::other)
}

/// Reads a length. One beyond `most` is damage: nothing is made ready for it.
pub(super) fn read_length(from: &mut impl Read, most: u64) -> io::Result<usize> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len);
    match u64::from(len) <= most {
        true => usize::try_from(len).map_err(io::Error::other),
        false => Err(io::Error::other("a length beyond the file")),
    }
}

/// Reads so many octets.
pub(super) fn read_octets(from: &mut impl Read, len: usize) -> io::Result<Bytes> {
    let mut octets = vec![0; len];
    from.read_exact(&mut octets)?;
    Ok(octets.into())
}

/// Reads one octet; nothing at the end.
pub(super) fn read_octet(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut octet = [0];
    Ok((from.read(&mut octet)? == 1).then_some(octet[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_the_sum_of_what_was_written() {
        let mut written = Summed::new(Vec::new());
        written.write_all(&length(3).unwrap()).unwrap();
        written.write_all(b"abc").unwrap();
        let (octets, sum) = written.end();
        let mut read = Summed::new(&octets[..]);
        let len = read_length(&mut read, 3).unwrap();
        assert_eq!(read_octets(&mut read, len).unwrap(), "abc");
        assert_eq!(read_octet(&mut read).unwrap(), None);
        assert_eq!(read.end().1, sum);
        read_length(&mut &octets[..], 2).unwrap_err();
        read_octets(&mut &octets[..], 8).unwrap_err();
    }
}
