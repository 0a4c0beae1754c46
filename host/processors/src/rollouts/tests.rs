use super::*;
use host_plugins::store::Known;

const WANTED: FirstDoes = FirstDoes { events: 100, time: Duration::from_secs(10) };

fn begun() -> Rollout {
    let before = Known { digest: "0".into(), version: "1.0.0".into() };
    Rollout { before, began: 0, first: None, everywhere: false, begun: false }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn others_follow_when_the_first_did_enough_for_long_enough() {
    let both = names(&["a", "b"]);
    let chosen = advanced(&begun(), &both, None, WANTED, 1_000);
    assert_eq!(chosen.first.as_ref().unwrap().processor, "a");
    let busy = advanced(&chosen, &both, Some(150), WANTED, 5_000);
    assert!(!busy.everywhere, "not long enough");
    assert_eq!(busy.first.as_ref().unwrap().events, 150);
    assert!(!advanced(&chosen, &both, Some(50), WANTED, 60_000).everywhere, "not enough");
    assert!(!advanced(&busy, &both, None, WANTED, 60_000).everywhere, "it does not run it");
    let all = advanced(&busy, &both, Some(0), WANTED, 11_000);
    assert!(all.everywhere && all.began == 11_000);
}

#[test]
fn one_that_rests_holds_the_others_up_for_a_time_only() {
    let both = names(&["a", "b"]);
    let chosen = advanced(&begun(), &both, None, WANTED, 1_000);
    let hour = 60 * 60 * 1_000;
    let resting = advanced(&chosen, &both, Some(0), WANTED, hour - 1);
    assert!(!resting.everywhere);
    // Nor is it of use that another one takes its place.
    let other = advanced(&resting, &names(&["b"]), None, WANTED, hour - 1);
    assert!(advanced(&other, &both, Some(0), WANTED, hour).everywhere);
}

#[test]
fn where_the_first_is_gone_another_one_begins_and_where_nobody_waits_all_run_it() {
    let chosen = advanced(&begun(), &names(&["a", "b"]), None, WANTED, 0);
    let other = advanced(&chosen, &names(&["b"]), Some(99), WANTED, 70_000);
    let first = other.first.unwrap();
    assert_eq!((&*first.processor, first.since, first.events), ("b", 70_000, 0));
    assert!(advanced(&chosen, &[], None, WANTED, 5).everywhere);
}

#[test]
fn only_those_wait_that_want_to_and_are_not_the_first() {
    let rollout = advanced(&begun(), &names(&["a", "b"]), None, WANTED, 0);
    assert!(waits(true, "b", Some(&rollout)) && !waits(true, "a", Some(&rollout)));
    assert!(!waits(false, "b", Some(&rollout)) && !waits(true, "b", None));
    let words = waiting(&rollout, FirstDoes { events: 1_234_567, ..WANTED });
    assert!(words.starts_with("waiting for a: 0 of 1,234,567 events, "), "{words}");
}
