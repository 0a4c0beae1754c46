//! Tries a plugin with configurations before anything depends on it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use host_plugins::log::NoLog;
use host_plugins::{CallError, LogSink, Plugin, SharedState, Trial};
use host_registry::{Desired, Processor, Start, Whose};
use tokio::time::timeout;

use crate::growth::is_keyed;
use crate::shard::setup;
use crate::spec::{Spec, SpecError};
use crate::start::{self, StartError};
use crate::supervisor::Processors;

/// Why a processor would not start.
#[derive(Debug, thiserror::Error)]
pub enum Candidate {
    /// No such type is installed.
    #[error("no processor type {0} is installed")]
    NoType(String),
    /// Its flows do not fit.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The type takes another number of flows.
    #[error("processor type {kind} takes {wants}, not {inputs} inputs and {outputs} outputs")]
    Shape {
        /// The type.
        kind: String,
        /// What it takes, in words.
        wants: String,
        /// How many inputs were named.
        inputs: usize,
        /// How many outputs were named.
        outputs: usize,
    },
    /// It would begin at an offset that the log does not have.
    #[error("{0}")]
    Place(String),
    /// It keeps state by key, and the keys of its inputs do not lie together.
    #[error("{0}")]
    Keys(String),
    /// The plugin refused the configuration.
    #[error("{0}")]
    Refused(#[from] CallError),
}

impl Processors {
    /// The same of one that is made anew: the place where it shall begin has to be there, too.
    ///
    /// # Errors
    /// Says what does not fit.
    pub async fn check_new(&self, processor: &Processor) -> Result<(), Candidate> {
        self.check(processor).await?;
        let spec = Spec::resolve(processor, &self.0.registry, &self.0.brokers).await?;
        spec.check_place(&processor.start)?;
        check_offset(&spec, &processor.start).await
    }

    /// Whether a processor would start: its type is there, takes these flows, and accepts the
    /// configuration. Nothing is left behind.
    ///
    /// # Errors
    /// Says what does not fit.
    pub async fn check(&self, processor: &Processor) -> Result<(), Candidate> {
        let kind = &processor.kind;
        let plugin = match &processor.pinned {
            Some(digest) => self.0.catalog.version(digest).await.ok(),
            None => {
                let snapshot = self.0.catalog.snapshot();
                let active = snapshot.types.get(kind).filter(|active| active.available);
                active.map(|active| active.plugin.clone())
            }
        };
        let plugin = plugin.ok_or_else(|| Candidate::NoType(kind.clone()))?;
        let spec = Spec::resolve(processor, &self.0.registry, &self.0.brokers).await?;
        check_shape(&plugin, &spec)?;
        Ok(self.init_once(&plugin, &spec).await?)
    }

    async fn init_once(&self, plugin: &Plugin, spec: &Spec) -> Result<(), CallError> {
        let state = SharedState::default();
        // What a trial logs is nobody's: a processor that is refused must leave nothing behind.
        let log: Arc<dyn LogSink> = Arc::new(NoLog);
        plugin.instantiate(setup(spec, 0, &state, &spec.limits(&self.0.options), &log)).await?;
        Ok(())
    }
}

/// The trial that a catalog asks before there are processors: the catalog comes first, because
/// processors need it. Until [`TrialHook::connect`] nothing runs, so nothing can object.
#[derive(Default)]
pub struct TrialHook(OnceLock<Processors>);

impl TrialHook {
    /// Asks these processors from now on. Only the first call counts.
    pub fn connect(&self, processors: Processors) {
        self.0.get_or_init(|| processors);
    }
}

#[async_trait]
impl Trial for TrialHook {
    async fn trial(&self, plugin: &Plugin) -> Result<(), String> {
        match self.0.get() {
            Some(processors) => processors.trial(plugin).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Trial for Processors {
    /// `init` with the configuration of every processor of the type, and its state where that has to be taken
    /// over: all or none.
    async fn trial(&self, plugin: &Plugin) -> Result<(), String> {
        let processors = self.0.registry.processors().await.map_err(|error| error.to_string())?;
        let name = &plugin.info().name;
        let concerned = |processor: &&Processor| {
            // One that is pinned stays with what it has; one that compares first would take it.
            let takes = processor.pinned.is_none() || processor.is_shadow_first();
            let meant = processor.kind == *name && takes;
            meant && processor.desired != Desired::Deleted
        };
        for processor in processors.iter().filter(concerned) {
            let named = |words: String| format!("processor {}: {words}", processor.name);
            let spec = Spec::resolve(processor, &self.0.registry, &self.0.brokers).await;
            // It does not run now either; that is not the new version's fault.
            let Ok(spec) = spec else { continue };
            // A stranger's condition has no say: a version that refuses it ends it.
            if spec.lends == Some(Whose::Subscribers) {
                continue;
            }
            check_shape(plugin, &spec).map_err(|error| named(error.to_string()))?;
            self.init_once(plugin, &spec).await.map_err(|error| named(error.to_string()))?;
            let shards = self.shards_of(processor.id).await;
            self.try_states(plugin, &spec, &shards).await.map_err(named)?;
        }
        self.trial_policies(plugin).await
    }
}

/// As UPDATE PROCESSOR POSITION, a command refuses an offset that is not in the log. A broker that cannot be asked now says nothing against it: the
/// shard looks again when it begins.
async fn check_offset(spec: &Spec, place: &Start) -> Result<(), Candidate> {
    let Start::Offset { partition, .. } = *place else { return Ok(()) };
    if spec.records_gaps {
        // It goes on at the nearest that is there, and says so: who makes it again from what he noted before means that.
        return Ok(());
    }
    let inputs = spec.inputs.iter().filter(|input| partition < input.partitions);
    let asked = inputs.map(|input| timeout(ASKED, start::resolve(input, partition, place)));
    let gap = join_all(asked).await.into_iter().find_map(|answer| match answer {
        Ok(Err(gap @ StartError::Gap { .. })) => Some(gap.to_string()),
        _ => None,
    });
    gap.map_or(Ok(()), |words| Err(Candidate::Place(words)))
}

/// How long the brokers of all inputs, which are asked at the same time, may take to say what a log holds, before the command goes on without:
/// somebody waits for its answer.
const ASKED: Duration = Duration::from_secs(5);

fn check_shape(plugin: &Plugin, spec: &Spec) -> Result<(), Candidate> {
    let info = plugin.info();
    let fits = |cardinality: host_plugins::Cardinality, count: usize| match cardinality {
        host_plugins::Cardinality::One => count == 1,
        host_plugins::Cardinality::Many => count >= 1,
    };
    if fits(info.inputs, spec.inputs.len()) && fits(info.outputs, spec.outputs.len()) {
        let scattered = is_keyed(plugin).then(|| spec.scattered_keys()).flatten();
        return scattered.map_or(Ok(()), |words| Err(Candidate::Keys(words)));
    }
    let words = |cardinality| match cardinality {
        host_plugins::Cardinality::One => "one",
        host_plugins::Cardinality::Many => "one or more",
    };
    Err(Candidate::Shape {
        kind: spec.kind.clone(),
        wants: format!("{} input and {} output", words(info.inputs), words(info.outputs)),
        inputs: spec.inputs.len(),
        outputs: spec.outputs.len(),
    })
}
