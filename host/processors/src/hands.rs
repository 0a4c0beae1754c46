//! The hands of the reconciler: makes the journal's steps on brokers and processors.
//!
//! Every step can be made again. What a broker says "try again" about is tried again by the
//! reconciler; what it refuses for good undoes the command.

use std::sync::Arc;

use async_trait::async_trait;
use host_brokers::{Broker, BrokerError, ShardId, TopicChange, TopicSpec};
use host_events::Position;
use host_registry::{Desired, Flow, PerformError, Performer, Processor, Start};
use uuid::Uuid;

use crate::spec::{Spec, topic_of};
use crate::start;
use crate::status::Phase;
use crate::supervisor::Processors;

#[async_trait]
impl Performer for Processors {
    async fn create_topic(&self, flow: &Flow) -> Result<Option<Uuid>, PerformError> {
        let broker = self.broker_of(flow)?;
        if !flow.owned {
            let info = broker.describe(&topic_of(flow)).await.map_err(perform_error)?;
            self.seen(flow).await?;
            return Ok(info.id);
        }
        let (topic, partitions, config) = (topic_of(flow), flow.partitions, flow.topic_config());
        let spec = TopicSpec { topic, partitions, replication: flow.replication, config };
        broker.create(&spec).await.map_err(|error| match error {
            BrokerError::Exists(_) => PerformError::conflict(format!(
                "{error}: CREATE FLOW {} topic={} takes it over as it is",
                flow.name, flow.topic
            )),
            error => perform_error(error),
        })
    }

    async fn update_topic(&self, flow: &Flow) -> Result<(), PerformError> {
        let (broker, topic) = (self.broker_of(flow)?, topic_of(flow));
        let known = broker.describe(&topic).await.map_err(perform_error)?.partitions.len();
        // Somebody else may have added some meanwhile.
        let partitions = (known < flow.partitions as usize).then_some(flow.partitions);
        let change = TopicChange { partitions, config: flow.topic_config() };
        broker.update(&topic, &change).await.map_err(perform_error)?;
        self.seen(flow).await
    }

    async fn delete_topic(&self, flow: &Flow) -> Result<(), PerformError> {
        self.broker_of(flow)?.delete(&topic_of(flow)).await.map_err(perform_error)
    }

    async fn purge_topic(&self, flow: &Flow) -> Result<(), PerformError> {
        self.broker_of(flow)?.purge(&topic_of(flow)).await.map_err(perform_error)
    }

    async fn apply_processor(&self, processor: &Processor) -> Result<(), PerformError> {
        self.apply(processor).await.map_err(PerformError::invalid)?;
        match self.unplaced(processor).await {
            Some(words) => Err(PerformError::Retry(words)),
            None => Ok(()),
        }
    }

    async fn move_processor(
        &self,
        processor: &Processor,
        to: Start,
        keep_state: bool,
    ) -> Result<(), PerformError> {
        let retry = |error: &dyn std::fmt::Display| PerformError::Retry(error.to_string());
        let spec = Spec::resolve(processor, &self.0.registry, &self.0.brokers).await;
        let spec = spec.map_err(|error| PerformError::conflict(error.to_string()))?;
        spec.check_place(&to).map_err(|error| PerformError::invalid(error.to_string()))?;
        // All places are known before the first shard is moved: a refusal must have moved none.
        let mut moves = Vec::new();
        for shard in (0..spec.shards()).filter(|shard| concerns(&to, *shard)) {
            let mut position = Position::default();
            for input in spec.inputs.iter().filter(|input| shard < input.partitions) {
                let next =
                    start::resolve(input, shard, &to).await.map_err(|error| match error {
                        start::StartError::Broker(error) => perform_error(error),
                        gap => PerformError::invalid(gap.to_string()),
                    })?;
                position.set(input.topic.incarnation, shard, next);
            }
            moves.push((ShardId { processor: processor.id, shard }, position));
        }
        let shown = self.shards_of(processor.id).await;
        for (id, position) in moves {
            let moved = spec.target.reposition(id, position.clone(), !keep_state).await;
            moved.map_err(|error| retry(&error))?;
            // Nobody opens the shard before RESUME, and until then its lag has to count from here.
            if let Some(status) = shown.get(id.shard as usize) {
                status.positions(&position);
            }
        }
        self.0.lags.forget(processor.id);
        Ok(())
    }

    async fn forget_processor(&self, processor: &Processor) -> Result<(), PerformError> {
        let target = Spec::target_of(processor, &self.0.registry, &self.0.brokers).await;
        // Where nobody knows any more which broker it was, it was one of them.
        let all = || self.0.brokers.values().collect();
        let brokers: Vec<_> = target.as_ref().map_or_else(all, |broker| vec![broker]);
        for broker in brokers {
            broker.forget(processor.id).await.map_err(perform_error)?;
        }
        Ok(())
    }
}

impl Processors {
    /// Why a new processor that begins at `latest` has not begun. Until its first positions are fixed its
    /// creation has not ended, or it would never read what is written from now on.
    async fn unplaced(&self, processor: &Processor) -> Option<String> {
        let runs = processor.desired == Desired::Running;
        if processor.revision > 1 || !runs || processor.start != Start::Latest {
            return None;
        }
        let shards = self.report(processor.id).await?.shards;
        shards.into_iter().filter(|shard| shard.positions.0.is_empty()).find_map(
            |shard| match shard.phase {
                Phase::Failed(words) => Some(words),
                _ => None,
            },
        )
    }

    /// The processors of a flow look at it again.
    async fn seen(&self, flow: &Flow) -> Result<(), PerformError> {
        let seen = self.flow_changed(&flow.name).await;
        seen.map_err(|error| PerformError::Retry(error.to_string()))
    }

    fn broker_of(&self, flow: &Flow) -> Result<&Arc<dyn Broker>, PerformError> {
        self.0
            .brokers
            .get(&flow.broker)
            .ok_or_else(|| PerformError::Retry(format!("broker {} is not configured", flow.broker)))
    }
}

/// An offset is one of one partition, whose shard alone is moved: the others stay where they are.
fn concerns(to: &Start, shard: u32) -> bool {
    !matches!(to, Start::Offset { partition, .. } if *partition != shard)
}

fn perform_error(error: BrokerError) -> PerformError {
    match error {
        BrokerError::Exists(_) | BrokerError::NotFound(_) => {
            PerformError::conflict(error.to_string())
        }
        BrokerError::Invalid(_) | BrokerError::OutOfRange { .. } | BrokerError::TooLarge { .. } => {
            PerformError::invalid(error.to_string())
        }
        _ => PerformError::Retry(error.to_string()),
    }
}
