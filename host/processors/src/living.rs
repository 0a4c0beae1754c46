//! The instance of a shard between batches: made when a batch needs one, given back when nothing comes, and made
//! anew when it has grown.
//!
//! All of that happens at the boundary of two batches and changes nothing but memory: a plugin keeps in its state
//! what it wants to keep. What a guest needs from its first batch on is no growth, or a large interpreter would be
//! made anew after each.

use std::time::Duration;

use host_plugins::{CallError, Instance, Level, Limits};
use tokio::time::Instant;

use crate::shard::Failure;
use crate::worker::Worker;

/// How long an instance waits for its first batch: it was made to see whether it can be made, and a host that starts
/// makes all of them at once.
const UNUSED: Duration = Duration::from_millis(200);

/// An instance, while there is one.
pub(crate) struct Living {
    instance: Option<Instance>,
    /// From tick to tick, also while there is none.
    interval: Option<Duration>,
    growth: Growth,
    /// When it was made or had its last batch.
    since: Instant,
}

/// What an instance had after its first call.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// Bytes that it had after its first batch.
    first: Option<u64>,
    /// The same after its first tick, for one that has had no batch: an interpreter grows with the first of either.
    ticked: Option<u64>,
}

impl Growth {
    /// It had a batch.
    pub(crate) fn worked(&mut self, instance: &Instance) {
        self.first.get_or_insert(instance.memory() as u64);
    }

    /// It had a tick.
    pub(crate) fn ticked(&mut self, instance: &Instance) {
        self.ticked.get_or_insert(instance.memory() as u64);
    }

    /// Whether it should be made anew.
    pub(crate) fn is_too_large(&self, instance: &Instance, limits: &Limits) -> bool {
        let after = |first| is_grown(first, instance.memory() as u64, limits);
        self.first.or(self.ticked).is_some_and(after)
    }

    fn was_used(&self) -> bool {
        self.first.or(self.ticked).is_some()
    }
}

impl Living {
    pub(crate) fn new(instance: Instance) -> Self {
        let interval = instance.interval();
        let growth = Growth::default();
        Self { instance: Some(instance), interval, growth, since: Instant::now() }
    }

    /// What it is, while there is one.
    pub(crate) fn there(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Hands another configuration over.
    pub(crate) async fn reconfigure(&mut self, config: &str) -> Result<(), CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        instance.reconfigure(config).await?;
        self.interval = instance.interval();
        Ok(())
    }

    /// From tick to tick, where it wants ticks.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// It had a batch.
    pub(crate) fn worked(&mut self) {
        self.since = Instant::now();
        if let Some(instance) = &self.instance {
            self.growth.worked(instance);
        }
    }

    /// It had a tick.
    pub(crate) fn ticked(&mut self) {
        self.since = Instant::now();
        if let Some(instance) = &self.instance {
            self.growth.ticked(instance);
        }
    }

    /// When it has waited for long enough; none where there is nothing to give back.
    pub(crate) fn until(&self, limits: &Limits) -> Option<Instant> {
        self.instance.as_ref()?;
        let idle = Duration::from_millis(limits.idle_ms);
        Some(self.since + if self.growth.was_used() { idle } else { idle.min(UNUSED) })
    }

    fn is_grown(&self, limits: &Limits) -> bool {
        let grown = |instance| self.growth.is_too_large(instance, limits);
        self.instance.as_ref().is_some_and(grown)
    }
}

/// Whether one should be made anew: it has reached the mark, and taken half of the room that its first batch left.
fn is_grown(first: u64, now: u64, limits: &Limits) -> bool {
    let room = limits.memory.saturating_sub(first);
    now >= limits.recycle_at() && now > first && now - first >= room / 2
}

impl Worker<'_> {
    /// Sees to it that there is an instance for the next batch, and no grown one.
    pub(crate) async fn prepare(&mut self) -> Result<(), Failure> {
        if self.living.is_grown(&self.shard.limits) {
            // A fresh one begins with what is committed.
            self.drain().await?;
            let memory = self.living.instance.take().map_or(0, |instance| instance.memory());
            self.shard.status.recycled();
            let (processor, shard) = (&self.shard.spec.name, self.shard.shard);
            tracing::debug!(%processor, shard, memory, "instance is made anew");
            self.shard.log.host_line(Level::Debug, "recycled", &[("memory", &memory)]);
        }
        if self.living.instance.is_none() {
            self.renew().await?;
        }
        Ok(())
    }

    /// A fresh instance from the last committed state.
    pub(crate) async fn renew(&mut self) -> Result<(), Failure> {
        // Two at a time would need twice the room.
        self.living.instance = None;
        self.living = Living::new(self.shard.instantiate(&self.plugin, &self.state).await?);
        Ok(())
    }

    /// Gives the instance back.
    pub(crate) fn rest(&mut self) {
        self.living.instance = None;
    }
}

/// Waits until then; for ever where there is no such moment.
pub(crate) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn one_that_was_large_from_the_beginning_is_not_made_anew_after_each_batch() {
        let limits = Limits { memory: 128 * MIB, ..Limits::default() };
        assert!(!is_grown(2 * MIB, 95 * MIB, &limits));
        assert!(is_grown(2 * MIB, 96 * MIB, &limits));
        assert!(!is_grown(100 * MIB, 100 * MIB, &limits));
        assert!(!is_grown(100 * MIB, 113 * MIB, &limits));
        assert!(is_grown(100 * MIB, 114 * MIB, &limits));
        assert!(!is_grown(128 * MIB, 128 * MIB, &limits));
        let own = Limits { recycle_bytes: 70 * MIB, ..limits };
        assert!(is_grown(2 * MIB, 70 * MIB, &own));
    }
}
