//! The background: what did not go well is tried again, and what other hosts have ended ends here.

use std::collections::HashMap;
use std::time::Duration;

use fnap::name::Name;
use host_registry::{Stage, Subscription};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Subscriptions, Trouble};
use crate::broker::Gone;

/// The longest time between two tries: a host that is away for a night is found within this.
const LONGEST: Duration = Duration::from_secs(60);

/// Subscriptions that are tried at a time: each may wait for a host that does not answer.
const AT_ONCE: usize = 16;

/// When each is tried next, and how often it was.
#[derive(Default)]
struct Tries(HashMap<Name, (Instant, u32)>);

impl Subscriptions {
    /// Looks after all of them, until the future is dropped.
    pub async fn care(&self) {
        let mut tries = Tries::default();
        let mut changes = self.0.registry.subscribe();
        loop {
            changes.mark_unchanged();
            let due = tries.due(self.0.registry.subscriptions());
            for some in due.chunks(AT_ONCE) {
                let driven = some.iter().map(|local| self.drive(local));
                let outcomes = futures::future::join_all(driven).await;
                for (local, outcome) in some.iter().zip(outcomes) {
                    tries.tried(local, outcome.err());
                }
            }
            tokio::select! {
                _ = timeout(LONGEST, changes.changed()) => {}
                () = sleep_until(tries.next()) => {}
                gone = async { self.0.gone.lock().await.recv().await } => match gone {
                    Some(gone) => self.take_away(gone).await,
                    None => return,
                },
            }
        }
    }

    async fn take_away(&self, gone: Gone) {
        let Some(row) = self.0.registry.subscription(&gone.name) else { return };
        if row.remote.as_ref() != Some(&gone.name) || row.stage != Stage::Active {
            return;
        }
        tracing::info!(subscription = %gone.name, local = %row.local, why = %gone.failure, "ended by its owner");
        let ended = self.ended(&row, gone.failure.to_string()).await;
        if let Err(trouble) = ended {
            tracing::warn!(local = %row.local, cause = %trouble, "the end of a subscription was not carried out");
        }
    }
}

impl Tries {
    /// Those that are not where they should be, and whose time has come.
    fn due(&mut self, rows: Vec<Subscription>) -> Vec<Name> {
        let now = Instant::now();
        let waits = |row: &Subscription| match row.stage {
            Stage::Active => false,
            Stage::Ended => !row.cleared,
            _ => true,
        };
        let open: Vec<Name> = rows.into_iter().filter(waits).map(|row| row.local).collect();
        self.0.retain(|name, _| open.binary_search(name).is_ok());
        let due = |name: &Name| self.0.get(name).is_none_or(|(at, _)| *at <= now);
        open.into_iter().filter(due).collect()
    }

    fn tried(&mut self, local: &Name, trouble: Option<Trouble>) {
        let Some(trouble) = trouble else {
            self.0.remove(local);
            return;
        };
        let times = self.0.get(local).map_or(0, |(_, times)| *times);
        let least = trouble.again().unwrap_or(LONGEST);
        let wait = (least.max(Duration::from_secs(1)) * 2_u32.saturating_pow(times.min(6)))
            .min(LONGEST.max(least));
        tracing::debug!(%local, cause = %trouble, ?wait, "a subscription waits");
        self.0.insert(local.clone(), (Instant::now() + wait, times.saturating_add(1)));
    }

    fn next(&self) -> Instant {
        let at = self.0.values().map(|(at, _)| *at).min();
        at.unwrap_or_else(|| Instant::now() + LONGEST)
    }
}
