use super::*;
use crate::publishing::wanted::{self, tests::*};

const MOST: usize = 1000;

fn next(wanted: &Units, rows: &Rows, most: usize, when: Instant, now: i64) -> Option<Step> {
    super::next(&due(wanted, rows, when), (wanted, rows), most, when, now)
}

fn units(flows: &[host_registry::Flow]) -> Units {
    let zone = "unix.ar";
    let all = wanted::wanted(&findable(&[namespace("flows.unix.ar")], flows), &presence(&[zone]));
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
    make(rows, step.during.iter().map(|(name, row)| (name.clone(), Some(row.clone()))).collect());
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
    // Nobody has said that they are ours, so they go only if they are.
    let back = agree(&without, &mut rows.clone());
    let Doubt { flow, id, remove } = &back[0].doubtful[0];
    let unit = &with["flow a.flows.unix.ar"];
    assert_eq!(unit.fresh, Some((flow.clone(), id.clone())));
    assert_eq!(remove.iter().cloned().collect::<BTreeSet<_>>(), unit.sets);
    assert!(back[0].remove.iter().all(|set| !unit.sets.contains(set)), "{back:?}");
}

#[tokio::test]
async fn a_flow_made_again_before_an_answer_takes_its_former_records_away_first() {
    let (one, two) = (units(&[flow("a.flows.unix.ar", 1)]), units(&[flow("a.flows.unix.ar", 2)]));
    let mut rows = Rows::new();
    let first = next(&one, &rows, MOST, Instant::now(), 1).unwrap();
    during(&mut rows, &first);
    let changes = agree(&two, &mut rows);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].fresh.is_empty() && !changes[0].doubtful.is_empty());
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
