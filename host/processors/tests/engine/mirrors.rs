//! Patterns: flows that are there and flows that come later get what was asked for, once.

use fnap::command::MirrorTo;
use host_registry::{Config, FlowChange, Mirror, Start};

use crate::house::{House, assert_same, ids, name};

async fn mirror(house: &House, from: &str, to: MirrorTo, start: Start) {
    let mirror = Mirror {
        name: name("m.n.test"),
        from: from.parse().unwrap(),
        to,
        start,
        options: Config::new(),
        config: "{}".to_owned(),
        owner: None,
        created_at: 0,
        made: 0,
    };
    house.carried_out(house.registry.create_mirror(mirror, None).await).await;
    house.processors.take_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_flow_that_a_pattern_means_gets_a_flow_like_it_and_a_bridge_also_later() {
    let house = House::new().await;
    house.flow("in-a.n.test", 3, &[("max.message.bytes", "5000")]).await;
    house.flows(&[("other.n.test", 1)]).await;
    house.write("in-a.n.test", 2, 0..20).await;
    mirror(&house, "in-*.n.test", MirrorTo::Each("out-*.n.test".parse().unwrap()), Start::Earliest)
        .await;
    house.holds("out-a.n.test", 20).await;
    assert_same(&house.read("out-a.n.test", 2, "id").await, &ids("in-a.n.test", 2, 0..20), "out");
    let made = house.registry.flow(&name("out-a.n.test")).await.unwrap().unwrap();
    assert_eq!((made.partitions, made.owned), (3, true));
    assert_eq!(made.config.get("max.message.bytes").map(String::as_str), Some("5000"));
    // Later ones, and again and again.
    house.flows(&[("in-b.n.test", 1)]).await;
    house.write("in-b.n.test", 0, 0..5).await;
    for _ in 0..3 {
        house.processors.take_in().await;
    }
    house.holds("out-b.n.test", 5).await;
    assert_eq!(house.registry.processors().await.unwrap().len(), 2);
    // What grows there grows here.
    let change = FlowChange { partitions: Some(4), ..Default::default() };
    house.carried_out(house.registry.update_flow(&name("in-b.n.test"), change).await).await;
    house.processors.take_in().await;
    let made = house.registry.flow(&name("out-b.n.test")).await.unwrap().unwrap();
    assert_eq!(made.partitions, 4);
    assert!(house.processors.troubles("m.n.test").is_empty());
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pattern_has_made_and_dead_letters_are_taken_in_by_no_pattern() {
    let house = House::new().await;
    house.flows(&[("in-a.n.test", 1), ("all.n.test", 1), ("p.dead.n.test", 1)]).await;
    let new = crate::house::new_processor("bridge", &["in-a.n.test"], &["all.n.test"], "{}");
    house.process_as(host_registry::NewProcessor { name: name("p.n.test"), ..new }).await;
    mirror(&house, "in-*.n.test", MirrorTo::Each("out-*.n.test".parse().unwrap()), Start::Earliest)
        .await;
    let again = |from: &str, to: &str| Mirror {
        name: name("again.n.test"),
        from: from.parse().unwrap(),
        to: MirrorTo::Each(to.parse().unwrap()),
        start: Start::Earliest,
        options: Config::new(),
        config: "{}".to_owned(),
        owner: None,
        created_at: 0,
        made: 0,
    };
    let refused =
        house.registry.create_mirror(again("*.n.test", "x.*.n.test"), None).await.unwrap_err();
    assert_eq!(refused.to_string(), "*.n.test would take in what it makes");
    let second = again("*.n.test", "x.*.m.test");
    let taken = house.registry.taken_by(&second);
    assert_eq!(taken, [name("all.n.test"), name("in-a.n.test")]);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_that_a_pattern_means_come_together_also_those_that_come_later_from_their_beginning()
{
    let house = House::new().await;
    house.flows(&[("in-a.n.test", 1), ("in-b.n.test", 1), ("all.n.test", 1)]).await;
    house.write("in-a.n.test", 0, 0..10).await;
    mirror(&house, "in-*.n.test", MirrorTo::One(name("all.n.test")), Start::Latest).await;
    house.write("in-b.n.test", 0, 0..10).await;
    house.holds("all.n.test", 10).await;
    house.flows(&[("in-c.n.test", 1)]).await;
    // Before it is taken in: a new flow is read from its beginning, whatever was said of old ones.
    house.write("in-c.n.test", 0, 0..10).await;
    house.processors.take_in().await;
    house.holds("all.n.test", 20).await;
    house.write("in-a.n.test", 0, 10..20).await;
    house.holds("all.n.test", 30).await;
    house.end().await;
    let seen = house.read("all.n.test", 0, "id").await;
    let of =
        |flow: &str| seen.iter().filter(|id| id.starts_with(flow)).cloned().collect::<Vec<_>>();
    assert_same(&of("in-a"), &ids("in-a.n.test", 0, 10..20), "a");
    assert_same(&of("in-b"), &ids("in-b.n.test", 0, 0..10), "b");
    assert_same(&of("in-c"), &ids("in-c.n.test", 0, 0..10), "c");
    assert_eq!(house.registry.processors().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_that_come_after_a_pattern_that_meant_none_are_read_from_their_beginning() {
    let house = House::new().await;
    house.flows(&[("all.n.test", 1)]).await;
    mirror(&house, "in-*.n.test", MirrorTo::One(name("all.n.test")), Start::Latest).await;
    house.flows(&[("in-a.n.test", 1)]).await;
    house.write("in-a.n.test", 0, 0..10).await;
    house.processors.take_in().await;
    house.holds("all.n.test", 10).await;
    house.end().await;
    assert_same(&house.read("all.n.test", 0, "id").await, &ids("in-a.n.test", 0, 0..10), "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_in_is_told_and_taken_in_when_nothing_is_in_the_way() {
    let house = House::new().await;
    house.flows(&[("in-a.n.test", 1), ("in-b.n.test", 1)]).await;
    // The name is taken by something that is no flow.
    house.flows(&[("x.n.test", 1)]).await;
    let new = crate::house::new_processor("bridge", &["x.n.test"], &["in-b.n.test"], "{}");
    let taken = host_registry::NewProcessor { name: name("out-a.n.test"), ..new };
    let taken = house.process_as(taken).await;
    mirror(&house, "in-*.n.test", MirrorTo::Each("out-*.n.test".parse().unwrap()), Start::Earliest)
        .await;
    let troubles = house.processors.troubles("m.n.test");
    assert_eq!(troubles, ["flow in-a.n.test: processor out-a.n.test exists"]);
    house.write("in-b.n.test", 0, 0..3).await;
    house.holds("out-b.n.test", 3).await;
    house.carried_out(house.registry.delete_processor(&taken).await).await;
    house.processors.take_in().await;
    assert!(house.processors.troubles("m.n.test").is_empty());
    house.write("in-a.n.test", 0, 0..3).await;
    house.holds("out-a.n.test", 3).await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_takes_in_as_many_flows_as_it_can_read_and_the_rest_is_told() {
    let house = House::new().await;
    let names: Vec<String> = (0..63).map(|n| format!("in-{n:02}.n.test")).collect();
    let flows: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    house.flows(&[&flows[..], &[("all.n.test", 1)]].concat()).await;
    mirror(&house, "in-*.n.test", MirrorTo::One(name("all.n.test")), Start::Earliest).await;
    assert!(house.processors.troubles("m.n.test").is_empty());
    house.flows(&[("in-97.n.test", 1), ("in-98.n.test", 1), ("in-99.n.test", 1)]).await;
    for flow in ["in-62.n.test", "in-97.n.test"] {
        house.write(flow, 0, 0..3).await;
    }
    house.processors.take_in().await;
    house.holds("all.n.test", 6).await;
    let told = house.processors.troubles("m.n.test");
    let words =
        "a collector reads at most 64 flows: 2 more are not taken in, in-98.n.test the first";
    assert_eq!(told, [words]);
    house.end().await;
}
