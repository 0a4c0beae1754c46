//! Replies of a connection on which WRITEs are sent ahead of their answers.
//!
//! fnap's client session would have each batch copied once more and keep it until it is sent. Here a batch
//! goes to the socket as it lies, so only the decoder is used.

use fnap::reply::{ReplyDecoder, ReplyItem};
use fnap::{Code, Failure};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::connection::Reader;
use crate::trace::Trace;

/// Longest reply line: words for people, and never data.
const MAX_REPLY: usize = 64 << 10;

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplyLine {
    /// `220`
    Ok,
    /// `330`
    More,
    /// An error.
    Failed(Failure),
}

/// Reads replies.
pub(super) struct Replies<R = Reader> {
    reader: R,
    decoder: ReplyDecoder,
    trace: Trace,
}

impl<R: AsyncRead + Unpin> Replies<R> {
    pub(super) fn new(reader: R, trace: Trace) -> Self {
        Self { reader, decoder: ReplyDecoder::new(MAX_REPLY), trace }
    }

    /// The next reply, or why there is none. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<ReplyLine, String> {
        loop {
            match self.decoder.next_item() {
                Some(Ok(item)) => return understand(item),
                Some(Err(error)) => return Err(error.to_string()),
                None => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), String> {
        let input = self.decoder.input();
        input.reserve(4096);
        let before = input.len();
        match self.reader.read_buf(input).await {
            Ok(0) => Err("the host closed it".to_owned()),
            Ok(_) => {
                let input = self.decoder.input();
                self.trace.server(input.get(before..).unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn understand(item: ReplyItem) -> Result<ReplyLine, String> {
    match item {
        ReplyItem::Line(Code::Ok, _) => Ok(ReplyLine::Ok),
        ReplyItem::Line(Code::More, _) => Ok(ReplyLine::More),
        ReplyItem::Line(code, text) => {
            let words = text.strip_prefix(code.name()).unwrap_or(&text).trim_start();
            Ok(ReplyLine::Failed(Failure::new(code, words)))
        }
        other => {
            let shown: String = format!("{other:?}").chars().take(100).collect();
            Err(format!("no reply where one should be: {shown}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn replies(text: &'static [u8]) -> Vec<Result<ReplyLine, String>> {
        let mut replies = Replies::new(text, Trace::silent());
        let mut all = Vec::new();
        while all.last().is_none_or(Result::is_ok) {
            all.push(replies.next().await);
        }
        all
    }

    #[tokio::test]
    async fn replies_are_told_apart() {
        let text =
            b"330 Send events\r\n220 OK 3 events\r\n422 INVALID_EVENT line 2: no id\n503 later\r\n";
        let failed = |code, words| Ok(ReplyLine::Failed(Failure::new(code, words)));
        let wanted = [
            Ok(ReplyLine::More),
            Ok(ReplyLine::Ok),
            failed(Code::InvalidEvent, "line 2: no id"),
            failed(Code::Unavailable, "later"),
            Err("the host closed it".to_owned()),
        ];
        assert_eq!(replies(text).await, wanted);
        assert!(replies(b"{\"a\":1}\r\n").await[0].is_err());
    }
}
