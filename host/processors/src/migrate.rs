//! State that another version left, for plugins that export `migrate`: they take it over in the commit in which
//! they begin, or say that they cannot read it, and then the version before goes on.
//!
//! A new version is tried with a copy of the state of every shard that runs, off the data path, before any
//! shard takes it. A shard that did not run then asks when it begins.

use std::sync::Arc;

use host_brokers::Commit;
use host_events::Position;
use host_plugins::log::NoLog;
use host_plugins::{CallError, Instance, LogSink, Optional, Plugin, Setup, SharedState};

use crate::outputs::Ready;
use crate::shard::{Failure, Held, Shard, settle, setup};
use crate::spec::Spec;
use crate::status::ShardStatus;
use crate::supervisor::Processors;
use crate::worker::commit_all;

/// Whether a version takes over what another one left.
pub(crate) fn takes_over(plugin: &Plugin, made_by: &str, state: &SharedState) -> bool {
    let other = made_by != &**plugin.digest();
    other && plugin.exports(Optional::Migrate) && !state.lock().is_empty()
}

impl Shard {
    /// Makes an instance that takes over state of the version `from`; what it writes lies in an overlay that is left
    /// open.
    pub(crate) async fn taking_over(
        &self,
        plugin: &Plugin,
        state: &SharedState,
        from: &str,
    ) -> Result<Instance, CallError> {
        state.lock().begin();
        let setup = setup(&self.spec, self.shard, state, &self.limits, &self.log.sink());
        let (usage, takes_over) = (self.status.usage(), Some(from.to_owned()));
        let made = plugin.instantiate(Setup { usage, takes_over, ..setup }).await;
        if made.is_err() {
            state.lock().abandon();
        }
        made
    }

    /// The first instance of a shard that was taken over, with the state as this version reads it.
    pub(crate) async fn first_instance(
        &self,
        plugin: &Plugin,
        held: &mut Held,
    ) -> Result<Instance, Failure> {
        let made_by = held.made_by.take().filter(|by| takes_over(plugin, by, &held.state));
        let Some(made_by) = made_by else {
            return self.instantiate(plugin, &held.state).await;
        };
        // One that is not kept any more: nobody knows what it called itself.
        let from = self.catalog.version(&made_by).await.map(|from| from.info().version.clone());
        let from = from.unwrap_or_default();
        let instance = self.taking_over(plugin, &held.state, &from).await?;
        let commit = Commit {
            positions: Position::default(),
            state: held.state.lock().take_changes(),
            digest: Arc::clone(plugin.digest()),
            rewinds: false,
        };
        settle(commit_all(held.fence.as_mut(), Ready::default(), commit).await)?;
        held.state.lock().committed();
        Ok(instance)
    }
}

impl Processors {
    /// Whether a new version can take over the state of every shard of a processor that runs.
    pub(crate) async fn try_states(
        &self,
        plugin: &Plugin,
        spec: &Spec,
        shards: &[Arc<ShardStatus>],
    ) -> Result<(), String> {
        let log: Arc<dyn LogSink> = Arc::new(NoLog);
        let limits = spec.limits(&self.0.options);
        for (shard, status) in (0..).zip(shards) {
            let Some(state) = status.state() else { continue };
            let report = status.report(shard);
            if !takes_over(plugin, &report.digest, &state) {
                continue;
            }
            let copy = SharedState::new(state.lock().copy());
            copy.lock().begin();
            let setup = setup(spec, shard, &copy, &limits, &log);
            let setup = Setup { takes_over: Some(report.version), ..setup };
            let tried = plugin.instantiate(setup).await;
            tried.map_err(|error| format!("shard {shard}: cannot take over its state: {error}"))?;
        }
        Ok(())
    }
}
