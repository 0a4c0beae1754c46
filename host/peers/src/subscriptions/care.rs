//! The background: what did not go well is tried again, and what other hosts have ended ends here.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fnap::name::Name;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use host_registry::{Stage, Subscription};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Subscriptions, Trouble};
use crate::broker::Gone;

/// The longest time between two tries: a host that is away for a night is found within this.
const LONGEST: Duration = Duration::from_secs(60);

/// Subscriptions that are tried at a time: each may wait for a host that does not answer.
const AT_ONCE: usize = 256;

/// The same of one domain: a host that does not answer keeps others waiting only together with sixty more.
const OF_A_DOMAIN: usize = 4;

/// When each is tried next, and how often it was.
#[derive(Default)]
struct Tries {
    times: HashMap<Name, (Instant, u32)>,
    /// Those that are tried just now, each with the domain of its flow.
    under_way: HashMap<Name, Name>,
    of_domain: HashMap<Name, usize>,
}

impl Subscriptions {
    /// Looks after all of them, until the future is dropped.
    pub async fn care(&self) {
        let mut tries = Tries::default();
        let mut changes = self.0.registry.subscribe();
        let mut driven = FuturesUnordered::new();
        loop {
            changes.mark_unchanged();
            for local in tries.due(&self.0.registry.subscriptions()) {
                driven.push(async move { (self.drive(&local).await, local) });
            }
            tokio::select! {
                Some((outcome, local)) = driven.next(), if !driven.is_empty() => {
                    tries.tried(&local, outcome.err());
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

impl Tries {
    /// Those that are not where they should be, whose time has come, and for which there is room. They count as under way.
    fn due(&mut self, rows: &[Subscription]) -> Vec<Name> {
        let now = Instant::now();
        let waits = |row: &&Subscription| match row.stage {
            Stage::Active => false,
            Stage::Ended => !row.cleared,
            _ => true,
        };
        let open: BTreeMap<&Name, &Name> =
            rows.iter().filter(waits).map(|row| (&row.local, &row.flow)).collect();
        self.times.retain(|name, _| open.contains_key(name));
        let mut due = Vec::new();
        for (local, flow) in open {
            let is_early = self.times.get(local).is_some_and(|(at, _)| *at > now);
            if !is_early && self.begin(local, flow) {
                due.push(local.clone());
            }
        }
        due
    }

    /// Whether there is room for one more.
    fn begin(&mut self, local: &Name, flow: &Name) -> bool {
        if self.under_way.len() >= AT_ONCE || self.under_way.contains_key(local) {
            return false;
        }
        let domain = flow.parent().unwrap_or_else(|| flow.clone());
        let many = self.of_domain.entry(domain.clone()).or_default();
        if *many >= OF_A_DOMAIN {
            return false;
        }
        *many += 1;
        self.under_way.insert(local.clone(), domain);
        true
    }

    fn tried(&mut self, local: &Name, trouble: Option<Trouble>) {
        if let Some(domain) = self.under_way.remove(local) {
            let many = self.of_domain.get_mut(&domain).map(|many| {
                *many -= 1;
                *many
            });
            if many == Some(0) {
                self.of_domain.remove(&domain);
            }
        }
        let Some(trouble) = trouble else {
            self.times.remove(local);
            return;
        };
        let times = self.times.get(local).map_or(0, |(_, times)| *times);
        let least = trouble.again().unwrap_or(LONGEST);
        let wait = (least.max(Duration::from_secs(1)) * 2_u32.saturating_pow(times.min(6)))
            .min(LONGEST.max(least));
        tracing::debug!(%local, cause = %trouble, ?wait, "a subscription waits");
        self.times.insert(local.clone(), (Instant::now() + wait, times.saturating_add(1)));
    }

    /// When the next one's time comes. Those whose time has come and who wait for room go on when others are done.
    fn next(&self) -> Instant {
        let now = Instant::now();
        let later = self.times.iter().filter(|(local, _)| !self.under_way.contains_key(*local));
        let at = later.map(|(_, (at, _))| *at).filter(|at| *at > now).min();
        at.unwrap_or(now + LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use fnap::reply::{Code, Failure};

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

    fn trouble() -> Option<Trouble> {
        Some(Trouble::Later(Failure::new(Code::ConnError, ""), Duration::from_secs(2)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_answer_holds_up_its_own_subscriptions_alone() {
        let mut tries = Tries::default();
        let mut rows: Vec<_> = (0..1_000).map(|number| row(number, "silent")).collect();
        rows.push(row(0, "quick"));
        let due = tries.due(&rows);
        assert_eq!(due.len(), OF_A_DOMAIN + 1, "{due:?}");
        assert!(tries.due(&rows).is_empty(), "all others wait for those");
        assert!(tries.next() > Instant::now(), "and nobody asks again and again meanwhile");
        tries.tried(&rows[1_000].local, None);
        assert_eq!(
            tries.due(&rows),
            [rows[1_000].local.clone()],
            "this one is asked again at once"
        );
        let silent = due.iter().find(|local| local.as_str().contains("silent")).unwrap();
        tries.tried(silent, trouble());
        assert_eq!(tries.due(&rows).len(), 1);
        // Those of many domains are not asked all at once either.
        let rows: Vec<_> = (0..1_000).map(|number| row(number, &format!("d{number}"))).collect();
        assert_eq!(tries.due(&rows).len(), AT_ONCE - OF_A_DOMAIN - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_go_on_is_tried_less_and_less_often() {
        let (mut tries, rows) = (Tries::default(), [row(0, "away")]);
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(tries.due(&rows).len(), 1);
            let began = Instant::now();
            tries.tried(&rows[0].local, trouble());
            assert!(tries.due(&rows).is_empty());
            tokio::time::sleep_until(tries.next()).await;
            waits.push(began.elapsed().as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert!(tries.due(&[]).is_empty());
        tries.tried(&rows[0].local, None);
        assert!(tries.times.is_empty() && tries.under_way.is_empty() && tries.of_domain.is_empty());
    }
}
