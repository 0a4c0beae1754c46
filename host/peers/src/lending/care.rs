//! The background: what a crash has cut off goes on, and what did not go well is tried again.

use std::time::Duration;

use host_registry::Subscriber;
use tokio::time::timeout;

use super::Lender;

/// The shortest and the longest time between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Subscriptions that are tried at a time: each may wait for a broker that does not answer.
const AT_ONCE: usize = 16;

impl Lender {
    /// Looks after all of them, until the future is dropped.
    pub async fn care(&self) {
        let (least, most) = PAUSES;
        let (mut changes, mut pause) = (self.0.registry.subscriber_changes(), least);
        loop {
            changes.mark_unchanged();
            if self.round().await {
                pause = least;
                // Where the registry is gone, so is the host.
                if let Ok(Err(_)) = timeout(most, changes.changed()).await {
                    return;
                }
            } else {
                // Commands do what they are about themselves: nobody waits for this.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(most);
            }
        }
    }

    /// Whether all are where they should be.
    async fn round(&self) -> bool {
        let mut all_well = true;
        for some in self.0.registry.lent().chunks(AT_ONCE) {
            let driven = some.iter().map(|row| self.look_after(row));
            all_well &= futures::future::join_all(driven).await.into_iter().all(|is_well| is_well);
        }
        all_well
    }

    async fn look_after(&self, row: &Subscriber) -> bool {
        if matches!(self.is_settled(row).await, Ok(true)) {
            return true;
        }
        let Err(trouble) = self.drive(&row.name).await else { return true };
        tracing::warn!(subscription = %row.name, cause = %trouble, "the topic of a subscription waits");
        false
    }
}
