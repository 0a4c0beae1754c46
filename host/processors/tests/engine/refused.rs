//! Events that an output refuses for good: found, given up alone, and nothing else with them.

use host_brokers::faulty::{Fault, Op};
use host_processors::Phase;
use host_registry::{Letters, Name, NewProcessor};

use crate::house::{House, assert_same, id, ids, new_processor, options};

const DEAD: &str = "to-out.dead.n.test";
const LIMIT: &str = "max.message.bytes";

/// A bridge whose output takes a thousand bytes.
async fn bridge(house: &House, given: &[(&str, &str)]) -> Name {
    house.flow("in.n.test", 1, &[]).await;
    house.flow("out.n.test", 1, &[(LIMIT, "1000")]).await;
    start(house, given).await
}

async fn start(house: &House, given: &[(&str, &str)]) -> Name {
    let new = new_processor("bridge", &["in.n.test"], &["out.n.test"], "{}");
    house.process_as(NewProcessor { options: options(given), ..new }).await
}

async fn letters(house: &House, count: u64) {
    let made = async {
        while house
            .registry
            .flow(&DEAD.parse().unwrap())
            .await
            .unwrap()
            .is_none_or(|flow| flow.status != host_registry::FlowStatus::Active)
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::house::PATIENCE, made).await.expect("a dead-letter flow");
    house.holds(DEAD, count).await;
}

fn without(numbers: std::ops::Range<u32>, large: &[u32]) -> Vec<String> {
    let kept = numbers.filter(|number| !large.contains(number));
    kept.map(|number| id("in.n.test", 0, number)).collect()
}

async fn replay_all(house: &House, p: &Name, count: u64) {
    let mut meant = Letters::default();
    meant.add(0, 0, count);
    let flow = house.topic(DEAD).await.incarnation;
    house.carried_out(house.registry.replay(p, flow, meant, Letters::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_too_large_for_the_output_is_a_dead_letter_and_the_rest_goes_on_in_order()
{
    for fault in [None, Some(Fault::Unavailable), Some(Fault::LostMade), Some(Fault::Fenced)] {
        let house = House::new().await;
        house.faulty.script(Op::Commit, [None, fault, None, None, fault].repeat(8));
        let p = bridge(&house, &[]).await;
        // The largest of its commit, one that is smaller than a sound neighbour is not, two at once.
        let large = [(7, 2000), (40, 3000), (41, 1500), (99, 1200)];
        let more = [large.as_slice(), &[(8, 500), (39, 700)]].concat();
        house.write_large("in.n.test", 0, 0..100, &more).await;
        letters(&house, 4).await;
        house.holds("out.n.test", 96).await;
        house.write("in.n.test", 0, 100..120).await;
        house.holds("out.n.test", 116).await;
        house.end().await;
        let seen = house.read("out.n.test", 0, "id").await;
        assert_same(&seen, &without(0..120, &[7, 40, 41, 99]), "out");
        assert_eq!(house.read(DEAD, 0, "deadoffset").await, ["7", "40", "41", "99"]);
        assert_eq!(house.read(DEAD, 0, "deadkind").await, ["broker"; 4]);
        let reasons = house.read(DEAD, 0, "deadreason").await;
        assert!(reasons.iter().all(|why| why.contains("over the limit of 1000")), "{reasons:?}");
        house.assert_at_end(&p).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_one_that_fits_now_goes_through_and_of_one_that_does_not_is_a_new_letter() {
    let house = House::new().await;
    let p = bridge(&house, &[]).await;
    house.write_large("in.n.test", 0, 0..10, &[(2, 2000), (5, 4000)]).await;
    letters(&house, 2).await;
    house.set("out.n.test", LIMIT, "3000").await;
    replay_all(&house, &p, 2).await;
    house.holds("out.n.test", 9).await;
    house.holds(DEAD, 3).await;
    house.end().await;
    let seen = house.read("out.n.test", 0, "id").await;
    assert_eq!(seen[8], id("in.n.test", 0, 2));
    assert_eq!(house.read(DEAD, 0, "deadoffset").await, ["2", "5", "5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_refuses_event_after_event_holds_the_processor_until_it_takes_them() {
    let house = House::new().await;
    let p = bridge(&house, &[]).await;
    let large: Vec<_> = (5..40).map(|number| (number, 2000)).collect();
    house.write_large("in.n.test", 0, 0..50, &large).await;
    let held =
        |phase: Phase| matches!(phase, Phase::Failed(words) if words.contains("event after event"));
    house.until(&p, |report| held(report.phase())).await;
    letters(&house, 16).await;
    house.set("out.n.test", LIMIT, "100000").await;
    house.holds("out.n.test", 34).await;
    house.end().await;
    let seen = house.read("out.n.test", 0, "id").await;
    let given_up: Vec<u32> = (5..21).collect();
    assert_same(&seen, &without(0..50, &given_up), "out");
    assert_eq!(house.read(DEAD, 0, "id").await, ids("in.n.test", 0, 5..21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_dead_letters_the_position_stays_before_the_event_until_the_output_takes_it() {
    let house = House::new().await;
    let p = bridge(&house, &[("dead-letters", "off")]).await;
    house.write_large("in.n.test", 0, 0..20, &[(9, 2000)]).await;
    let says =
        |phase: Phase| matches!(phase, Phase::Failed(words) if words.contains("over the limit"));
    house.until(&p, |report| says(report.phase())).await;
    house.holds("out.n.test", 9).await;
    house.set("out.n.test", LIMIT, "100000").await;
    house.holds("out.n.test", 20).await;
    house.end().await;
    assert_same(&house.read("out.n.test", 0, "id").await, &ids("in.n.test", 0, 0..20), "out");
    assert!(house.registry.flow(&DEAD.parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_itself_too_large_names_the_event_and_a_replay_fetches_the_rest() {
    let house = House::new().await;
    house.flow(DEAD, 1, &[(LIMIT, "1500")]).await;
    let p = bridge(&house, &[]).await;
    house.write_large("in.n.test", 0, 0..10, &[(4, 5000)]).await;
    letters(&house, 1).await;
    house.holds("out.n.test", 9).await;
    assert_eq!(house.read(DEAD, 0, "deadtruncated").await, ["true"]);
    assert_eq!(house.read(DEAD, 0, "id").await, [id("in.n.test", 0, 4)]);
    assert_eq!(house.read(DEAD, 0, "deadoffset").await, ["4"]);
    house.set("out.n.test", LIMIT, "100000").await;
    replay_all(&house, &p, 1).await;
    house.holds("out.n.test", 10).await;
    house.end().await;
    assert_eq!(house.read("out.n.test", 0, "id").await[9], id("in.n.test", 0, 4));
    assert_eq!(house.read("out.n.test", 0, "deadtruncated").await[9], "");
    let size = house.last_data("out.n.test").await;
    assert!(size > 5000, "{size} bytes came back");
    assert_eq!(house.read(DEAD, 0, "id").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_on_another_broker_that_refuses_one_event_makes_it_a_letter_too() {
    let house = House::new().await;
    house.flows(&[("in.n.test", 1), ("out.n.test", 1)]).await;
    house.flow("far-out.n.test", 1, &[(LIMIT, "1000")]).await;
    let outputs = ["out.n.test", "far-out.n.test"];
    house.process_as(new_processor("distributor", &["in.n.test"], &outputs, "{}")).await;
    house.write_large("in.n.test", 0, 0..60, &[(33, 2000)]).await;
    letters(&house, 1).await;
    house.holds("out.n.test", 59).await;
    house.end().await;
    assert_same(&house.read("out.n.test", 0, "id").await, &without(0..60, &[33]), "out");
    assert_eq!(house.read(DEAD, 0, "deadoffset").await, ["33"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_too_much_is_made_smaller_until_it_is_not() {
    let house = House::new().await;
    house.faulty.takes_at_most(20);
    house.flow("in.n.test", 1, &[]).await;
    house.flow("out.n.test", 1, &[]).await;
    house.write("in.n.test", 0, 0..1000).await;
    let p = start(&house, &[]).await;
    house.holds("out.n.test", 1000).await;
    house.end().await;
    let seen = house.read("out.n.test", 0, "id").await;
    assert_same(&seen, &ids("in.n.test", 0, 0..1000), "out");
    house.assert_at_end(&p).await;
}
