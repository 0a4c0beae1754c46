//! New versions of types, until they have proved themselves: followed from one look to the next, over
//! restarts. Which processor runs one before others, and when those follow.
//!
//! Runs no plugin. That a version fails the shards find out.

use std::sync::PoisonError;
use std::time::Duration;

use host_events::clock::now;
use host_plugins::store::{First, Rollout};
use host_registry::{Desired, Processor, Successor};

use crate::probation::{PROBATION, PROBATION_BATCHES};
use crate::spec::is_one_first;
use crate::status::ShardReport;
use crate::supervisor::{Processors, Report};

/// Time between two looks at how new versions do. What is counted between two is lost with a crash.
pub(crate) const ROLLOUT_LOOK: Duration = Duration::from_secs(1);

/// How many times the time that the first of a type has to run a new version others wait for it at most, and no less than a
/// probation is long: whoever is first may be anybody's, rest, or give way to another one that rests.
const LONGEST: u32 = 10;

/// What the first of a type has to do with a new version before those follow that wait for it: both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstDoes {
    /// So many events.
    pub events: u64,
    /// For so long.
    pub time: Duration,
}

impl Default for FirstDoes {
    /// Ten minutes see what comes every few minutes, and ten thousand events what one in a thousand is.
    fn default() -> Self {
        Self { events: 10_000, time: Duration::from_secs(600) }
    }
}

/// Where a processor stands with a new version of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The new version.
    pub version: String,
    /// In words.
    pub state: String,
}

/// Whether a processor goes on with the version before for now.
pub(crate) fn waits(one_first: bool, name: &str, rollout: Option<&Rollout>) -> bool {
    let Some(rollout) = rollout else { return false };
    let is_first = rollout.first.as_ref().is_some_and(|first| first.processor == name);
    one_first && !rollout.everywhere && !is_first
}

impl Processors {
    /// Looks at every version that is on probation; says whether there is one.
    pub(crate) async fn look_at_rollouts(&self) -> bool {
        let snapshot = self.0.catalog.snapshot();
        let mut tried = false;
        for (kind, active) in &snapshot.types {
            let rollout = snapshot.states.get(kind).and_then(|state| state.rollout.clone());
            let Some(rollout) = rollout else { continue };
            tried = true;
            let digest = active.plugin.digest();
            let noted = match self.look_at(kind, digest, &rollout).await {
                Look::AsBefore => Ok(()),
                Look::Advanced(rollout) => self.0.catalog.advance(kind, digest, rollout).await,
                Look::Proved => self.0.catalog.prove(kind, digest).await,
            };
            if let Err(cause) = noted {
                tracing::warn!(plugin = kind, %digest, %cause, "how a new version does cannot be noted");
            }
        }
        if !tried {
            self.0.counted.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        tried
    }

    async fn look_at(&self, kind: &str, digest: &str, rollout: &Rollout) -> Look {
        let concerned = self.concerned(kind, digest).await;
        if rollout.everywhere {
            return match self.has_proved(digest, rollout, &concerned).await {
                true => Look::Proved,
                false => Look::AsBefore,
            };
        }
        let candidates = candidates(&concerned);
        let done = match &rollout.first {
            Some(first) => self.done(digest, first, &concerned).await,
            None => None,
        };
        let advanced = advanced(rollout, &candidates, done, self.0.options.first, now());
        if advanced == *rollout { Look::AsBefore } else { Look::Advanced(advanced) }
    }

    /// Events that the first one has done since the latest look; none where it does not run that version.
    async fn done(&self, digest: &str, first: &First, concerned: &[Processor]) -> Option<u64> {
        let processor = concerned.iter().find(|found| found.name.as_str() == first.processor)?;
        let Report { shards, .. } = self.report(processor.id).await?;
        let runs = |shard: &ShardReport| shard.digest == digest;
        if shards.is_empty() || !shards.iter().all(runs) {
            return None;
        }
        let total: u64 = shards.iter().map(|shard| shard.tried.events).sum();
        let mut counted = self.0.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counted.insert((digest.to_owned(), first.processor.clone()), total);
        // Fewer than before: its shards were begun anew.
        Some(total.checked_sub(before.unwrap_or(0)).unwrap_or(total))
    }

    /// Whether a version has done enough everywhere, or for long enough.
    async fn has_proved(&self, digest: &str, rollout: &Rollout, concerned: &[Processor]) -> bool {
        if since(rollout.began) >= PROBATION {
            return true;
        }
        for processor in concerned {
            let report = self.report(processor.id).await;
            let shards = report.map(|report| report.shards).unwrap_or_default();
            let proved = |shard: &ShardReport| {
                shard.digest == digest && shard.tried.batches >= PROBATION_BATCHES
            };
            if shards.is_empty() || !shards.iter().all(proved) {
                return false;
            }
        }
        true
    }

    /// The processors of a type that take a new version of it, by name; those that compare it first, too.
    async fn concerned(&self, kind: &str, digest: &str) -> Vec<Processor> {
        let takes = |processor: &Processor| {
            let compares = processor.followed().is_some_and(Successor::is_open)
                && processor.desired == Desired::Running;
            processor.is_shadow_first() && (compares || processor.pinned.as_deref() == Some(digest))
        };
        let concerned = |processor: &Processor| {
            let theirs = processor.kind == kind && (processor.pinned.is_none() || takes(processor));
            theirs && processor.desired != Desired::Deleted
        };
        let mut processors = self.0.registry.processors().await.unwrap_or_default();
        processors.retain(concerned);
        processors
    }

    /// Where a processor stands with a new version of its type; none where there is none, or it stays with
    /// what it has.
    #[must_use]
    pub fn upgrade(&self, processor: &Processor, report: Option<&Report>) -> Option<Upgrade> {
        let snapshot = self.0.catalog.snapshot();
        let active = snapshot.types.get(&processor.kind)?;
        let newest = Some(&**active.plugin.digest());
        if processor.pinned.is_some() && processor.pinned.as_deref() != newest {
            return self.to_follow(processor, active, report);
        }
        let rollout = snapshot.states.get(&processor.kind)?.rollout.as_ref()?;
        if processor.option("upgrade") == Some("pinned") {
            return None;
        }
        let version = active.plugin.info().version.clone();
        let name = processor.name.as_str();
        let state = if waits(is_one_first(processor), name, Some(rollout)) {
            waiting(rollout, self.0.options.first)
        } else {
            let shards = report.iter().flat_map(|report| &report.shards);
            let done = |shard: &ShardReport| match **active.plugin.digest() == *shard.digest {
                true => shard.tried.batches.min(PROBATION_BATCHES),
                false => 0,
            };
            let done = shards.map(done).min().unwrap_or(0);
            format!("on probation: {done} of {PROBATION_BATCHES} batches")
        };
        Some(Upgrade { version, state })
    }
}

/// What a look found.
enum Look {
    AsBefore,
    Advanced(Rollout),
    Proved,
}

/// Those of a type that may be the first, the one that is next before all others.
fn candidates(concerned: &[Processor]) -> Vec<String> {
    let may =
        |processor: &&Processor| is_one_first(processor) && processor.desired == Desired::Running;
    let mut found: Vec<_> = concerned.iter().filter(may).collect();
    found.sort_by_key(|processor| {
        (processor.option("upgrade-first") != Some("yes"), &processor.name)
    });
    found.into_iter().map(|processor| processor.name.to_string()).collect()
}

/// How far a version is: `done` is what the first one has done since the look before, where it runs it.
fn advanced(
    rollout: &Rollout,
    candidates: &[String],
    done: Option<u64>,
    wanted: FirstDoes,
    now: i64,
) -> Rollout {
    let everywhere = || Rollout { everywhere: true, began: now, ..rollout.clone() };
    let Some(next) = candidates.first() else { return everywhere() };
    let first = match rollout.first.clone().filter(|first| candidates.contains(&first.processor)) {
        Some(first) => First { events: first.events.saturating_add(done.unwrap_or(0)), ..first },
        None => First { processor: next.clone(), since: now, events: 0 },
    };
    let enough = first.events >= wanted.events && lasted(first.since, now) >= wanted.time;
    let longest = wanted.time.saturating_mul(LONGEST).max(PROBATION);
    let long = lasted(rollout.began, now) >= longest;
    if long || enough && done.is_some() {
        return everywhere();
    }
    Rollout { first: Some(first), ..rollout.clone() }
}

fn waiting(rollout: &Rollout, wanted: FirstDoes) -> String {
    let Some(first) = &rollout.first else { return "waiting for another one".to_owned() };
    let seconds = since(first.since).min(wanted.time).as_secs();
    format!(
        "waiting for {}: {} of {} events, {} of {} s",
        first.processor,
        grouped(first.events.min(wanted.events)),
        grouped(wanted.events),
        grouped(seconds),
        grouped(wanted.time.as_secs())
    )
}

/// A number as people read it.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long ago something was; nothing where the clock was set back.
fn since(millis: i64) -> Duration {
    lasted(millis, now())
}

fn lasted(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
