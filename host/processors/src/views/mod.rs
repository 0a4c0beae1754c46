//! Views: a flow as one subscriber is to see it. Batches go through components in their sandbox, one after the other.
//!
//! Nothing of a view lasts: a component can write no state, and an event that it refuses is left out and counted. What
//! cannot be decided is never let through: whoever asks hears why there is no batch, and asks again.

mod outcome;
mod parlour;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};

use fnap::name::Name;
use host_events::{Batch, Stored};
use host_plugins::log::NoLog;
use host_plugins::{
    CallError, Instance, Limits, Plugin, Setup, SharedState, USUAL_BATCH, Usage, Used,
};
use host_registry::{Lens, Whose};
use tokio::sync::Mutex;

pub(crate) use self::outcome::with;
use self::outcome::{Outcome, outcome};
pub(crate) use self::parlour::Parlour;
use crate::episodes::Tally;
use crate::growth::is_keyed;
use crate::supervisor::Processors;
use crate::trial::Candidate;

/// Bytes after which a batch of a view is whole: a policy may make more of events than they were.
const ENOUGH: usize = 1 << 20;

/// What a stranger's condition may use up: a condition needs little of either, and there may be thousands.
const STRANGERS_MEMORY: u64 = 64 << 20;
const STRANGERS_CALL_MS: u64 = 1_000;

/// Characters of a cause that are kept for the owner of the flow: a plugin's words can be long.
const MOST_CAUSE: usize = 1_024;

/// Why there is no batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ViewError {
    /// What the owner wants done cannot be done. Why is his business.
    #[error("the policy of the flow's owner does not work")]
    Policy(String),
    /// The subscriber's condition cannot be evaluated.
    #[error("filter: {0}")]
    Filter(String),
}

impl ViewError {
    fn of(lens: &Lens, cause: impl ToString) -> Self {
        match lens.whose {
            Whose::Owners => Self::Policy(cause.to_string()),
            Whose::Subscribers => Self::Filter(cause.to_string()),
        }
    }

    /// For the host's own log.
    #[must_use]
    pub fn cause(&self) -> &str {
        let (Self::Policy(cause) | Self::Filter(cause)) = self;
        cause
    }
}

/// A flow as somebody is to see it.
pub struct View {
    processors: Processors,
    flow: Arc<str>,
    lenses: Vec<Lens>,
    /// The header that stays with whatever comes of an event.
    beside: &'static [u8],
    number: u64,
    /// One batch at a time, so that there is one instance of each component.
    turn: Mutex<()>,
    slow: AtomicBool,
    refused: Lock<Tally>,
    failures: Lock<(Tally, String)>,
    usage: Arc<Usage>,
}

impl Processors {
    /// A flow as these components let somebody see it. The header `beside` stays with whatever comes of an event.
    #[must_use]
    pub fn view(&self, flow: &Name, lenses: &[Lens], beside: &'static [u8]) -> View {
        View {
            processors: self.clone(),
            flow: flow.to_string().into(),
            lenses: lenses.to_vec(),
            beside,
            number: self.0.parlour.number(),
            turn: Mutex::default(),
            slow: AtomicBool::new(false),
            refused: Lock::default(),
            failures: Lock::default(),
            usage: Arc::default(),
        }
    }

    /// Whether a component can be part of a view: its type is there, takes one flow to another, keeps no state by key, and
    /// accepts the configuration. Nothing is left behind.
    ///
    /// # Errors
    /// Says what does not fit.
    pub async fn check_lens(&self, flow: &Name, lens: &Lens) -> Result<(), Candidate> {
        let snapshot = self.0.catalog.snapshot();
        let active = snapshot.types.get(&lens.kind).filter(|active| active.available);
        let plugin = active.map(|active| active.plugin.clone());
        let plugin = plugin.ok_or_else(|| Candidate::NoType(lens.kind.clone()))?;
        self.try_lens(flow, lens, &plugin).await
    }

    async fn try_lens(&self, flow: &Name, lens: &Lens, plugin: &Plugin) -> Result<(), Candidate> {
        if is_keyed(plugin) {
            let words =
                format!("processor type {} keeps state by key, a view keeps none", lens.kind);
            return Err(Candidate::Keys(words));
        }
        plugin.instantiate(setup(flow.as_str(), lens, self.limits_of_lens(lens))).await?;
        Ok(())
    }

    /// Whether what flows and subscribers have as policies would go on with another version of a plugin. Strangers'
    /// conditions have no say: a version that refuses one ends it.
    pub(crate) async fn trial_policies(&self, plugin: &Plugin) -> Result<(), String> {
        let kind = &plugin.info().name;
        let flows = self.0.registry.flows(None).await.map_err(|error| error.to_string())?;
        let of_flows = flows.iter().filter_map(|flow| Some((flow.name.clone(), flow.policy()?)));
        let of_flows = of_flows.map(|(flow, text)| (flow, Lens::policy(text)));
        let rows = self.0.registry.live_subscribers();
        let approved = rows.iter().filter_map(|row| {
            let text = row.approval.as_ref()?.policy.as_deref()?;
            Some((row.flow.clone(), Lens::policy(text)))
        });
        let mut tried = std::collections::HashSet::new();
        for (flow, lens) in of_flows.chain(approved).filter(|(_, lens)| lens.kind == *kind) {
            if tried.insert(lens.clone()) {
                let done = self.try_lens(&flow, &lens, plugin).await;
                done.map_err(|error| format!("policy of flow {flow}: {error}"))?;
            }
        }
        Ok(())
    }

    fn limits_of_lens(&self, lens: &Lens) -> Limits {
        limits_for(lens.whose, self.0.options.limits.clone())
    }
}

/// Limits, as far as they are somebody's whose component it is.
pub(crate) fn limits_for(whose: Whose, limits: Limits) -> Limits {
    match whose {
        Whose::Owners => limits,
        Whose::Subscribers => Limits {
            memory: limits.memory.min(STRANGERS_MEMORY),
            call_ms: limits.call_ms.min(STRANGERS_CALL_MS),
            ..limits
        },
    }
}

impl View {
    /// What of a batch is to be seen, and up to where: it may be less than was asked about, and nothing of it.
    ///
    /// # Errors
    /// Why it cannot be told; the same again may go well.
    pub async fn pass(&self, batch: &Batch) -> Result<Batch, ViewError> {
        let _turn = self.turn.lock().await;
        let parlour = &self.processors.0.parlour;
        let strange = self.lenses.iter().any(|lens| lens.whose == Whose::Subscribers);
        let _room = parlour.enter(strange, self.slow.load(Ordering::Relaxed)).await;
        let (mut seen, mut bytes, mut next) = (Vec::new(), 0, batch.next);
        let mut rest = &*batch.records;
        while !rest.is_empty() && bytes < ENOUGH {
            let (piece, after) = rest.split_at(self.piece(rest));
            let went = self.piece_passes(batch, piece).await?;
            bytes += went.iter().map(|stored| stored.record.size()).sum::<usize>();
            seen.extend(went);
            next = after.first().map_or(batch.next, |stored| stored.offset);
            rest = after;
        }
        Ok(Batch { records: seen.into(), next, ..*batch })
    }

    /// Tells the host's log that nothing of a place is sent; at most once a minute.
    pub fn tell_failure(&self, error: &ViewError, partition: u32, next: u64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.1 = error.cause().chars().take(MOST_CAUSE).collect();
        if let Some(failures) = failures.0.add(1) {
            let (flow, cause) = (&*self.flow, error.cause());
            tracing::warn!(flow, partition, next, failures, %error, cause, "a view fails, nothing of it is sent");
        }
    }

    /// Which versions of its components there are now.
    #[must_use]
    pub fn version(&self) -> Vec<Option<Arc<str>>> {
        let catalog = &self.processors.0.catalog;
        let digest = |lens: &Lens| Some(Arc::clone(catalog.active(&lens.kind)?.plugin.digest()));
        self.lenses.iter().map(digest).collect()
    }

    /// What was told last of a failure: its cause, for the owner of the flow.
    #[must_use]
    pub fn last_failure(&self) -> String {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// What its components used up.
    #[must_use]
    pub fn used(&self) -> Used {
        self.usage.look()
    }

    /// How many events go through at once.
    fn piece(&self, rest: &[Stored]) -> usize {
        let limits = &self.processors.0.options.limits;
        let most = limits.batch_events.clamp(1, USUAL_BATCH) as usize;
        let mut bytes = 0;
        let fits = rest.iter().take(most).take_while(|stored| {
            bytes += stored.record.size() as u64;
            bytes <= limits.batch_bytes
        });
        // One that is larger goes alone.
        fits.count().max(1).min(rest.len())
    }

    async fn piece_passes(
        &self,
        batch: &Batch,
        piece: &[Stored],
    ) -> Result<Vec<Stored>, ViewError> {
        let mut events = piece.to_vec();
        for (at, lens) in self.lenses.iter().enumerate() {
            if events.is_empty() {
                break;
            }
            events = self.lens_passes(at, lens, batch, events).await?;
        }
        Ok(events)
    }

    async fn lens_passes(
        &self,
        at: usize,
        lens: &Lens,
        batch: &Batch,
        events: Vec<Stored>,
    ) -> Result<Vec<Stored>, ViewError> {
        let (mut went, mut pieces) = (Vec::new(), vec![events]);
        while let Some(mut piece) = pieces.pop() {
            let records: Arc<[Stored]> = piece.as_slice().into();
            match self.call(at, lens, Batch { records, ..*batch }).await {
                Ok(actions) => match outcome(&piece, actions, self.beside) {
                    Outcome::Done(some, refused) => {
                        went.extend(some);
                        self.count(lens, refused, "dead letter");
                    }
                    Outcome::Alone => pieces.extend(piece.into_iter().rev().map(|one| vec![one])),
                    Outcome::Many => {
                        return Err(ViewError::of(lens, many(lens)));
                    }
                },
                Err(CallError::Reject { index, reason }) if (index as usize) < piece.len() => {
                    let after = piece.split_off(index as usize + 1);
                    piece.pop();
                    self.count(lens, 1, &reason);
                    pieces.extend([after, piece].into_iter().filter(|piece| !piece.is_empty()));
                }
                Err(cause) => return Err(ViewError::of(lens, cause)),
            }
        }
        Ok(went)
    }

    async fn call(
        &self,
        at: usize,
        lens: &Lens,
        batch: Batch,
    ) -> Result<Vec<host_plugins::Action>, CallError> {
        let parlour = &self.processors.0.parlour;
        let active = self.processors.0.catalog.active(&lens.kind);
        let missing = || CallError::Fatal(format!("no processor type {} is installed", lens.kind));
        let plugin = active.ok_or_else(missing)?.plugin;
        let waits = parlour.take((self.number, at));
        let mut instance: Instance = match waits {
            Some(instance) if instance.plugin().digest() == plugin.digest() => instance,
            // What came of an older version is gone with it.
            _ => {
                let limits = self.processors.limits_of_lens(lens);
                let usage = Arc::clone(&self.usage);
                plugin.instantiate(Setup { usage, ..setup(&self.flow, lens, limits) }).await?
            }
        };
        let answer = instance.process(0, &self.flow, batch).await;
        let slow = instance.slow_share() > 0.5 || matches!(answer, Err(CallError::Limit { .. }));
        // One of them is enough.
        self.slow.store(slow || (at > 0 && self.slow.load(Ordering::Relaxed)), Ordering::Relaxed);
        if answer.is_ok() {
            parlour.give((self.number, at), instance);
        }
        answer
    }

    fn count(&self, lens: &Lens, refused: u64, reason: &str) {
        let mut tally = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused > 0
            && let Some(events) = tally.add(refused)
        {
            let (flow, kind) = (&*self.flow, &lens.kind);
            tracing::warn!(%flow, kind, events, reason, "events are left out of a view");
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.processors.0.parlour.forget(self.number, self.lenses.len());
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("View").field("flow", &self.flow).finish_non_exhaustive()
    }
}

/// What its owner does about a policy that makes several events of one.
fn many(lens: &Lens) -> String {
    format!(
        "{kind} makes more than one event of one, and what a subscriber gets of an event lies where that lies: have a processor \
         of type {kind} make a flow of them, and let that be subscribed to",
        kind = lens.kind
    )
}

/// What a component of a view is told: it goes from the flow to the flow.
fn setup(flow: &str, lens: &Lens, limits: Limits) -> Setup {
    Setup {
        processor: flow.to_owned(),
        shard: 0,
        inputs: vec![flow.to_owned()],
        outputs: vec![flow.to_owned()],
        config: lens.config.clone(),
        state: SharedState::default(),
        limits,
        log: Arc::new(NoLog),
        more: "{}".into(),
        usage: Arc::default(),
        said: Arc::default(),
        takes_over: None,
    }
}
