//! What a guest sees of the world: nothing that another run would not see again.

use super::*;
use crate::Action;

async fn seen(processor: &str, batch: Batch) -> CloudEvent {
    let setup = Setup { processor: processor.to_owned(), ..setup(r#"{"act":"world"}"#) };
    let actions = process(&mut instance(setup).await, batch).await.unwrap();
    let Some(Action::Emit { record, .. }) = actions.last() else { panic!("{actions:?}") };
    CloudEvent::from_record(record).unwrap().unwrap()
}

fn text(event: &CloudEvent, name: &str) -> String {
    event.attribute(name).unwrap().canonical().into_owned()
}

#[tokio::test]
async fn the_clock_is_the_batches_and_an_hours_sleep_takes_no_time() {
    let event = seen("p", batch(1, 0)).await;
    assert_eq!(text(&event, "start"), "1700000000000");
    assert_eq!(text(&event, "slept"), "3600");
}

#[tokio::test]
async fn files_network_environment_and_arguments_are_not_there() {
    let event = seen("p", batch(1, 0)).await;
    assert_eq!(text(&event, "granted"), "false");
    assert_eq!(text(&event, "environment"), "0");
}

#[tokio::test]
async fn random_numbers_are_the_same_for_the_same_processor_and_position_only() {
    let random = |event: CloudEvent| text(&event, "random");
    let first = random(seen("p", batch(1, 0)).await);
    assert_eq!(random(seen("p", batch(1, 0)).await), first);
    assert_ne!(random(seen("q", batch(1, 0)).await), first);
}

#[tokio::test]
async fn what_a_guest_prints_and_logs_is_in_its_log() {
    let kept = Arc::new(Kept::default());
    let log = Arc::clone(&kept) as Arc<dyn LogSink>;
    let mut instance = instance(Setup { log, ..setup(r#"{"act":"print"}"#) }).await;
    process(&mut instance, batch(3, 0)).await.unwrap();
    assert_eq!(kept.messages(), ["printed 3", "complained", "logged"]);
}
