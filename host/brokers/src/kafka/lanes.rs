//! Lanes: few producers that commit outputs, positions and state of many shards together.

use std::sync::Arc;

use host_events::Position;
use uuid::Uuid;

use super::cluster::Cluster;
use crate::broker::{BrokerError, Opened, ShardId};

/// The lanes of this host's identity.
pub(super) struct Lanes {
    _cluster: Arc<Cluster>,
}

impl Lanes {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { _cluster: cluster }
    }

    pub(super) async fn open(&self, _shard: ShardId) -> Result<Opened, BrokerError> {
        Err(BrokerError::Unavailable("not built yet".into()))
    }

    pub(super) async fn reposition(
        &self,
        _shard: ShardId,
        _positions: Position,
        _reset_state: bool,
    ) -> Result<(), BrokerError> {
        Err(BrokerError::Unavailable("not built yet".into()))
    }

    pub(super) async fn forget(&self, _processor: Uuid) -> Result<(), BrokerError> {
        Err(BrokerError::Unavailable("not built yet".into()))
    }
}
