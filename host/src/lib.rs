//! The participant: what `fnaad` is made of.

pub mod cli;
pub mod config;
pub mod demo;
pub mod dev;
pub mod host;
pub mod lock;
mod plugin_store;
pub mod serve;
