//! The task of one zone: makes it agree, again and again, as often as the registry changes.
//!
//! What cannot be done waits longer from try to try, a zone whose servers are away as a whole, a thing whose name
//! somebody else has alone. Each change is written down before it is sent, so a crash costs nothing.

mod round;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host_events::clock::now;
use host_names::publish::{Publisher, Zone};
use host_registry::{Registry, RegistryError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::State;
use super::plan::{self, Row};
use super::source::Source;
use super::wanted::Units;

/// Makes one zone agree.
pub(super) struct Agreement {
    pub(super) zone: Zone,
    pub(super) publisher: Arc<dyn Publisher>,
    pub(super) registry: Registry,
    pub(super) source: Arc<Source>,
    pub(super) state: Arc<Mutex<State>>,
    /// Whether the zone outlives this process, and with it what is known of it.
    pub(super) is_kept: bool,
    /// How often it is looked whether what was left in the zone is still there.
    pub(super) look_every: Duration,
}

/// A look at what was left in the zone.
struct Asked {
    /// Which units.
    looked: Vec<String>,
    /// Those of them, by their places, that are not there any more; none where nobody has said.
    lost: Option<Vec<usize>>,
}

/// Why a round ended early.
#[derive(Debug)]
pub(super) struct Trouble {
    words: String,
    /// Whether something was made before.
    progress: bool,
}

impl Trouble {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), progress: false }
    }
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::new(format!("what is published could not be written down: {error}"))
    }
}

/// When a zone is tried again.
struct Pace {
    failures: u32,
    again: Instant,
    told: String,
}

impl Pace {
    fn new() -> Self {
        Self { failures: 0, again: Instant::now(), told: String::new() }
    }
}

impl Agreement {
    /// Until the host ends.
    pub(super) async fn keep(self) {
        let mut changes = self.registry.subscribe();
        let mut pace = Pace::new();
        let (mut look, mut looked) = (Instant::now(), None);
        let mut asking = None;
        loop {
            changes.borrow_and_update();
            let began = Instant::now();
            let due = pace.again <= began;
            self.tried(began, due.then_some(&mut pace)).await;
            if self.is_kept && asking.is_none() && look <= began {
                asking = Some(Box::pin(self.ask(looked.clone())));
            }
            let next = if pace.failures > 0 { Some(pace.again) } else { self.next(began) };
            let next_look = (self.is_kept && asking.is_none()).then_some(look);
            let next = [next, next_look].into_iter().flatten().min();
            tokio::select! {
                changed = changes.changed() => match changed {
                    // Many commands in a row are one change.
                    Ok(()) => sleep(SETTLED).await,
                    Err(_) => return,
                },
                // A server that does not answer holds up no change.
                asked = answered(&mut asking) => {
                    asking = None;
                    look = Instant::now() + self.heard(asked, &mut looked).await;
                }
                () = until(next) => {}
            }
        }
    }

    /// Tries, where it is time to, and writes down what waits.
    async fn tried(&self, began: Instant, pace: Option<&mut Pace>) {
        // Kept to the end, so that the other zones need not compute it, too.
        let zones = self.source.zones().await;
        let none = Units::new();
        let wanted = zones.as_ref().map(|zones| zones.get(&self.zone).unwrap_or(&none));
        if let Some(pace) = pace {
            let round = match wanted {
                Ok(wanted) => self.round(wanted, began).await,
                Err(words) => Err(Trouble::new(words)),
            };
            self.told(round, pace);
        }
        if let Ok(wanted) = wanted
            && let Err(Trouble { words, .. }) = self.note(wanted).await
        {
            tracing::warn!(zone = %self.zone, cause = words, "what waits is not written down");
        }
    }

    fn told(&self, round: Result<(), Trouble>, pace: &mut Pace) {
        let Err(Trouble { words, progress }) = round else {
            if !pace.told.is_empty() {
                tracing::info!(zone = %self.zone, "names are published again");
            }
            *pace = Pace::new();
            return self.trouble(None);
        };
        if words != pace.told {
            tracing::warn!(zone = %self.zone, cause = words, "names wait to be published");
        }
        if progress {
            pace.failures = 0;
        }
        pace.again = Instant::now() + wait_after(pace.failures);
        pace.failures += 1;
        self.trouble(Some(words.clone()));
        pace.told = words;
    }

    /// Looks whether a part of what was left in the zone is still there: whoever serves it may have changed, or
    /// have gone back to what was. What is not is published again. Gives when to look again.
    #[cfg(test)]
    pub(super) async fn look(&self, last: &mut Option<String>) -> Duration {
        let asked = self.ask(last.clone()).await;
        self.heard(asked, last).await
    }

    /// Asks for the part behind `last`.
    async fn ask(&self, last: Option<String>) -> Asked {
        let looked = plan::looked_at(&self.state().rows, last.as_ref(), MOST_LOOKED);
        if looked.is_empty() {
            return Asked { looked: Vec::new(), lost: Some(Vec::new()) };
        }
        let (looked, marks): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
        let lost = timeout(PATIENCE, self.publisher.lost(&self.zone, &marks, MANY_LOST)).await;
        Asked { looked, lost: lost.ok().and_then(Result::ok) }
    }

    /// Has what is not there any more published again.
    async fn heard(&self, asked: Asked, last: &mut Option<String>) -> Duration {
        let Asked { looked, lost } = asked;
        let Some(lost) = lost else { return LONGEST_WAIT };
        *last = looked.last().cloned();
        if lost.is_empty() {
            return self.look_every;
        }
        // Where so many are not there nobody has to be asked about each.
        let is_lost: BTreeSet<&String> =
            lost.iter().filter_map(|place| looked.get(*place)).collect();
        let all = is_lost.len() >= MANY_LOST;
        let rows: Vec<_> = {
            let state = self.state();
            let rows = state.rows.iter().filter(|(_, row)| row.settled);
            let rows = rows.filter(|(unit, _)| all || is_lost.contains(unit));
            rows.map(|(unit, row)| (unit.clone(), Some(plan::lost(row, now())))).collect()
        };
        tracing::warn!(zone = %self.zone, units = rows.len(), "records have gone from a zone: published again");
        for some in rows.chunks(AT_ONCE) {
            if self.put(some.to_vec()).await.is_err() {
                return LONGEST_WAIT;
            }
        }
        self.look_every
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Rows are put in whole, so a panic leaves none half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, words: Option<String>) {
        self.state().trouble = words;
    }

    /// When the first of those that wait alone is to be tried again, of those that were not due yet.
    fn next(&self, due: Instant) -> Option<Instant> {
        let again = |row: &Row| row.again.filter(|again| *again > due);
        self.state().rows.values().filter_map(again).min()
    }
}

/// How long to wait after so many failures before the last one.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_WAIT)
}

/// Waits for what is asked, for ever where nothing is.
async fn answered<T>(asking: &mut Option<Pin<Box<impl Future<Output = T>>>>) -> T {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// First wait after a failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Longest wait after failures: so long a name server may be back before its zone is whole.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long commands are gathered: nobody who looks a name up is that quick after the command that made it.
const SETTLED: Duration = Duration::from_millis(20);

/// Longest that one change may take, whatever whoever makes it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether what was left in a zone is still there.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Units that are looked at each time, from where the last time ended: some four messages.
const MOST_LOOKED: usize = 2_000;

/// So many units of one look that are not there mean that it is not the zone that it was: everything is published again.
const MANY_LOST: usize = 16;

/// Rows that are written in one transaction, so that commands come in between.
const AT_ONCE: usize = 1_000;
