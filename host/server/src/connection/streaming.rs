//! A connection that has become a stream: from here on its peer speaks frames, and lines never come back.

use host_iam::Principal;
use host_peers::source::{Visitor, serve};

use super::{Connection, Gone};
use crate::tls::Stream;

impl Connection {
    /// Serves streams until either side ends them. What the peer said before it knew of the change is gone.
    pub(super) async fn stream(&mut self, principal: &Principal) -> Result<(), Gone> {
        self.flush().await?;
        let stream = std::mem::replace(&mut self.stream, Stream::Gone);
        let visitor = Visitor {
            principal,
            seat: self.seat.as_ref(),
            standing: self.standing.take(),
            stop: self.stop.clone(),
        };
        // On the machine itself, packing costs more than it saves.
        let zstd = !self.peer.ip().to_canonical().is_loopback();
        // Kept apart: connections that are none of these are many more.
        Box::pin(serve(stream, self.services.house(), visitor, zstd)).await;
        Err(Gone)
    }
}
