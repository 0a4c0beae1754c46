//! The first batches of a new version: what it cannot do and the version before could is its fault, and
//! then that one goes on, for every processor of the type.
//!
//! An event that fails alone is tried with the version before, from the same state, in an instance of its
//! own whose answer is thrown away. Where that fails too, the event is to blame. What a broker does, and an
//! instance for which there is no room, says nothing about either.

use std::sync::Arc;
use std::time::Duration;

use host_plugins::log::NoLog;
use host_plugins::{
    CallError, Instance, Level, LogSink, Optional, Plugin, Setup, SharedState, Verdict, reason,
};

use crate::inputs::Next;
use crate::meeting::Meeting;
use crate::migrate::takes_over;
use crate::pieces;
use crate::shard::{Failure, Shard, setup};
use crate::spec::Policy;
use crate::worker::Worker;

/// Batches that a new version has to do well in a shard. A mistake that most events meet shows in the
/// first; the others are for what is rare, as the first event of another kind.
pub(crate) const PROBATION_BATCHES: u64 = 64;

/// How long a version is on probation at most: a processor whose flow rests would be for ever, and what
/// a version has done for so long is no longer undone by going back.
pub(crate) const PROBATION: Duration = Duration::from_secs(60 * 60);

/// How often in a row a version may ask for the same batch later before the version before is asked.
const MOST_RETRIES: u32 = 3;

/// Events that a version has to reject in a shard that the one before does not, before it is to blame, and at least one in so many of
/// those that it was asked about. What is rejected is the version's decision, and who may write an event may choose one:
/// a few must not keep the old version running for everybody.
const LEAST_REJECTS: u64 = 4;
const REJECTS_ONE_IN: u64 = 10;

/// What a shard shall run.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) plugin: Plugin,
    /// What goes on where it fails, while it is on probation.
    pub(crate) before: Option<Plugin>,
    /// Where the shards of the processor meet that take over state with it.
    pub(crate) meeting: Arc<Meeting>,
}

impl Offer {
    pub(crate) fn new(plugin: Plugin, before: Option<Plugin>) -> Self {
        Self { plugin, before, meeting: Arc::default() }
    }
}

impl Shard {
    /// The version before, as long as a version has to show that it can do what that one could. None where it
    /// may have written the state anew, and the one before takes over no state of others: it would not know what
    /// it reads.
    pub(crate) fn before(&self, plugin: &Plugin) -> Option<Plugin> {
        let offer = self.plugin.borrow();
        let offer = offer.as_ref().filter(|offer| offer.plugin.digest() == plugin.digest())?;
        let tried = self.status.tried(plugin.digest());
        let before = offer.before.clone().filter(|_| tried.batches < PROBATION_BATCHES)?;
        self.catalog.way_back(&self.spec.kind, plugin.digest()).map(|_| before)
    }

    /// Makes an instance of a plugin for this shard and calls its `init`. A new version that cannot be made
    /// where the one before can is to blame.
    pub(crate) async fn instantiate(
        &self,
        plugin: &Plugin,
        state: &SharedState,
    ) -> Result<Instance, Failure> {
        let setup = setup(&self.spec, self.shard, state, &self.limits, &self.log.sink());
        let (usage, said) = (self.status.usage(), Arc::clone(&self.said));
        let setup = Setup { usage, said, ..setup };
        let cause = match plugin.instantiate(setup).await {
            Ok(instance) => return Ok(instance),
            Err(busy @ CallError::Busy(_)) => return Err(busy.into()),
            Err(cause) => cause,
        };
        self.refuse_withheld(plugin)?;
        let Some(before) = self.before(plugin) else { return Err(cause.into()) };
        match self.try_out(&before, state, None).await {
            Ok(_) => Err(self.blame(plugin, "init", &cause).await),
            Err(busy @ CallError::Busy(_)) => Err(busy.into()),
            Err(_) => Err(cause.into()),
        }
    }

    /// An instance that is only looked at: nobody hears what it says, and it counts for nobody.
    async fn try_out(
        &self,
        plugin: &Plugin,
        state: &SharedState,
        takes_over: Option<String>,
    ) -> Result<Instance, CallError> {
        let unheard: Arc<dyn LogSink> = Arc::new(NoLog);
        let setup = setup(&self.spec, self.shard, state, &self.limits, &unheard);
        plugin.instantiate(Setup { takes_over, ..setup }).await
    }

    /// What another shard has found out about a version holds for this one, too, also before it is told.
    fn refuse_withheld(&self, plugin: &Plugin) -> Result<(), Failure> {
        match self.catalog.withheld(&self.spec.kind, plugin.digest()) {
            Some(reason) if self.spec.pinned.is_none() || self.spec.shadow_first => {
                Err(Failure::Rejected(reason))
            }
            _ => Ok(()),
        }
    }

    /// Says that a version failed where the one before does not; that is why the shard begins again.
    pub(crate) async fn blame(&self, plugin: &Plugin, what: &str, cause: &CallError) -> Failure {
        let whole = cause.to_string();
        let words = reason::of(&whole);
        if reason::has_frames(&whole) {
            let fields: [(&str, &dyn std::fmt::Display); 1] = [("cause", &whole)];
            self.log.host_line(Level::Warn, "the new version failed", &fields);
        }
        let reason = format!("processor {}, {what}: {words}", self.spec.name);
        let cause = match self.catalog.blame(plugin.digest(), &reason).await {
            Ok(Verdict::Rejected) => return Failure::Rejected(reason),
            Ok(Verdict::NoWayBack) => {
                "the version before may not be able to read what it has written"
            }
            Ok(Verdict::Proven) => "it is not on probation any more",
            Err(cause) => {
                tracing::warn!(processor = %self.spec.name, reason, "a verdict is not noted");
                return cause.into();
            }
        };
        Failure::NotRejected { reason, cause: cause.to_owned() }
    }
}

impl Worker<'_> {
    /// Whose fault it is that a batch failed, or an event alone. Everything before it is committed. Says whether it is an event that
    /// counts as rejected by the version, once it is given up.
    ///
    /// # Errors
    /// Where it is the version's, or that could not be found out.
    pub(crate) async fn judge(&mut self, next: &Next, cause: &CallError) -> Result<bool, Failure> {
        let plugin = self.plugin.clone();
        self.shard.refuse_withheld(&plugin)?;
        let Some(before) = self.shard.before(&plugin) else { return Ok(false) };
        if !self.can(&before, next).await? {
            return Ok(false);
        }
        if matches!(cause, CallError::Reject { .. }) && !self.rejects_much(next) {
            return Ok(next.batch.records.len() == 1);
        }
        // A machine that was busy for a moment is no fault of a version.
        if matches!(cause, CallError::Limit { .. }) && self.can(&plugin, next).await? {
            return Err(Failure::Plugin(cause.clone()));
        }
        Err(self.shard.blame(&plugin, &self.place(next), cause).await)
    }

    /// Whether a version rejects so much with this event that it is to blame. Where an event that is rejected holds everything up, one is enough.
    fn rejects_much(&self, next: &Next) -> bool {
        if self.shard.spec.policy == Policy::Off {
            return true;
        }
        // Each of its events is asked about alone.
        if next.batch.records.len() > 1 {
            return false;
        }
        let tried = self.shard.status.tried(self.plugin.digest());
        is_much(tried.rejects.saturating_add(1), tried.events)
    }

    /// The same of an answer that blames no event: that it wants to be stopped, or the batch again, and again.
    pub(crate) async fn judge_answer(
        &mut self,
        next: &Next,
        cause: &CallError,
    ) -> Result<(), Failure> {
        match cause {
            CallError::Fatal(_) => {}
            CallError::Retry(_) => {
                self.shard.retries = self.shard.retries.saturating_add(1);
                if self.shard.retries < MOST_RETRIES {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
        if self.shard.before(&self.plugin).is_none() {
            return self.shard.refuse_withheld(&self.plugin);
        }
        self.drain().await?;
        self.judge(next, cause).await?;
        // One of its events may be one that nobody can do.
        match self.who_it_is(next).await? {
            Some(event) => self.judge(&event, cause).await.map(drop),
            None => Ok(()),
        }
    }

    /// The event of a batch that the version cannot do by itself, found by halves; none where each half does well alone.
    async fn who_it_is(&mut self, next: &Next) -> Result<Option<Next>, Failure> {
        let plugin = self.plugin.clone();
        let mut piece = next.clone();
        loop {
            let events = piece.batch.records.len();
            if events <= 1 {
                return Ok((!self.can(&plugin, &piece).await?).then_some(piece));
            }
            let mut halves = pieces::chop(&piece, events.div_ceil(2));
            let second = halves.pop();
            let first = halves.pop();
            let Some((first, second)) = first.zip(second) else { return Ok(None) };
            piece = if self.can(&plugin, &first).await? { second } else { first };
        }
    }

    /// The same of a tick that failed; a version before that has none does well without.
    pub(crate) async fn judge_tick(&mut self, now: i64, cause: &CallError) -> Result<(), Failure> {
        if pieces::kind(cause).is_none() && !matches!(cause, CallError::Fatal(_)) {
            return Ok(());
        }
        let plugin = self.plugin.clone();
        self.shard.refuse_withheld(&plugin)?;
        let Some(before) = self.shard.before(&plugin) else { return Ok(()) };
        if before.exports(Optional::Timer) && !self.can_tick(&before, now).await? {
            return Ok(());
        }
        Err(self.shard.blame(&plugin, "tick", cause).await)
    }

    async fn can_tick(&mut self, plugin: &Plugin, now: i64) -> Result<bool, Failure> {
        let mut instance = match self.on_a_copy(plugin).await {
            Ok(instance) => instance,
            Err(busy @ CallError::Busy(_)) => return Err(busy.into()),
            Err(_) => return Ok(false),
        };
        let answer = instance.tick(now).await;
        match answer {
            Ok(_) => Ok(true),
            Err(busy @ CallError::Busy(_)) => Err(busy.into()),
            Err(_) => Ok(false),
        }
    }

    /// An instance with a copy of the state that is committed, which it takes over where it is another version.
    async fn on_a_copy(&mut self, plugin: &Plugin) -> Result<Instance, CallError> {
        let state = SharedState::new(self.state.lock().copy());
        state.lock().begin();
        let from = takes_over(plugin, self.plugin.digest(), &state);
        let takes_over = from.then(|| self.plugin.info().version.clone());
        self.shard.try_out(plugin, &state, takes_over).await
    }

    fn place(&self, next: &Next) -> String {
        let flow = self.shard.spec.input_name(next.input);
        let (partition, events) = (next.batch.partition, next.batch.records.len());
        let offset = next.batch.records.first().map_or(next.batch.next, |stored| stored.offset);
        match events {
            1 => format!("event {flow}:{partition}:{offset}"),
            _ => format!("{events} events from {flow}:{partition}:{offset}"),
        }
    }

    /// Whether a version can do a batch from the state that is committed. What it answers is thrown away.
    async fn can(&mut self, plugin: &Plugin, next: &Next) -> Result<bool, Failure> {
        let mut instance = match self.on_a_copy(plugin).await {
            Ok(instance) => instance,
            Err(busy @ CallError::Busy(_)) => return Err(busy.into()),
            Err(_) => return Ok(false),
        };
        let flow = self.shard.spec.input_name(next.input);
        let answer = instance.process(next.input, &flow, next.batch.clone()).await;
        match answer {
            Ok(_) => Ok(true),
            Err(busy @ CallError::Busy(_)) => Err(busy.into()),
            Err(_) => Ok(false),
        }
    }
}

fn is_much(rejects: u64, asked: u64) -> bool {
    rejects >= LEAST_REJECTS && rejects.saturating_mul(REJECTS_ONE_IN) >= asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_events_that_are_rejected_or_one_in_many_say_nothing_of_a_version() {
        assert!(!is_much(1, 0) && !is_much(LEAST_REJECTS - 1, 5));
        assert!(is_much(LEAST_REJECTS, 5) && is_much(LEAST_REJECTS, 40));
        assert!(!is_much(LEAST_REJECTS, 41) && is_much(100, 1_000));
    }
}
