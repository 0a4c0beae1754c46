//! Frames out of bytes, however the bytes are cut into pieces, and messages into frames.
//!
//! Nothing is allocated for a frame because of what its length says: the buffer grows as octets come.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::error::StreamError;
use super::limits::MAX_FRAME;
use super::messages::{Frame, Message};
use super::scan;

/// Octets before a frame that say its length.
pub(super) const PREFIX: usize = 4;

/// How much is read at once where nothing is known: a few dozen records.
const READ: usize = 64 << 10;

/// Cuts bytes into frames. Frames share the buffer that the bytes were read into.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
    /// How much of the buffer was there when somebody last asked for news.
    seen: usize,
}

impl FrameDecoder {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to append to; only for appending.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How much room a read should have: as much as is missing of the frame that has begun, but never much more
    /// than is here already, since a peer can promise anything.
    #[must_use]
    pub fn room(&self) -> usize {
        let missing = match self.announced() {
            Ok(Some(len)) => (len + PREFIX).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        missing.min(self.buffer.len()).max(READ)
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Whether [`Self::next_frame`] has something to say.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.announced() {
            Ok(Some(len)) => self.buffer.len() >= len + PREFIX,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// The content of the next frame, once all of it is here.
    ///
    /// # Errors
    /// A length of 0, or over [`MAX_FRAME`]: as soon as the length is here, and again each time. Where the next frame
    /// would begin is not known then.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, StreamError> {
        let Some(len) = self.announced()? else {
            return Ok(None);
        };
        if self.buffer.len() < len + PREFIX {
            return Ok(None);
        }
        let frame = self.buffer.split_to(len + PREFIX).freeze();
        self.seen = self.seen.saturating_sub(frame.len());
        Ok(Some(frame.slice(PREFIX..)))
    }

    /// Whether anything has come since this was asked last.
    pub(super) fn any_news(&mut self) -> bool {
        let before = std::mem::replace(&mut self.seen, self.buffer.len());
        before != self.buffer.len()
    }

    /// Forgets what was received.
    pub(super) fn clear(&mut self) {
        self.buffer = BytesMut::new();
        self.seen = 0;
    }

    fn announced(&self) -> Result<Option<usize>, StreamError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        match u32::from_be_bytes(*prefix) as usize {
            0 => Err(StreamError::EmptyFrame),
            len if len > MAX_FRAME => Err(StreamError::FrameTooLong { len }),
            len => Ok(Some(len)),
        }
    }
}

/// The message in a frame.
///
/// # Errors
/// Whatever keeps it from being exactly one known message within the limits.
pub fn decode(frame: Bytes) -> Result<Message, StreamError> {
    scan::frame(&frame)?;
    let frame = Frame::decode(frame).map_err(|_| StreamError::Malformed { what: "frame" })?;
    frame.message.ok_or(StreamError::UnknownMessage)
}

/// A message as a frame, with its length before it. Its size is the caller's matter.
#[must_use]
pub fn encode(message: Message) -> Bytes {
    let frame = Frame { message: Some(message) };
    let len = frame.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX + len);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    frame.encode_raw(&mut out);
    out.freeze()
}
