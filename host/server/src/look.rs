//! A look at many flows at once, for lists and metrics: cheap, and never held up by a broker that hangs.

use std::time::Duration;

use host_brokers::TopicInfo;
use host_registry::Flow;

use crate::services::Services;

/// Longest wait for a broker; after it the rest of its flows are unknown.
const PATIENCE: Duration = Duration::from_secs(2);

/// Flows after which other tasks get a turn: a broker that answers from memory never waits.
const TURN: usize = 128;

impl Services {
    /// What brokers say of flows, in their order; `None` where a broker does not say.
    pub async fn look_at_flows(&self, flows: &[Flow]) -> Vec<Option<TopicInfo>> {
        let mut hanging: Vec<&str> = Vec::new();
        let mut looks = Vec::with_capacity(flows.len());
        for (flow, count) in flows.iter().zip(1_usize..) {
            let known = self.topic_of(flow).ok().filter(|_| !hanging.contains(&&*flow.broker));
            let mut look = None;
            if let Some((broker, topic)) = known {
                match tokio::time::timeout(PATIENCE, broker.describe(&topic)).await {
                    Ok(info) => look = info.ok(),
                    Err(_) => hanging.push(&flow.broker),
                }
            }
            looks.push(look);
            if count.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        looks
    }
}
