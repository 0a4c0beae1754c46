//! What can go wrong, named by what the caller can do about it.

use std::sync::Arc;

/// The engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refuses its configuration.
    #[error("cannot configure the engine: {0}")]
    Configure(String),
    /// The directory for compiled code cannot be used.
    #[error("cannot use the directory for compiled code {path}: {reason}")]
    Cache {
        /// The directory.
        path: String,
        /// Why.
        reason: String,
    },
    /// A thread or a runtime cannot be started.
    #[error("cannot start {what}: {source}")]
    Start {
        /// The thread's duty.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A file is no plugin that this host can run. The words are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Larger, deeper or wider than a component may be.
    #[error("limit passed: {which}={limit}{words}")]
    Limit {
        /// Name of the limit, in [`crate::limits::FIXED`] or a field of [`crate::Limits`].
        which: &'static str,
        /// Its value.
        limit: u64,
        /// What happened, after a colon; nothing where the name says it.
        words: String,
    },
    /// Not WebAssembly at all, or cut off.
    #[error("not a WebAssembly component: {0}")]
    NotWasm(String),
    /// WebAssembly, but the kind before components.
    #[error("a core module, not a component: make one with `wasm-tools component new`")]
    CoreModule,
    /// A component that exports no processor.
    #[error("not a processor: no export of flow:processor/lifecycle")]
    NotAProcessor,
    /// A version of the contract that this host does not know.
    #[error("unknown version of the plugin contract: {name}, known: {known}")]
    UnknownVersion {
        /// The interface as the component names it.
        name: String,
        /// The versions this host serves.
        known: String,
    },
    /// It wants something that no plugin gets.
    #[error("imports what no plugin is given: {0}")]
    UnknownImport(String),
    /// It has the right names and the wrong types, or does not compile.
    #[error("cannot compile: {0}")]
    Compile(String),
    /// `describe` failed.
    #[error("describe failed: {0}")]
    Describe(String),
    /// `describe` answered something that breaks the contract.
    #[error("describe is wrong: {field}: {reason}")]
    Info {
        /// Which field.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The host is ending.
    #[error("the host is ending")]
    Ending,
}

impl LoadError {
    /// A limit whose name says it all.
    pub(crate) fn limit(which: &'static str, limit: u64) -> Self {
        Self::Limit { which, limit, words: String::new() }
    }
}

/// Why a call into a plugin gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin asks for the same batch again, later.
    #[error("retry: {0}")]
    Retry(String),
    /// The plugin says that this event can never work.
    #[error("rejected event {index}: {reason}")]
    Reject {
        /// Index in the batch.
        index: u32,
        /// The plugin's words.
        reason: String,
    },
    /// The plugin wants to be stopped.
    #[error("fatal: {0}")]
    Fatal(String),
    /// The plugin trapped; the message carries the wasm backtrace. The instance is dead.
    #[error("trap: {0}")]
    Trap(Arc<str>),
    /// The plugin used up what it was given. The instance is dead.
    #[error("limit passed: {which}={limit}: {words}")]
    Limit {
        /// Name of the limit, a field of [`crate::Limits`].
        which: &'static str,
        /// Its value.
        limit: u64,
        /// What happened.
        words: String,
    },
    /// The plugin's answer breaks the contract.
    #[error("contract broken: {0}")]
    Contract(String),
    /// The instance died in an earlier call, or that call was given up. Make a new one.
    #[error("the instance is dead")]
    Dead,
    /// The host has no room for another instance now. Nothing is wrong with the plugin.
    #[error("no room for another instance: {0}")]
    Busy(String),
}

/// The limit that a call which runs for too long passes.
pub(crate) const CALL_MS: &str = "call_ms";

impl CallError {
    /// Whether the instance can be called again.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Retry(_) | Self::Reject { .. } | Self::Contract(_))
    }

    /// Whether a call took all the time that it may take.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Limit { which: CALL_MS, .. })
    }
}
