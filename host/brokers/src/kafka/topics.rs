//! Topics: made, changed, looked at, emptied, taken away.

use uuid::Uuid;

use super::cluster::Cluster;
use crate::broker::{BrokerError, Consumer, TopicChange, TopicInfo, TopicRef, TopicSpec};

fn unbuilt<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Unavailable("not built yet".into()))
}

pub(super) async fn create(_: &Cluster, _: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
    unbuilt()
}

pub(super) async fn update(_: &Cluster, _: &TopicRef, _: &TopicChange) -> Result<(), BrokerError> {
    unbuilt()
}

pub(super) async fn describe(_: &Cluster, _: &TopicRef) -> Result<TopicInfo, BrokerError> {
    unbuilt()
}

pub(super) async fn consumers(_: &Cluster, _: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
    unbuilt()
}

pub(super) async fn delete(_: &Cluster, _: &TopicRef) -> Result<(), BrokerError> {
    unbuilt()
}

pub(super) async fn purge(_: &Cluster, _: &TopicRef) -> Result<(), BrokerError> {
    unbuilt()
}

pub(super) async fn offset_at(
    _: &Cluster,
    _: &TopicRef,
    _: u32,
    _: i64,
) -> Result<u64, BrokerError> {
    unbuilt()
}
