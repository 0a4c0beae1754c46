//! Another configuration for an instance that runs.

use super::*;
use crate::Action;

/// What it says to have seen of the events of a batch, and with which configuration.
async fn seen(instance: &mut Instance, events: usize) -> Vec<(String, String)> {
    let actions = process(instance, batch(events, 0)).await.unwrap();
    let told = |action: &Action| {
        let Action::Rewrite { record, .. } = action else { panic!("{action:?}") };
        let event = CloudEvent::from_record(record).unwrap().unwrap();
        let text = |name| event.attribute(name).unwrap().canonical().into_owned();
        (text("seen"), text("times"))
    };
    actions.iter().map(told).collect()
}

fn told(seen: u64, times: u64) -> (String, String) {
    (seen.to_string(), times.to_string())
}

#[tokio::test]
async fn another_configuration_leaves_the_memory_and_a_refused_one_everything() {
    let mut instance = limited("recall", 1, Limits::default()).await;
    assert_eq!(seen(&mut instance, 2).await, [told(1, 1), told(2, 1)]);
    instance.reconfigure(r#"{"act":"recall","times":2,"tick":100}"#).await.unwrap();
    assert!(instance.interval().is_some());
    assert_eq!(seen(&mut instance, 1).await, [told(3, 2)]);
    let refused = instance.reconfigure(r#"{"act":"unwelcome"}"#).await;
    assert_eq!(refused, Err(CallError::Fatal("act: is unwelcome".to_owned())));
    assert_eq!(seen(&mut instance, 1).await, [told(4, 2)]);
}

#[tokio::test]
async fn a_call_with_another_configuration_has_limits() {
    let limits = Limits { init_ms: 50, ..Limits::default() };
    let mut looping = limited("recall", 1, limits).await;
    let late = looping.reconfigure(r#"{"act":"loop-in-reconfigure"}"#).await;
    assert!(matches!(late, Err(CallError::Limit { which: "init_ms", .. })), "{late:?}");
    let mut instance = acting("").await;
    let beyond = instance.reconfigure(r#"{"tick":1}"#).await;
    assert!(matches!(beyond, Err(CallError::Contract(_))), "{beyond:?}");
    let first = Bytes::from_static(include_bytes!("../../tests/fixtures/v0_1_0.wasm"));
    let first = engine().load(first).await.unwrap();
    let missing = first.instantiate(setup("{}")).await.unwrap().reconfigure("{}").await;
    assert_eq!(missing, Err(CallError::Contract("does not export reconfigure".to_owned())));
}
