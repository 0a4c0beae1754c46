//! Takes in what patterns mean: topics that become flows, and flows that get a processor.
//!
//! Looks again and again at what there is, and makes what is missing: ordinary flows and processors,
//! through the registry like any command. Never takes anything away, so that nothing is lost by a topic
//! that is missing for a moment. What stands against it is kept in words for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fnap::command::MirrorTo;
use fnap::name::Name;
use fnap::rights::Right;
use host_brokers::{Broker, BrokerError, FoundTopic};
use host_registry::{
    ADOPT, Adoption, COMMAND_WAIT, Config, Flow, FlowChange, JournalId, Mirror, Namespace, NewFlow,
    NewProcessor, Processor, RegistryError, Start, derived_name, flow_of_topic, limits::MAX_ENDS,
};
use tokio::sync::Mutex as Turn;

use crate::supervisor::{Inner, Processors};

/// Pause between two looks at what brokers have. New topics wait so long at most.
const PERIOD: Duration = Duration::from_secs(10);

/// Longest wait for a list of topics.
const PATIENCE: Duration = Duration::from_secs(10);

/// Troubles of one pattern that are told.
const MOST_TROUBLES: usize = 10;

/// What patterns could not take in, in words, by the name of the pattern or namespace.
#[derive(Default)]
pub(crate) struct Intake {
    troubles: Mutex<BTreeMap<String, Vec<String>>>,
    /// One look at a time.
    turn: Turn<()>,
}

impl Processors {
    /// Takes in what comes, until the future is dropped.
    pub async fn watch_patterns(&self) {
        loop {
            self.take_in().await;
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Takes in what is there now, and returns when that is done, or goes on in the background after as long
    /// as a command waits.
    pub async fn take_in_soon(&self) {
        let processors = self.clone();
        let looking = tokio::spawn(async move { processors.take_in().await });
        drop(tokio::time::timeout(COMMAND_WAIT, looking).await);
    }

    /// Takes in what is there now.
    pub async fn take_in(&self) {
        let _turn = self.0.intake.turn.lock().await;
        for namespace in self.0.registry.namespaces().await.unwrap_or_default() {
            let Some(adopt) = namespace.config.get(ADOPT) else { continue };
            let troubles = match Adoption::parse(adopt) {
                Ok(adoption) => self.adopt(&namespace, &adoption).await,
                Err(words) => vec![words],
            };
            self.0.intake.note(namespace.name.as_str(), troubles);
        }
        for mirror in self.0.registry.mirrors() {
            let troubles = match (self.kept_out(mirror.owner.as_ref()), &mirror.to) {
                (Some(words), _) => vec![words],
                (None, MirrorTo::Each(_)) => self.mirror_each(&mirror).await,
                (None, MirrorTo::One(to)) => self.collect(&mirror, to).await,
            };
            self.0.intake.note(mirror.name.as_str(), troubles);
        }
    }

    /// What a pattern, or the adoption of a namespace, could not take in.
    #[must_use]
    pub fn troubles(&self, name: &str) -> Vec<String> {
        self.0.intake.troubles().get(name).cloned().unwrap_or_default()
    }

    /// Topics that are meant become flows of the namespace.
    async fn adopt(&self, namespace: &Namespace, adoption: &Adoption) -> Vec<String> {
        let Inner { registry, brokers, .. } = &*self.0;
        let name = &namespace.broker;
        let Some(broker) = brokers.get(name) else {
            return vec![format!("broker {name} is not configured")];
        };
        let topics = match tokio::time::timeout(PATIENCE, broker.topics()).await {
            Ok(Ok(topics)) => topics,
            Ok(Err(error)) => return vec![error.to_string()],
            Err(_) => return vec![format!("broker {name} does not answer")],
        };
        let flows = registry.flows(None).await.unwrap_or_default();
        let is_flow = |topic: &FoundTopic| {
            flows.iter().any(|flow| flow.broker == *name && flow.topic == topic.topic)
        };
        let mut troubles = Vec::new();
        for topic in topics {
            if !adoption.means(&topic.topic) || is_flow(&topic) {
                continue;
            }
            let shown = topic.topic.clone();
            if let Err(obstacle) = self.take_over(namespace, topic).await {
                troubles.push(format!("topic {shown}: {}", obstacle.words));
                if obstacle.is_slow {
                    break;
                }
            }
        }
        troubles
    }

    async fn take_over(&self, namespace: &Namespace, topic: FoundTopic) -> Result<(), Obstacle> {
        let name = flow_of_topic(&topic.topic, &namespace.name)?;
        let new = NewFlow {
            broker: Some(namespace.broker.clone()),
            topic: Some(topic.topic),
            topic_id: topic.id,
            partitions: topic.partitions,
            owned: false,
            ..NewFlow::named(name)
        };
        self.made(self.0.registry.create_flow(new).await).await
    }

    /// Each flow that is meant has one at the other end, and a bridge between them.
    async fn mirror_each(&self, mirror: &Mirror) -> Vec<String> {
        let mut troubles = Vec::new();
        for name in self.taken_by(mirror) {
            if let Err(obstacle) = self.mirror_one(mirror, &name).await {
                troubles.push(format!("flow {name}: {}", obstacle.words));
                if obstacle.is_slow {
                    break;
                }
            }
        }
        troubles
    }

    async fn mirror_one(&self, mirror: &Mirror, name: &Name) -> Result<(), Obstacle> {
        let MirrorTo::Each(to) = &mirror.to else { return Ok(()) };
        let star = mirror.from.star_of(name).ok_or("not meant")?;
        let target = to.fill(star).map_err(|error| error.to_string())?;
        let source = self.flow_named(name).await?;
        let there = self.0.registry.flow(&target).await?;
        let grows = there.as_ref().is_none_or(|flow| flow.partitions < source.partitions);
        // It does what its owner may do, wherever a pattern leads.
        let right = if grows { Right::Administer } else { Right::Write };
        if let Some(words) = self.refused(mirror.owner.as_ref(), right, &target) {
            return Err(words.into());
        }
        match there {
            None => self.make_target(mirror, &source, target.clone()).await?,
            Some(flow) if flow.partitions < source.partitions => {
                let partitions = Some(source.partitions);
                let change = FlowChange { partitions, ..Default::default() };
                self.made(self.0.registry.update_flow(&target, change).await).await?;
            }
            Some(_) => {}
        }
        let processors = self.0.registry.processors().await?;
        let there = |row: &Processor| {
            row.inputs.as_slice() == std::slice::from_ref(name) && row.outputs.contains(&target)
        };
        if processors.iter().any(there) {
            return Ok(());
        }
        let start = if mirror.found(&source) { mirror.start } else { Start::Earliest };
        let inputs = vec![name.clone()];
        self.make_processor(mirror, inputs, target, start, &mirror.config).await
    }

    /// A flow like another one: as many partitions, and what is set on its topic.
    async fn make_target(
        &self,
        mirror: &Mirror,
        source: &Flow,
        target: Name,
    ) -> Result<(), Obstacle> {
        let Inner { registry, brokers, .. } = &*self.0;
        let namespace = registry.namespace_of(&target).await?;
        let namespace = namespace.ok_or("no namespace")?;
        let broker = brokers.get(&namespace.broker).ok_or("its broker is not configured")?;
        let from = brokers.get(&source.broker).ok_or("its broker is not configured")?;
        let info = from.describe(&crate::spec::topic_of(source)).await;
        let config = carried(info?.config, &**broker);
        let partitions = source.partitions;
        let maker = self.maker_of_flows(mirror.owner.as_ref());
        let new = NewFlow { partitions, config, maker, ..NewFlow::named(target) };
        self.made(registry.create_flow(new).await).await
    }

    /// All flows that are meant come together in one, as far as one collector takes them.
    async fn collect(&self, mirror: &Mirror, to: &Name) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Err(obstacle) = self.collect_as_many(mirror, to, &mut troubles).await {
            troubles.push(obstacle.words);
        }
        troubles
    }

    async fn collect_as_many(
        &self,
        mirror: &Mirror,
        to: &Name,
        troubles: &mut Vec<String>,
    ) -> Result<(), Obstacle> {
        let processors = self.0.registry.processors().await?;
        let ours = processors.iter().find(|row| row.mirror.as_ref() == Some(&mirror.name));
        let has = ours.map_or(&[][..], |ours| &ours.inputs);
        let mut more = self.taken_by(mirror);
        more.retain(|flow| !has.contains(flow));
        let beyond = more.split_off(more.len().min(MAX_ENDS.saturating_sub(has.len())));
        if let Some(first) = beyond.first() {
            let count = beyond.len();
            troubles.push(format!(
                "a collector reads at most {MAX_ENDS} flows: {count} more are not taken in, {first} the first"
            ));
        }
        if more.is_empty() {
            return Ok(());
        }
        if let Some(words) = self.refused(mirror.owner.as_ref(), Right::Write, to) {
            return Err(words.into());
        }
        let Some(ours) = ours else {
            let (inputs, start) = self.first_of(mirror, more).await?;
            let seed = format!("{} {}", mirror.from, mirror.config);
            return self.make_processor(mirror, inputs, to.clone(), start, &seed).await;
        };
        self.made(self.0.registry.add_inputs(&ours.name, more).await).await
    }

    /// What a collector begins with. Flows that came after the pattern are read from their beginning, so
    /// they are added later where others were there before.
    async fn first_of(
        &self,
        mirror: &Mirror,
        meant: Vec<Name>,
    ) -> Result<(Vec<Name>, Start), Obstacle> {
        let mut old = Vec::new();
        for name in &meant {
            if mirror.found(&self.flow_named(name).await?) {
                old.push(name.clone());
            }
        }
        Ok(if old.is_empty() { (meant, Start::Earliest) } else { (old, mirror.start) })
    }

    async fn make_processor(
        &self,
        mirror: &Mirror,
        inputs: Vec<Name>,
        output: Name,
        start: Start,
        seed: &str,
    ) -> Result<(), Obstacle> {
        let namespace = self.0.registry.namespace_of(&output).await?;
        let namespace = namespace.ok_or("no namespace")?.name;
        let named = if inputs.len() == 1 { inputs.as_slice() } else { &[] };
        let outputs = std::slice::from_ref(&output);
        let name = derived_name(mirror.kind(), named, outputs, seed, &namespace)?;
        self.refresh(&inputs).await;
        let running = self.0.catalog.active(mirror.kind());
        let new = NewProcessor {
            config: mirror.config.clone(),
            start,
            options: mirror.options.clone(),
            pin: running.map(|active| active.plugin.digest().to_string()),
            mirror: Some(mirror.name.clone()),
            maker: self.maker_of_processors(mirror.owner.as_ref()),
            ..NewProcessor::named(name, mirror.kind(), inputs, vec![output])
        };
        self.check(&new.preview()).await.map_err(|error| error.to_string())?;
        self.made(self.0.registry.create_processor(new).await).await
    }

    async fn flow_named(&self, name: &Name) -> Result<Flow, Obstacle> {
        let flow = self.0.registry.flow(name).await?;
        flow.ok_or_else(|| "it is gone".into())
    }

    async fn made(&self, decided: Result<JournalId, RegistryError>) -> Result<(), Obstacle> {
        Ok(self.0.registry.wait(decided?, COMMAND_WAIT).await?)
    }
}

/// What stands against taking something in.
struct Obstacle {
    words: String,
    /// It was waited for in vain: what comes next is likely to meet the same, and is left for the next look,
    /// or a pattern of a thousand flows would hold up all others for hours.
    is_slow: bool,
}

impl From<RegistryError> for Obstacle {
    fn from(error: RegistryError) -> Self {
        let is_slow = matches!(error, RegistryError::Pending { .. });
        Self { words: error.to_string(), is_slow }
    }
}

impl From<BrokerError> for Obstacle {
    fn from(error: BrokerError) -> Self {
        let is_slow = matches!(error, BrokerError::Unavailable(_));
        Self { words: error.to_string(), is_slow }
    }
}

impl From<String> for Obstacle {
    fn from(words: String) -> Self {
        Self { words, is_slow: false }
    }
}

impl From<&str> for Obstacle {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

/// Settings of a topic that are carried over to one on another broker. What is about nodes and copies is
/// not: that is for the other cluster to say.
fn carried(config: Config, to: &dyn Broker) -> Config {
    // The embedded log knows no more.
    let everywhere =
        |key: &str| matches!(key, "retention.ms" | "retention.bytes" | "max.message.bytes");
    let on_kafka = |key: &str| !NOT_CARRIED.contains(&key);
    let is_kafka = to.kind() == "kafka";
    let meant = |key: &str| if is_kafka { on_kafka(key) } else { everywhere(key) };
    config.into_iter().filter(|(key, _)| meant(key)).collect()
}

/// As MirrorMaker 2 leaves out, and for its reasons.
const NOT_CARRIED: &[&str] = &[
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "message.timestamp.difference.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.insync.replicas",
    "unclean.leader.election.enable",
];

impl Intake {
    fn troubles(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        // Replaced as a whole.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once what is in the way.
    fn note(&self, name: &str, mut troubles: Vec<String>) {
        troubles.truncate(MOST_TROUBLES);
        let mut known = self.troubles();
        if known.get(name).is_none_or(|known| *known != troubles) {
            for trouble in &troubles {
                tracing::warn!(pattern = name, trouble, "not taken in");
            }
        }
        known.insert(name.to_owned(), troubles);
    }
}
