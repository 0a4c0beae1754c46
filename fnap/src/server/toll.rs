//! What a peer makes its host do that serves nobody, counted. What it costs him is for the connection to say.

/// Counted since it was last asked for. Not the events of a WRITE that is kept: they are what a host is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toll {
    /// Lines that were commands, whatever came of them, but for WRITE.
    pub commands: usize,
    /// Lines that were none: what the peer says is not the protocol.
    pub faults: usize,
    /// Octets that nobody will look at: of a line that is too long, of a WRITE that is refused already.
    pub thrown_away: usize,
}
