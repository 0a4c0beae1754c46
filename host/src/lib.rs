//! The participant: what `fnaad` is made of.

pub mod audit;
mod brokers;
pub mod cert;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dev;
pub mod dns;
mod files;
mod ground;
pub mod host;
mod identities;
mod included;
pub mod lock;
mod observed;
mod open_files;
pub mod peers;
pub mod plugin;
mod plugin_store;
pub mod plugins;
mod publishing;
mod reports;
pub mod serve;
mod strangers;
pub mod user;
