//! Looks at what runs, and ways to it, for those who ask. Changes nothing.

use std::sync::Arc;

use host_registry::Processor;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::entry::Entry;
use super::{Inner, Processors, Report};
use crate::delivery::Delivery;
use crate::lag::Followed;
use crate::logs::Logs;
use crate::reconfigure::Ask;
use crate::spec::Spec;
use crate::status::ShardStatus;

impl Processors {
    async fn known(&self, id: Uuid) -> Option<Arc<Mutex<Entry>>> {
        self.0.running.lock().await.get(&id).cloned()
    }

    /// The shards of a processor that runs.
    pub(crate) async fn shards_of(&self, id: Uuid) -> Vec<Arc<ShardStatus>> {
        let Some(entry) = self.known(id).await else { return Vec::new() };
        let entry = entry.lock().await;
        entry.running.as_ref().map(|running| running.statuses.clone()).unwrap_or_default()
    }

    /// The way to ask the shards of a processor that runs.
    pub(crate) async fn asks_of(&self, id: Uuid) -> Vec<mpsc::Sender<Ask>> {
        let Some(entry) = self.known(id).await else { return Vec::new() };
        let entry = entry.lock().await;
        let running = entry.running.as_ref().filter(|running| running.is_up());
        running.map(|running| running.asks.clone()).unwrap_or_default()
    }

    /// Every processor for a look at its lag.
    pub(crate) async fn followed(&self) -> Vec<(Uuid, Followed)> {
        let entries: Vec<_> = self.0.running.lock().await.clone().into_iter().collect();
        let look = |entry: &Mutex<Entry>| match entry.try_lock() {
            Err(_) => Followed::Busy,
            Ok(entry) => entry.running.as_ref().map_or(Followed::Not, |running| {
                Followed::Is(Arc::clone(&running.spec), running.statuses.clone())
            }),
        };
        entries.into_iter().map(|(id, entry)| (id, look(&entry))).collect()
    }

    /// How a processor does.
    pub async fn report(&self, id: Uuid) -> Option<Report> {
        let entry = self.known(id).await?;
        // A look must not wait for a processor that is being stopped.
        let entry = entry.try_lock().ok()?;
        let statuses = entry.running.iter().flat_map(|running| running.statuses.iter());
        let shards = statuses.zip(0..).map(|(status, shard)| status.report(shard)).collect();
        let away = entry.running.as_ref().and_then(|running| running.spec.away());
        Some(Report { shards, problem: entry.problem.clone(), held: entry.held.clone(), away })
    }

    /// How often an event of a processor may take effect; none where it cannot run at all.
    pub async fn delivery(&self, processor: &Processor) -> Option<Delivery> {
        let Inner { registry, brokers, .. } = &*self.0;
        Some(Spec::resolve(processor, registry, brokers).await.ok()?.delivery)
    }

    /// What the plugins logged.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }
}
