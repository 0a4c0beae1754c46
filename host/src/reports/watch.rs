//! Sees how the events of active subscriptions come, and writes it into their rows: held by the owner, behind, a gap, or
//! somebody is away.
//!
//! What passes by itself in a short time is not told. Changes nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use host_events::clock;
use host_processors::Phase;
use host_registry::{Condition, ConditionKind, Stage, Subscription};
use host_server::Services;
use tokio::time::{Instant, sleep};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// How long everything has to go well before that is told: a processor that begins again looks well for a moment.
const WELL: Duration = Duration::from_secs(3);

/// How a gap's words begin, as the engine says them.
const GAP: &str = "gap: ";

/// Octets of words that are kept.
const MAX_WORDS: usize = 800;

/// What one look sees.
enum Seen {
    /// Events come.
    Well,
    /// Nobody can say yet.
    Unclear,
    Bad(ConditionKind, String, BTreeMap<String, u64>),
}

/// What was seen of late of one subscription: what kind, or that all is well, and since when.
type Streak = (Option<ConditionKind>, Instant);

/// Watches until the host ends. `late` is how long something is away or behind before it is told.
pub(crate) async fn watch(services: Arc<Services>, late: Duration) {
    let mut streaks: HashMap<Name, Streak> = HashMap::new();
    loop {
        let rows = services.registry.subscriptions();
        let active: Vec<_> = rows.into_iter().filter(|row| row.stage == Stage::Active).collect();
        streaks.retain(|local, _| active.iter().any(|row| row.local == *local));
        for row in active {
            let seen = look(&services, &row, late).await;
            if let Some(condition) = judge(&mut streaks, &row, seen, late) {
                note(&services, &row, condition).await;
            }
        }
        sleep(PERIOD).await;
    }
}

async fn look(services: &Services, row: &Subscription, late: Duration) -> Seen {
    let Ok(Some(processor)) = services.registry.processor(&row.processor).await else {
        return Seen::Unclear;
    };
    let Some(report) = services.processors.report(processor.id).await else {
        return Seen::Unclear;
    };
    match report.phase() {
        Phase::Starting => return Seen::Unclear,
        Phase::Failed(words) => {
            let facts = gap(&words);
            let kind = if facts.is_some() { ConditionKind::Gap } else { ConditionKind::Waiting };
            return Seen::Bad(kind, words, facts.unwrap_or_default());
        }
        Phase::Running | Phase::Paused | Phase::Stopped => {}
    }
    if services.peers.is_held(row) {
        let words = "held by the owner of the flow".to_owned();
        return Seen::Bad(ConditionKind::Paused, words, BTreeMap::new());
    }
    let lag = services.processors.lag(processor.id);
    let behind = lag.seconds.filter(|seconds| *seconds >= late.as_secs_f64());
    match (lag.events, behind) {
        (Some(0), _) | (Some(_), None) => Seen::Well,
        (Some(events), Some(seconds)) => {
            let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs();
            let facts = [("records", events), ("seconds", seconds)];
            let facts = facts.map(|(key, fact)| (key.to_owned(), fact)).into_iter().collect();
            Seen::Bad(ConditionKind::Lagging, String::new(), facts)
        }
        // How far he is behind is asked of the owner's host.
        (None, _) => Seen::Unclear,
    }
}

/// The figures of a gap; none where the words are no gap's.
fn gap(words: &str) -> Option<BTreeMap<String, u64>> {
    let (_, words) = words.split_once(GAP)?;
    let after = |key: &str| {
        let (_, rest) = words.split_once(key)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..digits)?.parse().ok()
    };
    let facts = [("partition", " partition "), ("from", ": position "), ("to", "earliest=")];
    let facts = facts.into_iter().filter_map(|(name, key)| Some((name.to_owned(), after(key)?)));
    Some(facts.collect())
}

/// What the row has to say now; none where it is right as it is, or it is too early to say.
fn judge(
    streaks: &mut HashMap<Name, Streak>,
    row: &Subscription,
    seen: Seen,
    late: Duration,
) -> Option<Option<Condition>> {
    let (kind, words, facts) = match seen {
        Seen::Unclear => return None,
        Seen::Well => (None, String::new(), BTreeMap::new()),
        Seen::Bad(kind, words, facts) => (Some(kind), words, facts),
    };
    let now = Instant::now();
    let (before, since) = streaks.entry(row.local.clone()).or_insert((kind, now));
    if *before != kind {
        (*before, *since) = (kind, now);
    }
    let patience = match kind {
        None => WELL,
        // Who begins with what is old is not behind.
        Some(ConditionKind::Waiting | ConditionKind::Lagging) => late,
        Some(ConditionKind::Gap | ConditionKind::Paused) => Duration::ZERO,
    };
    let known = row.condition.as_ref().map(|condition| condition.kind);
    if known == kind || since.elapsed() < patience {
        return None;
    }
    let mut words = words;
    words.truncate(words.floor_char_boundary(MAX_WORDS));
    Some(kind.map(|kind| Condition { kind, words, facts, since: clock::now() }))
}

async fn note(services: &Services, row: &Subscription, condition: Option<Condition>) {
    let change = move |row: &mut Subscription| {
        if row.stage == Stage::Active {
            row.condition = condition;
        }
    };
    if let Err(error) = services.registry.advance_subscription(&row.local, change).await {
        tracing::debug!(local = %row.local, cause = %error, "a condition was not written down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_with_its_figures() {
        let words = "shard 0: gap: flow f.test partition 3: position 17 is not in the log, earliest=20 latest=25";
        let facts = gap(words).unwrap();
        let expected = [("from", 17), ("partition", 3), ("to", 20)];
        assert_eq!(facts, expected.map(|(key, fact)| (key.to_owned(), fact)).into());
        assert_eq!(gap("gap: flow f.test is another one now"), Some(BTreeMap::new()));
        assert_eq!(gap("connect: a.test: refused"), None);
    }
}
