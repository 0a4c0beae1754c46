//! A shard that is held, on its way through its lane.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::lane::{Committing, Request};
use crate::broker::{BrokerError, Commit, CommitOutcome, Fence, Output, ShardId, Transaction};
use crate::kafka::outlets::Outlets;

pub(super) struct LaneFence {
    pub(super) lane: mpsc::Sender<Request>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) shard: ShardId,
    pub(super) opening: u64,
}

impl Fence for LaneFence {
    fn begin(&mut self) -> Box<dyn Transaction + '_> {
        Box::new(LaneTransaction { fence: self, outputs: Vec::new() })
    }
}

/// Nothing of it travels before the commit: what another shard of the lane commits must not wait for it.
struct LaneTransaction<'a> {
    fence: &'a LaneFence,
    outputs: Vec<Output>,
}

#[async_trait]
impl Transaction for LaneTransaction<'_> {
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError> {
        self.fence.outlets.check(&outputs).await?;
        self.outputs.extend(outputs);
        Ok(())
    }

    async fn commit(self: Box<Self>, commit: Commit) -> CommitOutcome {
        let LaneFence { lane, shard, opening, .. } = self.fence;
        let (answer, answered) = oneshot::channel();
        let (shard, opening) = (*shard, *opening);
        let outputs = Arc::new(self.outputs);
        let request = Committing { shard, opening, outputs, commit, answer };
        if lane.send(Request::Commit(request)).await.is_err() {
            return CommitOutcome::Aborted(BrokerError::Unavailable(
                "the broker was closed".into(),
            ));
        }
        let lost = || BrokerError::Unavailable("the lane ended in the middle of the commit".into());
        answered.await.unwrap_or_else(|_| CommitOutcome::Unknown(lost()))
    }
}
