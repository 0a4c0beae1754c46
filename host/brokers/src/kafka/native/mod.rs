//! What librdkafka offers and the binding does not. The only unsafe code of the workspace: small
//! functions, each with the reason why it is sound.
#![allow(unsafe_code, reason = "librdkafka is C")]

pub(super) mod admin;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod clock;
pub(super) mod consume;
pub(super) mod consumer;
pub(super) mod follow;
mod gate;
pub(super) mod handle;
pub(super) mod produce;
