//! Ticks: a plugin that wants them acts by the clock, also where no event comes.
//!
//! A tick is decided and committed like a batch, and when the last one was is committed with it as a position
//! under the processor's own id. One that decided nothing is not committed: nothing of it is left. Ticks that
//! were missed, because the shard was held, failed or the host was down, are one tick.
//!
//! What a broker refuses for good of a tick happens not at all: the state stays as it was before it, the first of several in a row is told
//! of in the dead-letter flow, and events go on. A plugin finds in its state what it has not said yet.

use std::sync::Arc;
use std::time::Duration;

use host_brokers::BrokerError;
use host_events::clock;
use host_events::{Batch, Incarnation, Position};
use host_plugins::{CallError, Level};
use tokio::time::Instant;

use crate::careful::blames_an_event;
use crate::commits::InFlight;
use crate::dead::{Given, Kind};
use crate::shard::Failure;
use crate::spec::Policy;
use crate::told;
use crate::worker::Worker;

/// The partition of the processor's own id under which its last tick stands. A replay keeps its place there
/// under the partitions of the dead-letter flow, which never has so many.
const TICKS: u32 = u32::MAX;

/// How often in a row what a tick decided may be too much for a broker at the moment, before that is taken for refused.
const MOST_TOO_MUCH: u32 = 4;

/// What a broker has refused of ticks.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// Why it refused the commit of the latest one, which is not made again then.
    cause: Option<String>,
    /// Whether that was told since one went through.
    is_told: bool,
    /// How often in a row one was too much for it.
    too_much: u32,
}

impl Refused {
    /// One was too much for a broker, alone; says whether it will not be made again.
    fn was_too_much(&mut self, cause: &BrokerError) -> bool {
        self.too_much = self.too_much.saturating_add(1);
        if self.too_much < MOST_TOO_MUCH {
            return false;
        }
        self.too_much = 0;
        self.cause = Some(cause.to_string());
        true
    }
}

/// When the plugin was called by the clock last.
pub(crate) struct Ticks {
    /// The time of that, milliseconds since 1970.
    last: i64,
    /// The same for waiting, which a clock that is set does not disturb; none where a tick is overdue.
    since: Option<Instant>,
}

impl Ticks {
    /// Goes on after what is committed.
    pub(crate) fn after(committed: &Position, processor: Incarnation) -> Self {
        let Some(last) = committed.get(processor, TICKS) else {
            return Self { last: 0, since: None };
        };
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        let passed = u64::try_from(clock::now().saturating_sub(last)).unwrap_or(0);
        Self { last, since: Instant::now().checked_sub(Duration::from_millis(passed)) }
    }

    /// When the next one is due.
    pub(crate) fn due(&self, interval: Duration) -> Instant {
        self.since.map_or_else(Instant::now, |since| since + interval)
    }

    /// What time it is for a tick: a clock that was set back does not lead back.
    fn now(&self) -> i64 {
        clock::now().max(self.last)
    }

    fn was(&mut self, now: i64) {
        *self = Self { last: now, since: Some(Instant::now()) };
    }
}

impl Worker<'_> {
    /// Lets the plugin act, and gathers what it decides.
    pub(crate) async fn tick(&mut self) -> Result<(), Failure> {
        // Where a commit was refused, the tick must not be blamed on events, nor they on it.
        let alone = self.shard.careful.is_some();
        if alone {
            self.drain().await?;
        }
        if let Some(cause) = self.shard.refused_ticks.cause.take() {
            return self.pass_over_tick(&cause).await;
        }
        self.prepare().await?;
        let now = self.ticks.now();
        self.state.lock().begin();
        let answer = match self.living.there() {
            Some(instance) => instance.tick(now).await,
            None => Err(CallError::Dead),
        };
        let actions = match answer {
            Ok(actions) => actions,
            Err(cause) => {
                self.state.lock().abandon();
                // What was decided before it is right and must not be decided again.
                self.drain().await?;
                self.judge_tick(now, &cause).await?;
                return Err(cause.into());
            }
        };
        self.ticks.was(now);
        self.living.ticked();
        self.show_tick(now, &actions);
        if actions.is_empty() && self.state.lock().take_changes().is_empty() {
            self.state.lock().abandon();
            return Ok(());
        }
        let (processor, shard) = (Incarnation(self.shard.spec.id), self.shard.shard);
        let next = u64::try_from(now).unwrap_or(0);
        let nothing = Batch { flow: processor, partition: shard, records: Arc::default(), next };
        self.gather("", &nothing, actions, &[(processor, TICKS, next)])?;
        if alone {
            self.drain().await?;
        }
        Ok(())
    }

    /// Leaves out a tick whose commit was refused, and tells of the first of them.
    async fn pass_over_tick(&mut self, cause: &str) -> Result<(), Failure> {
        let now = self.ticks.now();
        self.ticks.was(now);
        let shard = &mut *self.shard;
        if shard.refused_ticks.is_told {
            return Ok(());
        }
        shard.log.host_line(Level::Warn, "a tick was refused", &[("cause", &cause)]);
        let (processor, number) = (Arc::clone(&shard.spec.name), shard.shard);
        tracing::warn!(%processor, shard = number, cause, "a broker refuses what a tick decided");
        if !matches!(shard.spec.policy, Policy::Auto | Policy::All) {
            shard.refused_ticks.is_told = true;
            return Ok(());
        }
        self.drain().await?;
        self.need_dead_flow().await?;
        let Some(dead) = &self.dead else { return Ok(()) };
        self.waiting.outputs.tell(dead, number, told::tick(&processor, number, now, cause));
        self.waiting.given = Some(Given::new(Kind::Broker, cause.to_owned()));
        self.state.lock().begin();
        let next = u64::try_from(now).unwrap_or(0);
        self.moved(&[], &[(Incarnation(self.shard.spec.id), TICKS, next)]);
        let told = self.drain().await;
        // A broker that is away is told later; one that takes not even that word would hold up the events.
        self.shard.refused_ticks.is_told = match &told {
            Ok(()) => true,
            Err(Failure::Broker(cause)) => blames_an_event(cause),
            Err(_) => false,
        };
        told
    }

    /// Whether a commit without events was refused for what a tick decided; that is remembered where it was one alone.
    pub(crate) fn blames_tick(&mut self, in_flight: &InFlight, cause: &BrokerError) -> bool {
        let InFlight { batches, positions, given, .. } = in_flight;
        let has_tick = positions.get(Incarnation(self.shard.spec.id), TICKS).is_some();
        if has_tick && given.is_none() && *batches == 1 {
            self.shard.refused_ticks.cause = Some(cause.to_string());
        }
        has_tick && given.is_none()
    }

    /// Whether a commit without events that was too much for a broker is not tried any more for what a tick decided.
    pub(crate) fn gives_up_tick(&mut self, in_flight: &InFlight, cause: &BrokerError) -> bool {
        let InFlight { batches, positions, given, moved, .. } = in_flight;
        let has_tick = positions.get(Incarnation(self.shard.spec.id), TICKS).is_some();
        let is_alone = has_tick && given.is_none() && (*batches, moved.events_in) == (1, 0);
        is_alone && self.shard.refused_ticks.was_too_much(cause)
    }

    /// One that went through is told of again when it is refused.
    pub(crate) fn tick_went_through(&mut self, positions: &Position) {
        if positions.get(Incarnation(self.shard.spec.id), TICKS).is_some() {
            self.shard.refused_ticks = Refused::default();
        }
    }

    /// Where events move to in a commit; a tick is no event's fault.
    pub(crate) fn without_ticks(&self, positions: &Position) -> Position {
        let mut positions = positions.clone();
        positions.0.remove(&(Incarnation(self.shard.spec.id), TICKS));
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_too_much_for_a_broker_again_and_again_is_refused() {
        let (mut refused, cause) = (Refused::default(), BrokerError::TooMuch("16 MiB".to_owned()));
        assert!((1..MOST_TOO_MUCH).all(|_| !refused.was_too_much(&cause)));
        assert_eq!(refused.cause, None);
        assert!(refused.was_too_much(&cause));
        assert_eq!(refused.cause, Some(cause.to_string()));
        assert!(!refused.was_too_much(&cause), "the next one has as many tries");
    }

    fn after(last: Option<i64>) -> Ticks {
        let (life, mut positions) = (Incarnation(uuid::Uuid::nil()), Position::default());
        if let Some(last) = last {
            positions.set(life, TICKS, u64::try_from(last).unwrap());
        }
        Ticks::after(&positions, life)
    }

    #[test]
    fn however_many_were_missed_one_is_due_and_the_next_an_interval_later() {
        for last in [None, Some(clock::now() - 1_000 * 60_000), Some(clock::now() - 60_000)] {
            let mut ticks = after(last);
            assert!(ticks.due(MINUTE) <= Instant::now());
            ticks.was(ticks.now());
            assert!(ticks.due(MINUTE) > Instant::now() + MINUTE / 2);
        }
    }

    #[test]
    fn one_that_was_committed_shortly_before_is_not_made_again() {
        let due = after(Some(clock::now() - 20_000)).due(MINUTE);
        assert!(due > Instant::now() && due <= Instant::now() + Duration::from_secs(40));
    }

    #[test]
    fn a_clock_that_was_set_back_never_leads_back() {
        let ahead = clock::now() + 3_600_000;
        let mut ticks = after(Some(ahead));
        assert!(ticks.due(MINUTE) <= Instant::now() + MINUTE);
        assert_eq!(ticks.now(), ahead);
        ticks.was(ahead);
        assert_eq!(ticks.now(), ahead);
    }
}
