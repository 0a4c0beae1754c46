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
use host_registry::{By, ProcessorChange, as_by};

use crate::commits::commit_all;
use crate::meeting::Meeting;
use crate::outputs::Ready;
use crate::probation::Offer;
use crate::shard::{Failure, Held, Shard, settle, setup};
use crate::spec::Spec;
use crate::status::ShardStatus;
use crate::supervisor::Processors;

/// Whether a version takes over what another one left.
pub(crate) fn takes_over(plugin: &Plugin, made_by: &str, state: &SharedState) -> bool {
    let other = made_by != &**plugin.digest();
    other && plugin.exports(Optional::Migrate) && !state.lock().is_empty()
}

/// What a call gives, asked a second time where a machine that was busy for a moment, or the plugin itself, may do better then.
async fn asked_twice<T, F: Future<Output = Result<T, CallError>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, CallError> {
    match ask().await {
        Err(CallError::Limit { .. } | CallError::Retry(_)) => ask().await,
        first => first,
    }
}

impl Shard {
    /// Makes an instance that takes over state of the version `from`; what it writes lies in a batch that is left
    /// open.
    pub(crate) async fn taking_over(
        &self,
        plugin: &Plugin,
        state: &SharedState,
        from: &str,
    ) -> Result<Instance, CallError> {
        asked_twice(|| self.take_over_once(plugin, state, from)).await
    }

    async fn take_over_once(
        &self,
        plugin: &Plugin,
        state: &SharedState,
        from: &str,
    ) -> Result<Instance, CallError> {
        state.lock().begin();
        let setup = setup(&self.spec, self.shard, state, &self.limits, &self.log.sink());
        let (usage, takes_over) = (self.status.usage(), Some(from.to_owned()));
        let said = Arc::clone(&self.said);
        let made = plugin.instantiate(Setup { usage, said, takes_over, ..setup }).await;
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
        let made_by = held.made_by.take();
        let Some(by) = made_by.as_ref().filter(|by| takes_over(plugin, by, &held.state)) else {
            let instance = self.instantiate(plugin, &held.state).await?;
            let is_other = made_by.is_some_and(|by| by != **plugin.digest());
            self.agreed(plugin, is_other).await?;
            return Ok(instance);
        };
        // One that is not kept any more: nobody knows what it called itself.
        let from = self.catalog.version(by).await.map(|from| from.info().version.clone());
        let from = from.unwrap_or_default();
        let instance = match self.taking_over(plugin, &held.state, &from).await {
            Ok(instance) => instance,
            Err(cause) => return Err(self.cannot_read(plugin, &cause).await),
        };
        self.agreed(plugin, true).await?;
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

impl Shard {
    /// Waits until all shards can go on with a version, where it may find state of another one there. Then it has begun.
    ///
    /// # Errors
    /// Where one of them cannot.
    pub(crate) async fn agreed(&self, plugin: &Plugin, is_other: bool) -> Result<(), Failure> {
        if !plugin.exports(Optional::Migrate) {
            return Ok(());
        }
        match self.meeting(plugin) {
            Some(meeting) if is_other => {
                let all = meeting.agree(self.shard, self.spec.shards()).await;
                all.map_err(Failure::Rejected)?;
            }
            Some(meeting) => meeting.goes_on(),
            None => {}
        }
        if self.spec.pinned.is_some() && !self.spec.shadow_first {
            return Ok(());
        }
        Ok(self.catalog.begin(&self.spec.kind, plugin.digest()).await?)
    }

    /// Says that a version cannot read the state of this shard: then it takes over none of the processor, and where
    /// that is possible the version before goes on everywhere.
    pub(crate) async fn cannot_read(&self, plugin: &Plugin, cause: &CallError) -> Failure {
        if let CallError::Busy(_) = cause {
            return cause.clone().into();
        }
        if self.spec.pinned.is_some() && !self.spec.shadow_first {
            return cause.clone().into();
        }
        let failure = self.blame(plugin, &format!("state of shard {}", self.shard), cause).await;
        if let Some(meeting) = self.meeting(plugin) {
            meeting.refuse(&failure.to_string());
        }
        failure
    }

    fn meeting(&self, plugin: &Plugin) -> Option<Arc<Meeting>> {
        let offer = self.plugin.borrow();
        let offer = offer.as_ref().filter(|offer| offer.plugin.digest() == plugin.digest())?;
        Some(Arc::clone(&offer.meeting))
    }
}

/// A processor that is to stay with the version before.
pub(crate) struct StaysBack {
    processor: Arc<str>,
    digest: Arc<str>,
    before: Arc<str>,
    cause: String,
}

impl Processors {
    /// Whether a processor is to stay with the version before: a new one cannot read its state, and others run that one and cannot
    /// go back. Where a shard may have state of another version than the one before, it is not: that one would read what it does not know.
    pub(crate) fn stays_back(
        &self,
        spec: &Spec,
        offer: Option<&Offer>,
        shards: &[Arc<ShardStatus>],
    ) -> Option<StaysBack> {
        let Offer { plugin, before: Some(before), meeting } = offer? else { return None };
        let cause = meeting.refusal().filter(|_| spec.pinned.is_none())?;
        let (kind, digest) = (&*spec.kind, plugin.digest());
        let snapshot = self.0.catalog.snapshot();
        let active = snapshot.types.get(kind)?;
        let is_active = active.plugin.digest() == digest && active.before.is_some();
        if !is_active || self.0.catalog.way_back(kind, digest).is_some() {
            return None;
        }
        let before = before.digest();
        shards.iter().all(|status| status.is_state_of(before)).then(|| StaysBack {
            processor: Arc::clone(&spec.name),
            digest: Arc::clone(digest),
            before: Arc::clone(before),
            cause,
        })
    }

    /// Has a processor stay with the version before: without it a restart would find a version that it cannot begin with.
    pub(crate) async fn keep_back(&self, back: StaysBack) {
        let StaysBack { processor, digest, before, cause } = back;
        let options = [("upgrade".to_owned(), "pinned".to_owned())].into();
        let pin = Some(before.to_string());
        let change = ProcessorChange { options, pin, ..ProcessorChange::default() };
        let Ok(name) = processor.parse() else { return };
        let by = By::host("probation", format!("pinned to the version before: {cause}"));
        match as_by(by, self.0.registry.update_processor(&name, change)).await {
            Ok(_) => tracing::warn!(%processor, %digest, cause, "pinned to the version before"),
            Err(error) => tracing::debug!(%processor, %error, "not pinned yet"),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it was asked that answers so, and what came of it.
    async fn asked(answers: &[Result<(), CallError>]) -> (usize, Result<(), CallError>) {
        let mut answers = answers.iter().cloned();
        let all = answers.len();
        let said = asked_twice(|| std::future::ready(answers.next().unwrap())).await;
        (all - answers.len(), said)
    }

    #[tokio::test]
    async fn who_was_too_slow_or_wants_to_be_asked_again_is_asked_once_more() {
        let limit = || CallError::Limit { which: "init_ms", limit: 5, words: String::new() };
        let retry = || CallError::Retry("later".to_owned());
        let fatal = || CallError::Fatal("no".to_owned());
        assert_eq!(asked(&[Err(limit()), Ok(())]).await, (2, Ok(())));
        assert_eq!(asked(&[Err(retry()), Err(fatal())]).await, (2, Err(fatal())));
        assert_eq!(asked(&[Err(limit()), Err(limit()), Ok(())]).await, (2, Err(limit())));
        assert_eq!(asked(&[Err(fatal()), Ok(())]).await, (1, Err(fatal())));
        assert_eq!(asked(&[Ok(()), Ok(())]).await, (1, Ok(())));
    }
}
