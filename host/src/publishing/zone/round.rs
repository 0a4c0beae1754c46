//! One round of a zone: what is wanted and not yet there is made, change by change, each noted before and after.

use host_events::clock::now;
use host_failpoints::failpoint;
use host_names::publish::{Owner, PublishError};
use host_registry::PublishedRow;
use tokio::time::{Instant, timeout};

use super::{AT_ONCE, Agreement, PATIENCE, Trouble, wait_after};
use crate::publishing::plan::{self, Row, Step};
use crate::publishing::wanted::Units;

impl Agreement {
    /// Does all that can be done now.
    pub(in crate::publishing) async fn round(
        &self,
        wanted: &Units,
        due: Instant,
    ) -> Result<(), Trouble> {
        let mut queue = plan::due(wanted, &self.state().rows, due);
        let (mut most, mut refusals, mut progress) = (MOST_UNITS, 0, false);
        loop {
            let step = plan::next(&queue, (wanted, &self.state().rows), most, due, now());
            let Some(step) = step else { return Ok(()) };
            let units = step.after.len();
            match self.make(&step).await? {
                Sent::Made => (most, refusals, progress) = ((most * 2).min(MOST_UNITS), 0, true),
                Sent::Taken(owners, words, partly) => {
                    self.set_aside(wanted, &step, &owners, &words, partly).await?;
                }
                Sent::Unknown(words) => {
                    self.failed(&step, &words, false).await?;
                    return Err(Trouble { words, progress });
                }
                // Perhaps it is only some of them.
                Sent::Refused(_) if units > 1 => {
                    most = (units / 2).max(1);
                    continue;
                }
                Sent::Refused(words) => {
                    self.failed(&step, &words, true).await?;
                    refusals += 1;
                    if refusals >= MOST_REFUSALS {
                        return Err(Trouble { words, progress });
                    }
                }
            }
            queue.drain(..step.looked.min(queue.len()));
            let agrees =
                |unit: &String| plan::agrees(wanted.get(unit), self.state().rows.get(unit));
            let left = step.after.into_iter().map(|(unit, _)| unit).filter(|unit| !agrees(unit));
            queue.extend(left);
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
        if !(change.add.is_empty() && change.remove.is_empty() && change.doubtful.is_empty()) {
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

    /// Who has no right to a name waits. Where nothing was changed, what is known is what was known before.
    async fn set_aside(
        &self,
        wanted: &Units,
        step: &Step,
        owners: &[Owner],
        words: &str,
        partly: bool,
    ) -> Result<(), Trouble> {
        let is_his = |unit: &str| {
            let unit = wanted.get(unit);
            unit.is_some_and(|unit| unit.sets.iter().any(|set| owners.contains(&set.owner)))
        };
        let nobody = !step.before.iter().any(|(unit, _)| is_his(unit));
        let known = step.before.iter().zip(&step.during);
        let rows = known.map(|((unit, before), (_, during))| {
            let mut row = if partly { during.clone() } else { before.clone().unwrap_or_default() };
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
    pub(in crate::publishing) async fn note(&self, wanted: &Units) -> Result<(), Trouble> {
        let noted = plan::unnoted(wanted, &self.state().rows, now());
        let noted: Vec<_> = noted.into_iter().map(|(unit, row)| (unit, Some(row))).collect();
        for some in noted.chunks(AT_ONCE) {
            self.put(some.to_vec()).await?;
        }
        Ok(())
    }

    /// A first round, where the host waits for it.
    pub(in crate::publishing) async fn first(&self) {
        if let Ok(zones) = self.source.zones().await
            && let Some(wanted) = zones.get(&self.zone)
        {
            drop(self.round(wanted, Instant::now()).await);
        }
    }

    /// On disk first.
    pub(super) async fn put(&self, rows: Vec<(String, Option<Row>)>) -> Result<(), Trouble> {
        if self.is_kept {
            let stored = rows.iter().map(|(unit, row)| {
                let row = row.as_ref().map(Row::stored).transpose();
                let row = row.map_err(|error| Trouble::new(error.to_string()))?;
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
}

fn sent_of(error: PublishError) -> Sent {
    let words = error.to_string();
    match error {
        PublishError::Taken { owners, partly } => Sent::Taken(owners, words, partly),
        PublishError::Refused { .. }
        | PublishError::Unable { .. }
        | PublishError::Impossible { .. } => Sent::Refused(words),
        _ => Sent::Unknown(words),
    }
}

fn failed(row: Row, words: &str, alone: bool) -> Row {
    let again = alone.then(|| Instant::now() + wait_after(row.failures));
    let failures = row.failures.saturating_add(1);
    Row { tried: Some(now()), why: Some(words.to_owned()), again, failures, ..row }
}

/// Units of one change; most changes are bounded by their octets first.
const MOST_UNITS: usize = 256;

/// Refusals of single units one after the other, after which the whole zone waits: it is not about them.
const MOST_REFUSALS: u32 = 8;

/// What came of one change.
enum Sent {
    /// It is made.
    Made,
    /// Somebody else has some of the names.
    Taken(Vec<Owner>, String, bool),
    /// It is not allowed, or not possible, or cannot be done now.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}
