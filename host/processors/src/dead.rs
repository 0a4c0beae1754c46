//! The dead-letter flow of a processor: where an event goes that cannot get through.
//!
//! A letter is the event's own record, byte for byte, with attributes that say what happened. It
//! travels in the same commit as everything else. The flow is made when it is needed first; nothing
//! here decides which event is given up.

mod letter;

use std::collections::BTreeMap;
use std::sync::Arc;

use fnap::name::Name;
use host_brokers::{Broker, BrokerError};
use host_iam::Grants;
use host_registry::{FlowStatus, Maker, NewFlow, Registry, RegistryError, dead_flow_taken};

use crate::rights::may_hold_letters;
use crate::spec::{Endpoint, Spec, topic_of};
pub(crate) use letter::{Given, Kind, Opened, Scene, letter, one_line, open, time_of};

/// Why there is nowhere to put a dead letter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeadError {
    #[error("dead-letter flow: {0}")]
    Registry(#[from] RegistryError),
    #[error("dead-letter flow {flow} is on broker {there}, the outputs are on {here}")]
    OtherBroker { flow: Name, there: String, here: String },
    #[error("{}", dead_flow_taken(.0))]
    Taken(Name),
    #[error("dead-letter flow {0} is being made or taken away")]
    NotReady(Name),
    #[error("dead-letter flow: {0}")]
    Broker(#[from] BrokerError),
}

/// Where the dead letters of a processor go.
pub(crate) struct DeadFlow {
    pub(crate) registry: Registry,
    pub(crate) grants: Grants,
    pub(crate) processor: Name,
    /// The broker of the outputs: one commit cannot span two.
    pub(crate) broker: String,
    pub(crate) target: Arc<dyn Broker>,
    /// Partitions that it gets when it is made.
    pub(crate) partitions: u32,
    /// What can become a letter.
    pub(crate) inputs: Vec<Endpoint>,
}

impl DeadFlow {
    pub(crate) fn of(spec: &Spec, registry: &Registry, grants: &Grants) -> Self {
        Self {
            registry: registry.clone(),
            grants: grants.clone(),
            processor: spec.processor.clone(),
            broker: spec.target_name.clone(),
            target: Arc::clone(&spec.target),
            partitions: spec.shards(),
            inputs: spec.inputs.clone(),
        }
    }

    /// The flow if it is there, and not somebody else's.
    pub(crate) async fn find(&self) -> Result<Option<Endpoint>, DeadError> {
        let name = self.registry.dead_flow_of(&self.processor)?;
        let Some(flow) = self.registry.flow(&name).await? else { return Ok(None) };
        let processor = self.registry.processor(&self.processor).await?;
        if processor.is_some_and(|processor| !may_hold_letters(&self.grants, &processor, &flow)) {
            return Err(DeadError::Taken(name));
        }
        if !flow.is_usable() {
            return Err(DeadError::NotReady(name));
        }
        if flow.broker != self.broker {
            let (there, here) = (flow.broker, self.broker.clone());
            return Err(DeadError::OtherBroker { flow: name, there, here });
        }
        Ok(Some(Endpoint {
            name: name.to_string().into(),
            topic: topic_of(&flow),
            partitions: flow.partitions,
            broker: Arc::clone(&self.target),
            paused: flow.status == FlowStatus::Paused,
            aside: false,
        }))
    }

    /// Waits for the flow that somebody else makes, as long as a command would.
    async fn until_made(&self) -> Result<Option<Endpoint>, DeadError> {
        let mut changes = self.registry.subscribe();
        let waits = async {
            loop {
                changes.borrow_and_update();
                match self.find().await {
                    Err(DeadError::NotReady(_)) if changes.changed().await.is_ok() => {}
                    found => return found,
                }
            }
        };
        match tokio::time::timeout(host_registry::COMMAND_WAIT, waits).await {
            Ok(found) => found,
            Err(_) => self.find().await,
        }
    }

    /// Whatever an input could hold must fit, with what a letter has beside it.
    async fn config(&self) -> Result<BTreeMap<String, String>, BrokerError> {
        let mut most = DEFAULT_MAX_MESSAGE;
        for input in &self.inputs {
            let info = input.broker.describe(&input.topic).await?;
            let allowed = info.config.get(MAX_MESSAGE).and_then(|bytes| bytes.parse().ok());
            most = most.max(allowed.unwrap_or(0));
        }
        let most = most.saturating_add(LETTER_BYTES).min(MOST_MAX_MESSAGE.max(most));
        Ok([(MAX_MESSAGE.to_owned(), most.to_string())].into())
    }

    /// The flow, made where it is not there.
    pub(crate) async fn get(&self) -> Result<Endpoint, DeadError> {
        // Another shard may be making it, or somebody taking it away.
        if let Some(found) = self.until_made().await? {
            return Ok(found);
        }
        let name = self.registry.dead_flow_of(&self.processor)?;
        let processor = self.registry.processor(&self.processor).await?;
        // Whose events it could not take, his are the letters.
        let owner = processor.and_then(|processor| processor.owner);
        let new = NewFlow {
            maker: Maker { owner, most: None },
            broker: Some(self.broker.clone()),
            partitions: self.partitions,
            config: self.config().await?,
            ..NewFlow::named(name.clone())
        };
        match self.registry.create_flow(new).await {
            Ok(entry) => self.registry.wait(entry, host_registry::COMMAND_WAIT).await?,
            Err(conflict @ RegistryError::Conflict { .. }) => {
                // Another shard of the processor was quicker; else the name or the topic is taken.
                let made = self.until_made().await?;
                return made.ok_or_else(|| conflict.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.find().await?.ok_or(DeadError::NotReady(name))
    }
}

/// The setting of a topic that bounds its records, by Kafka's name.
const MAX_MESSAGE: &str = "max.message.bytes";
/// What a topic takes that says nothing (Kafka's default, about 1 MiB).
const DEFAULT_MAX_MESSAGE: u64 = 1024 * 1024 + 64;
/// The most that any topic takes.
const MOST_MAX_MESSAGE: u64 = 64 * 1024 * 1024;
/// Bytes that a letter may have beside the event: a reason, names, versions, and what headers cost.
const LETTER_BYTES: u64 = 16 * 1024;
