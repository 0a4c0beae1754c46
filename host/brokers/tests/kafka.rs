//! Real Apache Kafka under the battery, and what only Kafka can do to a broker.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "tests say what they expect, and share a battery of which each uses a part"
)]

mod battery;

mod kafka {
    pub mod place;
    pub mod raw;
    pub mod reading;
}
