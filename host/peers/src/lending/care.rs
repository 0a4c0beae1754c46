//! The background: what a crash has cut off goes on, and what did not go well is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use fnap::name::Name;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use host_registry::Subscriber;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Lender;
use crate::tries::{LONGEST, Tries};

/// Subscriptions that are tried at a time, and those of one broker: each may wait for one that does not answer, and
/// then the others have room.
const AT_ONCE: usize = 16;
const OF_A_BROKER: usize = 4;

/// The shortest time between two looks at all, however often something changes.
const LOOKS: Duration = Duration::from_millis(200);

/// The shortest time between two tries.
const AGAIN: Duration = Duration::from_secs(1);

impl Lender {
    /// Looks after all of them, until the future is dropped.
    pub async fn care(&self) {
        let mut changes = self.0.registry.subscriber_changes();
        let mut tries = Tries::new(AT_ONCE, OF_A_BROKER);
        let mut driven = FuturesUnordered::new();
        loop {
            changes.mark_unchanged();
            let rows = self.unsettled().await;
            for name in
                tries.due(&rows.iter().map(|(name, broker)| (name, broker.clone())).collect())
            {
                driven.push(async move { (self.drive(&name).await, name) });
            }
            let looked = Instant::now();
            tokio::select! {
                Some((outcome, name)) = driven.next(), if !driven.is_empty() => {
                    let trouble = outcome.err();
                    let wait = tries.tried(&name, trouble.as_ref().map(|_| AGAIN));
                    if let Some(trouble) = trouble {
                        tracing::warn!(subscription = %name, cause = %trouble, ?wait, "the topic of a subscription waits");
                    }
                }
                // Commands do what they are about themselves: nobody waits for this.
                changed = timeout_at(looked + LONGEST, changes.changed()) => {
                    // Where the registry is gone, so is the host.
                    if let Ok(Err(_)) = changed {
                        return;
                    }
                    sleep_until(looked + LOOKS).await;
                }
                () = self.0.look.notified() => {}
                () = sleep_until(tries.next()) => {}
            }
        }
    }

    /// Those that are not where they should be, each with its broker.
    async fn unsettled(&self) -> BTreeMap<Name, String> {
        let mut unsettled = BTreeMap::new();
        for row in self.0.registry.lent() {
            if !matches!(self.is_settled(&row).await, Ok(true)) {
                let Subscriber { name, lent, .. } = row;
                unsettled.insert(name, lent.map(|lent| lent.broker).unwrap_or_default());
            }
        }
        unsettled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_holds_up_its_own_topics_alone() {
        let name = |text: String| text.parse::<Name>().unwrap();
        let silent: Vec<Name> = (0..100).map(|n| name(format!("a{n}.f.test"))).collect();
        let quick = name("z.f.test".to_owned());
        let mut tries = Tries::new(AT_ONCE, OF_A_BROKER);
        let rows = silent.iter().map(|name| (name, "silent".to_owned()));
        let rows: BTreeMap<_, _> = rows.chain([(&quick, "quick".to_owned())]).collect();
        let due = tries.due(&rows);
        assert_eq!(due.len(), OF_A_BROKER + 1);
        assert!(due.contains(&quick));
        // One that fails waits for itself.
        tries.tried(&quick, Some(AGAIN));
        tries.tried(&silent[0], Some(AGAIN));
        assert_eq!(tries.due(&rows).len(), 1);
    }
}
