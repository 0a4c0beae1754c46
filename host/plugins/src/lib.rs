//! Plugins: WebAssembly components that decide what becomes of events.
//!
//! Knows nothing of brokers: a batch of records goes in, decisions come out, and what they mean for
//! outputs, positions and commits is the business of whoever calls. wasmtime is named here only.
//!
//! # Layout
//!
//! - [`engine`]: compiles components and keeps what is compiled.
//! - [`plugin`]: one compiled component and what it says about itself.
//! - [`instance`]: one running copy with its memory; serves one shard.
//! - [`action`]: what a plugin decided, checked.
//! - [`state`]: the bytes of a shard and the way back behind batches that are not committed yet.
//! - [`limits`]: what a plugin may use up.
//! - [`usage`]: what they did use up.
//! - [`survey`]: what a file asks for and offers, for people who ask why it cannot run.
//! - [`log`]: lines that plugins write.
//! - [`reason`]: why something failed, on one line.
//! - [`catalog`], [`store`] and [`watch`]: which types are installed, where their bytes lie, and the
//!   directory they come from.

pub mod action;
mod call;
pub mod catalog;
pub mod engine;
pub mod error;
mod event;
mod host;
mod inbox;
pub mod instance;
mod lanes;
mod limiter;
pub mod limits;
mod lines;
pub mod log;
pub mod plugin;
pub mod reason;
pub mod said;
mod sound;
pub mod state;
pub mod store;
pub mod survey;
mod ticker;
mod trace;
pub mod usage;
mod v1;
mod version;
mod view;
mod wasi;
pub mod watch;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use catalog::{
    Active, BeginError, Catalog, NoTrial, OperatorError, Outcome, Rejected, Snapshot, Trial,
    Verdict,
};
pub use engine::{Engine, EngineOptions};
pub use error::{CallError, EngineError, LoadError};
pub use instance::{Cost, Instance, Setup};
pub use limits::{Limits, USUAL_BATCH};
pub use log::{Level, LogLine, LogSink, is_plain};
pub use plugin::{Cardinality, Info, Plugin};
pub use state::{ShardState, SharedState, StateLook};
pub use store::{
    Activation, First, Known, MemoryStore, PluginStore, Rollout, StoreError, StoredActive,
    StoredRejected, TypeState, Withheld,
};
pub use usage::{Usage, Used};
pub use version::Optional;
pub use watch::{Rescans, Watcher};
