//! What to change in a zone next: a function of what should be there and of what may be.
//!
//! A row says what may be there before it is sent, so that whatever a crash interrupts can be made again, and
//! withdrawn to the letter. Sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use host_names::publish::{Change, Set};
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
}

/// Whether what is there is what should be.
fn agrees(unit: Option<&Unit>, row: Option<&Row>) -> bool {
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

/// The next change of at most so many units; none where nothing is to be done now.
pub(crate) fn next(
    wanted: &Units,
    rows: &Rows,
    most: usize,
    due: Instant,
    now: i64,
) -> Option<Step> {
    let mut step = Step::default();
    let mut octets = 0;
    // A list that is full has room again before somebody else joins it.
    let (gone, rest): (Vec<_>, Vec<_>) =
        names(wanted, rows).into_iter().partition(|name| !wanted.contains_key(*name));
    for name in gone.into_iter().chain(rest) {
        let (unit, row) = (wanted.get(name), rows.get(name));
        let is_gone = unit.is_none() && row.is_some_and(|row| row.sets.is_empty());
        let waits = row.and_then(|row| row.again).is_some_and(|again| again > due);
        if agrees(unit, row) || (waits && !is_gone) {
            continue;
        }
        let before = (step.change.add.len(), step.change.remove.len());
        step.take(name, unit, row, now);
        let text = |sets: &[Set]| sets.iter().map(|set| set.to_string().len()).sum::<usize>();
        let added = step.change.add.get(before.0..).unwrap_or_default();
        let removed = step.change.remove.get(before.1..).unwrap_or_default();
        octets += text(added) + text(removed);
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

impl Step {
    fn take(&mut self, name: &str, unit: Option<&Unit>, row: Option<&Row>, now: i64) {
        self.before.push((name.to_owned(), row.cloned()));
        let none = (Unit::default(), Row::default());
        let (unit, row) = (unit.unwrap_or(&none.0), row.unwrap_or(&none.1));
        let foreign: Vec<Set> = row.sets.difference(&unit.sets).cloned().collect();
        let fresh = unit.fresh.as_ref().filter(|_| !row.claimed);
        // Under our own older records the name would look like somebody else's.
        let first = fresh.is_some() && !foreign.is_empty();
        let wanted = if first { &none.0.sets } else { &unit.sets };
        let added = wanted.iter().filter(|set| !(row.settled && row.sets.contains(*set)));
        self.change.add.extend(added.cloned());
        self.change.remove.extend(row.sets.difference(wanted).cloned());
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
    }

    /// What another unit has as well is not taken away with this one.
    fn spare(&mut self, wanted: &Units) {
        if self.change.remove.is_empty() {
            return;
        }
        let all: BTreeSet<_> = wanted
            .values()
            .flat_map(|unit| &unit.sets)
            .map(|set| (&set.owner, &set.data))
            .collect();
        // What only has another TTL now is taken away before it is added.
        let added: BTreeSet<_> =
            self.change.add.iter().map(|set| (set.owner.clone(), set.data.clone())).collect();
        self.change.remove.retain(|set| {
            !all.contains(&(&set.owner, &set.data))
                || added.contains(&(set.owner.clone(), set.data.clone()))
        });
    }
}

/// Octets of records, as text, after which no further unit joins a change: one message holds 65,535, each unit is at
/// most some 5 KiB, and most of it shrinks on its way.
const MOST_OCTETS: usize = 40 * 1024;

#[cfg(test)]
mod tests {
    use super::super::wanted::{self, tests::*};
    use super::*;

    const MOST: usize = 1000;

    fn units(flows: &[host_registry::Flow]) -> Units {
        let zone = "unix.ar";
        let all =
            wanted::wanted(&findable(&[namespace("flows.unix.ar")], flows), &presence(&[zone]));
        all.into_values().next().unwrap()
    }

    fn make(rows: &mut Rows, rows_after: Vec<(String, Option<Row>)>) {
        for (name, row) in rows_after {
            match row {
                Some(row) => drop(rows.insert(name, row)),
                None => drop(rows.remove(&name)),
            }
        }
    }

    fn during(rows: &mut Rows, step: &Step) {
        make(
            rows,
            step.during.iter().map(|(name, row)| (name.clone(), Some(row.clone()))).collect(),
        );
    }

    fn agree(wanted: &Units, rows: &mut Rows) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(step) = next(wanted, rows, MOST, Instant::now(), 1) {
            during(rows, &step);
            make(rows, step.after);
            changes.push(step.change);
            assert!(changes.len() < 10, "it never ends");
        }
        changes
    }

    #[tokio::test]
    async fn what_is_wanted_is_added_once_and_withdrawn_to_the_letter() {
        let (with, without) = (units(&[flow("a.flows.unix.ar", 1)]), units(&[]));
        let mut rows = Rows::new();
        let changes = agree(&with, &mut rows);
        assert_eq!(changes.len(), 1, "many units are one change");
        let all: usize = with.values().map(|unit| unit.sets.len()).sum();
        assert_eq!((changes[0].add.len(), changes[0].remove.len()), (all, 0));
        assert_eq!(changes[0].fresh.len(), 1);
        assert!(agree(&with, &mut rows).is_empty());
        let changes = agree(&without, &mut rows);
        let gone: BTreeSet<Set> = changes[0].remove.iter().cloned().collect();
        assert_eq!(gone, with["flow a.flows.unix.ar"].sets);
        assert!(changes[0].add.is_empty() && !rows.contains_key("flow a.flows.unix.ar"));
    }

    #[tokio::test]
    async fn a_change_whose_end_nobody_knows_is_made_again_or_taken_back() {
        let (with, without) = (units(&[flow("a.flows.unix.ar", 1)]), units(&[]));
        let mut rows = Rows::new();
        let first = next(&with, &rows, MOST, Instant::now(), 1).unwrap();
        during(&mut rows, &first);
        let again = next(&with, &rows, MOST, Instant::now(), 2).unwrap();
        assert_eq!(again.change, first.change);
        assert_eq!(again.during[0].1.since, Some(1), "it waits since the first time");
        let back = agree(&without, &mut rows.clone());
        let removed: BTreeSet<Set> = back[0].remove.iter().cloned().collect();
        assert!(removed.is_superset(&with["flow a.flows.unix.ar"].sets));
    }

    #[tokio::test]
    async fn a_flow_made_again_before_an_answer_takes_its_former_records_away_first() {
        let (one, two) =
            (units(&[flow("a.flows.unix.ar", 1)]), units(&[flow("a.flows.unix.ar", 2)]));
        let mut rows = Rows::new();
        let first = next(&one, &rows, MOST, Instant::now(), 1).unwrap();
        during(&mut rows, &first);
        let changes = agree(&two, &mut rows);
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(changes[0].fresh.is_empty() && !changes[0].remove.is_empty());
        assert_eq!(changes[1].fresh, [two["flow a.flows.unix.ar"].fresh.clone().unwrap()]);
        // With an answer the name was ours already.
        let mut rows = Rows::new();
        agree(&one, &mut rows);
        let changes = agree(&two, &mut rows);
        assert_eq!((changes.len(), changes[0].fresh.len()), (1, 0));
    }

    #[tokio::test]
    async fn changes_are_bounded_and_units_that_failed_wait_alone() {
        let flows: Vec<_> = (0..300).map(|n| flow(&format!("f{n}.flows.unix.ar"), n + 1)).collect();
        let wanted = units(&flows);
        let mut rows = Rows::new();
        let step = next(&wanted, &rows, MOST, Instant::now(), 1).unwrap();
        let octets: usize = step.change.add.iter().map(|set| set.to_string().len()).sum();
        assert!(octets < MOST_OCTETS + 5 * 1024 && step.after.len() < 302, "{octets}");
        assert_eq!(next(&wanted, &rows, 3, Instant::now(), 1).unwrap().after.len(), 3);
        agree_all(&wanted, &mut rows);
        // The last one by name: with one that is listed, another joins the list.
        let rest: Vec<_> =
            flows.into_iter().filter(|flow| flow.name.as_str() != "f99.flows.unix.ar").collect();
        let wanted = units(&rest);
        let later = Instant::now() + std::time::Duration::from_secs(60);
        rows.get_mut("flow f99.flows.unix.ar").unwrap().again = Some(later);
        assert_eq!(next(&wanted, &rows, MOST, Instant::now(), 1), None);
        assert!(next(&wanted, &rows, MOST, later, 1).is_some());
        let noted = unnoted(&wanted, &rows, 5);
        assert_eq!((noted.len(), noted[0].1.since), (1, Some(5)));
    }

    fn agree_all(wanted: &Units, rows: &mut Rows) {
        while let Some(step) = next(wanted, rows, MOST, Instant::now(), 1) {
            make(rows, step.after);
        }
    }

    #[test]
    fn a_row_is_the_same_after_it_was_stored() {
        let unit = units(&[]).remove("agent").unwrap();
        let row = Row { sets: unit.sets, claimed: true, since: Some(1), ..Row::default() };
        assert_eq!(Row::read(row.stored().unwrap()).unwrap(), row);
        assert!(Row::read(Published { sets: "x".to_owned(), ..Default::default() }).is_err());
    }

    #[tokio::test]
    async fn what_two_units_have_stays_with_the_other() {
        let mut both = units(&[flow("a.flows.unix.ar", 1)]);
        let shared = both["agent"].sets.first().unwrap().clone();
        both.get_mut("flow a.flows.unix.ar").unwrap().sets.insert(shared.clone());
        let mut rows = Rows::new();
        agree(&both, &mut rows);
        let changes = agree(&units(&[]), &mut rows);
        assert!(!changes[0].remove.contains(&shared) && !changes[0].remove.is_empty());
    }
}
