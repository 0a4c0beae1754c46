use super::*;
use flow_sdk::Event;
use flow_sdk::testing::{Batches, Harness};

fn event(second: i64, key: &str, amount: i64) -> Event {
    let time = config::written(second * 1_000).unwrap();
    Event::new("1", "/test", "paid")
        .with_time(&time)
        .with("partitionkey", key)
        .with_json(&serde_json::json!({ "amount": amount }))
        .unwrap()
}

/// Each event when it happened.
fn batch(events: &[(i64, &str, i64)]) -> Batch {
    let add = |batch: Batches, (second, key, amount): &(i64, &str, i64)| {
        batch.event(event(*second, key, *amount)).timestamp(second * 1_000)
    };
    events.iter().fold(Batches::new(), add).build()
}

fn harness(config: &str) -> Harness<TumblingWindow> {
    Harness::new(config).unwrap()
}

/// Ends in seconds, keys, counts and sums of windows that were closed.
fn closed(actions: &[Action]) -> Vec<(i64, String, u64, f64)> {
    let window = |action: &Action| match action {
        Action::Emit { event, .. } => {
            let data: serde_json::Value = event.json().unwrap();
            let end = moment(data["to"].as_str().unwrap()).unwrap() / 1_000;
            let key = data["key"].as_str().unwrap().to_owned();
            (end, key, data["count"].as_u64().unwrap(), data["sum"].as_f64().unwrap_or(0.0))
        }
        other => panic!("{other:?}"),
    };
    actions.iter().map(window).collect()
}

const TEN: &str = r#"{"seconds":10,"sum":"/amount"}"#;

#[test]
fn a_window_closes_when_events_have_passed_its_end() {
    let mut plugin = harness(TEN);
    let open = plugin.process(&batch(&[(1, "a", 5), (9, "a", 7), (3, "b", 1)])).unwrap();
    assert_eq!(closed(&open), []);
    plugin.restart().unwrap();
    let next = plugin.process(&batch(&[(10, "a", 1)])).unwrap();
    assert_eq!(closed(&next), [(10, "a".to_owned(), 2, 12.0), (10, "b".to_owned(), 1, 1.0)]);
    let last = plugin.process(&batch(&[(30, "c", 0)])).unwrap();
    assert_eq!(closed(&last), [(20, "a".to_owned(), 1, 1.0)]);
}

#[test]
fn who_is_late_is_a_dead_letter_and_grace_makes_room() {
    let mut strict = harness(TEN);
    let actions = strict.process(&batch(&[(25, "a", 1), (9, "a", 1)])).unwrap();
    assert_eq!(actions, [Action::dead_letter(1, "late: its window is closed")]);
    let mut patient = harness(r#"{"seconds":10,"grace":20}"#);
    patient.process(&batch(&[(25, "a", 1), (9, "a", 1)])).unwrap();
    let closing = patient.process(&batch(&[(30, "b", 1)])).unwrap();
    assert_eq!(closed(&closing), [(10, "a".to_owned(), 1, 0.0)]);
}

#[test]
fn one_event_that_is_yet_to_come_closes_nothing() {
    let mut plugin = harness(TEN);
    let next_year = |kept: i64| {
        let batch = Batches::new().event(event(31_536_000, "a", 1)).timestamp(kept);
        batch.event(event(2, "a", 1)).timestamp(2_000).build()
    };
    let early = Action::dead_letter(0, "early: its time is yet to come");
    assert_eq!(plugin.process(&next_year(1_000)).unwrap(), [early]);
    let closing = plugin.process(&batch(&[(10, "a", 1)])).unwrap();
    assert_eq!(closed(&closing), [(10, "a".to_owned(), 1, 1.0)]);
    // Nobody can say, where the broker keeps no time.
    let actions = harness(TEN).process(&next_year(-1)).unwrap();
    assert_eq!(actions, [Action::dead_letter(1, "late: its window is closed")]);
    // Clocks differ by a little.
    let mut exact = harness(r#"{"seconds":10,"ahead":1}"#);
    let ahead = |seconds: i64| {
        Batches::new().event(event(5, "a", 1)).timestamp((5 - seconds) * 1_000).build()
    };
    assert_eq!(exact.process(&ahead(1)).unwrap(), []);
    assert_eq!(exact.process(&ahead(2)).unwrap().len(), 1);
}

#[test]
fn where_no_event_comes_any_more_the_clock_closes_what_has_passed() {
    let mut plugin = harness(r#"{"seconds":10,"idle":5}"#);
    plugin.process(&batch(&[(1_000, "a", 1), (1_001, "a", 1)])).unwrap();
    assert_eq!(plugin.tick(1_015_000).unwrap(), []);
    assert_eq!(plugin.tick(1_019_000).unwrap(), [], "four seconds of five");
    // A fresh instance waits anew.
    plugin.restart().unwrap();
    assert_eq!(plugin.tick(1_021_000).unwrap(), []);
    let closing = plugin.tick(1_026_000).unwrap();
    assert_eq!(closed(&closing), [(1_010, "a".to_owned(), 2, 0.0)]);
    let late = plugin.process(&batch(&[(1_002, "a", 1), (1_011, "a", 1)])).unwrap();
    assert_eq!(late, [Action::dead_letter(0, "late: its window is closed")]);
    // What has not passed by the clock stays open.
    plugin.tick(1_012_000).unwrap();
    assert_eq!(plugin.tick(1_018_000).unwrap(), []);
}

#[test]
fn many_windows_close_over_several_answers() {
    let mut plugin = harness(r#"{"seconds":1,"idle":1}"#);
    let keys: Vec<String> = (0..2_500).map(|n| format!("k{n}")).collect();
    let events: Vec<_> = keys.iter().map(|key| (5, key.as_str(), 1)).collect();
    plugin.process(&batch(&events)).unwrap();
    plugin.tick(100_000).unwrap();
    let mut told = Vec::new();
    for second in 101..104 {
        told.extend(closed(&plugin.tick(second * 1_000).unwrap()));
    }
    let mut seen: Vec<String> = told.into_iter().map(|(_, key, ..)| key).collect();
    seen.sort_unstable();
    let mut wanted = keys;
    wanted.sort_unstable();
    assert_eq!(seen, wanted);
    assert_eq!(plugin.state_entries(), 1, "only how far time is");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_path() {
    let refusal =
        |config: &str| Harness::<TumblingWindow>::new(config).map(drop).unwrap_err().to_string();
    assert_eq!(refusal(r#"{"seconds":0}"#), "seconds: must be 1 to 86400: 0");
    assert_eq!(refusal(r#"{"seconds":1,"idle":3601}"#), "idle: must be 1 to 3600: 3601");
    assert_eq!(
        refusal(r#"{"seconds":1,"sum":"amount"}"#),
        "sum: is a JSON pointer, which begins with /"
    );
    assert_eq!(refusal(r#"{"seconds":1,"by":""}"#), "by: names no attribute");
    assert_eq!(refusal(r#"{"seconds":1,"ahead":-1}"#), "ahead: must be 0 to 86400: -1");
}

#[test]
fn times_before_1970_lie_in_windows_too() {
    let mut plugin = harness(r#"{"seconds":10}"#);
    plugin.process(&batch(&[(-5, "a", 1)])).unwrap();
    let closing = plugin.process(&batch(&[(1, "a", 1)])).unwrap();
    assert_eq!(closed(&closing), [(0, "a".to_owned(), 1, 0.0)]);
}
