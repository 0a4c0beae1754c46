//! Compiles components and keeps what is compiled, on disk and in memory.
//!
//! Compiling is done on threads of low priority, one component at a time: the largest take seconds
//! and half a gigabyte. A component made to take hours is given up: its threads go on, because nothing
//! can stop them, but nobody waits for them.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use host_failpoints::failpoint;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime::component::{Component, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::error::{EngineError, LoadError};
use crate::host::Host;
use crate::instance::describe;
use crate::lanes::{SlowLane, lower_priority};
use crate::limits::{
    self, Limits, MAX_COMPILE_MS, MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_STACK, MAX_TABLES,
};
use crate::lines::Lines;
use crate::log::cut;
use crate::plugin::{Inner, Plugin};
use crate::sound::Sound;
use crate::ticker::{Beating, Pulse};
use crate::v1::{self, Linked};
use crate::{ticker, version, wasi};

/// How an engine is made.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Directory of the host's own for compiled code. Its content is trusted: whoever can write there
    /// can run code as the host. Made with mode 0700 where it does not exist; refused where others
    /// may write.
    pub cache_dir: PathBuf,
    /// Instances that can live at once in the pooling allocator; 0 for none. Where the address space
    /// does not allow it, the engine goes on without.
    pub pool: u32,
    /// Threads of the slow lane.
    pub slow_threads: usize,
    /// What a component may use up while it describes itself, before it belongs to a processor.
    pub describe: Limits,
    /// How long somebody waits for a component to be compiled.
    pub compile: Duration,
}

impl EngineOptions {
    /// The usual values.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        let describe = Limits::default();
        let compile = Duration::from_millis(MAX_COMPILE_MS);
        Self { cache_dir, pool: POOL, slow_threads: SLOW_THREADS, describe, compile }
    }
}

/// The engine. Cloning shares it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    wasm: wasmtime::Engine,
    linker: Linker<Host>,
    /// Of those that somebody waits for.
    at_once: Semaphore,
    /// Compilers at work, those that were given up included.
    compilers: Arc<Semaphore>,
    compile: Duration,
    loaded: Mutex<HashMap<Arc<str>, Weak<Inner>>>,
    slow: SlowLane,
    pulse: Pulse,
    cache: Cache,
    describe: Limits,
    sound: Sound,
}

impl Engine {
    /// Starts the engine, its ticker and the slow lane.
    ///
    /// # Errors
    /// When the cache directory cannot be used or a thread not be started.
    pub fn new(options: &EngineOptions) -> Result<Self, EngineError> {
        Self::serving(options, |_| Ok(()))
    }

    /// An engine that offers more than the versions of the contract that it knows.
    pub(crate) fn serving(
        options: &EngineOptions,
        more: impl FnOnce(&mut Linker<Host>) -> wasmtime::Result<()>,
    ) -> Result<Self, EngineError> {
        let (cache, sound) = cache(&options.cache_dir)?;
        let wasm = engine(&cache, options.pool).map_err(|error| configure(&error))?;
        let mut linker = linker(&wasm).map_err(|error| configure(&error))?;
        more(&mut linker).map_err(|error| configure(&error))?;
        let start = |what| move |source| EngineError::Start { what, source };
        let pulse = ticker::start(&wasm).map_err(start("ticker"))?;
        let slow = SlowLane::start(options.slow_threads).map_err(start("slow lane"))?;
        Ok(Self(Arc::new(Shared {
            wasm,
            linker,
            at_once: Semaphore::new(AT_ONCE),
            compilers: Arc::new(Semaphore::new(COMPILERS)),
            compile: options.compile,
            loaded: Mutex::default(),
            slow,
            pulse,
            cache,
            describe: options.describe.clone(),
            sound,
        })))
    }

    /// Checks the contract's version, compiles and asks the component to describe itself. Takes
    /// seconds for large components that are not cached; the work is done on threads of low priority.
    ///
    /// # Errors
    /// Why the component cannot run here.
    pub async fn load(&self, component: Bytes) -> Result<Plugin, LoadError> {
        match self.find_or_compile(component).await? {
            Found::Loaded(plugin) => Ok(plugin),
            Found::Compiled(compiled) => self.finish(*compiled).await,
        }
    }

    /// How often compiled code was found on disk.
    #[must_use]
    pub fn cache_hits(&self) -> usize {
        self.0.cache.cache_hits()
    }

    /// Ticks of the clock that stops running guests. It grows at least every half second; where it
    /// does not, no guest can be stopped any more.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.0.pulse.beats()
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.0.wasm
    }

    /// A guest is about to run: the ticker must tick until what this gives is dropped.
    pub(crate) fn running(&self) -> Beating<'_> {
        self.0.pulse.running()
    }

    pub(crate) fn describe_limits(&self) -> &Limits {
        &self.0.describe
    }

    pub(crate) fn slow_lane(&self) -> &SlowLane {
        &self.0.slow
    }

    async fn find_or_compile(&self, component: Bytes) -> Result<Found, LoadError> {
        let permit = self.0.at_once.acquire().await;
        let _permit = permit.map_err(|_| LoadError::Ending)?;
        // There is one for each that somebody waits for, so whoever else has one was given up; nobody knows for how
        // long, and this file is not to blame.
        let busy = |_| LoadError::Compile("every compiler is busy with a file given up".into());
        let compiler = Arc::clone(&self.0.compilers).try_acquire_owned().map_err(busy)?;
        let time = self.0.compile;
        let given_up = |_| LoadError::limit("compile_ms", millis(time));
        let compiled = tokio::time::timeout(time, self.compile(component, compiler));
        compiled.await.map_err(given_up)?
    }

    /// Compiles on threads of its own: those of a component that was given up are busy.
    async fn compile(
        &self,
        component: Bytes,
        compiler: OwnedSemaphorePermit,
    ) -> Result<Found, LoadError> {
        let threads = compilers().map_err(|error| LoadError::Compile(error.to_string()))?;
        let (done, compiled) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        threads.spawn(move || {
            let found = shared.survive(&component);
            drop(compiler);
            // Nobody waits any more: what was compiled is in the cache.
            done.send(found).ok();
        });
        compiled.await.map_err(|_| LoadError::Ending)?
    }

    async fn finish(&self, compiled: Compiled) -> Result<Plugin, LoadError> {
        let Compiled { digest, component, size, lines } = compiled;
        let described =
            describe(self, component.clone(), Arc::clone(&lines), self.0.describe.clone());
        let info = described.await?;
        let engine = self.clone();
        let inner = Arc::new(Inner { engine, component, digest, info, size, lines });
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        if let Some(plugin) = loaded.get(&inner.digest).and_then(Weak::upgrade) {
            // Somebody else loaded the same meanwhile.
            return Ok(Plugin(plugin));
        }
        loaded.insert(Arc::clone(&inner.digest), Arc::downgrade(&inner));
        Ok(Plugin(inner))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Engine")
    }
}

/// SHA-256, hexadecimal: what a component is known by.
#[must_use]
pub fn digest(component: &[u8]) -> Arc<str> {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(component) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text.into()
}

enum Found {
    Loaded(Plugin),
    Compiled(Box<Compiled>),
}

struct Compiled {
    digest: Arc<str>,
    component: Linked,
    size: usize,
    lines: Arc<Lines>,
}

impl Shared {
    /// A component that makes the compiler panic is refused; it would end the process.
    fn survive(&self, bytes: &[u8]) -> Result<Found, LoadError> {
        let found = panic::catch_unwind(AssertUnwindSafe(|| self.find_or_compile(bytes)));
        found.unwrap_or_else(|_| Err(LoadError::Compile("the compiler broke".to_owned())))
    }

    fn find_or_compile(&self, bytes: &[u8]) -> Result<Found, LoadError> {
        let version = version::read(bytes)?;
        let digest = digest(bytes);
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = loaded.get(&digest).and_then(Weak::upgrade) {
            return Ok(Found::Loaded(Plugin(plugin)));
        }
        drop(loaded);
        let failed = |error: wasmtime::Error| {
            let words = format!("{error:#}");
            let words = cut(&words, MAX_COMPILE_ERROR);
            match limits::refused(words, &self.describe) {
                Some((which, limit)) => {
                    LoadError::Limit { which, limit, words: format!(": {words}") }
                }
                None => LoadError::Compile(words.to_owned()),
            }
        };
        let component = Component::from_binary(&self.wasm, bytes).map_err(failed)?;
        failpoint!("plugins.compiled");
        self.sound.keep();
        let linked = self.linker.instantiate_pre(&component).map_err(failed)?;
        let component = Linked::new(linked, version).map_err(failed)?;
        let lines = Arc::new(Lines::of(bytes));
        let size = bytes.len();
        Ok(Found::Compiled(Box::new(Compiled { digest, component, size, lines })))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn configure(error: &wasmtime::Error) -> EngineError {
    EngineError::Configure(format!("{error:#}"))
}

fn engine(cache: &Cache, pool: u32) -> wasmtime::Result<wasmtime::Engine> {
    if pool > 0 {
        let mut pooled = config(cache);
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(pool)));
        match wasmtime::Engine::new(&pooled) {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                tracing::warn!(%error, "no room for a pool of instances, going on without");
            }
        }
    }
    wasmtime::Engine::new(&config(cache))
}

fn config(cache: &Cache) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Its reader of debug information recurses as deep as a file says; see `lines`.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(MAX_STACK)
        .async_stack_size(MAX_STACK + HOST_STACK)
        // A retry on another machine shall decide the same.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cache(Some(cache.clone()));
    config
}

fn pooling(instances: u32) -> PoolingAllocationConfig {
    let core_instances = instances.saturating_mul(CORE_INSTANCES_MEAN);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(core_instances)
        .total_memories(instances.saturating_mul(2))
        .total_tables(core_instances)
        .max_core_instances_per_component(MAX_CORE_INSTANCES as u32)
        .max_memories_per_component(MAX_MEMORIES as u32)
        .max_tables_per_component(MAX_TABLES as u32)
        .max_core_instance_size(MAX_INSTANCE_STRUCT)
        .max_component_instance_size(MAX_INSTANCE_STRUCT)
        .table_elements(POOL_TABLE)
        .max_memory_size(POOL_MEMORY);
    pooling
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    v1::add_to_linker(&mut linker)?;
    wasi::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn compilers() -> io::Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .thread_name(|number| format!("plugin-compile-{number}"))
        .start_handler(|_| lower_priority())
        .stack_size(COMPILER_STACK)
        .build()
        .map_err(io::Error::other)
}

fn cache(dir: &Path) -> Result<(Cache, Sound), EngineError> {
    let refused = |reason: String| EngineError::Cache { path: dir.display().to_string(), reason };
    let own = own_directory(dir).map_err(|error| refused(error.to_string()))?;
    let sound = Sound::open(&own).map_err(|error| refused(error.to_string()))?;
    let mut config = CacheConfig::new();
    config.with_directory(sound.code());
    // Files that are compressed again later would no longer match their sums.
    config.with_optimized_compression_usage_counter_threshold(u64::MAX);
    let cache = Cache::new(config).map_err(|error| refused(format!("{error:#}")))?;
    Ok((cache, sound))
}

/// Compiled code is run as it lies there: nobody else may write it.
fn own_directory(dir: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let dir = dir.canonicalize()?;
    if dir.metadata()?.permissions().mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write there"));
    }
    Ok(dir)
}

/// Instances of the pool: shards that run at once on a host of middling size. They cost address space,
/// not memory.
const POOL: u32 = 1_000;

/// Threads of the slow lane: one loop cannot keep another waiting, and more would only share the rest
/// of two cores.
const SLOW_THREADS: usize = 2;

/// Bytes that host functions have on the same stack.
const HOST_STACK: usize = 1024 * 1024;

/// Components that are compiled at once while somebody waits for them: each takes all cores and 25 times its size, and a
/// small one shall not wait for a large one.
const AT_ONCE: usize = 2;

/// Components that are compiled at once, with two that were given up.
const COMPILERS: usize = AT_ONCE + 2;

/// Bytes of a compiling thread's stack: what is nested in a component may be nested there.
const COMPILER_STACK: usize = 16 * 1024 * 1024;

/// Core instances a component has in the mean: its own, its adapter's and two of shims.
const CORE_INSTANCES_MEAN: u32 = 6;

/// Bytes of the host's structures for one instance of the largest components.
const MAX_INSTANCE_STRUCT: usize = 4 * 1024 * 1024;

/// Elements of one table in the pool; a limit of a processor above it has no effect there.
const POOL_TABLE: usize = 100_000;

/// Bytes of one memory in the pool; a limit of a processor above it has no effect there.
const POOL_MEMORY: usize = 1 << 30;

/// Bytes of the compiler's words.
const MAX_COMPILE_ERROR: usize = 2 * 1024;
