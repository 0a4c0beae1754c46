//! A flow at one end of a processor: its topic as it is now, on a broker that this host knows.

use std::sync::Arc;

use fnap::name::Name;
use host_brokers::{Broker, TopicRef};
use host_registry::{Flow, FlowStatus, Registry};

use super::{Brokers, SpecError};

/// A flow at one end of a processor.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) name: Arc<str>,
    pub(crate) topic: TopicRef,
    pub(crate) partitions: u32,
    pub(crate) broker: Arc<dyn Broker>,
    /// The flow is paused: it is not read.
    pub(crate) paused: bool,
    /// As an output: it is appended to before the commit, not within.
    pub(crate) aside: bool,
}

pub(super) async fn endpoint(
    registry: &Registry,
    brokers: &Brokers,
    name: &Name,
) -> Result<(String, Endpoint), SpecError> {
    let flow = registry
        .flow(name)
        .await?
        .filter(Flow::is_usable)
        .ok_or_else(|| SpecError::NoFlow(name.to_string()))?;
    let broker = brokers.get(&flow.broker).ok_or_else(|| SpecError::NoBroker {
        broker: flow.broker.clone(),
        flow: name.to_string(),
    })?;
    let endpoint = Endpoint {
        name: name.to_string().into(),
        topic: topic_of(&flow),
        partitions: flow.partitions,
        broker: Arc::clone(broker),
        paused: flow.status == FlowStatus::Paused,
        aside: false,
    };
    Ok((flow.broker, endpoint))
}

/// A flow's topic, and the life of it that is meant.
#[must_use]
pub fn topic_of(flow: &Flow) -> TopicRef {
    TopicRef { topic: flow.topic.as_str().into(), incarnation: flow.incarnation, id: flow.topic_id }
}
