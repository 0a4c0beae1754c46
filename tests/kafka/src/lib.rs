//! Real Apache Kafka for tests, started from jars: never a mock.
//!
//! [`Node::shared`] is one node for a whole test program, [`Node::start`] one of a test's own, with
//! TLS, users, ACLs or any property ([`Setup`]); [`Cluster::three`] is three that replicate. Each
//! listens on a loopback address of its own, so no port ever clashes, and ends with the test
//! program however that ends. A [`Proxy`] is the network between, to be cut and slowed. Kafka's own tools and Java programs run against it with
//! [`Node::tool`] and [`Node::java`].
//!
//! A machine without Java or the jars makes a test fail with one line that says what to install: a
//! missing part is no reason to pass.

#![cfg_attr(test, allow(missing_docs, reason = "tests need none"))]

mod address;
mod certificates;
mod cluster;
mod guard;
mod home;
mod node;
mod proxy;
mod ready;
mod records;
mod setup;
mod tools;

pub use certificates::Certificates;
pub use cluster::Cluster;
pub use node::Node;
pub use proxy::Proxy;
pub use records::{Record, Writer, read_committed};
pub use setup::{Setup, User};
pub use tools::{Ran, jvm, tool, tool_with};
