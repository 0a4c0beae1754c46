//! What a shard is doing, for people who ask. Counts are since the host started.

mod report;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host_events::Position;
use host_plugins::{SharedState, StateLook, Usage};
use tokio::sync::Notify;

use crate::shadow::ShadowReport;
pub(crate) use report::Moved;
pub(crate) use report::Tried;
pub use report::{Phase, ShardReport};

/// Pauses that a shard remembers: enough for a 99th percentile over a few shards.
const KEPT_PAUSES: usize = 256;

/// Written by the shard's task, read by anybody.
#[derive(Default)]
pub(crate) struct ShardStatus {
    told: Mutex<Told>,
    changed: Notify,
    events_in: AtomicU64,
    events_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    dead_letters: AtomicU64,
    commits: AtomicU64,
    /// Nanoseconds.
    commit_time: AtomicU64,
    failures: AtomicU64,
    recycled: AtomicU64,
    usage: Arc<Usage>,
    state: Mutex<StateLook>,
    /// The bits of an `f64`.
    slow_share: AtomicU64,
    shadow: Mutex<Option<ShadowReport>>,
}

struct Told {
    tried: Tried,
    pauses: VecDeque<Duration>,
    phase: Phase,
    positions: Position,
    digest: String,
    version: String,
    /// The version that made the state as far as this host knows, none said of an empty one.
    state_of: Option<String>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            tried: Tried::default(),
            pauses: VecDeque::new(),
            phase: Phase::Starting,
            positions: Position::default(),
            digest: String::new(),
            version: String::new(),
            state_of: None,
        }
    }
}

impl ShardStatus {
    pub(crate) fn phase(&self, phase: Phase) {
        if matches!(phase, Phase::Failed(_)) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.with(|told| {
            // Another host may have had the shard.
            if phase == Phase::Starting {
                told.state_of = None;
            }
            told.phase = phase;
        });
        self.changed.notify_waiters();
    }

    /// Waits until the shard has left `Starting`, and where it is to be held, until it no longer
    /// runs.
    pub(crate) async fn settled_as(&self, held: bool) {
        loop {
            let changed = self.changed.notified();
            let waits = self.with(|told| match told.phase {
                Phase::Starting => true,
                Phase::Running => held,
                Phase::Paused => !held,
                Phase::Stopped | Phase::Failed(_) => false,
            });
            if !waits {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn plugin(&self, digest: &str, version: &str) {
        self.with(|told| {
            if told.digest != digest {
                told.tried = Tried::default();
            }
            digest.clone_into(&mut told.digest);
            version.clone_into(&mut told.version);
            told.state_of = Some(digest.to_owned());
        });
    }

    /// The version that made the state that was found when the shard was opened; an empty word where there is none.
    pub(crate) fn state_is_of(&self, digest: Option<&str>) {
        self.with(|told| told.state_of = digest.map(str::to_owned));
    }

    /// Whether a version made all the state that there is. Of a shard that could not be opened nobody knows.
    pub(crate) fn is_state_of(&self, digest: &str) -> bool {
        let is_of = |found: &String| found.is_empty() || found == digest;
        self.with(|told| told.state_of.as_ref().is_some_and(is_of))
    }

    pub(crate) fn committed(&self, positions: &Position, moved: Moved) {
        self.dead_letters.fetch_add(moved.dead_letters, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.events_in.fetch_add(moved.events_in, Ordering::Relaxed);
        self.events_out.fetch_add(moved.events_out, Ordering::Relaxed);
        self.bytes_in.fetch_add(moved.bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(moved.bytes_out, Ordering::Relaxed);
        self.positions(positions);
    }

    /// A commit took so long, however it ended.
    pub(crate) fn commit_took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.commit_time.fetch_add(nanos, Ordering::Relaxed);
    }

    /// An instance made room for a fresh one.
    pub(crate) fn recycled(&self) {
        self.recycled.fetch_add(1, Ordering::Relaxed);
    }

    /// Where its instances count what they use up.
    pub(crate) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    /// One version followed another, and events waited for so long.
    pub(crate) fn paused_for(&self, pause: Duration) {
        self.with(|told| {
            if told.pauses.len() == KEPT_PAUSES {
                told.pauses.pop_front();
            }
            told.pauses.push_back(pause);
        });
    }

    /// The version that runs has done batches that are committed now.
    pub(crate) fn did(&self, batches: u64, events: u64) {
        self.with(|told| {
            told.tried.batches += batches;
            told.tried.events += events;
        });
    }

    /// The version that runs has rejected an event that the one before would not have, and that is committed.
    pub(crate) fn rejected(&self) {
        self.with(|told| told.tried.rejects = told.tried.rejects.saturating_add(1));
    }

    /// What a version has done here; nothing where another one runs.
    pub(crate) fn tried(&self, digest: &str) -> Tried {
        self.with(|told| if told.digest == digest { told.tried } else { Tried::default() })
    }

    /// The state that the shard has now.
    pub(crate) fn has_state(&self, state: StateLook) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The state, while the shard runs.
    pub(crate) fn state(&self) -> Option<SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).get()
    }

    fn state_size(&self) -> Option<(usize, u64)> {
        let state = self.state()?;
        let state = state.lock();
        Some((state.len(), state.size()))
    }

    pub(crate) fn positions(&self, positions: &Position) {
        self.with(|told| told.positions.0.extend(&positions.0));
    }

    /// How the instance's calls go; once a batch.
    pub(crate) fn slow_share(&self, slow_share: f64) {
        self.slow_share.store(slow_share.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn report(&self, shard: u32) -> ShardReport {
        let state = self.state_size();
        // A shadow that is being compared holds this for a while, and the shard must not wait for it.
        let shadow = self.with_report(|report| report.clone());
        self.with(|told| ShardReport {
            shard,
            state,
            phase: told.phase.clone(),
            positions: told.positions.clone(),
            digest: told.digest.clone(),
            version: told.version.clone(),
            events_in: self.events_in.load(Ordering::Relaxed),
            events_out: self.events_out.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            commit_time: Duration::from_nanos(self.commit_time.load(Ordering::Relaxed)),
            failures: self.failures.load(Ordering::Relaxed),
            recycled: self.recycled.load(Ordering::Relaxed),
            used: self.usage.look(),
            slow_share: f64::from_bits(self.slow_share.load(Ordering::Relaxed)),
            shadow,
            tried: told.tried,
            pauses: told.pauses.iter().copied().collect(),
        })
    }

    pub(crate) fn with_report<T>(&self, look: impl FnOnce(&mut Option<ShadowReport>) -> T) -> T {
        look(&mut self.shadow.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        // Nothing panics while it holds the lock; should it ever, the words are still readable.
        look(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_has_rejected_is_not_held_against_the_next() {
        let status = ShardStatus::default();
        status.plugin("two", "0.2.0");
        (0..4).for_each(|_| status.rejected());
        // It begins again, with the same version.
        status.phase(Phase::Paused);
        status.plugin("two", "0.2.0");
        assert_eq!((status.tried("two").rejects, status.tried("three").rejects), (4, 0));
        status.plugin("three", "0.3.0");
        assert_eq!(status.tried("three"), Tried::default());
    }

    #[test]
    fn whose_state_it_is_is_known_only_of_a_shard_that_was_opened_since() {
        let status = ShardStatus::default();
        assert!(!status.is_state_of("one"));
        status.state_is_of(Some(""));
        assert!(status.is_state_of("one"));
        status.state_is_of(Some("one"));
        assert!(status.is_state_of("one") && !status.is_state_of("two"));
        status.plugin("two", "0.2.0");
        assert!(status.is_state_of("two") && !status.is_state_of("one"));
        status.phase(Phase::Failed("no broker".to_owned()));
        assert!(status.is_state_of("two"));
        status.phase(Phase::Starting);
        assert!(!status.is_state_of("one") && !status.is_state_of("two"));
    }
}
