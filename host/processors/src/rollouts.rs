//! New versions of types, until they have proved themselves: followed from one look to the next, over
//! restarts.
//!
//! Runs no plugin. That a version fails the shards find out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host_plugins::store::Rollout;
use host_registry::{Desired, Processor};

use crate::probation::{PROBATION, PROBATION_BATCHES};
use crate::status::ShardReport;
use crate::supervisor::Processors;

/// Time between two looks at how new versions do. What is counted between two is lost with a crash.
pub(crate) const ROLLOUT_LOOK: Duration = Duration::from_secs(1);

impl Processors {
    /// Looks at every version that is on probation; says whether there is one.
    pub(crate) async fn look_at_rollouts(&self) -> bool {
        let snapshot = self.0.catalog.snapshot();
        let mut tried = false;
        for (kind, active) in &snapshot.types {
            let Some(rollout) = self.0.catalog.state(kind).rollout else { continue };
            tried = true;
            let digest = active.plugin.digest();
            if !self.has_proved(kind, digest, &rollout).await {
                continue;
            }
            if let Err(cause) = self.0.catalog.prove(kind, digest).await {
                tracing::warn!(plugin = kind, %digest, %cause, "cannot be noted as proved");
            }
        }
        tried
    }

    /// Whether a version has done enough everywhere, or for long enough.
    async fn has_proved(&self, kind: &str, digest: &str, rollout: &Rollout) -> bool {
        if since(rollout.began) >= PROBATION {
            return true;
        }
        for processor in self.concerned(kind).await {
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

    /// The processors of a type that take its new versions, by name.
    async fn concerned(&self, kind: &str) -> Vec<Processor> {
        let concerned = |processor: &Processor| {
            let theirs = processor.kind == kind && processor.pinned.is_none();
            theirs && processor.desired != Desired::Deleted
        };
        let mut processors = self.0.registry.processors().await.unwrap_or_default();
        processors.retain(concerned);
        processors
    }
}

/// How long ago something was; nothing where the clock was set back.
fn since(millis: i64) -> Duration {
    let then = UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs());
    SystemTime::now().duration_since(then).unwrap_or_default()
}
