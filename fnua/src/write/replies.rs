//! Reply lines of a connection on which WRITEs are sent ahead of their answers.
//!
//! fnap's client session sends events only after the host asked for them. That costs a round trip for each
//! batch, so here the lines are read one by one.

use bytes::BytesMut;
use fnap::{Code, Failure};
use memchr::memchr;
use tokio::io::AsyncReadExt;

use crate::connection::Reader;
use crate::trace::Trace;

/// Longest reply line: words for people, and never data.
const MAX_REPLY: usize = 64 << 10;

/// One reply line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplyLine {
    /// `220`
    Ok,
    /// `330`
    More,
    /// An error.
    Failed(Failure),
}

/// Reads reply lines.
pub(super) struct Replies {
    reader: Reader,
    buffer: BytesMut,
    trace: Trace,
}

impl Replies {
    pub(super) fn new(reader: Reader, trace: Trace) -> Self {
        Self {
            reader,
            buffer: BytesMut::with_capacity(4096),
            trace,
        }
    }

    /// The next reply, or why there is none. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<ReplyLine, String> {
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer) {
                let line = self.buffer.split_to(at + 1);
                let text = String::from_utf8_lossy(&line);
                return parse(text.trim_end())
                    .ok_or_else(|| format!("no reply line: {:?}", shortened(text.trim_end())));
            }
            if self.buffer.len() > MAX_REPLY {
                return Err(format!("a reply over {MAX_REPLY} bytes"));
            }
            let before = self.buffer.len();
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) => return Err("the host closed it".to_owned()),
                Ok(_) => self
                    .trace
                    .server(self.buffer.get(before..).unwrap_or_default()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

fn parse(line: &str) -> Option<ReplyLine> {
    let (digits, rest) = line.split_at_checked(3)?;
    let number: u16 = digits
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let words = match rest.strip_prefix(' ') {
        Some(words) => words,
        None if rest.is_empty() => rest,
        None => return None,
    };
    Some(match Code::from_number(number) {
        Code::Ok => ReplyLine::Ok,
        Code::More => ReplyLine::More,
        code => {
            let named = words
                .strip_prefix(code.name())
                .filter(|rest| rest.is_empty() || rest.starts_with(' '));
            ReplyLine::Failed(Failure::new(code, named.unwrap_or(words).trim_start()))
        }
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart() {
        assert_eq!(parse("220 OK 3 events"), Some(ReplyLine::Ok));
        assert_eq!(parse("330 Send events"), Some(ReplyLine::More));
        let failed = |code, words| Some(ReplyLine::Failed(Failure::new(code, words)));
        assert_eq!(
            parse("404 NOT_FOUND flow x"),
            failed(Code::NotFound, "flow x")
        );
        assert_eq!(
            parse("503 try later"),
            failed(Code::Unavailable, "try later")
        );
        assert_eq!(parse("503"), failed(Code::Unavailable, ""));
        for wrong in ["", "22", "2200 x", "+22 x", "{\"a\":1}"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
