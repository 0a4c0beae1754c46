//! Replies out of lines, on the client's side.

/// One thing that a host sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyItem {}

/// Tells data lines from replies.
#[derive(Debug, Default)]
pub struct ReplyDecoder;
