//! Shared consumers, and the sources that read from them.

use std::sync::Arc;

use super::cluster::Cluster;
use crate::broker::{BrokerError, Source, TopicRef};

/// The consumers of a cluster.
pub(super) struct Readers {
    _cluster: Arc<Cluster>,
}

impl Readers {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { _cluster: cluster }
    }

    pub(super) async fn source(
        &self,
        _topic: &TopicRef,
        _partition: u32,
        _from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        Err(BrokerError::Unavailable("not built yet".into()))
    }
}
