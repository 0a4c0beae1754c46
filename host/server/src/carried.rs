//! What subscriptions carried since the host started, from either end, for who asks and for metrics.
//!
//! Over a stream the owner counts what it sends; where a processor carries, to a topic that was lent or into a flow of
//! this host, that processor's counts are the subscription's.

use std::time::Duration;

use fnap::name::Name;
use host_processors::{Lag, Report};
use host_registry::{Subscriber, Subscription};
use serde_json::{Value, json};

use crate::services::Services;

/// Counts of one subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Events that were carried.
    pub events: u64,
    /// Octets of them.
    pub bytes: u64,
    /// Processor time of filters and policies, or of the processor that carries.
    pub cpu: Duration,
    /// How many events are still to be carried, as far as it is known.
    pub lag: Option<u64>,
    /// How often it began again: attached after the first time, or after a failure.
    pub retries: u64,
}

impl Carried {
    /// For a description.
    #[must_use]
    pub fn usage(&self) -> Value {
        json!({
            "events": self.events,
            "bytes": self.bytes,
            "cpu-ms": u64::try_from(self.cpu.as_millis()).unwrap_or(u64::MAX),
            "lag-events": self.lag,
            "retries": self.retries,
        })
    }

    fn by(report: &Report, lag: Lag) -> Self {
        let shards = || report.shards.iter();
        Self {
            events: shards().map(|shard| shard.events_out).sum(),
            bytes: shards().map(|shard| shard.bytes_out).sum(),
            cpu: shards().map(|shard| shard.used.cpu).sum(),
            lag: lag.events,
            retries: shards().map(|shard| shard.failures).sum(),
        }
    }
}

impl Services {
    /// What was sent to somebody who subscribes here; `ends` are those of the flow's partitions.
    pub async fn carried_to(&self, row: &Subscriber, ends: Option<&[u64]>) -> Carried {
        if let Some(lent) = &row.lent {
            return self.carried_by(&lent.processor).await;
        }
        let standing = self.registry.standing(&row.name).unwrap_or_default();
        let sent = standing.sent();
        Carried {
            events: sent.events,
            bytes: sent.bytes,
            cpu: sent.view,
            lag: ends.and_then(|ends| standing.lag(ends)),
            retries: sent.attached.saturating_sub(1),
        }
    }

    /// What came of a flow elsewhere that somebody here subscribes to.
    pub async fn carried_here(&self, row: &Subscription) -> Carried {
        self.carried_by(&row.processor).await
    }

    async fn carried_by(&self, name: &Name) -> Carried {
        let Ok(Some(processor)) = self.registry.processor(name).await else {
            return Carried::default();
        };
        let report = self.processors.report(processor.id).await;
        let lag = self.processors.lag(processor.id);
        report.map_or_else(Carried::default, |report| Carried::by(&report, lag))
    }
}
