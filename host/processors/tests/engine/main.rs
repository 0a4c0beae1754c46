//! The whole engine on a broker that fails: after whatever goes wrong, outputs equal inputs.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect"
)]

mod chance;
mod dead;
mod delivery;
mod gaps;
mod house;
mod mirrors;
mod outcomes;
mod refused;
