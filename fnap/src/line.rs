//! Lines out of bytes, however the bytes are cut into pieces.
//!
//! Lines end with CRLF or a bare LF. A line that is too long is reported once and thrown away as it
//! comes, so that a peer cannot fill memory with it. What a line means is not looked at.

use bytes::{Buf, Bytes, BytesMut};

/// Longest command line in bytes, its end excluded. The longest sensible command is a list of 64 flows
/// or a processor's configuration, and people type neither.
pub const MAX_COMMAND: usize = 8 * 1024;

/// Longest data line in bytes unless configured otherwise: one event.
pub const MAX_DATA_LINE: usize = 1 << 20;

/// Why a line cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than allowed; the rest of it is thrown away.
    #[error("line over {limit} bytes")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("line is not utf-8")]
    NotUtf8,
    /// A NUL inside.
    #[error("line with a nul")]
    Nul,
}

/// Cuts bytes into lines. Lines share the buffer that the bytes were read into.
///
/// Holds what was pushed and not yet taken; a caller that takes all lines after each push makes it
/// hold at most one unfinished line within the limit.
#[derive(Debug, Default)]
pub struct LineDecoder {
    buffer: BytesMut,
    /// How much of the buffer's front is known to hold no line end.
    scanned: usize,
    /// Inside a line that was too long.
    discarding: bool,
    /// Octets of such lines.
    thrown_away: usize,
}

impl LineDecoder {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to append to, with whatever room it has; only for appending. Another with the same bytes
    /// may take its place.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Octets of lines that were too long, since this was asked last.
    pub fn take_thrown_away(&mut self) -> usize {
        std::mem::take(&mut self.thrown_away)
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Throws away what is held, as a change to TLS demands.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next line without its end, if it is complete: UTF-8 without NUL, at most `limit` bytes.
    ///
    /// # Errors
    /// Each unusable line gives one error; the next call goes on behind it.
    pub fn next_line(&mut self, limit: usize) -> Option<Result<Bytes, LineError>> {
        if self.discarding {
            self.discard()?;
        }
        let Some(end) = self.find_end() else {
            return self.refuse_unfinished(limit).map(Err);
        };
        let mut line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        self.scanned = 0;
        line.truncate(without_cr(&line).len());
        Some(check(&line, limit).map(|()| line))
    }

    /// Whether the next line is complete and `wanted` holds for it. Takes nothing.
    pub fn next_is(&self, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let end = memchr::memchr(b'\n', &self.buffer);
        let line = end.and_then(|end| self.buffer.get(..end));
        !self.discarding && line.is_some_and(|line| wanted(without_cr(line)))
    }

    /// Takes the first complete line from `*from` on for which `wanted` holds out of the middle of what
    /// waits. `from` remembers how far was looked; it has to be 0 after any other call has taken lines.
    pub fn take_waiting(&mut self, from: &mut usize, wanted: impl Fn(&[u8]) -> bool) -> bool {
        if self.discarding && self.discard().is_none() {
            return false;
        }
        while let Some(rest) = self.buffer.get(*from..) {
            let Some(len) = memchr::memchr(b'\n', rest) else {
                return false;
            };
            if rest.get(..len).is_some_and(|line| wanted(without_cr(line))) {
                let behind = self.buffer.split_off(*from + len + 1);
                self.buffer.truncate(*from);
                self.buffer.unsplit(behind);
                self.scanned = 0;
                return true;
            }
            *from += len + 1;
        }
        false
    }

    fn find_end(&mut self) -> Option<usize> {
        let fresh = self.buffer.get(self.scanned..)?;
        let found = memchr::memchr(b'\n', fresh).map(|at| self.scanned + at);
        self.scanned = self.buffer.len();
        found
    }

    /// A line that is too long already need not be waited for. One CR more may be half of its end.
    fn refuse_unfinished(&mut self, limit: usize) -> Option<LineError> {
        if without_cr(&self.buffer).len() <= limit {
            return None;
        }
        self.discarding = true;
        self.forget();
        Some(LineError::TooLong { limit })
    }

    /// Drops the rest of a line that was too long; none while its end has not come.
    fn discard(&mut self) -> Option<()> {
        let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
            self.forget();
            return None;
        };
        self.buffer.advance(end + 1);
        self.thrown_away += end + 1;
        self.discarding = false;
        Some(())
    }

    fn forget(&mut self) {
        self.thrown_away += self.buffer.len();
        self.buffer.clear();
        self.scanned = 0;
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn check(line: &[u8], limit: usize) -> Result<(), LineError> {
    if line.len() > limit {
        return Err(LineError::TooLong { limit });
    }
    if memchr::memchr(0, line).is_some() {
        return Err(LineError::Nul);
    }
    std::str::from_utf8(line).map(drop).map_err(|_| LineError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], chunk: usize, limit: usize) -> Vec<Result<Bytes, LineError>> {
        let mut decoder = LineDecoder::new();
        let mut lines = Vec::new();
        for piece in bytes.chunks(chunk.max(1)) {
            decoder.push(piece);
            lines.extend(std::iter::from_fn(|| decoder.next_line(limit)));
            assert!(decoder.held() <= limit + 1);
        }
        lines
    }

    fn line(text: &'static str) -> Result<Bytes, LineError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_end_with_crlf_or_a_bare_lf() {
        let lines = decode(b"a\r\n\nb\n\r\nc\rd\r\r\nunfinished", 100, 80);
        assert_eq!(lines, [line("a"), line(""), line("b"), line(""), line("c\rd\r")]);
    }

    #[test]
    fn a_line_one_byte_too_long_is_reported_once_and_the_next_is_read() {
        let too_long = Err(LineError::TooLong { limit: 4 });
        assert_eq!(
            decode(b"1234\r\n12345\r\nok\n", 100, 4),
            [line("1234"), too_long.clone(), line("ok")]
        );
        let long = ["x".repeat(1000), "\nok\n".into()].concat();
        assert_eq!(decode(long.as_bytes(), 3, 4), [too_long.clone(), line("ok")]);
        assert_eq!(decode(b"1234\rX\nok\n", 1, 4), [too_long, line("ok")]);
    }

    #[test]
    fn a_line_that_is_no_text_is_an_error_for_that_line_only() {
        let lines = decode(b"\xff\na\0b\nok\n", 100, 80);
        assert_eq!(lines, [Err(LineError::NotUtf8), Err(LineError::Nul), line("ok")]);
    }

    #[test]
    fn the_limit_can_change_between_lines() {
        let mut decoder = LineDecoder::new();
        decoder.push(b"123456\n123456\n");
        assert_eq!(decoder.next_line(4), Some(Err(LineError::TooLong { limit: 4 })));
        assert_eq!(decoder.next_line(6), Some(line("123456")));
    }

    #[test]
    fn a_waiting_line_is_taken_out_of_the_middle() {
        let mut decoder = LineDecoder::new();
        let mut from = 0;
        decoder.push(b"NOOP\r\nDO");
        assert!(!decoder.take_waiting(&mut from, |line| line == b"DONE"));
        decoder.push(b"NE\r\nQUIT\r\n");
        assert!(decoder.take_waiting(&mut from, |line| line == b"DONE"));
        assert!(!decoder.take_waiting(&mut from, |line| line == b"DONE"));
        assert_eq!(decoder.next_line(80), Some(line("NOOP")));
        assert_eq!(decoder.next_line(80), Some(line("QUIT")));
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_lines_in_any_pieces(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0), any::<u8>(), Just(b'a')], 0..200),
            chunk in 1_usize..20,
            limit in 0_usize..12,
        ) {
            prop_assert_eq!(decode(&bytes, chunk, limit), decode(&bytes, bytes.len(), limit));
        }
    }
}
