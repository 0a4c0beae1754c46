//! Lines out of bytes, however the bytes are cut into pieces.

/// Longest command line in bytes, its end excluded. The longest sensible command is a list of 64 flows
/// or a processor's configuration, and people type neither.
pub const MAX_COMMAND: usize = 8 * 1024;

/// Longest data line in bytes unless configured otherwise: one event.
pub const MAX_DATA_LINE: usize = 1 << 20;

/// Why a line cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than allowed; the rest of it was thrown away.
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
