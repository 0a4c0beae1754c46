//! Partitions that come by somebody else's hand, and processors that cannot go on with more of them.
//!
//! A flow's row says how many partitions it has; where its broker knows of more, the row follows and the
//! flow's processors gain shards. One that keeps state by key does not: with another number of partitions a
//! key lies in another one, and its state does not follow it. It is held until somebody decides.

use std::time::Duration;

use fnap::name::Name;
use host_events::Incarnation;
use host_plugins::Plugin;
use host_registry::{Desired, RegistryError};

use crate::spec::{Spec, topic_of};
use crate::supervisor::Processors;

/// Longest wait for brokers before a processor is made: they are asked again soon.
const PATIENCE: Duration = Duration::from_secs(2);

impl Processors {
    /// Looks at flows now, so that partitions which are there already count as theirs.
    pub async fn refresh(&self, flows: &[Name]) {
        for name in flows {
            let Ok(Some(flow)) = self.0.registry.flow(name).await else { continue };
            let Some(broker) = self.0.brokers.get(&flow.broker) else { continue };
            let topics = [topic_of(&flow)];
            let looks = tokio::time::timeout(PATIENCE, broker.look(&topics)).await;
            if let Some(Ok(info)) = looks.unwrap_or_default().pop() {
                let partitions = u32::try_from(info.partitions.len()).unwrap_or(u32::MAX);
                self.grew(name.clone(), flow.incarnation, partitions).await;
            }
        }
    }

    /// Takes note of how many partitions a flow's topic has.
    pub(crate) async fn grew(&self, flow: Name, life: Incarnation, partitions: u32) {
        match self.0.registry.flow_grew(&flow, life, partitions).await {
            Ok(true) => {
                tracing::info!(%flow, partitions, "flow has gained partitions");
                let processors = self.clone();
                // Whoever looks at flows is not held up by a processor that is slow to end.
                drop(tokio::spawn(async move {
                    if let Err(error) = processors.flow_changed(&flow).await {
                        tracing::error!(%flow, cause = %error, "flow has changed");
                    }
                }));
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%flow, partitions, cause = %error, "growth is not noted"),
        }
    }

    /// Why an input must not get so many partitions.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn held_by_keys(
        &self,
        flow: &Name,
        partitions: u32,
    ) -> Result<Option<String>, RegistryError> {
        for processor in self.0.registry.processors().await? {
            if !processor.inputs.contains(flow) || processor.desired == Desired::Deleted {
                continue;
            }
            let Ok(spec) = Spec::resolve(&processor, &self.0.registry, &self.0.brokers).await
            else {
                continue;
            };
            let grows = spec.partitions_of(flow.as_str()).is_some_and(|now| now < partitions);
            let plugin = self.plugin_for(&spec).await;
            if grows && plugin.as_ref().is_some_and(|offer| is_keyed(&offer.plugin)) {
                let name = &processor.name;
                return Ok(Some(format!("processor {name} keeps state by key in flow {flow}")));
            }
        }
        Ok(None)
    }
}

/// Whether a plugin keeps state by key.
pub(crate) fn is_keyed(plugin: &Plugin) -> bool {
    plugin.info().more.get("keyed").and_then(serde_json::Value::as_bool) == Some(true)
}

impl Spec {
    fn partitions_of(&self, flow: &str) -> Option<u32> {
        self.inputs.iter().find(|input| *input.name == *flow).map(|input| input.partitions)
    }

    /// Why state by key is not where it is looked for.
    pub(crate) fn scattered_keys(&self) -> Option<String> {
        let unequal = || {
            let first = self.inputs.first()?;
            let other = self.inputs.iter().find(|input| input.partitions != first.partitions)?;
            Some(format!(
                "state by key needs inputs of equal partitions: {} has {}, {} has {}",
                first.name, first.partitions, other.name, other.partitions
            ))
        };
        let grown = self.inputs.iter().find_map(|input| {
            let had = *self.partitions.get(&input.name)?;
            (had != input.partitions).then(|| {
                format!(
                    "held: flow {} has {} partitions and had {had}, so the keys of its state lie elsewhere: \
                     PAUSE it and UPDATE PROCESSOR {} POSITION … STATE reset, or make it anew",
                    input.name, input.partitions, self.name
                )
            })
        });
        grown.or_else(unequal)
    }
}
