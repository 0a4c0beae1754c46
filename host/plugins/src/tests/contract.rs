//! What a guest answers, right and wrong.

use super::*;
use crate::Action;

async fn broken(act: &str) -> String {
    match process(&mut acting(act).await, batch(3, 0)).await {
        Err(CallError::Contract(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_go_on_by_reference() {
    assert_eq!(
        process(&mut acting("").await, batch(3, 10)).await,
        Ok(vec![Action::ForwardAll { output: 0 }])
    );
    let each = process(&mut acting("forward-each").await, batch(2, 10)).await.unwrap();
    assert_eq!(each, [0, 1].map(|index| Action::Forward { index, output: 0 }));
}

#[tokio::test]
async fn forgetting_an_event_is_the_plugins_error() {
    assert_eq!(broken("nothing").await, "no action names event 0 of 3");
}

#[tokio::test]
async fn outputs_and_events_that_do_not_exist_are_named() {
    assert_eq!(broken("unknown-output").await, "names output 9 of 1");
    assert_eq!(broken("unknown-index").await, "names event 999 of 3");
    let error = process(&mut acting("bad-index").await, batch(3, 0)).await.unwrap_err();
    assert!(error.to_string().contains("index 999 of a batch of 3 events"), "{error}");
}

#[tokio::test]
async fn an_event_goes_to_an_output_once() {
    assert_eq!(
        broken("forward-twice").await,
        "forwards more than each of 3 events to each of 1 outputs"
    );
}

#[tokio::test]
async fn what_is_emitted_must_be_a_valid_event() {
    let words = broken("emit-invalid").await;
    assert!(words.starts_with("emits no valid CloudEvent: "), "{words}");
}

#[tokio::test]
async fn an_emitted_event_takes_its_partitionkey_and_the_batches_time() {
    let mut instance = limited("emit", 1, Limits::default()).await;
    let actions = process(&mut instance, batch(0, 0)).await.unwrap();
    let [Action::Emit { output: 0, key, record }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(key.as_deref(), Some(b"k".as_slice()));
    assert_eq!(record.key, *key);
    let event = CloudEvent::from_record(record).unwrap().unwrap();
    assert_eq!((event.id(), event.source(), event.ty()), ("0", "/guest", "made"));
    assert_eq!(event.data().map(Bytes::len), Some(1000));
}

#[tokio::test]
async fn a_rewritten_event_keeps_what_was_not_changed() {
    let original = batch(1, 10);
    let actions = process(&mut acting("rewrite-each").await, original.clone()).await.unwrap();
    let [Action::Rewrite { output: 0, index: 0, record, keyed: false }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(record.timestamp, original.records[0].record.timestamp);
    let event = CloudEvent::from_record(record).unwrap().unwrap();
    assert_eq!(event.attribute("seen"), Some(&Value::String("yes".to_owned())));
    assert_eq!(event.attribute("subject"), Some(&Value::String("a thing".to_owned())));
    assert_eq!(event.data().map(AsRef::as_ref), Some(b"new".as_slice()));
}

#[tokio::test]
async fn a_record_that_is_no_event_cannot_be_rewritten_but_forwarded() {
    let record = Record { value: Some(Bytes::from_static(b"raw")), ..Record::default() };
    let raw = Batch { records: [Stored { offset: 0, record }].into(), ..batch(1, 0) };
    assert!(process(&mut acting("").await, raw.clone()).await.is_ok());
    let error = process(&mut acting("rewrite-each").await, raw).await.unwrap_err();
    assert_eq!(error, CallError::Contract("rewrites event 0, which is no CloudEvent".to_owned()));
}

#[tokio::test]
async fn the_plugins_own_refusals_come_through() {
    let mut retry = acting("retry").await;
    assert_eq!(process(&mut retry, batch(1, 0)).await, Err(CallError::Retry("later".to_owned())));
    assert_eq!(process(&mut retry, batch(1, 0)).await, Err(CallError::Retry("later".to_owned())));
    let mut reject = limited("reject", 2, Limits::default()).await;
    let reason = "never".to_owned();
    assert_eq!(
        process(&mut reject, batch(3, 0)).await,
        Err(CallError::Reject { index: 2, reason })
    );
    assert!(matches!(process(&mut reject, batch(2, 0)).await, Err(CallError::Contract(_))));
    assert_eq!(
        process(&mut acting("fatal").await, batch(1, 0)).await,
        Err(CallError::Fatal("stop".to_owned()))
    );
}
