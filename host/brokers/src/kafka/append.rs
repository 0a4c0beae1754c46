//! Records from outside: safe when every in-sync copy has them; with a token, once.

use super::cluster::Cluster;
use super::lanes::Lanes;
use crate::broker::{Append, Appended, BrokerError, TopicRef};

pub(super) async fn append(
    _cluster: &Cluster,
    _lanes: &Lanes,
    _topic: &TopicRef,
    _append: Append,
) -> Result<Appended, BrokerError> {
    Err(BrokerError::Unavailable("not built yet".into()))
}
