//! Replies out of bytes, on the client's side.
//!
//! Tells data lines from replies and copes with the proof of concept: blanks at the ends of lines, bare
//! line feeds, codes that nobody has heard of. Which command a reply answers is not known here.

use bytes::{Bytes, BytesMut};

use super::Code;
use crate::line::{LineDecoder, LineError, MAX_COMMAND};

/// Room made for each read of a socket: a few dozen events of 1 KiB in one system call.
const READ_ROOM: usize = 64 * 1024;

/// One thing that a host sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyItem {
    /// A reply of one line: also what ends data lines with an error.
    Line(Code, String),
    /// `220 DATA`
    DataStart,
    /// A data line, without blanks at its end.
    Data(Bytes),
    /// The `220` line behind the data lines.
    DataEnd,
    /// A line that is no reply, where one should be.
    NoReply(Bytes),
}

/// Tells data lines from replies.
#[derive(Debug)]
pub struct ReplyDecoder {
    lines: LineDecoder,
    limit: usize,
    in_data: bool,
}

impl ReplyDecoder {
    /// Takes data lines of at most `max_data_line` bytes.
    #[must_use]
    pub fn new(max_data_line: usize) -> Self {
        let limit = max_data_line.max(MAX_COMMAND);
        Self { lines: LineDecoder::new(), limit, in_data: false }
    }

    /// Where to read the socket into, with some room; only for appending.
    pub fn input(&mut self) -> &mut BytesMut {
        let input = self.lines.input();
        input.reserve(READ_ROOM);
        input
    }

    /// Takes bytes of the host.
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// Throws away what was received and not looked at, as a change to TLS demands.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.in_data = false;
    }

    /// What came next, if its line is complete.
    ///
    /// # Errors
    /// Each unusable line gives one error; the next call goes on behind it.
    pub fn next_item(&mut self) -> Option<Result<ReplyItem, LineError>> {
        let line = match self.lines.next_line(self.limit)? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let item = if self.in_data { data(line) } else { reply(line) };
        match item {
            ReplyItem::DataStart => self.in_data = true,
            ReplyItem::DataEnd | ReplyItem::Line(..) => self.in_data = false,
            ReplyItem::Data(_) | ReplyItem::NoReply(_) => {}
        }
        Some(Ok(item))
    }
}

fn data(mut line: Bytes) -> ReplyItem {
    if super::looks_like_reply(&line) {
        return match reply(line) {
            ReplyItem::Line(Code::Ok, _) | ReplyItem::DataStart => ReplyItem::DataEnd,
            other => other,
        };
    }
    line.truncate(line.trim_ascii_end().len());
    ReplyItem::Data(line)
}

fn reply(line: Bytes) -> ReplyItem {
    let Some((code, text)) = code_and_text(&line) else {
        return ReplyItem::NoReply(line);
    };
    if code == Code::Ok && text.eq_ignore_ascii_case("DATA") {
        return ReplyItem::DataStart;
    }
    ReplyItem::Line(code, text.to_owned())
}

fn code_and_text(line: &[u8]) -> Option<(Code, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (code, text) = line.split_at_checked(3)?;
    let blank = text.is_empty() || text.starts_with([' ', '\t']);
    if !blank || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Code::from_number(code.parse().ok()?), text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Result<ReplyItem, LineError>> {
        let mut decoder = ReplyDecoder::new(100);
        let mut items = Vec::new();
        for byte in bytes {
            decoder.push(&[*byte]);
            items.extend(std::iter::from_fn(|| decoder.next_item()));
        }
        items
    }

    fn line(code: Code, text: &str) -> Result<ReplyItem, LineError> {
        Ok(ReplyItem::Line(code, text.to_owned()))
    }

    fn data(text: &'static str) -> Result<ReplyItem, LineError> {
        Ok(ReplyItem::Data(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn replies_of_the_proof_of_concept_are_understood() {
        let items =
            decode(b"220 fnaa.unix.ar FNAA\n220 DATA \nl SUBSCRIBED TO \n220 OK \r\n404\r\n");
        let expected = [
            line(Code::Ok, "fnaa.unix.ar FNAA"),
            Ok(ReplyItem::DataStart),
            data("l SUBSCRIBED TO"),
            Ok(ReplyItem::DataEnd),
            line(Code::NotFound, ""),
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn an_error_line_ends_data_and_digits_alone_do_not() {
        let items = decode(b"220 DATA\r\n220\r\n2200 x\r\n\r\n500 SERVER_ERR x\r\nhello\r\n");
        let expected = [
            Ok(ReplyItem::DataStart),
            data("220"),
            data("2200 x"),
            data(""),
            line(Code::ServerErr, "SERVER_ERR x"),
            Ok(ReplyItem::NoReply(Bytes::from_static(b"hello"))),
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn unusable_lines_are_errors_and_unknown_codes_are_not() {
        let items = decode(b"\xff\r\n599 ODD\r\n22\xc3\xa4 x\r\n");
        let odd = Bytes::from_static("22\u{e4} x".as_bytes());
        assert_eq!(
            items,
            [Err(LineError::NotUtf8), line(Code::Other(599), "ODD"), Ok(ReplyItem::NoReply(odd))]
        );
    }
}
