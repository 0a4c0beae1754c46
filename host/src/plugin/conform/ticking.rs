//! Rules about `timer`: what a tick answers, and that an instance may go between two of them.

use host_plugins::{Action, CallError, Instance, Optional, Plugin};

use super::events::Trial;
use super::report::{Report, Rule};
use super::shard::{Decision, SIZE, Shard, Then, difference};
use crate::plugin::desk::Order;

/// Ticks between batches, by the time of the events, and long after the last of them.
pub(super) async fn ticks(plugin: &Plugin, order: &Order, trial: &Trial, report: &mut Report) {
    const RULES: [Rule; 2] = [Rule::Ticks, Rule::TicksAnew];
    if !plugin.exports(Optional::Timer) {
        return report.none_applicable(&RULES, "the plugin exports no timer");
    }
    let (Ok(mut old), Ok(mut anew)) =
        (Clock::start(plugin, order).await, Clock::start(plugin, order).await)
    else {
        return report.none_applicable(&RULES, "init refuses the configuration");
    };
    let Some(interval) = old.instance.interval() else {
        return report.none_applicable(&RULES, "the plugin wants no ticks with this configuration");
    };
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let mut now = 0;
    for (input, batch) in trial.batches(SIZE) {
        let newest = batch.records.iter().map(|stored| stored.record.timestamp).max();
        now = newest.unwrap_or(0).max(now);
        for clock in [&mut old, &mut anew] {
            drop(clock.shard.decide(&mut clock.instance, input, &batch, Then::Committed).await);
            clock.stands_at(now, interval).await;
        }
    }
    anew.renew(plugin).await;
    for clock in [&mut old, &mut anew] {
        clock.told.clear();
        let mut now = now;
        for silence in SILENCES {
            now = now.saturating_add(interval.saturating_mul(silence));
            clock.stands_at(now, interval).await;
        }
    }
    let [usual, found] = [old.told, anew.told].map(|told| -> Decision { (Ok(told), Vec::new()) });
    let differs = (usual != found && old.broken.is_none()).then(|| difference(&usual, &found));
    report.held(Rule::Ticks, old.broken);
    report.held(Rule::TicksAnew, differs);
}

/// Intervals that pass without events: one after the other, and many at once, as after a stop of the host.
const SILENCES: [i64; 6] = [1, 1, 1, 60, 100_000, 1];

/// A shard that is called by the clock.
struct Clock {
    shard: Shard,
    instance: Instance,
    due: i64,
    told: Vec<Action>,
    broken: Option<String>,
}

impl Clock {
    async fn start(plugin: &Plugin, order: &Order) -> Result<Self, CallError> {
        let shard = Shard::new(order);
        let instance = shard.start(plugin).await?;
        Ok(Self { shard, instance, due: 0, told: Vec::new(), broken: None })
    }

    /// As after a recycling.
    async fn renew(&mut self, plugin: &Plugin) {
        match self.shard.start(plugin).await {
            Ok(fresh) => self.instance = fresh,
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    /// A tick, where one is due.
    async fn stands_at(&mut self, now: i64, interval: i64) {
        if now < self.due || self.broken.is_some() {
            return;
        }
        self.due = now.saturating_add(interval);
        match self.shard.tick(&mut self.instance, now).await.0 {
            Ok(actions) => self.told.extend(actions),
            Err(error) => self.broken = Some(format!("at {now}: {error}")),
        }
    }
}
