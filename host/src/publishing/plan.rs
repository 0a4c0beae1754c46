//! What to change in a zone next: a function of what should be there and of what may be.
//!
//! A row says what may be there before it is sent, so that whatever a crash interrupts can be made again, and
//! withdrawn to the letter. Sends nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;

use host_names::publish::{Change, Data, Doubt, Owner, Set, sign_of};
use host_registry::Published;
use tokio::time::Instant;

use super::wanted::{Unit, Units};

/// What is known of one unit's records in a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// All that may be there.
    pub(crate) sets: BTreeSet<Set>,
    /// Whether an answer has said that they are there, and nothing else of it.
    pub(crate) settled: bool,
    /// Whether the names were ever found to be free, or ours.
    pub(crate) claimed: bool,
    /// Since when there is something else than should be; milliseconds since 1970 UTC.
    pub(crate) since: Option<i64>,
    /// The last try, where it failed.
    pub(crate) tried: Option<i64>,
    /// Why it failed.
    pub(crate) why: Option<String>,
    /// Not to be tried before; not stored.
    pub(crate) again: Option<Instant>,
    /// Tries that failed one after the other; not stored.
    pub(crate) failures: u32,
}

pub(crate) type Rows = BTreeMap<String, Row>;

impl Row {
    /// As it was stored.
    pub(crate) fn read(stored: Published) -> Result<Self, serde_json::Error> {
        let Published { sets, settled, claimed, since, tried, why } = stored;
        let sets = serde_json::from_str(&sets)?;
        Ok(Self { sets, settled, claimed, since, tried, why, ..Self::default() })
    }

    /// As it is stored.
    pub(crate) fn stored(&self) -> Result<Published, serde_json::Error> {
        let Self { settled, claimed, since, tried, .. } = *self;
        let sets = serde_json::to_string(&self.sets)?;
        Ok(Published { sets, settled, claimed, since, tried, why: self.why.clone() })
    }
}

/// One change, and what is known before it is sent and after it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// What is sent.
    pub(crate) change: Change,
    /// What was known before.
    pub(crate) before: Vec<(String, Option<Row>)>,
    /// What may be there from when it is sent.
    pub(crate) during: Vec<(String, Row)>,
    /// What is there when it was made; units without a row are gone.
    pub(crate) after: Vec<(String, Option<Row>)>,
    /// How many from the front of the queue it is about, those left out included.
    pub(crate) looked: usize,
}

/// Whether what is there is what should be.
pub(crate) fn agrees(unit: Option<&Unit>, row: Option<&Row>) -> bool {
    match (unit, row) {
        (Some(unit), Some(row)) => row.settled && row.sets == unit.sets,
        (None, row) => row.is_none(),
        (Some(_), None) => false,
    }
}

fn names<'a>(wanted: &'a Units, rows: &'a Rows) -> BTreeSet<&'a String> {
    wanted.keys().chain(rows.keys()).collect()
}

/// Units that wait, and that nobody has noted to wait.
pub(crate) fn unnoted(wanted: &Units, rows: &Rows, now: i64) -> Vec<(String, Row)> {
    let waits = |name: &&String| {
        let row = rows.get(*name);
        !agrees(wanted.get(*name), row) && row.is_none_or(|row| row.since.is_none())
    };
    let noted = |name: &String| {
        let row = rows.get(name).cloned().unwrap_or_default();
        (name.clone(), Row { since: Some(now), ..row })
    };
    names(wanted, rows).into_iter().filter(waits).map(noted).collect()
}

/// Units whose turn it is, in the order in which they are to be tried: what fails holds up nothing that has failed
/// less often, and what many find others by comes before what few look for.
pub(crate) fn due(wanted: &Units, rows: &Rows, due: Instant) -> VecDeque<String> {
    let mut all: Vec<(_, &String)> = names(wanted, rows)
        .into_iter()
        .filter(|name| is_due(wanted.get(*name), rows.get(*name), due))
        .map(|name| (rank(name, wanted, rows), name))
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, name)| name.clone()).collect()
}

fn is_due(unit: Option<&Unit>, row: Option<&Row>, due: Instant) -> bool {
    let is_gone = unit.is_none() && row.is_some_and(|row| row.sets.is_empty());
    let waits = row.and_then(|row| row.again).is_some_and(|again| again > due);
    !agrees(unit, row) && (!waits || is_gone)
}

/// Neighbours by name often fail together, so beyond that the order is nobody's.
fn rank(name: &str, wanted: &Units, rows: &Rows) -> (u32, bool, usize, u64) {
    let failures = rows.get(name).map_or(0, |row| row.failures);
    // A list that is full has room again before somebody else joins it.
    let is_wanted = wanted.contains_key(name);
    let kind = ["agent", "namespace "].iter().position(|kind| name.starts_with(kind));
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (failures, is_wanted, kind.unwrap_or(usize::MAX), hasher.finish())
}

/// The next change of at most so many units from the front of those whose turn it is; none where nothing is to be done
/// now.
pub(crate) fn next(
    queue: &VecDeque<String>,
    (wanted, rows): (&Units, &Rows),
    most: usize,
    due: Instant,
    now: i64,
) -> Option<Step> {
    let mut step = Step::default();
    let mut octets = 0;
    for name in queue {
        step.looked += 1;
        let (unit, row) = (wanted.get(name), rows.get(name));
        if !is_due(unit, row, due) {
            continue;
        }
        octets += step.take(name, unit, row, now);
        if step.after.len() >= most || octets >= MOST_OCTETS {
            break;
        }
    }
    if step.after.is_empty() {
        return None;
    }
    step.spare(wanted);
    Some(step)
}

fn octets(sets: &[Set]) -> usize {
    sets.iter().map(|set| set.to_string().len()).sum()
}

impl Step {
    /// Makes a unit part of the change; gives the octets of its records.
    fn take(&mut self, name: &str, unit: Option<&Unit>, row: Option<&Row>, now: i64) -> usize {
        self.before.push((name.to_owned(), row.cloned()));
        let none = (Unit::default(), Row::default());
        let (unit, row) = (unit.unwrap_or(&none.0), row.unwrap_or(&none.1));
        let fresh = unit.fresh.as_ref().filter(|_| !row.claimed);
        // Under our own older records the name would look like somebody else's.
        let first = fresh.is_some() && !row.sets.is_subset(&unit.sets);
        let wanted = if first { &none.0.sets } else { &unit.sets };
        let added = wanted.iter().filter(|set| !(row.settled && row.sets.contains(*set)));
        let added: Vec<Set> = added.cloned().collect();
        let gone: Vec<Set> = row.sets.difference(wanted).cloned().collect();
        let taken = octets(&added) + octets(&gone);
        self.change.add.extend(added);
        self.withdraw(row, gone);
        self.change.fresh.extend(fresh.filter(|_| !first).cloned());
        let since = row.since.or(Some(now));
        let during = Row { settled: false, since, ..row.clone() };
        let after = match (wanted.is_empty(), first) {
            (true, false) => None,
            (true, true) => Some(Row { sets: BTreeSet::new(), ..during.clone() }),
            (false, _) => {
                Some(Row { sets: wanted.clone(), settled: true, claimed: true, ..Row::default() })
            }
        };
        let sets = row.sets.union(wanted).cloned().collect();
        self.during.push((name.to_owned(), Row { sets, ..during }));
        self.after.push((name.to_owned(), after));
        taken
    }

    /// What no answer has ever said to be ours may be somebody else's, who publishes the same of that name.
    fn withdraw(&mut self, row: &Row, gone: Vec<Set>) {
        match sign_of(&row.sets).filter(|_| !row.claimed && !gone.is_empty()) {
            Some((_, flow, id)) => self.change.doubtful.push(Doubt { flow, id, remove: gone }),
            None => self.change.remove.extend(gone),
        }
    }

    /// What another unit has as well is not taken away with this one.
    fn spare(&mut self, wanted: &Units) {
        let Change { add, remove, doubtful, .. } = &mut self.change;
        let gone = remove.iter().chain(doubtful.iter().flat_map(|doubt| &doubt.remove));
        let gone: BTreeSet<_> = gone.map(|set| (&set.owner, &set.data)).collect();
        if gone.is_empty() {
            return;
        }
        let stay = wanted.values().flat_map(|unit| &unit.sets);
        let stay = stay.map(|set| (&set.owner, &set.data)).filter(|one| gone.contains(one));
        // What only has another TTL now is taken away before it is added.
        let added: BTreeSet<_> = add.iter().map(|set| (&set.owner, &set.data)).collect();
        let stay: BTreeSet<(Owner, Data)> = stay
            .filter(|one| !added.contains(one))
            .map(|(owner, data)| (owner.clone(), data.clone()))
            .collect();
        let goes = |set: &Set| !stay.contains(&(set.owner.clone(), set.data.clone()));
        remove.retain(goes);
        doubtful.iter_mut().for_each(|doubt| doubt.remove.retain(goes));
    }
}

/// The next units after one that are said to be in the zone, and by which set one sees it; from the beginning after
/// the last one.
pub(crate) fn looked_at(rows: &Rows, after: Option<&String>, most: usize) -> Vec<(String, Set)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let rest = rows.range::<String, _>((from, Bound::Unbounded));
    let mark = |(name, row): (&String, &Row)| {
        let set = sign_of(&row.sets).map(|(set, ..)| set).or_else(|| row.sets.first());
        set.filter(|_| row.settled).map(|set| (name.clone(), set.clone()))
    };
    rest.filter_map(mark).take(most).collect()
}

/// What is known of a unit whose records are not where they were left: somebody else may have the name meanwhile.
pub(crate) fn lost(row: &Row, now: i64) -> Row {
    let why = Some("records have gone from the zone".to_owned());
    Row { settled: false, claimed: false, since: row.since.or(Some(now)), why, ..row.clone() }
}

/// Octets of records, as text, after which no further unit joins a change: one message holds 65,535, each unit is at
/// most some 5 KiB, and most of it shrinks on its way.
const MOST_OCTETS: usize = 40 * 1024;

#[cfg(test)]
mod tests;
