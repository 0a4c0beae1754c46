//! The task of one zone: makes it agree, again and again, as often as the registry changes.
//!
//! What cannot be done waits longer from try to try, a zone whose servers are away as a whole, a thing whose name
//! somebody else has alone. Each change is written down before it is sent, so a crash costs nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host_failpoints::failpoint;
use host_names::publish::{Owner, PublishError, Publisher, Zone};
use host_registry::{PublishedRow, Registry, RegistryError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::State;
use super::plan::{self, Row, Step};
use super::wanted::{self, Presence, Units};

/// Makes one zone agree.
pub(super) struct Agreement {
    pub(super) zone: Zone,
    pub(super) publisher: Arc<dyn Publisher>,
    pub(super) registry: Registry,
    pub(super) presence: Presence,
    pub(super) state: Arc<Mutex<State>>,
    /// Whether the zone outlives this process, and with it what is known of it.
    pub(super) is_kept: bool,
}

/// Why a round ended early.
#[derive(Debug)]
pub(super) struct Trouble(String);

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self(format!("what is published could not be written down: {error}"))
    }
}

/// What came of one change.
enum Sent {
    /// It is made.
    Made,
    /// Somebody else has some of the names.
    Taken(Vec<Owner>, String),
    /// It is not allowed, or not possible.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl Agreement {
    /// Until the host ends.
    pub(super) async fn keep(self) {
        let mut changes = self.registry.subscribe();
        let (mut failures, mut again, mut told) = (0, Instant::now(), String::new());
        loop {
            changes.borrow_and_update();
            let began = Instant::now();
            if again <= began {
                match self.round(began).await {
                    Ok(()) => {
                        if !told.is_empty() {
                            tracing::info!(zone = %self.zone, "names are published again");
                        }
                        (failures, told) = (0, String::new());
                        self.trouble(None);
                    }
                    Err(Trouble(words)) => {
                        if words != told {
                            tracing::warn!(zone = %self.zone, cause = words, "names wait to be published");
                        }
                        again = Instant::now() + wait_after(failures);
                        failures += 1;
                        self.trouble(Some(words.clone()));
                        told = words;
                    }
                }
            }
            if let Err(Trouble(words)) = self.note().await {
                tracing::warn!(zone = %self.zone, cause = words, "what waits is not written down");
            }
            let next = if failures > 0 { Some(again) } else { self.next(began) };
            tokio::select! {
                changed = changes.changed() => match changed {
                    // Many commands in a row are one change.
                    Ok(()) => sleep(SETTLED).await,
                    Err(_) => return,
                },
                () = until(next) => {}
            }
        }
    }

    /// Does all that can be done now.
    pub(super) async fn round(&self, due: Instant) -> Result<(), Trouble> {
        let wanted = self.wanted().await?;
        let (mut most, mut refusals) = (MOST_UNITS, 0);
        loop {
            let step = plan::next(&wanted, &self.state().rows, most, due, now());
            let Some(step) = step else { return Ok(()) };
            let units = step.after.len();
            match self.make(&step).await? {
                Sent::Made => (most, refusals) = ((most * 2).min(MOST_UNITS), 0),
                Sent::Taken(owners, words) => {
                    self.set_aside(&wanted, &step, &owners, &words).await?
                }
                Sent::Unknown(words) => {
                    self.failed(&step, &words, false).await?;
                    return Err(Trouble(words));
                }
                // Perhaps it is only some of them.
                Sent::Refused(_) if units > 1 => most = (units / 2).max(1),
                Sent::Refused(words) => {
                    self.failed(&step, &words, true).await?;
                    refusals += 1;
                    if refusals >= MOST_REFUSALS {
                        return Err(Trouble(words));
                    }
                }
            }
        }
    }

    async fn make(&self, step: &Step) -> Result<Sent, Trouble> {
        let during: Vec<_> =
            step.during.iter().map(|(unit, row)| (unit.clone(), Some(row.clone()))).collect();
        self.put(during).await?;
        if self.is_kept {
            failpoint!("publishing.noted");
        }
        let change = &step.change;
        if !change.add.is_empty() || !change.remove.is_empty() {
            let sent = timeout(PATIENCE, self.publisher.change(&self.zone, change)).await;
            if self.is_kept {
                failpoint!("publishing.sent");
            }
            match sent {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Ok(sent_of(error)),
                Err(_) => return Ok(Sent::Unknown("name server away: no answer".to_owned())),
            }
            let (zone, added, removed) = (&self.zone, change.add.len(), change.remove.len());
            tracing::debug!(%zone, added, removed, "names changed");
        }
        self.put(step.after.clone()).await?;
        if self.is_kept {
            failpoint!("publishing.settled");
        }
        Ok(Sent::Made)
    }

    /// Nothing was changed: what is known is what was known before, and who has no right to a name waits.
    async fn set_aside(
        &self,
        wanted: &Units,
        step: &Step,
        owners: &[Owner],
        words: &str,
    ) -> Result<(), Trouble> {
        let is_his = |unit: &str| {
            let unit = wanted.get(unit);
            unit.is_some_and(|unit| unit.sets.iter().any(|set| owners.contains(&set.owner)))
        };
        let nobody = !step.before.iter().any(|(unit, _)| is_his(unit));
        let rows = step.before.iter().map(|(unit, row)| {
            let mut row = row.clone().unwrap_or_default();
            row.since = row.since.or(Some(now()));
            if nobody || is_his(unit) {
                row = failed(row, words, true);
            }
            (unit.clone(), Some(row))
        });
        let rows = rows.collect();
        tracing::warn!(zone = %self.zone, cause = words, "names are not published");
        self.put(rows).await
    }

    async fn failed(&self, step: &Step, words: &str, alone: bool) -> Result<(), Trouble> {
        let rows = step.during.iter();
        let rows = rows.map(|(unit, row)| (unit.clone(), Some(failed(row.clone(), words, alone))));
        self.put(rows.collect()).await
    }

    /// Writes down what waits, and since when.
    pub(super) async fn note(&self) -> Result<(), Trouble> {
        let wanted = self.wanted().await?;
        let noted = plan::unnoted(&wanted, &self.state().rows, now());
        let noted: Vec<_> = noted.into_iter().map(|(unit, row)| (unit, Some(row))).collect();
        for some in noted.chunks(AT_ONCE) {
            self.put(some.to_vec()).await?;
        }
        Ok(())
    }

    async fn wanted(&self) -> Result<Units, Trouble> {
        let (registry, presence) = (self.registry.clone(), self.presence.clone());
        let zone = self.zone.clone();
        let all = move || wanted::wanted(&registry.findable(), &presence);
        // A hundred thousand flows take a moment.
        let all = tokio::task::spawn_blocking(all).await;
        let mut all = all.map_err(|error| Trouble(error.to_string()))?;
        Ok(all.remove(&zone).unwrap_or_default())
    }

    /// On disk first.
    async fn put(&self, rows: Vec<(String, Option<Row>)>) -> Result<(), Trouble> {
        if self.is_kept {
            let stored = rows.iter().map(|(unit, row)| {
                let row = row.as_ref().map(Row::stored).transpose();
                let row = row.map_err(|error| Trouble(error.to_string()))?;
                Ok((self.zone.to_string(), unit.clone(), row))
            });
            let stored: Vec<PublishedRow> = stored.collect::<Result<_, Trouble>>()?;
            self.registry.put_published(stored).await?;
        }
        let mut state = self.state();
        for (unit, row) in rows {
            match row {
                Some(row) => drop(state.rows.insert(unit, row)),
                None => drop(state.rows.remove(&unit)),
            }
        }
        Ok(())
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

fn sent_of(error: PublishError) -> Sent {
    let words = error.to_string();
    match error {
        PublishError::Taken { owners } => Sent::Taken(owners, words),
        PublishError::Refused { .. } | PublishError::Impossible { .. } => Sent::Refused(words),
        _ => Sent::Unknown(words),
    }
}

fn failed(row: Row, words: &str, alone: bool) -> Row {
    let again = alone.then(|| Instant::now() + wait_after(row.failures));
    let failures = row.failures.saturating_add(1);
    Row { tried: Some(now()), why: Some(words.to_owned()), again, failures, ..row }
}

/// How long to wait after so many failures before the last one.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_WAIT)
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// First wait after a failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Longest wait after failures: so long a name server may be back before its zone is whole.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long commands are gathered: nobody who looks a name up is that quick after the command that made it.
const SETTLED: Duration = Duration::from_millis(20);

/// Longest that one change may take, whatever whoever makes it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Units of one change; most changes are bounded by their octets first.
const MOST_UNITS: usize = 256;

/// Refusals of single units one after the other, after which the whole zone waits: it is not about them.
const MOST_REFUSALS: u32 = 3;

/// Rows that are written in one transaction, so that commands come in between.
const AT_ONCE: usize = 1_000;
