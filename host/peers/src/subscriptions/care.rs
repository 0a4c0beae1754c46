//! The background: what did not go well is tried again, and what other hosts have ended ends here.

use std::collections::BTreeMap;

use fnap::name::Name;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use host_registry::{Stage, Subscription};
use tokio::time::{sleep_until, timeout};

use super::Subscriptions;
use crate::broker::Gone;
use crate::tries::{LONGEST, Tries};

/// Subscriptions that are tried at a time: each may wait for a host that does not answer.
const AT_ONCE: usize = 256;

/// The same of one domain: a host that does not answer keeps others waiting only together with sixty more.
const OF_A_DOMAIN: usize = 4;

impl Subscriptions {
    /// Looks after all of them, until the future is dropped.
    pub async fn care(&self) {
        let mut tries = Tries::new(AT_ONCE, OF_A_DOMAIN);
        let mut changes = self.0.registry.subscribe();
        let mut driven = FuturesUnordered::new();
        loop {
            changes.mark_unchanged();
            for local in tries.due(&open(&self.0.registry.subscriptions())) {
                driven.push(async move { (self.drive(&local).await, local) });
            }
            tokio::select! {
                Some((outcome, local)) = driven.next(), if !driven.is_empty() => {
                    let trouble = outcome.err();
                    let least = trouble.as_ref().map(|trouble| trouble.again().unwrap_or(LONGEST));
                    let wait = tries.tried(&local, least);
                    if let Some(trouble) = trouble {
                        tracing::debug!(%local, cause = %trouble, ?wait, "a subscription waits");
                    }
                }
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

/// Those that are not where they should be, with the domains of their flows.
fn open(rows: &[Subscription]) -> BTreeMap<&Name, String> {
    let waits = |row: &&Subscription| match row.stage {
        Stage::Active => false,
        Stage::Ended => !row.cleared,
        _ => true,
    };
    let domain = |row: &Subscription| row.flow.parent().unwrap_or_else(|| row.flow.clone());
    rows.iter().filter(waits).map(|row| (&row.local, domain(row).to_string())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn row(number: usize, domain: &str) -> Subscription {
        serde_json::from_value(serde_json::json!({
            "local": format!("l{number}.{domain}.own.test"),
            "flow": format!("f{number}.{domain}.test"),
            "reference": uuid::Uuid::nil(),
            "processor": format!("p{number}.{domain}.own.test"),
            "stage": Stage::Asking,
            "since": 0,
            "why": "",
            "created_at": 0,
        }))
        .unwrap()
    }

    const TROUBLE: Option<Duration> = Some(Duration::from_secs(2));

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_answer_holds_up_its_own_subscriptions_alone() {
        let mut tries = Tries::new(AT_ONCE, OF_A_DOMAIN);
        let mut rows: Vec<_> = (0..1_000).map(|number| row(number, "silent")).collect();
        rows.push(row(0, "quick"));
        let due = tries.due(&open(&rows));
        assert_eq!(due.len(), OF_A_DOMAIN + 1, "{due:?}");
        assert!(tries.due(&open(&rows)).is_empty(), "all others wait for those");
        assert!(tries.next() > Instant::now(), "and nobody asks again and again meanwhile");
        tries.tried(&rows[1_000].local, None);
        assert_eq!(
            tries.due(&open(&rows)),
            [rows[1_000].local.clone()],
            "this one is asked again at once"
        );
        let silent = due.iter().find(|local| local.as_str().contains("silent")).unwrap();
        tries.tried(silent, TROUBLE);
        assert_eq!(tries.due(&open(&rows)).len(), 1);
        // Those of many domains are not asked all at once either.
        let rows: Vec<_> = (0..1_000).map(|number| row(number, &format!("d{number}"))).collect();
        assert_eq!(tries.due(&open(&rows)).len(), AT_ONCE - OF_A_DOMAIN - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_go_on_is_tried_less_and_less_often() {
        let (mut tries, rows) = (Tries::new(AT_ONCE, OF_A_DOMAIN), [row(0, "away")]);
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(tries.due(&open(&rows)).len(), 1);
            let began = Instant::now();
            tries.tried(&rows[0].local, TROUBLE);
            assert!(tries.due(&open(&rows)).is_empty());
            tokio::time::sleep_until(tries.next()).await;
            waits.push(began.elapsed().as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert!(tries.due(&open(&[])).is_empty());
        tries.tried(&rows[0].local, None);
        assert!(tries.is_empty());
    }
}
