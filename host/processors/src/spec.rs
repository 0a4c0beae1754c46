//! A processor with its flows found: what a shard needs to know to run.

mod endpoint;

use std::collections::BTreeMap;
use std::sync::Arc;

use fnap::name::Name;
use futures::future::select_all;
use host_brokers::{Broker, TopicRef};
use host_events::Incarnation;
use host_plugins::Limits;
use host_registry::{Letters, Processor, Registry, RegistryError, Replay, Start, Whose};
use uuid::Uuid;

use crate::delivery::Delivery;
use crate::limits::OwnLimits;
use crate::supervisor::Options;
use crate::views::limits_for;
pub(crate) use endpoint::Endpoint;
use endpoint::endpoint;
pub use endpoint::topic_of;

/// The brokers of this host by the names the operator gave them.
pub type Brokers = Arc<BTreeMap<String, Arc<dyn Broker>>>;

/// What a shard needs to know.
pub(crate) struct Spec {
    pub(crate) id: Uuid,
    pub(crate) name: Arc<str>,
    pub(crate) kind: String,
    pub(crate) inputs: Vec<Endpoint>,
    pub(crate) outputs: Vec<Endpoint>,
    pub(crate) config: String,
    pub(crate) limits: OwnLimits,
    pub(crate) delivery: Delivery,
    /// What becomes of an event that fails alone.
    pub(crate) policy: Policy,
    /// Go on after a gap and record it.
    pub(crate) records_gaps: bool,
    /// Digest of the plugin that it stays with.
    pub(crate) pinned: Option<String>,
    /// The one before, which it goes back to where that one is not to run any more.
    pub(crate) before: Option<String>,
    /// Whether it stays with that until another one has done the same as a shadow.
    pub(crate) shadow_first: bool,
    /// Whether it takes a new version only after another one of its type did well with it.
    pub(crate) one_first: bool,
    /// Dead letters that go through it again.
    pub(crate) replay: Option<Replay>,
    pub(crate) start: Start,
    /// The life of each input that was meant when the processor was created.
    pub(crate) expected: BTreeMap<Arc<str>, Incarnation>,
    /// How many partitions each input had then.
    pub(crate) partitions: BTreeMap<Arc<str>, u32>,
    /// Where outputs, positions and state are committed.
    pub(crate) target: Arc<dyn Broker>,
    /// The target by the operator's name.
    pub(crate) target_name: String,
    pub(crate) processor: Name,
    /// Whose component it is, where it fills the topic of a subscriber.
    pub(crate) lends: Option<Whose>,
}

/// Whether a processor takes a new version only after another one of its type did well with it.
pub(crate) fn is_one_first(processor: &Processor) -> bool {
    processor.option("upgrade") == Some("one-first")
}

/// What becomes of an event that fails alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// A dead letter; but where event after event fails, the plugin is held.
    Auto,
    /// A dead letter, always.
    All,
    /// The position stays before it.
    Off,
    /// Left out and counted: the component is a stranger's, whose words are no reason to keep anything. Held as with
    /// [`Self::Auto`], but not for what it refuses by itself.
    LeaveOut,
}

impl Policy {
    fn of(processor: &Processor, lends: Option<Whose>) -> Self {
        match processor.option("dead-letters") {
            _ if lends == Some(Whose::Subscribers) => Self::LeaveOut,
            Some("all") => Self::All,
            Some("off") => Self::Off,
            _ => Self::Auto,
        }
    }
}

/// Why a processor cannot run as the registry has it.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A flow is not there, or is going.
    #[error("flow {0} does not exist")]
    NoFlow(String),
    /// The flow's broker is not configured on this host.
    #[error("broker {broker} of flow {flow} is not configured")]
    NoBroker {
        /// The broker's name.
        broker: String,
        /// The flow.
        flow: String,
    },
    /// One commit cannot span two brokers.
    #[error(
        "delivery=exactly-once cannot be: outputs on more than one broker ({0}, {1}) cannot be committed together"
    )]
    TwoTargets(String, String),
    /// A first position, or another one, in a partition that no input has.
    #[error(
        "partition {partition} does not exist: the inputs of processor {name} have {partitions}, counted from 0"
    )]
    NoPartition {
        /// The one that was named.
        partition: u32,
        /// The processor.
        name: String,
        /// How many the input with the most partitions has.
        partitions: u32,
    },
    /// A processor without outputs has nowhere to commit.
    #[error("no output")]
    NoOutput,
    /// The registry could not be read.
    #[error(transparent)]
    Registry(#[from] host_registry::RegistryError),
}

impl Spec {
    /// Waits until one of its brokers answers again that is away, or goes away meanwhile.
    pub(crate) async fn broker_returns(&self) {
        select_all(self.brokers().into_iter().map(|broker| broker.returned())).await;
    }

    /// Why one of its brokers does not answer.
    pub(crate) fn away(&self) -> Option<String> {
        self.brokers().into_iter().find_map(|broker| Some(broker.away()?.to_string()))
    }

    fn brokers(&self) -> Vec<&Arc<dyn Broker>> {
        let ends = self.inputs.iter().chain(&self.outputs).map(|end| &end.broker);
        let mut brokers = vec![&self.target];
        for broker in ends {
            if !brokers.iter().any(|one| Arc::ptr_eq(one, broker)) {
                brokers.push(broker);
            }
        }
        brokers
    }

    /// Finds the flows of a processor.
    pub(crate) async fn resolve(
        processor: &Processor,
        registry: &Registry,
        brokers: &Brokers,
    ) -> Result<Self, SpecError> {
        let mut inputs = Vec::new();
        for name in &processor.inputs {
            inputs.push(endpoint(registry, brokers, name).await?.1);
        }
        let lends = lends(processor, registry).await?;
        let (mut outputs, mut targets) = (Vec::new(), Vec::new());
        for name in &processor.outputs {
            let (broker, output) = endpoint(registry, brokers, name).await?;
            targets.push(broker);
            outputs.push(output);
        }
        let names: Vec<&str> = targets.iter().map(String::as_str).collect();
        let delivery = Delivery::decide(processor.option("delivery"), &names)?;
        let first = outputs.first().map(|output| Arc::clone(&output.broker));
        let target = first.ok_or(SpecError::NoOutput)?;
        let target_name = targets.first().cloned().unwrap_or_default();
        for (output, broker) in outputs.iter_mut().zip(&targets) {
            output.aside = delivery.is_aside(*broker == target_name);
        }
        Ok(Self {
            id: processor.id,
            name: processor.name.to_string().into(),
            kind: processor.kind.clone(),
            inputs,
            outputs,
            config: processor.config.clone(),
            limits: OwnLimits::of_processor(processor),
            delivery,
            policy: Policy::of(processor, lends),
            // Nobody could say what is to become of the topic of a subscriber: its owner goes on, as after PURGE.
            records_gaps: lends.is_some() || processor.option("on-gap") == Some("record"),
            pinned: processor.pinned.clone(),
            before: processor.before.clone(),
            shadow_first: processor.is_shadow_first(),
            one_first: is_one_first(processor),
            replay: processor.dead.replay.clone(),
            start: processor.start,
            expected: processor
                .input_incarnations
                .iter()
                .map(|(name, life)| (name.to_string().into(), *life))
                .collect(),
            partitions: processor
                .input_partitions
                .iter()
                .map(|(name, count)| (name.to_string().into(), *count))
                .collect(),
            target,
            target_name,
            processor: processor.name.clone(),
            lends,
        })
    }

    /// The limits that are in force.
    pub(crate) fn limits(&self, options: &Options) -> Limits {
        let limits = self.limits.of(options);
        self.lends.map_or(limits.clone(), |whose| limits_for(whose, limits))
    }

    /// The broker that a processor's positions lie on; none where that cannot be told any more.
    pub(crate) async fn target_of(
        processor: &Processor,
        registry: &Registry,
        brokers: &Brokers,
    ) -> Option<Arc<dyn Broker>> {
        let flow = registry.flow(processor.outputs.first()?).await.ok()??;
        brokers.get(&flow.broker).cloned()
    }

    /// As many shards as the largest partition count of the inputs.
    pub(crate) fn shards(&self) -> u32 {
        self.inputs.iter().map(|input| input.partitions).max().unwrap_or(1).max(1)
    }

    /// Refuses a place in a partition that no input has: nobody can mean it, and all others would stay where they are.
    pub(crate) fn check_place(&self, place: &Start) -> Result<(), SpecError> {
        match *place {
            Start::Offset { partition, .. } if partition >= self.shards() => {
                let (name, partitions) = (self.name.to_string(), self.shards());
                Err(SpecError::NoPartition { partition, name, partitions })
            }
            _ => Ok(()),
        }
    }

    /// Name of an input.
    pub(crate) fn input_name(&self, input: u32) -> Arc<str> {
        self.inputs.get(input as usize).map_or_else(|| "".into(), |end| Arc::clone(&end.name))
    }

    /// Names of the inputs, in order.
    pub(crate) fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|input| input.name.to_string()).collect()
    }

    /// Names of the outputs, in order.
    pub(crate) fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.to_string()).collect()
    }

    /// Whether shards that run with `self` can go on with `other`: same flows, same configuration.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.config == other.config && self.same_but_config(other)
    }

    /// Whether at most the configuration is another one.
    pub(crate) fn same_but_config(&self, other: &Self) -> bool {
        let key = |ends: &[Endpoint]| -> Vec<(TopicRef, u32)> {
            ends.iter().map(|end| (end.topic.clone(), end.partitions)).collect()
        };
        let paused = |ends: &[Endpoint]| ends.iter().map(|end| end.paused).collect::<Vec<_>>();
        self.id == other.id
            && self.kind == other.kind
            && self.limits == other.limits
            && self.policy == other.policy
            && self.lends == other.lends
            && self.delivery == other.delivery
            && self.records_gaps == other.records_gaps
            && self.pinned == other.pinned
            && self.shadow_first == other.shadow_first
            && self.one_first == other.one_first
            && self.replay_letters() == other.replay_letters()
            && key(&self.inputs) == key(&other.inputs)
            && key(&self.outputs) == key(&other.outputs)
            && paused(&self.inputs) == paused(&other.inputs)
    }

    /// Which letters go through again; that shards are through with theirs is no change.
    fn replay_letters(&self) -> Option<(u64, &Letters)> {
        self.replay.as_ref().map(|replay| (replay.number, &replay.letters))
    }
}

/// Whose component a processor is, where it fills the topic of a subscriber. What cannot be told is taken for a stranger's.
pub(crate) async fn lends(
    processor: &Processor,
    registry: &Registry,
) -> Result<Option<Whose>, RegistryError> {
    let [output] = &*processor.outputs else { return Ok(None) };
    let Some(row) = registry.lent_as(output) else { return Ok(None) };
    if row.lent.as_ref().is_none_or(|lent| lent.processor != processor.name) {
        return Ok(None);
    }
    let flow = registry.flow(&row.flow).await?;
    let lens = flow.and_then(|flow| row.carrier(&flow).ok());
    Ok(Some(lens.map_or(Whose::Subscribers, |lens| lens.whose)))
}
