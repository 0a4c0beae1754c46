//! A look at many flows at once, for lists and metrics: cheap, and never held up by a broker that hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use host_brokers::{Broker, TopicInfo, TopicRef};
use host_registry::Flow;

use crate::services::Services;

/// Longest wait for a broker; after it its flows are unknown.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one broker is asked about: places in the list of flows, and topics.
type Asked = (Arc<dyn Broker>, Vec<usize>, Vec<TopicRef>);

impl Services {
    /// What brokers say of flows, in their order; `None` where a broker does not say. Each broker is asked
    /// once.
    pub async fn look_at_flows(&self, flows: &[Flow]) -> Vec<Option<TopicInfo>> {
        let mut brokers: BTreeMap<&str, Asked> = BTreeMap::new();
        for (flow, at) in flows.iter().zip(0..) {
            let Ok((broker, topic)) = self.topic_of(flow) else { continue };
            let asked = brokers.entry(&flow.broker);
            let (_, places, topics) = asked.or_insert_with(|| (broker, Vec::new(), Vec::new()));
            places.push(at);
            topics.push(topic);
        }
        let asked = brokers.into_values().map(|(broker, places, topics)| async move {
            let looks = tokio::time::timeout(PATIENCE, broker.look(&topics)).await;
            places.into_iter().zip(looks.unwrap_or_default()).collect::<Vec<_>>()
        });
        let mut looks: Vec<Option<TopicInfo>> = flows.iter().map(|_| None).collect();
        for (at, look) in join_all(asked).await.into_iter().flatten() {
            if let Some(known) = looks.get_mut(at) {
                *known = look.ok();
            }
        }
        looks
    }
}
