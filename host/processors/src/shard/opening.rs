//! Taking a shard over: what is true of it is read, first positions are fixed, and what was passed over is told.
//!
//! Runs nothing: whoever has taken it over does.

use std::sync::Arc;

use host_brokers::{Commit, CommitOutcome, Fence, Output, ShardId};
use host_events::Position;
use host_plugins::{Level, Limits, LogSink, Plugin, Setup, ShardState, SharedState};

use super::{Failure, Shard};
use crate::commits::commit_all;
use crate::outputs::Ready;
use crate::spec::Spec;
use crate::start::{self, Gap};
use crate::told;

/// A shard that was taken over.
pub(crate) struct Held {
    pub(crate) fence: Box<dyn Fence>,
    pub(crate) positions: Position,
    pub(crate) state: SharedState,
    /// Digest of the plugin that made the state.
    pub(crate) made_by: Option<String>,
}

impl Shard {
    /// Fences whoever had the shard, reads what is true, and fixes first positions.
    pub(super) async fn take_over(&mut self, plugin: &Plugin) -> Result<Held, Failure> {
        let id = ShardId { processor: self.spec.id, shard: self.shard };
        let mut opened = self.spec.target.open(id).await?;
        let is_empty = opened.state.is_empty();
        self.status.state_is_of(if is_empty { Some("") } else { opened.digest.as_deref() });
        self.cuts.retain(&opened.positions);
        let (committed, found) = (&opened.positions, &self.found);
        let starting = start::positions(&self.spec, self.shard, committed, found, &self.cuts);
        let mut starting = starting.await?;
        if !starting.fresh.0.is_empty() {
            self.found = starting.fresh.clone();
            // The state is still that of the version before.
            let made_by = opened.digest.as_deref().unwrap_or(plugin.digest());
            let commit = Commit {
                positions: starting.fresh,
                state: Vec::new(),
                digest: made_by.into(),
                rewinds: !starting.gaps.is_empty(),
            };
            let inside = self.record_gaps(&starting.gaps).await?;
            let recorded = Ready { inside, aside: Vec::new() };
            settle(commit_all(opened.fence.as_mut(), recorded, commit).await)?;
            for gap in &starting.gaps {
                tracing::warn!(processor = %self.spec.name, shard = self.shard, gap = %gap.cause, next = gap.next, "went on after a gap");
                self.log.host_line(Level::Warn, "went on after a gap", &[("gap", &gap.cause)]);
            }
        }
        starting.positions.0.extend(opened.positions.0.into_iter().filter(|((life, _), _)| {
            // How far a replay is lies beside the positions.
            life.0 == self.spec.id
        }));
        Ok(Held {
            fence: opened.fence,
            positions: starting.positions,
            state: SharedState::new(ShardState::of(opened.state)),
            made_by: opened.digest,
        })
    }

    pub(super) fn remember_cut(&mut self, failure: &Failure) {
        let Failure::Start(gap) = failure else { return };
        let Some((flow, partition, cut)) = gap.cut() else { return };
        if let Some(input) = self.spec.inputs.iter().find(|input| *input.name == *flow) {
            self.cuts.remember(input.topic.incarnation, partition, cut);
        }
    }

    /// Events that say what was passed over, for the commit that passes over it.
    async fn record_gaps(&self, gaps: &[Gap]) -> Result<Vec<Output>, Failure> {
        if gaps.is_empty() {
            return Ok(Vec::new());
        }
        // There is nobody to whom the topic of a subscriber would tell of it.
        if self.spec.lends.is_some() {
            return Ok(Vec::new());
        }
        let dead = self.dead.get().await?;
        let event = |gap: &Gap| told::gap(&self.spec.name, &gap.flow, gap.partition, &gap.data());
        let records = gaps.iter().map(event);
        let (records, partition) = (records.collect(), self.shard % dead.partitions.max(1));
        Ok(vec![Output { topic: dead.topic, partition, records }])
    }
}

/// What a plugin's `init` is told.
pub(crate) fn setup(
    spec: &Spec,
    shard: u32,
    state: &SharedState,
    limits: &Limits,
    log: &Arc<dyn LogSink>,
) -> Setup {
    Setup {
        processor: spec.name.to_string(),
        shard,
        inputs: spec.input_names(),
        outputs: spec.output_names(),
        config: spec.config.clone(),
        state: state.clone(),
        limits: limits.clone(),
        log: Arc::clone(log),
        more: "{}".into(),
        usage: Arc::default(),
        said: Arc::default(),
        takes_over: None,
    }
}

/// An outcome that is not `Committed` means: begin again from what is true.
pub(crate) fn settle(outcome: CommitOutcome) -> Result<(), Failure> {
    match outcome {
        CommitOutcome::Committed => Ok(()),
        CommitOutcome::Aborted(cause) | CommitOutcome::Unknown(cause) => Err(cause.into()),
        CommitOutcome::Fenced => Err(Failure::Fenced),
    }
}
