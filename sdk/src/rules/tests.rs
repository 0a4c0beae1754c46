//! Expressions against events, as a configuration would have them.

use super::*;
use crate::testing::{Batches, take_log_lines};
use crate::{Batch, Event, Value};

fn quake(data: &str) -> Event {
    Event::new("uw61345682", "https://quakes.example/feed", "quake")
        .with_subject("Amboy, Washington")
        .with_time("2018-01-31T01:49:59.650Z")
        .with("stations", 7)
        .with("reviewed", true)
        .with("digest", Value::Binary(vec![1, 2]))
        .with_data("application/json", data)
}

fn holds_for(source: &str, batch: &Batch) -> bool {
    let mut rules = Rules::new();
    let expression = rules.compile("when", source).unwrap();
    expression.matches(&rules.read(batch).at(0))
}

fn holds(source: &str) -> bool {
    let data = r#"{"properties":{"mag":5,"place":null,"nst":7.0},"coordinates":[-122.1,46.2]}"#;
    holds_for(source, &Batches::new().event(quake(data)).build())
}

fn refusal(source: &str) -> String {
    Rules::new().compile("rules[2].when", source).unwrap_err().to_string()
}

#[test]
fn attributes_are_names_with_their_types() {
    assert!(holds("type == 'quake' && source.startsWith('https://')"));
    assert!(holds("stations > 6 && stations < 7.5 && reviewed"));
    assert!(holds("digest == b'\\x01\\x02' && size(digest) == 2"));
    assert!(holds("time < '2018-02-01' && id in ['uw61345682', 'x']"));
    assert!(holds("flow == 'in'"));
}

#[test]
fn an_absent_attribute_is_null_and_not_in_the_map() {
    assert!(holds("dataschema == null && dataschema != 'x' && !(dataschema == 'x')"));
    assert!(holds("!has(attributes.dataschema) && has(attributes.subject)"));
    assert!(holds("'subject' in attributes && attributes['subject'].endsWith('ton')"));
    assert!(holds("attributes.subject.contains('Amboy')"));
    assert!(!holds("attributes.dataschema == 'x'") && !holds("attributes.dataschema != 'x'"));
}

#[test]
fn numbers_compare_by_value_however_json_spells_them() {
    assert!(holds("data.properties.mag >= 5 && data.properties.mag >= 5.0"));
    assert!(holds("data.properties.mag == 5.0 && data.properties.mag < 5.1"));
    assert!(holds("data.properties.nst == 7 && data.properties.nst == stations"));
    let event = Event::new("1", "/s", "t").with_data("application/json", "18446744073709551615");
    assert!(holds_for("data > 9223372036854775807", &Batches::new().event(event).build()));
}

#[test]
fn what_is_missing_or_does_not_fit_is_no_match_and_said_once() {
    let _before = take_log_lines();
    assert!(!holds("data.properties.depth > 1"));
    assert!(!holds("!(data.properties.depth > 1)"));
    assert!(!holds("data.properties.place > 1"));
    assert!(!holds("subject > 1"));
    assert!(!holds("data.properties.mag"));
    assert!(!holds("data.coordinates[9] > 1"));
    assert_eq!(take_log_lines().len(), 6);
    assert!(holds("data.properties.depth > 1 || type == 'quake'"));
    assert!(holds("has(data.properties.depth) ? data.properties.depth > 1 : true"));
    let batch = Batches::new().event(quake("{}")).event(quake("{}")).build();
    let mut rules = Rules::new();
    let expression = rules.compile("filter", "data.password == 'secret'").unwrap();
    let events = rules.read(&batch);
    assert!(!expression.matches(&events.at(0)) && !expression.matches(&events.at(1)));
    let lines = take_log_lines();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.fields[0], ("expression".to_owned(), "filter".to_owned()));
    assert_eq!(line.fields[1], ("reason".to_owned(), "no such key".to_owned()));
}

#[test]
fn data_is_null_unless_it_is_json() {
    let plain = Event::new("1", "/s", "t").with_data("text/plain", "5");
    assert!(holds_for("data == null", &Batches::new().event(plain).build()));
    let suffix = Event::new("1", "/s", "t").with_data("application/geo+json; charset=utf-8", "5");
    assert!(holds_for("data == 5", &Batches::new().event(suffix).build()));
    let untyped = Event { data: Some(b"[5]".to_vec()), ..Event::new("1", "/s", "t") };
    assert!(holds_for("data[0] == 5", &Batches::new().event(untyped).build()));
    let broken = Event::new("1", "/s", "t").with_data("application/json", "{");
    assert!(holds_for("data == null", &Batches::new().event(broken).build()));
    assert!(holds_for("data == null", &Batches::new().event(Event::new("1", "/s", "t")).build()));
}

#[test]
fn a_foreign_record_has_its_value_and_no_attributes() {
    let batch = Batches::new().foreign(r#"{"mag":5.5}"#).build();
    assert!(holds_for("data.mag > 5 && type == null && !has(attributes.id)", &batch));
}

#[test]
fn lists_and_maps_of_the_data_can_be_searched() {
    assert!(holds("data.coordinates.exists(c, c > 46) && data.coordinates.all(c, c < 47)"));
    assert!(holds("data.properties.exists(name, name == 'mag')"));
    assert!(holds("data.coordinates.map(x, x + 1.0)[0] < 0 && size(data.coordinates) == 2"));
    assert!(holds("data.coordinates.filter(data, data > 0.0).size() == 1"));
    assert!(holds("type(data.properties) == map && type(stations) == int"));
}

#[test]
fn data_is_read_only_where_an_expression_asks_for_it() {
    let needs = |source: &str| {
        let mut rules = Rules::new();
        rules.compile("when", source).unwrap();
        let batch = Batches::new().event(quake("{}")).build();
        rules.read(&batch).has_data()
    };
    assert!(!needs("type == 'data' && [1].exists(data, data == 1)"));
    assert!(needs("has(data.x)") && needs("size(data) > 0") && needs("[data].exists(x, x == 1)"));
}

#[test]
fn what_cannot_be_right_for_any_event_is_refused_with_its_path() {
    assert_eq!(refusal("type == 'x' && mathc(source)"), "rules[2].when: unknown function: mathc");
    assert_eq!(refusal("Type == 'x'"), "rules[2].when: unknown name: Type");
    assert_eq!(refusal("matches(type, 'x.*')"), "rules[2].when: unknown function: matches");
    assert_eq!(
        refusal("size(attributes) > 3"),
        "rules[2].when: attributes must be followed by a name: attributes.subject"
    );
    assert!(
        refusal("type ==").starts_with("rules[2].when: Syntax error"),
        "{}",
        refusal("type ==")
    );
    assert!(refusal("").starts_with("rules[2].when: "));
    assert!(refusal("Message{x: 1}").ends_with("messages are not known: Message"));
}

#[test]
fn an_expression_longer_than_expression_max_is_refused() {
    let long = |len: usize| format!("type == '{}'", "x".repeat(len - 10));
    assert!(Rules::new().compile("when", &long(EXPRESSION_MAX)).is_ok());
    assert_eq!(refusal(&long(EXPRESSION_MAX + 1)), "rules[2].when: longer than 4096 bytes: 4097");
}

#[test]
fn nesting_beyond_depth_max_is_refused_on_a_small_stack() {
    let shapes: [fn(usize) -> String; 7] = [
        |n| format!("{}1{} == 1", "[".repeat(n), "]".repeat(n)),
        |n| format!("{}'x'{} == 'x'", "string(".repeat(n), ")".repeat(n)),
        |n| format!("0{} > 0", " + 1".repeat(n)),
        |n| format!("data{} == 1", ".a".repeat(n)),
        |n| format!("data{} == 1", "[0]".repeat(n)),
        |n| format!("{}true", "true ? true : ".repeat(n)),
        |n| format!("{}true{}", "[1].all(x, ".repeat(n), ")".repeat(n)),
    ];
    let tests = move || {
        for shape in shapes {
            for nesting in (0..64).chain([100, 200, 350]) {
                let compiled = Rules::new().compile("when", &shape(nesting));
                assert!(compiled.is_ok() || nesting > 8, "refused: {}", shape(nesting));
                assert!(compiled.is_err() || nesting <= 32, "accepted: {}", shape(nesting));
                let _truth = compiled.is_ok() && holds(&shape(nesting));
            }
        }
        for flat in ["(", "!!", "--"] {
            let closing = if flat == "(" { ")".repeat(1000) } else { String::new() };
            assert!(holds(&format!("{}1{closing} == 1 || true", flat.repeat(1000))));
        }
        assert!(holds(&format!("type == 'quake'{}", " || type == 'x'".repeat(200))));
    };
    // An unoptimised build takes more stack than a component.
    let small = std::thread::Builder::new().stack_size(4 * 1024 * 1024);
    small.spawn(tests).unwrap().join().unwrap();
}

#[test]
fn values_come_out_as_json_with_sorted_keys() {
    let data = r#"{"z":1,"a":[true,null,1.5,"x"],"m":{"k":18446744073709551615}}"#;
    let batch = Batches::new().event(quake(data)).build();
    let mut rules = Rules::new();
    let json = |rules: &mut Rules, source: &str| {
        let expression = rules.compile("data", source).unwrap();
        expression.json(&rules.read(&batch).at(0)).map(|value| value.to_string())
    };
    let sorted = r#"{"a":[true,null,1.5,"x"],"m":{"k":18446744073709551615},"z":1}"#;
    assert_eq!(json(&mut rules, "data").unwrap(), sorted);
    assert_eq!(
        json(&mut rules, "[subject, stations, digest]").unwrap(),
        r#"["Amboy, Washington",7,"AQI="]"#
    );
    assert_eq!(json(&mut rules, "data.nothing"), None);
    assert_eq!(json(&mut rules, "0.0 / 0.0"), None);
}

/// The names that are let through are the functions that there are.
#[test]
fn every_function_that_is_let_through_is_there() {
    for call in [
        "bool('true')",
        "size(bytes('x')) == 1",
        "'ab'.contains('b')",
        "double('1') == 1",
        "dyn(1) == 1",
        "'ab'.endsWith('b')",
        "int('1') == 1",
        "'ab'.size() == 2",
        "'ab'.startsWith('a')",
        "string(1) == '1'",
        "type(1) == int",
        "uint(1) == 1",
    ] {
        assert!(holds(call), "{call}");
    }
}
