//! Apache Kafka: the battery over a real node, and what only it can be asked.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests say what they expect, and each binary uses a part of the battery"
)]

mod battery;
#[path = "kafka/cached.rs"]
mod cached;
#[path = "kafka/coordinators.rs"]
mod coordinators;
#[path = "kafka/former.rs"]
mod former;
#[path = "kafka/gaps.rs"]
mod gaps;
#[path = "kafka/hosts.rs"]
mod hosts;
#[path = "kafka/lanes.rs"]
mod lanes;
#[path = "kafka/lending.rs"]
mod lending;
#[path = "kafka/lives.rs"]
mod lives;
#[path = "kafka/place.rs"]
mod place;
#[path = "kafka/raw.rs"]
mod raw;
#[path = "kafka/reading.rs"]
mod reading;
#[path = "kafka/rights.rs"]
mod rights;
#[path = "kafka/silence.rs"]
mod silence;
#[path = "kafka/topics.rs"]
mod topics;
#[path = "kafka/trouble.rs"]
mod trouble;
