//! Carries reports from the registry to the flows of their namespaces, each once, in order.
//!
//! A namespace whose flow cannot be written holds up no other: it is tried again, and what waits is bounded by the registry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fnap::name::Name;
use host_failpoints::failpoint;
use host_server::Services;
use tokio::time::{Instant, sleep_until};

use super::flow::{Reports, dropped};

/// Reports that are carried at once.
const AT_ONCE: u32 = 64;

/// First wait after a failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait after failures: how late we may notice that a broker is back. And how late one is carried that was missed.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A namespace whose reports wait.
struct Trouble {
    again: Instant,
    wait: Duration,
    words: String,
}

/// Carries until the host ends.
pub(crate) async fn carry(services: Arc<Services>) {
    let mut changes = services.registry.subscribe();
    let mut troubles: HashMap<Name, Trouble> = HashMap::new();
    loop {
        changes.borrow_and_update();
        match services.registry.reported_namespaces().await {
            Ok(namespaces) => {
                troubles.retain(|namespace, _| namespaces.contains(namespace));
                for namespace in namespaces {
                    try_one(&services, namespace, &mut troubles).await;
                }
            }
            Err(error) => tracing::error!(cause = %error, "reports cannot be read"),
        }
        let again = troubles.values().map(|trouble| trouble.again).min();
        let again = again.unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep_until(again) => {}
        }
    }
}

async fn try_one(services: &Services, namespace: Name, troubles: &mut HashMap<Name, Trouble>) {
    let now = Instant::now();
    let before = troubles.get(&namespace);
    if before.is_some_and(|before| before.again > now) {
        return;
    }
    let Err(error) = carry_of(services, &namespace).await else {
        if troubles.remove(&namespace).is_some() {
            tracing::info!(%namespace, "reports go on");
        }
        return;
    };
    let words = format!("{error:#}");
    if before.is_none_or(|before| before.words != words) {
        tracing::warn!(%namespace, cause = words, "reports wait");
    }
    let wait = before.map_or(FIRST_WAIT, |before| (before.wait * 2).min(LONGEST_WAIT));
    let again = Instant::now() + wait;
    troubles.insert(namespace, Trouble { again, wait, words });
}

/// Carries all that waits of a namespace.
async fn carry_of(services: &Services, namespace: &Name) -> Result<()> {
    let registry = &services.registry;
    loop {
        let waiting = registry.reports(namespace, AT_ONCE).await?;
        let (Some(first), Some(last)) = (waiting.reports.first(), waiting.reports.last()) else {
            return Ok(());
        };
        // Of a namespace that is gone nobody reads anything.
        if registry.namespace(namespace).await?.is_some() {
            let flow = Reports::of(services, namespace).await?;
            if waiting.dropped > 0 {
                flow.write(&dropped(first, waiting.dropped)).await.context("dropped")?;
            }
            for report in &waiting.reports {
                failpoint!("reports.before-append");
                flow.write(report).await?;
                failpoint!("reports.appended");
            }
        }
        registry.carried_reports(namespace, last.number, waiting.dropped).await?;
    }
}
