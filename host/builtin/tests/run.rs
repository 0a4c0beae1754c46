//! The plugins as components, run by the host's own engine: what native tests cannot see.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use host_builtin::{Builtin, all, bridge_next};
use host_events::{Batch, CloudEvent, Incarnation, Record, Stored};
use host_plugins::{Action, CallError, Engine, EngineOptions, Instance, Plugin, Setup};

/// The compiled code is kept: compiling takes most of the time of these tests.
fn engine() -> Engine {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Engine::new(&EngineOptions { pool: 0, ..EngineOptions::new(cache) }).unwrap()
}

async fn load(engine: &Engine, plugin: Builtin) -> Plugin {
    engine.load(Bytes::from_static(plugin.component)).await.unwrap()
}

fn setup(config: &str) -> Setup {
    Setup {
        inputs: vec!["in.example".to_owned()],
        outputs: vec!["out.example".to_owned()],
        config: config.to_owned(),
        ..Setup::empty("watch.example")
    }
}

/// Quakes of these magnitudes, and behind them a record that is no event.
fn quakes(magnitudes: &[f64]) -> Batch {
    let record = |magnitude: &f64| {
        let mut quake = CloudEvent::new("id", "/feed", "quake").unwrap();
        let data = format!(r#"{{"properties":{{"mag":{magnitude},"place":"Sangiang"}}}}"#);
        quake.set_data(Some(data.into()));
        quake.to_record(1_517_364_031_810)
    };
    let foreign = Record { value: Some(Bytes::from_static(b"\xff\x00")), ..Record::default() };
    let records = magnitudes.iter().map(record).chain([foreign]);
    let stored = |(offset, record)| Stored { offset, record };
    let records: Arc<[Stored]> = (0..).zip(records).map(stored).collect();
    let (flow, next) = (Incarnation(uuid::Uuid::nil()), records.len() as u64);
    Batch { flow, partition: 3, records, next }
}

async fn process(instance: &mut Instance, batch: Batch) -> Vec<Action> {
    instance.process(0, &"in.example".into(), batch).await.unwrap()
}

fn forward(index: u32) -> Action {
    Action::Forward { index, output: 0 }
}

#[tokio::test]
async fn every_plugin_describes_itself_under_the_name_of_its_file() {
    let engine = engine();
    for plugin in all() {
        let loaded = load(&engine, plugin).await;
        assert_eq!(loaded.info().name, plugin.name);
        assert_eq!(loaded.info().version, "0.1.0");
    }
    let next = load(&engine, bridge_next()).await;
    assert_eq!((next.info().name.as_str(), next.info().version.as_str()), ("bridge", "0.2.0"));
}

#[tokio::test]
async fn a_bridge_forwards_all_or_what_its_filter_lets_through() {
    let engine = engine();
    let [bridge, ..] = all();
    let bridge = load(&engine, bridge).await;
    let mut whole = bridge.instantiate(setup("{}")).await.unwrap();
    let actions = process(&mut whole, quakes(&[1.0, 5.0])).await;
    assert_eq!(actions, [Action::ForwardAll { output: 0 }]);
    let config = r#"{"filter":"type == 'quake' && data.properties.mag >= 5"}"#;
    let mut strong = bridge.instantiate(setup(config)).await.unwrap();
    assert_eq!(process(&mut strong, quakes(&[1.0, 5.0, 4.9, 6.5])).await, [forward(1), forward(3)]);
}

#[tokio::test]
async fn a_collector_marks_events_and_forwards_the_rest() {
    let engine = engine();
    let [_, collector, ..] = all();
    let collector = load(&engine, collector).await;
    let mut collector = collector.instantiate(setup("{}")).await.unwrap();
    let actions = process(&mut collector, quakes(&[1.0])).await;
    let [Action::Rewrite { index: 0, record, .. }, rest] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    let event = CloudEvent::from_record(record).unwrap().unwrap();
    assert_eq!(event.attribute("sourceflow").unwrap().canonical(), "in.example");
    assert_eq!(rest, &forward(1));
}

#[tokio::test]
async fn a_distributor_follows_its_rules() {
    let engine = engine();
    let [_, _, distributor, _] = all();
    let distributor = load(&engine, distributor).await;
    let rules =
        r#"{"rules":[{"when":"data.properties.mag > 4","to":"strong.example"}],"otherwise":0}"#;
    let outputs = vec!["weak.example".to_owned(), "strong.example".to_owned()];
    let setup = Setup { outputs, ..setup(rules) };
    let mut distributor = distributor.instantiate(setup).await.unwrap();
    let actions = process(&mut distributor, quakes(&[4.0, 5.0])).await;
    let strong = Action::Forward { index: 1, output: 1 };
    assert_eq!(actions, [forward(0), strong, forward(2)]);
}

#[tokio::test]
async fn a_signal_emits_valid_events_and_counts_in_the_shards_state() {
    let engine = engine();
    let [.., signal] = all();
    let signal = load(&engine, signal).await;
    let config = r#"{"rules":[{"name":"strong","when":"data.properties.mag >= 5",
        "count":{"at-least":2,"within":10},"emit":{"type":"alert.quake"}}]}"#;
    let setup = setup(config);
    let state = setup.state.clone();
    for (magnitudes, emitted) in [([5.0, 1.0], 0), ([1.0, 6.0], 1)] {
        let mut instance = signal.instantiate(setup.clone()).await.unwrap();
        state.lock().begin();
        let actions = process(&mut instance, quakes(&magnitudes)).await;
        state.lock().committed();
        assert_eq!(actions.len(), emitted);
        for action in actions {
            let Action::Emit { record, .. } = action else { panic!("{action:?}") };
            let alert = CloudEvent::from_record(&record).unwrap().unwrap();
            assert_eq!((alert.ty(), alert.source()), ("alert.quake", "flow://watch.example"));
            assert_eq!(alert.attribute("causeid").unwrap().canonical(), "id");
        }
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_the_path_of_the_value() {
    let engine = engine();
    let wrong = [
        (r#"{"filter":"nope()"}"#, "filter: unknown function: nope"),
        (r#"{"origin-attribute":"A"}"#, "origin-attribute: only lower-case"),
        (r#"{"rules":[{"when":"true","to":"x"}]}"#, "rules[0].to: no such output: x"),
        (r#"{"rules":[{"name":"a","when":1,"emit":{"type":"t"}}]}"#, "rules[0].when: invalid type"),
    ];
    for (plugin, (config, reason)) in all().into_iter().zip(wrong) {
        let answer = load(&engine, plugin).await.instantiate(setup(config)).await;
        match answer.err() {
            Some(CallError::Fatal(text)) => assert!(text.starts_with(reason), "{text}"),
            other => panic!("{}: {other:?}", plugin.name),
        }
    }
}

/// The limits of the rule language are there so that this holds.
#[tokio::test]
async fn the_deepest_expression_that_is_accepted_fits_the_guests_stack() {
    let engine = engine();
    let [bridge, ..] = all();
    let bridge = load(&engine, bridge).await;
    let shapes: [fn(usize) -> String; 7] = [
        |n| format!("{}1{} == 1 || true", "[".repeat(n), "]".repeat(n)),
        |n| format!("{}'x'{} == 'x'", "string(".repeat(n), ")".repeat(n)),
        |n| format!("0{} > 0", " + 1".repeat(n)),
        |n| format!("has(data{}) || true", ".properties".repeat(n)),
        |n| format!("{}true", "false ? true : ".repeat(n)),
        |n| format!("{}true{}", "[1].all(x, ".repeat(n), ")".repeat(n)),
        |n| format!("{}true{}", "[1].map(x, ".repeat(n), ")".repeat(n)),
    ];
    for shape in shapes {
        let mut accepted = 0;
        for nesting in 1..=400 {
            let config = format!(r#"{{"filter":"{}"}}"#, shape(nesting));
            match bridge.instantiate(setup(&config)).await {
                Ok(mut instance) => {
                    accepted = nesting;
                    process(&mut instance, quakes(&[1.0])).await;
                }
                Err(CallError::Fatal(_)) if nesting < 40 => {}
                Err(CallError::Fatal(_)) => break,
                Err(error) => panic!("{nesting} of {}: {error:?}", shape(1)),
            }
        }
        assert!(accepted > 3, "{}", shape(1));
    }
}
