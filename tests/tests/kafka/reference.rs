//! The examples of docs/fnap.md that need a cluster, said to a host that has one.

use stories::reference::{Example, House};

use crate::flows::topic;

const PAGE: &str = include_str!("../../../docs/fnap.md");

/// What only these examples need: a cluster, and a topic of somebody else's.
const MARKS: [&str; 2] = ["kafka", "topic"];

#[test]
fn every_example_on_a_cluster_is_answered_by_a_host_as_it_stands_there() {
    let servers = kafka_node::Node::shared().servers();
    let broker = format!(
        "[[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"{servers}\"\nidentity = \"reference\"\n"
    );
    let examples = Example::of_page("fnap.md", PAGE, &["abnf"]);
    let examples: Vec<Example> =
        examples.into_iter().filter(|example| example.is(MARKS[0])).collect();
    assert!(!examples.is_empty());
    for example in examples {
        if example.is(MARKS[1]) {
            topic("Orders_EU", 2, 0);
        }
        House::of(&example, &broker, &MARKS).play(&example);
    }
}
