use super::*;
use flow_sdk::Event;
use flow_sdk::testing::{Batches, Harness};
use serde_json::{Value, json};

fn harness(config: &Value) -> Result<Harness<Signal>, Error> {
    Harness::builder()
        .config(&config.to_string())
        .outputs(&["alerts.example", "audit.example"])
        .processor("watch.flows.example")
        .build()
}

fn quake(id: &str, magnitude: f64) -> Event {
    Event::new(id, "https://quakes.example/feed", "quake")
        .with_time("2018-01-31T01:49:59.650Z")
        .with_json(&json!({ "properties": { "mag": magnitude, "place": "Sangiang", "net": "us" } }))
        .unwrap()
}

fn batch(magnitudes: &[f64]) -> Batch {
    let quakes = magnitudes.iter().enumerate().map(|(id, m)| quake(&id.to_string(), *m));
    quakes.fold(Batches::new(), Batches::event).build()
}

fn strong() -> Value {
    json!({ "rules": [{
        "name": "strong",
        "when": "type == 'quake' && data.properties.mag >= 5",
        "emit": { "type": "alert.quake", "to": "alerts.example" },
    }] })
}

fn counting(at_least: u32, within: u32) -> Value {
    let mut config = strong();
    config["rules"][0]["count"] = json!({ "at-least": at_least, "within": within });
    config
}

fn emitted(actions: &[Action]) -> Vec<(u32, Event)> {
    let event = |action: &Action| match action {
        Action::Emit { output, key: None, event } => (*output, event.clone()),
        other => panic!("{other:?}"),
    };
    actions.iter().map(event).collect()
}

/// The ids of the events that made the rules fire.
fn causes(actions: &[Action]) -> Vec<String> {
    let cause = |(_, event): (u32, Event)| event.attribute("causeid").unwrap().to_string();
    emitted(actions).into_iter().map(cause).collect()
}

fn refusal(config: &Value) -> String {
    harness(config).unwrap_err().to_string()
}

#[test]
fn a_strong_quake_becomes_an_alert_that_names_its_cause() {
    let actions = harness(&strong()).unwrap().process(&batch(&[4.9, 5.0, 1.0])).unwrap();
    let events = emitted(&actions);
    let [(0, alert)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(alert.event_type(), "alert.quake");
    assert_eq!(alert.source(), "flow://watch.flows.example");
    assert_eq!(alert.attribute("causeid"), Some(&"1".into()));
    assert_eq!(alert.attribute("causesource").unwrap().to_string(), "https://quakes.example/feed");
    assert_eq!(alert.attribute("time").unwrap().to_string(), "2018-01-31T01:49:59.650Z");
    let data =
        r#"{"rule":"strong","data":{"properties":{"mag":5.0,"place":"Sangiang","net":"us"}}}"#;
    assert_eq!(String::from_utf8_lossy(alert.data.as_ref().unwrap()), data);
}

#[test]
fn a_batch_that_is_processed_again_emits_the_same_events() {
    let first = harness(&strong()).unwrap().process(&batch(&[5.0, 6.0])).unwrap();
    let again = harness(&strong()).unwrap().process(&batch(&[5.0, 6.0])).unwrap();
    assert_eq!(first, again);
    let ids: Vec<_> = emitted(&first).iter().map(|(_, event)| event.id().to_owned()).collect();
    assert!(ids[0] != ids[1] && ids[0].len() == 32);
}

#[test]
fn rules_combine_comparisons_and_go_to_every_output_unless_told() {
    let config = json!({ "rules": [
        { "name": "both", "when": "!(data.properties.mag < 5 || data.properties.mag > 6)",
          "emit": { "type": "alert.both" } },
        { "name": "audit", "when": "data.properties.net in ['us', 'ak']",
          "emit": { "type": "audit.seen", "to": 1 } },
    ] });
    let actions = harness(&config).unwrap().process(&batch(&[5.5, 6.5])).unwrap();
    let seen: Vec<_> =
        emitted(&actions).iter().map(|(o, event)| (*o, event.event_type().to_owned())).collect();
    let expected = [(0, "alert.both"), (1, "alert.both"), (1, "audit.seen"), (1, "audit.seen")];
    assert_eq!(seen, expected.map(|(output, name)| (output, name.to_owned())));
}

#[test]
fn chosen_members_and_a_subject_come_from_expressions() {
    let mut config = strong();
    config["rules"][0]["emit"]["subject"] =
        json!("data.properties.place + ', M ' + string(data.properties.mag)");
    config["rules"][0]["emit"]["data"] = json!({ "magnitude": "data.properties.mag", "depth": "data.geometry.depth", "from": "flow" });
    let actions = harness(&config).unwrap().process(&batch(&[5.5])).unwrap();
    let (_, alert) = emitted(&actions).remove(0);
    assert_eq!(alert.subject(), Some("Sangiang, M 5.5"));
    let expected = json!({ "magnitude": 5.5, "depth": null, "from": "in" });
    assert_eq!(alert.json::<Value>().unwrap()["data"], expected);
}

#[test]
fn a_count_fires_at_the_last_match_and_begins_anew() {
    let mut signal = harness(&counting(2, 10)).unwrap();
    let actions = signal.process(&batch(&[5.0, 1.0, 6.0, 7.0, 5.0, 9.0])).unwrap();
    assert_eq!(causes(&actions), ["2", "4"]);
}

#[test]
fn matches_further_apart_than_within_do_not_count_together() {
    let at_the_edge = |within| {
        let mut signal = harness(&counting(2, within)).unwrap();
        causes(&signal.process(&batch(&[5.0, 1.0, 1.0, 6.0])).unwrap())
    };
    assert_eq!(at_the_edge(4), ["3"]);
    assert!(at_the_edge(3).is_empty());
}

#[test]
fn a_count_goes_on_exactly_where_it_was_after_a_restart() {
    let events = [5.0, 1.0, 6.0, 1.0, 1.0, 1.0, 7.0, 8.0, 9.0];
    let whole = causes(&harness(&counting(3, 6)).unwrap().process(&batch(&events)).unwrap());
    let mut signal = harness(&counting(3, 6)).unwrap();
    let mut pieces = Vec::new();
    for (id, magnitude) in events.iter().enumerate() {
        let one = Batches::new().event(quake(&id.to_string(), *magnitude)).build();
        pieces.extend(causes(&signal.process(&one).unwrap()));
        signal.restart().unwrap();
    }
    assert_eq!(pieces, whole);
    assert_eq!(whole, ["7"]);
}

#[test]
fn matches_are_counted_apart_for_each_value_of_by() {
    let mut config = counting(2, 100);
    config["rules"][0]["count"]["by"] = json!("subject");
    config["rules"][0]["when"] = json!("true");
    let subjects = ["a", "b", "c", "b", "a"];
    let events = subjects
        .iter()
        .enumerate()
        .map(|(id, subject)| quake(&id.to_string(), 1.0).with_subject(subject));
    let actions = harness(&config)
        .unwrap()
        .process(&events.fold(Batches::new(), Batches::event).build())
        .unwrap();
    assert_eq!(causes(&actions), ["3", "4"]);
    assert_eq!(emitted(&actions)[0].1.json::<Value>().unwrap()["by"], json!("b"));
}

#[test]
fn state_stays_bounded_when_every_event_has_another_value() {
    let mut config = counting(2, 50);
    config["rules"][0]["count"]["by"] = json!("id");
    config["rules"][0]["when"] = json!("true");
    let mut signal = harness(&config).unwrap();
    for round in 0..100 {
        let events = (0..20).map(|id| quake(&format!("{round}-{id}"), 1.0));
        signal.process(&events.fold(Batches::new(), Batches::event).build()).unwrap();
    }
    assert!(signal.state_entries() < 200, "{}", signal.state_entries());
}

#[test]
fn a_foreign_record_can_fire_and_has_no_cause_attributes() {
    let mut config = strong();
    config["rules"][0]["when"] = json!("data.mag >= 5");
    let two = |key: &str| {
        let records =
            Batches::new().foreign(r#"{"mag":5}"#).key(key).foreign(r#"{"mag":5}"#).key("z");
        emitted(&harness(&config).unwrap().process(&records.build()).unwrap())
    };
    let (first, second) = (two("a"), two("a"));
    assert_eq!(first, second);
    assert_ne!(first[0].1.id(), first[1].1.id());
    assert_eq!(first[0].1.attribute("causeid"), None);
    assert_eq!(first[0].1.json::<Value>().unwrap()["data"], json!({ "mag": 5 }));
}

#[test]
fn a_processor_name_that_is_no_host_name_is_escaped_in_the_source() {
    let config = strong().to_string();
    let mut signal = Harness::<Signal>::builder()
        .config(&config)
        .outputs(&["alerts.example"])
        .processor("näme x")
        .build()
        .unwrap();
    let actions = signal.process(&batch(&[5.0])).unwrap();
    assert_eq!(emitted(&actions)[0].1.source(), "flow://n%C3%A4me%20x");
}

#[test]
fn a_wrong_configuration_is_refused_with_the_path() {
    let with = |path: &str, value: Value| {
        let mut config = counting(2, 10);
        *config.pointer_mut(&format!("/rules/0/{path}")).unwrap() = value;
        refusal(&config)
    };
    assert_eq!(refusal(&json!({})), "config: missing field `rules`");
    assert!(with("when", json!("x ==")).starts_with("rules[0].when: Syntax error"));
    assert!(with("name", json!("A b")).starts_with("rules[0].name: must be 1 to 63"));
    assert_eq!(with("count/at-least", json!(0)), "rules[0].count.at-least: must be 1 to 1000: 0");
    assert_eq!(
        with("count/at-least", json!(1001)),
        "rules[0].count.at-least: must be 1 to 1000: 1001"
    );
    assert_eq!(
        with("count/within", json!(1)),
        "rules[0].count.within: must be 2 (at-least) to 1000000: 1"
    );
    assert_eq!(
        with("count/within", json!(1_000_001)),
        "rules[0].count.within: must be 2 (at-least) to 1000000: 1000001"
    );
    assert!(
        with("count", json!({ "at-least": 1 }))
            .starts_with("rules[0].count: missing field `within`")
    );
    assert!(with("emit/to", json!("x")).starts_with("rules[0].emit.to: no such output: x"));
    assert_eq!(with("emit/type", json!("")), "rules[0].emit.type: is empty");
    assert_eq!(
        with("emit", json!({ "type": "t", "data": { "m": "nope()" } })),
        "rules[0].emit.data.m: unknown function: nope"
    );
    let mut twice = strong();
    let rule = twice["rules"][0].clone();
    twice["rules"].as_array_mut().unwrap().push(rule);
    assert_eq!(refusal(&twice), "rules[1].name: another rule has this name: strong");
}

#[test]
fn more_than_rules_max_are_refused() {
    let rule = |index: usize| {
        let mut rule = strong()["rules"][0].clone();
        rule["name"] = json!(format!("r{index}"));
        rule
    };
    let config = json!({ "rules": (0..257).map(rule).collect::<Vec<_>>() });
    assert_eq!(refusal(&config), "rules: 1 to 256 rules are possible: 257");
}
