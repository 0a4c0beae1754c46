//! Topics of the node, made and taken away.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::PARTITIONS;

/// Makes a topic with a copy of each partition.
pub fn create(servers: &str, topic: &str) {
    let new = NewTopic::new(topic, PARTITIONS as i32, TopicReplication::Fixed(1));
    let made = wait(admin(servers).create_topics([&new], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|made| drop(made.unwrap()));
}

/// Takes a topic away, so that its room can be used again.
pub fn delete(servers: &str, topic: &str) {
    let gone = wait(admin(servers).delete_topics(&[topic], &AdminOptions::new())).unwrap();
    gone.into_iter().for_each(|gone| drop(gone.unwrap()));
}

fn admin(servers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", servers).create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
