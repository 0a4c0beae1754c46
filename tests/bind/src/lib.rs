//! A real BIND 9 for tests: never a mock.
//!
//! [`Bind::start`] is one name server of a test's own, on a port of its own, with a signed root zone
//! and the zones that the test gives it below that: signed, unsigned, damaged in several ways ([`Zone`]). It
//! answers for these zones and looks nothing up elsewhere. It ends with the test program however that ends.
//!
//! Zones may be changed by whoever has a key ([`Key`], [`Zone::updated_by`]); [`dig`], [`nsupdate`] and [`checkzone`] are BIND's own
//! tools, for what ours are compared with.
//!
//! A machine without BIND makes a test fail with one line that says what to install: a missing part is no
//! reason to pass.

#![cfg_attr(test, allow(missing_docs, reason = "tests need none"))]

// What nodes of every kind need: the file of the crate for Kafka, rather than a crate for thirty lines.
#[path = "../../kafka/src/guard.rs"]
mod guard;
mod port;
mod ready;
mod server;
mod sign;
mod tools;
mod zone;

pub use server::Bind;
pub use tools::{Key, checkzone, dig, nsupdate};
pub use zone::Zone;
